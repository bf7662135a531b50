"""One launch for small windows; else a launch for each of 2 or 3, 4 to 7, ... rows, then pixels, with scratch images of
sums."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import MAX_GRID, THREADS

TILE_THREADS, SHARED_BYTES = 256, 46 << 10
LEAST_SHARE = 0.15  # minimum share of a tile's elements with results
MOST_HEIGHT = 48  # maximum rows of a tile


def launch(gpu, src, dst, top, bottom, step, mode, cval, n0, n1, k, r, scale):
    cols, height, kind = src.shape[1], bottom - top, gpu.ctype(src.dtype)
    sums = np.dtype(np.uint32 if src.dtype == np.uint8 else np.float64)  # hold those of all windows that fit
    above = n0 - sizes(n0)[0] if src.dtype.kind == "f" else 0
    tile = tile_for(src.dtype.itemsize, sums.itemsize, above, step, n0, n1)
    if tile is not None:
        high, columns, shared = tile
        name = f"near_niblack<{kind}, {gpu.ctype(dst.dtype)}, {gpu.ctype(sums)}>"
        rest = step, mode, cval, n0, n1, k, r, scale, rounding(n0, n1), high, columns
        across, most = -(-cols // (columns - (n1 - 1) * step)), MAX_GRID * high
        for first in range(top, bottom, most):
            last = min(first + most, bottom)
            grid = across, -(-(last - first) // high)
            gpu.kernel("niblack", name)(grid, (TILE_THREADS, 1), (src, dst, first, last, *rest), shared)
        return

    def scratch(rows, width):
        return tuple(gpu.empty((rows, width), np.dtype(np.float64)) for _ in range(2))

    def start(name, rows, width, *args):
        grid = -(-width // THREADS), min(rows, MAX_GRID)
        gpu.kernel("niblack", name)(grid, (THREADS, 1), args)

    whole = scratch(1, 1)
    for size in sizes(n0):
        half, whole = whole, scratch(height + n0 - size, cols + 1)
        args = (src, *whole, *half, top - n0 // 2, size, mode, cval, scale)
        start(f"niblack_down<{kind}>", height + n0 - size, cols + 1, *args)
    singles = whole
    for size in sizes(n1) if n1 > 1 else ():
        half, whole = whole, scratch(height, cols + (n1 - size) * step)
        args = (*singles, *whole, *half, n1 // 2 * step, size, step, mode, n0)
        start(f"niblack_along<{kind}>", height, cols + (n1 - size) * step, *args)
    args = (src, dst, *whole, top, bottom, n0, n1, k, r, scale, rounding(n0, n1))
    start(f"niblack<{kind}, {gpu.ctype(dst.dtype)}>", height, cols, *args)


def tile_for(itemsize, sums, above, step, n0, n1):
    """Rows of results, columns, and bytes of the tile with the largest share of results; None if it is too small.

    ``above`` is the number of rows of sums in addition to those of results."""
    found, best = None, LEAST_SHARE
    for columns in (64, 128):
        groups = TILE_THREADS // columns
        for height in range(groups, MOST_HEIGHT + 1, groups):
            shared = ((2 * height + above) * 2 * sums + (height + n0 - 1) * itemsize) * columns
            share = (1 - (n1 - 1) * step / columns) * height / (height + n0 - 1)
            if shared <= SHARED_BYTES and share >= best:
                found, best = (height, columns, shared), share
    return found


def sizes(count):
    """Sizes of windows: each is half of the next, rounded down. A single pixel for a count of 1."""
    return [count >> level for level in range(max(count.bit_length() - 2, 0), -1, -1)]


def rounding(n0, n1):
    """As on the CPU."""
    levels = n0.bit_length() + n1.bit_length() - 2
    return float((2 * levels + 1) * np.finfo(np.float64).eps)
