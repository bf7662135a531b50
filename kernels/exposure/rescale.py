"""Values between two limits spread evenly between two others."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.exposure.lut import look_up
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.target import HAS_BYTE_PICKS


@kernel
def fill(src, dst, top, bottom, low, high, unit, factor, least):
    """``(clip(src, low, high) * unit - low * unit) * factor + least``; ``unit`` is a power of two."""
    number = wider(src, dst)
    spread_rows(src, dst, top, bottom, number(low), number(high), number(unit), number(factor), number(least))


def wider(src, dst):
    """The type to compute in: float64 where either image is, else float32."""
    raise NotImplementedError


@overload(wider)
def _wider(src, dst):
    if types.float64 in (src.dtype, dst.dtype):
        return lambda src, dst: np.float64
    return lambda src, dst: np.float32


def spread_rows(src, dst, top, bottom, low, high, unit, factor, least):
    raise NotImplementedError


@overload(spread_rows)
def _spread_rows(src, dst, top, bottom, low, high, unit, factor, least):
    if HAS_BYTE_PICKS and src.dtype == dst.dtype == types.uint8:
        return by_table
    return directly


def by_table(src, dst, top, bottom, low, high, unit, factor, least):
    values, table = np.arange(256).astype(np.uint8), np.empty(256, np.uint8)
    spread(values, table, low, high, unit, factor, least)
    for row in range(top, bottom):
        look_up(src[row], dst[row], table)


def directly(src, dst, top, bottom, low, high, unit, factor, least):
    for row in range(top, bottom):
        spread(src[row], dst[row], low, high, unit, factor, least)


@kernel
def spread(source, out, low, high, unit, factor, least):
    number, begin = wider(source, out), low * unit
    for x in range(out.size):
        value = number(source[x])
        value = low if value < low else high if value > high else value
        out[x] = stored((value * unit - begin) * factor + least, out)
