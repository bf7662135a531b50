"""Weighted sum of the window around a pixel, for any weights.

The rows of the windows are kept in the type that sums are made in, each padded once, and two rows of results are made
at a time, which share most values. Whole weights of 16 bits, for bytes: a row and the one below it are kept as pairs,
which one instruction multiplies by two weights.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.spans import load_span
from gpuimg.kernels.lib.taps import add_taps, add_taps_to_two

SCRATCH_BYTES = 1 << 18  # rows of values should stay in the second-level cache
LEAST = 1024  # elements of a row that are computed at a time


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, weights, shift):
    """``weights`` begin at the window's upper left corner; its centre is the element ``(shape - 1) // 2``."""
    high, wide = weights.shape
    above, left = (high - 1) // 2, (wide - 1) // 2
    cols = src.shape[1] // step
    places, taps, begin, end, at_once = taps_of(weights)
    slots = high + 2
    pixels = piece_for(cols, slots, wide, step, weights.itemsize)
    line, lines = (
        np.empty((pixels + wide - 1) * step, src.dtype),
        np.zeros((slots, (pixels + wide - 1) * step), weights.dtype),
    )
    addresses = np.empty(len(places), np.int64)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        span, part = line[: (wanted + wide - 1) * step], slice(first * step, (first + wanted) * step)
        following = top - above
        for row in range(top, bottom, at_once):
            if is_set(stop):
                return
            count = min(at_once, bottom - row)
            for source in range(following, row + count + high // 2):
                load_span(src, source, first - left, wanted + wide - 1, span, step, mode, cval)
                keep(span, lines[source % slots], lines[(source - 1) % slots])
            following = row + count + high // 2
            tap_addresses(lines, row - above, places, step, addresses)
            if count == 2:
                add_taps_to_two(addresses, taps, begin, end, shift, (dst[row, part], dst[row + 1, part]))
            else:
                add_taps(addresses[:end], taps[0, :end], shift, dst[row, part])


@kernel
def piece_for(cols, slots, wide, step, itemsize):
    """How many pixels of a row to compute at a time."""
    affordable = SCRATCH_BYTES // (slots * itemsize * step) - wide
    return min(cols, max(affordable, wide, LEAST // step))


def keep(line, own, above):
    """Take up a row. Of pairs it is the first half of its own, and the second one of those above."""
    raise NotImplementedError


@overload(keep)
def _keep(line, own, above):
    if isinstance(own.dtype, types.Float):
        return keep_floats
    return keep_pairs


def keep_floats(line, own, above):
    for x in range(line.size):
        own[x] = line[x]


def keep_pairs(line, own, above):
    for x in range(line.size):
        value = np.int32(line[x])
        own[x] = value
        above[x] |= value << np.int32(16)


def taps_of(weights):
    """The taps of two neighbouring results: their rows and columns, the weights of both, from which tap on the second
    one has any, up to which the first one has; and how many rows of results may be made at a time."""
    raise NotImplementedError


@overload(taps_of)
def _taps_of(weights):
    return taps_of_floats if isinstance(weights.dtype, types.Float) else taps_of_pairs


def taps_of_floats(weights):
    high, wide = weights.shape
    places, taps = np.empty((weights.size + wide, 2), np.int64), np.zeros((2, weights.size + wide), weights.dtype)
    is_full = np.all(weights != 0)
    count = 0
    for row in range(high + is_full):
        for col in range(wide):
            # A weight of zero is no tap: NaN times zero is NaN.
            if is_full or weights[row, col] != 0:
                places[count] = row, col
                taps[0, count] = weights[row, col] if row < high else 0
                taps[1, count] = weights[row - 1, col] if row > 0 else 0
                count += 1
    if is_full:
        return places, taps, wide, weights.size, 2
    return places[:count], taps, 0, count, 1


def taps_of_pairs(weights):
    high, wide = weights.shape
    padded = np.zeros((high + 3, wide), np.int32)
    padded[1 : high + 1] = weights
    places, taps = np.empty((weights.size + wide, 2), np.int64), np.zeros((2, weights.size + wide), np.int32)
    count = 0
    for row in range(0, high + 1, 2):
        for col in range(wide):
            second = pair(padded[row, col], padded[row + 1, col])
            first = pair(padded[row + 1, col], padded[row + 2, col])
            if first != 0 or second != 0:
                places[count] = row, col
                taps[0, count], taps[1, count] = first, second
                count += 1
    return places[:count], taps[:, :count].copy(), 0, count, 2


@kernel
def pair(lower, upper):
    return np.int32((np.int32(lower) & np.int32(0xFFFF)) | (np.int32(upper) << np.int32(16)))


@kernel
def tap_addresses(lines, first, places, step, addresses):
    """Where the values of a row's first pixel are in memory; ``first`` is the window's first row."""
    slots = lines.shape[0]
    for index in range(len(places)):
        row, col = places[index]
        at = (first + row) % slots * lines.strides[0] + col * step * lines.itemsize
        addresses[index] = lines.ctypes.data + at
