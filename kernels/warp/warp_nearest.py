"""Nearest-neighbour interpolation where a matrix says."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.warp.affine import affine_begins, coordinates, is_affine
from gpuimg.kernels.warp.sampling import ROWS, RUN, pick, pick_run


@kernel
def fill(src, dst, top, bottom, step, matrix, mode, fill_value):
    x, y, at = np.empty(RUN), np.empty(RUN), np.empty(RUN, np.int64)
    pixels, no_share, nor_share = src.reshape(src.size), np.empty(RUN, np.float32), np.empty(RUN, np.float32)
    cols = dst.shape[1] // step
    affine, end_x, end_y = is_affine(matrix), src.shape[1] // step, src.shape[0]
    for tile in range(top, bottom, ROWS):
        for first in range(0, cols, RUN):
            count = min(RUN, cols - first)
            for row in range(tile, min(tile + ROWS, bottom)):
                if affine and affine_begins(
                    matrix, row, first, count, 0.5, end_x, end_y, src.shape[1], step, at, no_share, nor_share
                ):
                    pick_run(pixels, dst[row], first, count, step, at)
                    continue
                coordinates(matrix, row, first, count, x, y)
                pick(src, pixels, dst[row], first, count, step, x, y, at, mode, fill_value)
