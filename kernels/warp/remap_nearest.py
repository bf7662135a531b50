"""Nearest-neighbour interpolation at given coordinates."""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.stacks import stack_array
from gpuimg.kernels.warp.sampling import ROWS, RUN, pick

UNEVEN = True  # samples outside the image take less time


@kernel
def fill(src, dst, top, bottom, stop, step, rows, cols, mode, fill_value):
    pixels, at = src.reshape(src.size), stack_array(np.int64, RUN)
    width = cols.shape[1]
    for tile in range(top, bottom, ROWS):
        for first in range(0, width, RUN):
            if is_set(stop):
                return
            count = min(RUN, width - first)
            for row in range(tile, min(tile + ROWS, bottom)):
                x, y = cols[row, first : first + count], rows[row, first : first + count]
                pick(src, pixels, dst[row], first, count, step, x, y, at, mode, fill_value)
