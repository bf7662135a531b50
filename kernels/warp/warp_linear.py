"""Bilinear interpolation where a matrix says."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.warp.affine import coordinates
from gpuimg.kernels.warp.sampling import ROWS, RUN, interpolate, shares


@kernel
def fill(src, dst, top, bottom, step, matrix, mode, cval):
    x, y, at = np.empty(RUN), np.empty(RUN), np.empty(RUN, np.int64)
    x_share, y_share = shares(src), shares(src)
    cols = dst.shape[1] // step
    for tile in range(top, bottom, ROWS):
        for first in range(0, cols, RUN):
            count = min(RUN, cols - first)
            for row in range(tile, min(tile + ROWS, bottom)):
                coordinates(matrix, row, first, count, x, y)
                interpolate(src, dst[row], first, count, step, x, y, at, x_share, y_share, mode, cval)
