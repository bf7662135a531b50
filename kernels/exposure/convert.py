"""Conversion of values to another dtype, unscaled: floats are rounded half to even, NaN becomes 0, and integers are
saturated."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import rounded


@kernel
def fill(src, dst, top, bottom):
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(source.size):
            target[x] = converted(source[x], target)


def converted(value, like):
    """Convert a value to the dtype of ``like``."""
    raise NotImplementedError


@overload(converted, inline="always")
def _converted(value, like):
    kind = like.dtype
    if isinstance(kind, types.Float):
        return lambda value, like: kind(value)
    if isinstance(value, types.Float):
        # float32 cannot represent the maximum int32.
        wide = types.float64 if kind.bitwidth == 32 else value
        return lambda value, like: rounded(wide(value), like)
    low, high = max(kind.minval, value.minval), min(kind.maxval, value.maxval)
    if low == value.minval and high == value.maxval:
        return lambda value, like: kind(value)
    return lambda value, like: kind(min(max(np.int32(value), np.int32(low)), np.int32(high)))
