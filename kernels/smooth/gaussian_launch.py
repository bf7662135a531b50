"""Short kernels in one launch, longer ones in two with a scratch image; uint8 with short kernels in fixed point."""

import numpy as np

LONGEST_FIXED = 32  # as on the CPU
# As in gaussian.cu.
OUTPUTS = 8
HEIGHT = 32
COLUMNS, ROWS = 32, 64
DISTANCES = 64

GREATEST_GRID = 65535
WARPS = 8
TILE_BYTES = 512  # of a tile's row of results
SHARED_BYTES = 64 << 10  # what a block may have on every architecture from sm_75 on
SHARED_ALONG = 40 << 10  # so that several blocks fit


def launch(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    fixed = src.dtype == np.uint8 and max(r0, r1) <= LONGEST_FIXED
    wide = wide_type(src.dtype)
    width = tile_width(wide.itemsize, step, r0, r1)
    if width is None and fixed:
        held = scratch(gpu, src, top, bottom, np.dtype(np.uint16))
        fill_down(gpu, "fixed_down<unsigned char>", src, held, top, bottom, mode, cval, r0, q0, o0)
        kind = gpu.ctype(dst.dtype)
        fill_along(gpu, f"fixed_along<{kind}>", held, dst, top, bottom, step, mode, cval, r1, q1, o1)
    elif width is None:
        held = scratch(gpu, src, top, bottom, wide)
        smooth(gpu, src, held, dst, top, bottom, step, mode, cval, r0, r1, w0, w1)
    else:
        weights = (q0, q1, o0, o1) if fixed else (w0, w1)
        kind = f"fixed<{gpu.ctype(dst.dtype)}>" if fixed else f"smooth<{gpu.ctype(src.dtype)}, {gpu.ctype(wide)}>"
        shared = shared_bytes(wide.itemsize, step, r0, r1, width)
        args = (step, mode, cval, r0, r1, *weights, width)
        fill_tiles(gpu, kind, src, dst, top, bottom, (width, HEIGHT), (32, WARPS), args, shared)


def smooth(gpu, src, held, dst, top, bottom, step, mode, cval, r0, r1, w0, w1):
    """In floating point, by way of ``held``; also into an image of the type of the sums."""
    kind, wide = gpu.ctype(src.dtype), gpu.ctype(held.dtype)
    fill_down(gpu, f"down<{kind}, {wide}>", src, held, top, bottom, mode, cval, r0, w0)
    fill_along(gpu, f"along<{wide}, {gpu.ctype(dst.dtype)}>", held, dst, top, bottom, step, mode, cval, r1, w1)


def wide_type(dtype):
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def scratch(gpu, src, top, bottom, dtype):
    rows, cols = src.shape
    return gpu.rows(gpu.empty((bottom - top, cols), dtype), top, rows)


def tile_width(itemsize, step, r0, r1):
    """The width of a tile that fits into shared memory and is not mostly halo, or None."""
    group = OUTPUTS * step
    for width in range(max(TILE_BYTES // itemsize // group, 1) * group, 0, -group):
        if width < 3 * r1 * step:
            return None
        if shared_bytes(itemsize, step, r0, r1, width) <= SHARED_BYTES:
            return width
    return None


def shared_bytes(itemsize, step, r0, r1, width):
    halo = r1 * step
    pitch = up(-halo % 4 + width + 2 * halo, 4)
    tile = max((HEIGHT + 2 * r0) * pitch, HEIGHT * (width + 4))
    sums = up(HEIGHT * (width + 2 * halo | 1), 4)
    return (up(r0 + 1, 4) + up(r1 + 1, 4) + tile + sums) * itemsize


def fill_down(gpu, name, src, dst, top, bottom, *args):
    fill_tiles(gpu, name, src, dst, top, bottom, (COLUMNS, ROWS), (COLUMNS, ROWS // OUTPUTS), args, 0)


def fill_along(gpu, name, src, dst, top, bottom, step, mode, cval, radius, *args):
    itemsize = 8 if src.dtype == np.float64 else 4
    warps = WARPS // step * step
    width = OUTPUTS * warps
    fitting = SHARED_ALONG // (2 * HEIGHT * itemsize)
    distances = min((fitting - width) // step, DISTANCES, radius + 1)
    if warps == 0 or distances < min(OUTPUTS, radius + 1):
        far = name.replace("along<", "along_far<")
        gpu.fill_rows("gaussian", far, src, dst, top, bottom, step, mode, cval, radius, *args)
        return
    pitch = up(width + (distances - 1) * step + 3, 2) + 1
    shared = (distances + 2 * HEIGHT * pitch + 4) * itemsize
    args = (step, mode, cval, radius, *args, distances)
    fill_tiles(gpu, name, src, dst, top, bottom, (width, HEIGHT), (32, warps), args, shared)


def fill_tiles(gpu, name, src, dst, top, bottom, tile, block, args, shared):
    kernel = gpu.kernel("gaussian", name)
    width, height = tile
    columns = up(src.shape[1], width) // width
    for first in range(top, bottom, GREATEST_GRID * height):
        last = min(first + GREATEST_GRID * height, bottom)
        kernel((columns, up(last - first, height) // height), block, (src, dst, first, last, *args), shared)


def up(amount, size):
    return -(-amount // size) * size
