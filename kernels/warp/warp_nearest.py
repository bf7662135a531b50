"""Nearest-neighbour interpolation where a matrix says."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.warp.affine import coordinates
from gpuimg.kernels.warp.sampling import ROWS, RUN, pick


@kernel
def fill(src, dst, top, bottom, step, matrix, mode, fill_value):
    x, y, at = np.empty(RUN), np.empty(RUN), np.empty(RUN, np.int64)
    cols = dst.shape[1] // step
    for tile in range(top, bottom, ROWS):
        for first in range(0, cols, RUN):
            count = min(RUN, cols - first)
            for row in range(tile, min(tile + ROWS, bottom)):
                coordinates(matrix, row, first, count, x, y)
                pick(src, dst[row], first, count, step, x, y, at, mode, fill_value)
