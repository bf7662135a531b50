"""Differences of smoothed neighbours (weights such as 1 2 1), along one axis, or the magnitude of both."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel, pad_row

DOWN, ALONG = 0, 1


def lines_for(src, count, length):
    """Rows of the type that sums of the image's values are computed in."""


@overload(lines_for)
def _lines_for(src, count, length):
    # Sums of bytes, with weights of up to 64 in total, are exact in 16 bits, and twice as many fit a vector.
    kind = {types.uint8: np.int16, types.float64: np.float64}.get(src.dtype, np.float32)
    return lambda src, count, length: np.empty((count, length), kind)


# Squares of numbers beyond these overflow or underflow: such numbers are first scaled by powers of two.
LARGE, SMALL = (2.0**60, 2.0**500), (2.0**-45, 2.0**-450)  # float32, float64
SHRINK, GROW = (2.0**-70, 2.0**-600), (2.0**100, 2.0**600)


def length(a, b, factor):
    """``sqrt(a * a + b * b) * factor`` without intermediate overflow."""
    raise NotImplementedError


@overload(length)
def _length(a, b, factor):
    if not isinstance(a, types.Float):
        return lambda a, b, factor: np.sqrt(np.float32(np.int32(a) * np.int32(a) + np.int32(b) * np.int32(b))) * factor
    number = np.dtype(a.name).type
    large, small, shrink, grow = (number(each[a.bitwidth // 64]) for each in (LARGE, SMALL, SHRINK, GROW))
    shrink_back, grow_back, one = 1 / shrink, 1 / grow, number(1)

    def scaled_length(a, b, factor):
        run, rise = abs(a), abs(b)
        greater = rise if rise > run else run
        scale = shrink if greater > large else grow if greater < small else one
        times = factor * shrink_back if greater > large else factor * grow_back if greater < small else factor
        a, b = a * scale, b * scale
        return np.sqrt(a * a + b * b) * times

    return scaled_length


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, axis, centre, outer, factor):
    """``centre`` and ``outer`` weigh a pixel and its two neighbours; the result is multiplied by ``factor``."""
    width = src.shape[1]
    padded, smooth, column = rows_around(src, top, stop, step, mode, cval, centre, outer)
    for row in range(top, bottom):
        above, below = (row - 1) % 3, (row + 1) % 3
        load(src, row + 1, padded[below], smooth[below], stop, step, mode, cval, centre, outer)
        if is_set(stop):
            return
        if axis == DOWN:
            scale(smooth[below], smooth[above], dst[row], factor)
            continue
        weigh(padded[above], padded[row % 3], padded[below], column, centre, outer)
        if axis == ALONG:
            scale(column[2 * step :], column[:width], dst[row], factor)
        else:
            root(column[2 * step :], column[:width], smooth[below], smooth[above], dst[row], factor)


@kernel
def rows_around(src, top, stop, step, mode, cval, centre, outer):
    """Buffers of three rows with their border, of the same rows smoothed, and of sums down the columns.

    A row is stored at its index modulo 3; the rows before and at ``top`` are loaded.
    """
    width = src.shape[1]
    padded = lines_for(src, 3, width + 2 * step)
    smooth = lines_for(src, 3, width)
    for row in range(top - 1, top + 1):
        load(src, row, padded[row % 3], smooth[row % 3], stop, step, mode, cval, centre, outer)
    return padded, smooth, lines_for(src, 1, width + 2 * step)[0]


@kernel
def load(src, row, padded, smooth, stop, step, mode, cval, centre, outer):
    """Load a row with its border, and smooth it along itself; does nothing once the flag at ``stop`` is set."""
    if is_set(stop):
        return
    pad_row(src, row, padded, 1, 1, step, mode, cval)
    weigh(padded[: smooth.size], padded[step:], padded[2 * step :], smooth, centre, outer)


@kernel
def weigh(before, middle, after, out, centre, outer):
    number = out.dtype.type
    inner, sides = number(centre), number(outer)
    for x in range(out.size):
        out[x] = number(number(number(before[x] + after[x]) * sides) + number(middle[x] * inner))


@kernel
def scale(ahead, behind, out, factor):
    number, times = ahead.dtype.type, out.dtype.type(factor)
    for x in range(out.size):
        out[x] = out.dtype.type(number(ahead[x] - behind[x])) * times


@kernel
def root(right, left, below, above, out, factor):
    number, times = right.dtype.type, out.dtype.type(factor)
    for x in range(out.size):
        along, down = number(right[x] - left[x]), number(below[x] - above[x])
        out[x] = length(along, down, times)
