"""Clears the bits, then sets those of the labels."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID

BLOCK, PIXELS = (32, 8), 4


def launch(gpu, src, dst, top, bottom, step, buffer):
    gpu.zero(dst)
    rows, cols = src.shape
    grid = -(-cols // (BLOCK[0] * PIXELS)), -(-rows // BLOCK[1])
    for first in range(0, grid[1], MAX_GRID):
        lines = min(grid[1] - first, MAX_GRID)
        args = src, dst, first * BLOCK[1], rows, step, buffer
        gpu.kernel("border_labels", "border_labels<int, unsigned int>")((grid[0], lines), BLOCK, args)
