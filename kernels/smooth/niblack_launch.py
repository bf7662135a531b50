"""Windows of 2 or 3, 4 to 7, ... rows, then pixels, a launch for each, with scratch images of sums."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID, THREADS


def launch(gpu, src, dst, top, bottom, step, mode, cval, n0, n1, k, r, scale):
    cols, height, kind = src.shape[1], bottom - top, gpu.ctype(src.dtype)

    def scratch(rows, width):
        return tuple(gpu.empty((rows, width), np.dtype(np.float64)) for _ in range(2))

    def start(name, rows, width, *args):
        grid = -(-width // THREADS), min(rows, GREATEST_GRID)
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


def sizes(count):
    """Of windows: each is half of the next, without what is left over. Of a single pixel for a count of 1."""
    return [count >> level for level in range(max(count.bit_length() - 2, 0), -1, -1)]


def rounding(n0, n1):
    """As on the CPU."""
    levels = n0.bit_length() + n1.bit_length() - 2
    return float((2 * levels + 1) * np.finfo(np.float64).eps)
