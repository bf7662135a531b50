"""Bilinear interpolation where a matrix says."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.warp.affine import affine_begins, coordinates, is_affine
from gpuimg.kernels.warp.sampling import ROWS, RUN, below, interpolate, interpolate_run, shares


@kernel
def fill(src, dst, top, bottom, step, matrix, mode, cval):
    pixels = src.reshape(src.size)
    x, y, at = np.empty(RUN), np.empty(RUN), np.empty(RUN, np.int64)
    x_share, y_share = shares(src), shares(src)
    cols = dst.shape[1] // step
    affine, end_x, end_y = is_affine(matrix), src.shape[1] // step - 1, src.shape[0] - below(step)
    for tile in range(top, bottom, ROWS):
        for first in range(0, cols, RUN):
            count = min(RUN, cols - first)
            for row in range(tile, min(tile + ROWS, bottom)):
                if affine and affine_begins(
                    matrix, row, first, count, 0.0, end_x, end_y, src.shape[1], step, at, x_share, y_share
                ):
                    interpolate_run(src, pixels, dst[row], first, 0, count, step, at, x_share, y_share)
                    continue
                coordinates(matrix, row, first, count, x, y)
                interpolate(src, pixels, dst[row], first, count, step, x, y, at, x_share, y_share, mode, cval)
