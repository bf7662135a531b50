"""Tiles whose sums of patches are in shared memory; each channel by itself where there are not one or three."""

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID

THREADS, WIDTH = 256, 64


def launch(
    gpu, src, dst, top, bottom, step, mode, cval, before, after, distance, powers, limits, rest, rate, cap, factor
):
    itemsize = max(powers.dtype.itemsize, limits.dtype.itemsize)
    height = THREADS // WIDTH * (4 if itemsize == 8 else 8)
    channels = step if step in (1, 3) else 0
    types = f"{gpu.ctype(src.dtype)}, {gpu.ctype(powers.dtype)}, {gpu.ctype(limits.dtype)}, {channels}"
    shared = height * (WIDTH + before + after) * limits.dtype.itemsize
    kernel = gpu.kernel("nl_means", f"nl_means<{types}>")
    across = -(-src.shape[1] // (WIDTH * step)) * (1 if channels else step)
    most = GREATEST_GRID * height
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        grid = across, -(-(last - first) // height)
        numbers = powers, limits, rest, rate, cap, factor
        given = step, mode, cval, before, after, distance, *numbers
        kernel(grid, (THREADS, 1), (src, dst, first, last, *given), shared)
