"""Weighted sum of the window around a pixel, for arbitrary weights.

The rows of the windows are kept in the accumulator type, each padded once, and several rows of results are computed at
a time, as they share most values. 16-bit integer weights for bytes: a row and the one below it are kept as pairs, which
one instruction multiplies by two weights. Many float32 weights for 16-bit pixels: each row of a window is summed
separately, so that float32 is precise enough.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.spans import load_span
from gpuimg.kernels.lib.taps import (
    MOST_ROWS,
    add_rows_of_taps,
    add_rows_of_taps_to_rows,
    add_taps,
    add_taps_to_rows,
    pixels_at_once,
)
from gpuimg.kernels.smooth.row_sums import are_by_rows

SCRATCH_BYTES = 1 << 18  # rows of values should stay in the second-level cache
LEAST = 1024  # minimum elements of a row that are computed at a time


def variant(src, step, mode, cval, weights, shift):
    return "fill_by_rows" if are_by_rows(src.dtype, weights) else "fill_whole"


def _filling(add_one, add_several):
    """A function that fills rows by the given variants of `add_taps` and `add_taps_to_rows`."""

    @kernel
    def fill(src, dst, top, bottom, stop, step, mode, cval, weights, shift):
        """``weights`` begin at the window's upper left corner; its centre is the element ``(shape - 1) // 2``."""
        high, wide = weights.shape
        above, left = (high - 1) // 2, (wide - 1) // 2
        cols = src.shape[1] // step
        at_once = rows_at_once(weights) if src.shape[1] >= pixels_at_once(weights) else 1
        places, taps, bounds = taps_of(weights, at_once)
        lone_places, lone_taps, _ = taps_of(weights, 1)
        ends, lone_ends = ends_of(places), ends_of(lone_places)
        slots = high + at_once
        pixels = piece_for(cols, slots, wide, step, weights.itemsize)
        line, lines = (
            np.empty((pixels + wide - 1) * step, src.dtype),
            np.zeros((slots, (pixels + wide - 1) * step), weights.dtype),
        )
        addresses = np.empty(places.shape[1], np.int64)
        for first in range(0, cols, pixels):
            wanted = min(pixels, cols - first)
            span, part = line[: (wanted + wide - 1) * step], slice(first * step, (first + wanted) * step)
            following, row = top - above, top
            while row < bottom:
                if is_set(stop):
                    return
                several = at_once <= bottom - row and wanted * step >= pixels_at_once(weights)
                count = at_once if several else 1
                for source in range(following, row + count + high // 2):
                    own, before = lines[source % slots, : span.size], lines[(source - 1) % slots, : span.size]
                    load_row(src, source, first - left, span, own, before, step, mode, cval)
                following = row + count + high // 2
                target = dst[row : row + count, part]
                if several and at_once > 1:
                    tap_addresses(lines, row - above, places, step, addresses)
                    add_several(addresses, taps, ends, bounds, shift, target)
                else:
                    lone_addresses = addresses[: lone_places.shape[1]]
                    tap_addresses(lines, row - above, lone_places, step, lone_addresses)
                    add_one(lone_addresses, lone_taps, lone_ends, shift, target)
                row += count

    return fill


@kernel
def piece_for(cols, slots, wide, step, itemsize):
    """The number of pixels of a row to compute at a time."""
    affordable = SCRATCH_BYTES // (slots * itemsize * step) - wide
    return min(cols, max(affordable, wide, LEAST // step))


def load_row(src, row, first, line, own, above, step, mode, cval):
    """Keep a row, from pixel ``first`` on. For pairs, it is the first half of its own pairs and the second half of
    those above. ``line`` is scratch of the same length and the image's dtype."""
    raise NotImplementedError


@overload(load_row)
def _load_row(src, row, first, line, own, above, step, mode, cval):
    if isinstance(own.dtype, types.Float):
        return load_floats
    return load_pairs


def load_floats(src, row, first, line, own, above, step, mode, cval):
    load_span(src, row, first, own.size // step, own, step, mode, cval)


def load_pairs(src, row, first, line, own, above, step, mode, cval):
    load_span(src, row, first, line.size // step, line, step, mode, cval)
    for x in range(line.size):
        value = np.int32(line[x])
        own[x] = value
        above[x] |= value << np.int32(16)


@kernel
def rows_at_once(weights):
    """The number of rows of results that share the values they read."""
    if np.all(weights != 0):
        return MOST_ROWS if len(weights) >= MOST_ROWS - 1 else 2
    return rows_of_sparse(weights)


def rows_of_sparse(weights):
    """The same for weights with zeros."""
    raise NotImplementedError


@overload(rows_of_sparse)
def _rows_of_sparse(weights):
    # A zero weight is no tap, as NaN times zero is NaN: so neighbouring rows have different taps. Bytes are never NaN.
    rows = 1 if isinstance(weights.dtype, types.Float) else 2
    return lambda weights: rows


def taps_of(weights, rows):
    """The taps of ``rows`` adjacent rows of results: the rows and columns of their values, the weights of each row, and
    the bounds for `add_taps_to_rows`."""
    raise NotImplementedError


@overload(taps_of)
def _taps_of(weights, rows):
    return taps_of_floats if isinstance(weights.dtype, types.Float) else taps_of_pairs


def taps_of_floats(weights, rows):
    high, wide = weights.shape
    most = (high + rows - 1) * wide
    places, taps = np.empty((2, most), np.int64), np.zeros((most, rows), weights.dtype)
    count = 0
    for row in range(high + rows - 1):
        for col in range(wide):
            if rows > 1 or weights[row, col] != 0:
                places[0, count], places[1, count] = row, col
                for each in range(max(row - high + 1, 0), min(row + 1, rows)):
                    taps[count, each] = weights[row - each, col]
                count += 1
    bounds = np.empty(2 * rows, np.int64)
    for each in range(rows):
        bounds[each], bounds[rows + each] = each * wide, (high + each) * wide
    bounds[-1] = count
    return places[:, :count].copy(), taps, bounds


def taps_of_pairs(weights, rows):
    high, wide = weights.shape
    padded = np.zeros((high + 2 * rows + 1, wide), np.int32)
    padded[rows : rows + high] = weights
    groups, height = (rows + 1) // 2, high // 2 + 1  # each two rows of results start two rows of taps further down
    most = (height + groups - 1) * wide
    places, taps = np.empty((2, most), np.int64), np.zeros((most, rows), np.int32)
    bounds = np.empty(2 * groups, np.int64)
    count = 0
    for group in range(height + groups - 1):
        if group < groups:
            bounds[group] = count
        if group >= height:
            bounds[groups + group - height] = count
        for col in range(wide):
            anything = False
            for each in range(rows):
                row = rows + 2 * group - each
                taps[count, each] = pair(padded[row, col], padded[row + 1, col])
                anything |= taps[count, each] != 0
            if anything:
                places[0, count], places[1, count] = 2 * group, col
                count += 1
    bounds[-1] = count
    return places[:, :count].copy(), taps, bounds


@kernel
def ends_of(places):
    """For each tap, the end of its row."""
    rows = places[0]
    ends = np.full(rows.size, rows.size)
    for tap in range(rows.size - 2, -1, -1):
        ends[tap] = ends[tap + 1] if rows[tap] == rows[tap + 1] else tap + 1
    return ends


@kernel
def pair(lower, upper):
    return np.int32((np.int32(lower) & np.int32(0xFFFF)) | (np.int32(upper) << np.int32(16)))


@kernel
def tap_addresses(lines, first, places, step, addresses):
    """The addresses of the taps of a row's first pixel; ``first`` is the window's first row."""
    slots, begin = lines.shape[0], first % lines.shape[0]
    data, apart, pixel = lines.ctypes.data, lines.strides[0], step * lines.itemsize
    rows, cols = places
    for index in range(rows.size):
        slot = begin + rows[index]
        slot -= slots if slot >= slots else 0
        addresses[index] = data + slot * apart + cols[index] * pixel


fill_whole = _filling(add_taps, add_taps_to_rows)
fill_by_rows = _filling(add_rows_of_taps, add_rows_of_taps_to_rows)
