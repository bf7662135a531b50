"""One image minus another, saturated."""

from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, other, turned):
    """``src - other``, or with ``turned`` ``other - src``."""
    for row in range(top, bottom):
        if turned:
            subtract(other[row], src[row], dst[row])
        else:
            subtract(src[row], other[row], dst[row])


@kernel
def subtract(first, second, out):
    for x in range(out.size):
        out[x] = minus(first[x], second[x])


def minus(a, b):
    """``a - b`` in their type, saturated."""


@overload(minus, inline="always")
def _minus(a, b):
    if isinstance(a, types.Float):
        return lambda a, b: a - b
    if not a.signed:
        return lambda a, b: a - min(a, b)
    low, high, wide = a.minval, a.maxval, types.int64 if a.bitwidth == 32 else types.int32
    return lambda a, b: min(max(wide(a) - wide(b), low), high)
