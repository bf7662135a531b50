"""The number of components before each part, then the labels."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import MAX_GRID

BLOCK, PIXELS = (32, 8), 4


def launch(gpu, src, dst, top, bottom, image, step, height):
    parts = src.shape[0]
    rows, cols = dst.shape
    before = gpu.empty((parts,), np.int32)
    gpu.kernel("label_pixels", "labels_before<int>")((step, 1), (32, 1), (src, before, parts // step))
    columns = -(-cols // (step * BLOCK[0] * PIXELS))
    grid = columns, min(-(-rows // BLOCK[1]), MAX_GRID), min(step, MAX_GRID)
    gpu.kernel("label_pixels", "label_pixels<int>")(grid, BLOCK, (src, dst, before, step, height))
