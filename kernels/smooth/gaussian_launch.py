"""Short kernels in one launch, longer ones in two with a scratch image; uint8 with short kernels in fixed point."""

from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np

from gpuimg.kernels.lib.rows_launch import MAX_GRID, STRIP_WORDS

# As in gaussian.cu.
OUTPUTS = 8
HEIGHT = 32
PITCH_BYTES = 544
COLUMNS, ROWS = 32, 64
DISTANCES = 64
NEAR_COLUMNS, NEAR_ROWS = 256, 16
SUMMED_ROWS = {4: 24, 6: 24, 8: NEAR_ROWS, 12: NEAR_ROWS}  # by reach
NEAR_TYPES = tuple(map(np.dtype, ("uint16", "int16", "float32")))
SPAN, LEAST_REACH = 4 * STRIP_WORDS, 2

WARPS = 8
TILE_BYTES = 512  # of a tile's row of results
# In taps per pixel, by counted instructions: the cost of a scratch image, and the rest of a sum.
SCRATCH_TAPS, TASK_TAPS = 6, 4
UNKNOWN_PITCH = 1.1  # the cost factor of addresses that the compiler does not know
SHARED_BYTES = 63 << 10  # with the kernels' static shared memory, the limit of a block from sm_75 on
SHARED_ALONG = 40 << 10  # several blocks fit


def launch(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    if src.dtype == np.uint8 and q0.size > r0 and q1.size > r1:
        fill_fixed(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, q0, q1, o0, o1)
        return
    wide = wide_type(src.dtype)
    near = near_tile(src.dtype, step, r0, r1)
    layout = fitting(wide.itemsize, step, r0, r1)
    if near is not None:
        reach, pixels, half = near
        args = (step, mode, cval, r0, r1, w0, w1, tolerance(r0, wide), tolerance(r1, wide), pixels, half)
        name, height = f"near<{gpu.ctype(src.dtype)}, {reach}>", SUMMED_ROWS[reach]
        shared = height * 2 * step * half * wide.itemsize
        fill_tiles(gpu, name, src, dst, top, bottom, (pixels * step, height), (NEAR_COLUMNS, 1), args, shared)
    elif layout is None:
        held = scratch(gpu, src, top, bottom, wide)
        smooth(gpu, src, held, dst, top, bottom, step, mode, cval, r0, r1, w0, w1)
    else:
        kind = f"smooth<{gpu.ctype(src.dtype)}, {gpu.ctype(wide)}>"
        args = (step, mode, cval, r0, r1, w0, w1, tolerance(r0, wide), tolerance(r1, wide), *layout[:-1])
        shared = layout.elements * wide.itemsize
        fill_tiles(gpu, kind, src, dst, top, bottom, (layout.width, HEIGHT), (32, WARPS), args, shared)


@lru_cache
def near_tile(dtype, step, r0, r1, reaches=tuple(SUMMED_ROWS)):
    """The reach of windows in registers, a tile's pixels, and half of a channel's size in shared memory; None if the
    windows are too long or few of a tile's pixels would be results."""
    reach = next((reach for reach in reaches if reach >= max(r0, r1)), None)
    if reach is None or dtype not in NEAR_TYPES:
        return None
    held = NEAR_COLUMNS // step
    pixels = (held - 2 * reach) // OUTPUTS * OUTPUTS
    if 2 * pixels < max(held - OUTPUTS, 1):
        return None
    # Results take the place of a row's sums, with 16 bytes between groups of several channels.
    results = pixels * step + (pixels // OUTPUTS * 4 if step > 1 else 0)
    return reach, pixels, max(half_for(NEAR_COLUMNS, step), up(-(-results // (2 * step)), 4))


def half_for(columns, step):
    """Elements for half the fours of a channel, for ``columns`` elements that begin with a whole pixel and may end with
    a partial one; includes two spare ones."""
    half = up(-(-columns // step) + 2, 2 * 4) // 2
    # The stores of neighbours in the two halves go to different banks.
    return half + (16 - half) % 32 if step == 1 else half


def tolerance(radius, wide):
    """The relative rounding error of a constant's sum; see `lib.numbers.rounding`."""
    return float((3 + 2 * np.sqrt(np.float64(radius))) * np.float64(np.finfo(wide).eps))


def fill_fixed(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, q0, q1, o0, o1):
    """Fixed point; uses a scratch image only if few of a strip's pixels would be results."""
    kind = gpu.ctype(dst.dtype)
    reach0, reach1 = (max(up(radius, 2), LEAST_REACH) for radius in (r0, r1))
    halo, held = up(reach1, 4), SPAN // step
    pixels = (held - 2 * halo) // OUTPUTS * OUTPUTS
    if 2 * pixels < max(held - OUTPUTS, 1):
        sums = scratch(gpu, src, top, bottom, np.dtype(np.uint16))
        fill_down(gpu, "fixed_down<unsigned char>", src, sums, top, bottom, mode, cval, r0, q0, o0)
        fill_along(gpu, f"fixed_along<{kind}>", sums, dst, top, bottom, step, mode, cval, r1, q1, o1)
        return
    half = half_for(SPAN, step)
    shared = max((OUTPUTS + 2 * reach0) * SPAN, OUTPUTS * 2 * step * half * 4)
    args = (step, mode, cval, r0, r1, q0, q1, o0, o1, reach0, reach1, halo, pixels, half)
    tile = pixels * step, OUTPUTS
    fill_tiles(gpu, f"fixed<{kind}>", src, dst, top, bottom, tile, (STRIP_WORDS, 1), args, shared)


def smooth(gpu, src, held, dst, top, bottom, step, mode, cval, r0, r1, w0, w1):
    """Floating point, with the scratch image ``held``; also into an image of the accumulator type."""
    kind, wide = gpu.ctype(src.dtype), gpu.ctype(held.dtype)
    down, along = f"down<{kind}, {wide}>", f"along<{wide}, {gpu.ctype(dst.dtype)}>"
    fill_down(gpu, down, src, held, top, bottom, mode, cval, r0, w0, tolerance(r0, held.dtype))
    fill_along(gpu, along, held, dst, top, bottom, step, mode, cval, r1, w1, tolerance(r1, held.dtype))


def wide_type(dtype):
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def scratch(gpu, src, top, bottom, dtype):
    rows, cols = src.shape
    return gpu.rows(gpu.empty((bottom - top, cols), dtype), top, rows)


class Layout(NamedTuple):
    """A tile and its layout in shared memory, in elements, as in gaussian.cu."""

    width: int
    halo: int
    lead: int
    pitch: int
    sums_pitch: int
    weights_at: int
    sums_at: int
    tile_at: int
    elements: int


def layout_of(itemsize, width, step, r0, r1):
    halo = r1 * step
    lead = -halo % 4
    pitch = max(up(lead + width + 2 * halo, 4), PITCH_BYTES // itemsize)
    sums_pitch = pitch | 1  # one row per lane: the values of a column are in different banks
    weights_at = up(r0 + 1, 4)
    sums_at = weights_at + up(r1 + 1, 4)
    tile_at = sums_at + up(HEIGHT * sums_pitch, 4)
    tile = max((HEIGHT + 2 * r0) * pitch, HEIGHT * results_pitch(itemsize, width))
    return Layout(width, halo, lead, pitch, sums_pitch, weights_at, sums_at, tile_at, tile_at + tile)


def results_pitch(itemsize, width):
    """The pitch of results as wide as the sums; narrower ones take no more bytes."""
    return up(width, 128 // itemsize) + 16 // itemsize


@lru_cache
def fitting(itemsize, step, r0, r1):
    """The best tile that fits in shared memory; None if a scratch image costs less than sums in the halo."""
    group = OUTPUTS * step
    for width in range(max(TILE_BYTES // itemsize // group, 1) * group, 0, -group):
        layout = layout_of(itemsize, width, step, r0, r1)
        if 2 * layout.halo * (r0 + TASK_TAPS) > SCRATCH_TAPS * width:
            return None
        if layout.elements * itemsize <= SHARED_BYTES:
            narrower = (layout_of(itemsize, narrow, step, r0, r1) for narrow in range(width, width // 2, -group))
            return min(narrower, key=lambda layout: cost(layout, layout.pitch * itemsize == PITCH_BYTES, r0, r1))
    return None


def cost(layout, known_pitch, r0, r1):
    """A tile's taps per element: the average of all threads plus those of the slowest ones."""
    down = (layout.width + 2 * layout.halo) * (HEIGHT // OUTPUTS) / (32 * WARPS)
    along = layout.width / (OUTPUTS * WARPS)
    tasks = (down + ceil(down)) * (r0 + TASK_TAPS) + (along + ceil(along)) * (r1 + TASK_TAPS)
    return tasks / layout.width * (1 if known_pitch else UNKNOWN_PITCH)


def fill_down(gpu, name, src, dst, top, bottom, *args):
    fill_tiles(gpu, name, src, dst, top, bottom, (COLUMNS, ROWS), (COLUMNS, ROWS // OUTPUTS), args, 0)


def fill_along(gpu, name, src, dst, top, bottom, step, mode, cval, radius, *args):
    itemsize = 8 if src.dtype == np.float64 else 4
    warps = WARPS // step * step
    width = OUTPUTS * warps
    room = SHARED_ALONG // (2 * HEIGHT * itemsize)
    distances = min((room - width) // step, DISTANCES, radius + 1)
    if warps == 0 or distances < min(OUTPUTS, radius + 1):
        far = name.replace("along<", "along_far<")
        gpu.fill_rows("gaussian", far, src, dst, top, bottom, step, mode, cval, radius, *args)
        return
    pitch = width + (distances - 1) * step + 3 | 1
    shared = (2 * HEIGHT * pitch + distances) * itemsize
    args = (step, mode, cval, radius, *args, distances)
    fill_tiles(gpu, name, src, dst, top, bottom, (width, HEIGHT), (32, warps), args, shared)


def fill_tiles(gpu, name, src, dst, top, bottom, tile, block, args, shared, stem="gaussian"):
    kernel = gpu.kernel(stem, name)
    width, height = tile
    columns = up(src.shape[1], width) // width
    for first in range(top, bottom, MAX_GRID * height):
        last = min(first + MAX_GRID * height, bottom)
        kernel((columns, up(last - first, height) // height), block, (src, dst, first, last, *args), shared)


def up(amount, size):
    return -(-amount // size) * size
