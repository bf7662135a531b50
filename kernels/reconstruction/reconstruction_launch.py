"""Passes over tiles from the image to a scratch image and back, until no tile changes."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID

TILE = 32  # as in reconstruction.cu
MOST_PASSES = 64  # between two looks at whether anything has changed


def launch(gpu, src, dst, top, bottom, mask, step, connectivity, height, done):
    if done > 1:  # slabs are for threads of the CPU: here the first call does the whole image
        return
    rows, cols = dst.shape
    tiles = -(-rows // TILE), -(-cols // (TILE * step)) * step
    count = tiles[0] * tiles[1]
    grid = min(count, GREATEST_GRID), -(-count // GREATEST_GRID)
    kernel = gpu.kernel("reconstruction", f"settle<{gpu.ctype(dst.dtype)}>")
    images = dst, gpu.empty((rows, cols), dst.dtype)
    changed = gpu.empty(tiles, np.uint8), gpu.empty(tiles, np.uint8)
    passes, batch = 0, 2
    while passes <= 2 * rows * cols:  # each pass but the last raises a pixel
        for number in range(passes, passes + batch):
            here, there = number % 2, 1 - number % 2
            args = (images[here], images[there], mask, changed[here], changed[there], step, connectivity)
            kernel(grid, (TILE, 1), (*args, int(number == 0)))
        passes += batch
        if not gpu.get(changed[0]).any():
            return
        batch = min(2 * batch, MOST_PASSES)
