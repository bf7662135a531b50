"""Linear rescaling of the range between two limits to another."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.exposure.lut import look_up
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.target import HAS_BYTE_PICKS


@kernel
def fill(src, dst, top, bottom, low, high, unit, factor, minimum):
    """``(clip(src, low, high) * unit - low * unit) * factor + minimum``; ``unit`` is a power of two."""
    number = wider(src, dst)
    spread_rows(src, dst, top, bottom, number(low), number(high), number(unit), number(factor), number(minimum))


def wider(src, dst):
    """The type to compute in: float64 if either image has it, else float32."""
    raise NotImplementedError


@overload(wider)
def _wider(src, dst):
    if types.float64 in (src.dtype, dst.dtype):
        return lambda src, dst: np.float64
    return lambda src, dst: np.float32


def spread_rows(src, dst, top, bottom, low, high, unit, factor, minimum):
    raise NotImplementedError


@overload(spread_rows)
def _spread_rows(src, dst, top, bottom, low, high, unit, factor, minimum):
    if HAS_BYTE_PICKS and src.dtype == dst.dtype == types.uint8:
        return by_table
    if all(isinstance(each, types.Integer) and each.bitwidth <= 16 for each in (src.dtype, dst.dtype)):
        return of_integers
    return directly


def by_table(src, dst, top, bottom, low, high, unit, factor, minimum):
    values, table = np.arange(256).astype(np.uint8), np.empty(256, np.uint8)
    spread(values, table, low, high, unit, factor, minimum)
    for row in range(top, bottom):
        look_up(src[row], dst[row], table)


def of_integers(src, dst, top, bottom, low, high, unit, factor, minimum):
    plain = unit == 1 and is_integer(low, src) and is_integer(high, src) and low <= high
    # All operations are monotonic: if the results of both limits are in range, so are all others.
    plain = plain and is_within(minimum, dst) and is_within((high - low) * factor + minimum, dst)
    for row in range(top, bottom):
        if plain:
            spread_integers(src[row], dst[row], low, high, factor, minimum)
        else:
            spread(src[row], dst[row], low, high, unit, factor, minimum)


@kernel
def is_integer(value, like):
    """Whether the integer dtype of ``like`` can represent a float."""
    return np.rint(value) == value and is_within(value, like)


def is_within(value, like):
    """Whether a float, rounded, is in the range of the dtype of ``like``."""
    raise NotImplementedError


@overload(is_within)
def _is_within(value, like):
    minimum, maximum = like.dtype.minval, like.dtype.maxval
    return lambda value, like: minimum <= np.rint(value) <= maximum


@kernel
def spread_integers(source, out, low, high, factor, minimum):
    """`spread` where differences are exact and no result needs clipping."""
    number, unsigned, kind = wider(source, out), np.uint16, out.dtype.type
    first, last = source.dtype.type(low), source.dtype.type(high)
    for x in range(out.size):
        above = unsigned(min(max(source[x], first), last) - first)
        out[x] = kind(np.int32(np.rint(number(np.int32(above)) * factor + minimum)))


def directly(src, dst, top, bottom, low, high, unit, factor, minimum):
    for row in range(top, bottom):
        if unit == 1:
            spread(src[row], dst[row], low, high, type(unit)(1), factor, minimum)  # LLVM drops the factor
        else:
            spread(src[row], dst[row], low, high, unit, factor, minimum)


@kernel
def spread(source, out, low, high, unit, factor, minimum):
    number, begin = wider(source, out), low * unit
    for x in range(out.size):
        value = number(source[x])
        value = low if value < low else high if value > high else value
        out[x] = stored((value * unit - begin) * factor + minimum, out)
