"""Inverted intensities: the sum of the dtype's minimum and maximum, minus the value."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import before_line, joined_rows
from gpuimg.kernels.lib.borders import kernel


def extremes_sum(array, masked):
    """The sum of the minimum and maximum of an array's dtype; for a mask 0 and 1."""


@overload(extremes_sum)
def _extremes_sum(array, masked):
    if isinstance(array.dtype, types.Float):
        return lambda array, masked: 1
    if array.dtype.signed:
        return lambda array, masked: -1
    brightest = array.dtype.maxval
    return lambda array, masked: 1 if masked else brightest


@kernel
def fill(src, dst, top, bottom, masked):
    total = src.dtype.type(extremes_sum(src, masked))
    source, target = joined_rows(src, top, bottom), joined_rows(dst, top, bottom)
    # Stores that cross cache lines take longer.
    begin = before_line(target)
    for x in range(begin):
        target[x] = src.dtype.type(total - source[x])
    for x in range(begin, np.uintp(target.size)):
        target[x] = src.dtype.type(total - source[x])
