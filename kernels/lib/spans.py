"""Pieces of padded rows, and reversal of the order of values, for rank filters."""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.borders import fold, kernel


@kernel
def load_span(src, row, first, pixels, line, step, mode, cval):
    """Copy ``pixels`` pixels of row ``row``, from pixel ``first`` on, into ``line``; any may be beyond the edge."""
    rows, width = src.shape
    cols = width // step
    source = fold(row, rows, mode)
    if source < 0:
        for x in range(pixels * step):
            line[x] = cval
        return
    values = src[source]
    begin = min(max(-first, 0), pixels)
    end = max(min(cols - first, pixels), begin)
    for pixel in range(begin):
        load_pixel(values, fold(first + pixel, cols, mode), line, pixel, step, cval)
    inner = line[begin * step : end * step]
    there = values[(first + begin) * step : (first + begin) * step + inner.size]
    for x in range(inner.size):
        inner[x] = there[x]
    for pixel in range(end, pixels):
        load_pixel(values, fold(first + pixel, cols, mode), line, pixel, step, cval)


@kernel
def load_pixel(values, col, line, pixel, step, cval):
    """One pixel of `load_span` beyond the edge."""
    for channel in range(step):
        if col < 0:
            line[pixel * step + channel] = cval
        else:
            line[pixel * step + channel] = values[col * step + channel]


def turned(value, turn):
    """``value``, or with ``turn`` 1 its image under an order-reversing map: the minimum of turned values is the
    turned maximum. The map is its own inverse."""
    raise NotImplementedError


@overload(turned)
def _turned(value, turn):
    if isinstance(value, types.Float):
        return lambda value, turn: -value if turn else value
    cast = np.dtype(str(value)).type
    return lambda value, turn: cast(value ^ cast(-turn))


@intrinsic
def smaller(_context, a, b):
    """The minimum of two values of one type; NaN if either is NaN.

    Branch-free: LLVM turns ``line[x] = a if a < b else b``, where a is ``line[x]``, into a conditional store, which it
    does not vectorise.
    """

    def build(_context, builder, signature, arguments):
        one, other = arguments
        if isinstance(a, types.Float):
            smaller = builder.or_(builder.fcmp_ordered("<", one, other), builder.fcmp_unordered("uno", one, one))
        else:
            smaller = (builder.icmp_signed if a.signed else builder.icmp_unsigned)("<", one, other)
        return builder.select(smaller, one, other)

    if a != b:
        raise TypeError(f"values of one type are compared, not {a} and {b}")
    return a(a, b), build
