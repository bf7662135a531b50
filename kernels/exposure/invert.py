"""Inverted intensities: the sum of the dtype's minimum and maximum, minus the value."""

from numba import types
from numba.extending import overload

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
    for row in range(top, bottom):
        source = src[row]
        target = dst[row]
        for x in range(source.size):
            target[x] = src.dtype.type(total - source[x])
