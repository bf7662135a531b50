"""Conversion of values to another dtype, scaled from range to range: from 0, or from -1 in floats for int16, to the
maximum, which is 1 in floats."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import rounded, share


@kernel
def fill(src, dst, top, bottom):
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(source.size):
            target[x] = spread(source[x], target)


def spread(value, like):
    """Convert a value to the dtype of ``like``, scaled by the ranges of both."""
    raise NotImplementedError


@overload(spread, inline="always")
def _spread(value, like):
    kind = like.dtype
    if isinstance(kind, types.Float):
        return lambda value, like: share(value, like)
    if isinstance(value, types.Float):
        if not kind.signed:
            most = value(kind.maxval)
            return lambda value, like: rounded(value * most, like)
        # As scikit-image: -1 becomes the minimum and 1 the maximum.
        half_range, half = value((kind.maxval - kind.minval) / 2), value(0.5)
        return lambda value, like: rounded(value * half_range - half, like)
    given, wanted = np.uint32(value.maxval), np.uint32(kind.maxval)
    middle = np.uint32(value.maxval // 2)  # no ties: the divisor is odd
    return lambda value, like: kind((np.uint32(max(value, 0)) * wanted + middle) // given)
