"""Rank filter of a tile whose values are sorted: their order is divided into 256 buckets of equal size; histograms of
these [1] give the bucket that holds the result, and how many of its members in the window come before. The cost per
pixel depends neither on the window nor on the values.

.. [1] S. Perreault, P. Hebert, "Median Filtering in Constant Time", IEEE Transactions on Image Processing 16(9), 2007,
   2389-2394.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import BINS, within_window
from gpuimg.kernels.lib.runs import WORD, bits_set, nth_bit
from gpuimg.kernels.smooth.histograms import begin_columns, move_columns, select_row, steps_of

BUCKETS = BINS * BINS
FARTHEST = 255  # rows and columns of a tile: indices and counts fit in bytes
ROWS = 4 * (BINS + 1)  # of a tile, from which on the histograms fit in four bytes per value


def select_by_buckets(values, order, spare, tile, by_rows, rank, out, step, stop):
    """The value with ``rank`` others before it in tiles without NaN; overwrites ``order`` and ``spare``.

    ``tile`` has its pixels down and along, and the window's size; ``by_rows`` says that rows are consecutive."""
    raise NotImplementedError


@overload(select_by_buckets)
def _select_by_buckets(values, order, spare, tile, by_rows, rank, out, step, stop):
    if not isinstance(rank, types.Integer):
        return lambda values, order, spare, tile, by_rows, rank, out, step, stop: None
    return _select


def _select(values, order, spare, tile, by_rows, rank, out, step, stop):
    down, along, n0, n1 = tile
    size = down + n0 - 1, along + n1 - 1
    count = size[0] * size[1]
    room = spare.view(np.uint8)
    buckets, rows, cols = room[:count].reshape(size), room[count:], room[2 * count + WORD :]
    part = divide(order[:count], size, by_rows, buckets, rows, cols)
    histograms = order.view(np.uint8)
    coarse, fine = histograms[: size[1] * BINS], histograms[size[1] * BINS :]
    steps, nothing = steps_of(np.uint8), np.zeros(BINS, np.uint8)
    total, inner = np.empty(BINS, np.uint16), np.empty(BUCKETS, np.uint16)
    columns = np.arange(size[1])
    found, before = np.empty(along, np.uint8), np.empty(along, np.uint16)
    begin_columns(buckets, 0, n0, columns, 0, np.uint8(0), steps, nothing, coarse, fine, stop)
    for row in range(down):
        if is_set(stop):
            return
        if row > 0:
            move_columns(buckets, row - 1, n0, columns, 0, np.uint8(0), steps, nothing, coarse, fine)
        select_row(coarse, fine, size[1], n1, rank, total, inner, found, 1, before)
        pick(values, rows, cols, part, found, before, row, tile, by_rows, out[row], step)


@kernel
def pick(values, rows, cols, part, found, before, row, tile, by_rows, out, step):
    """Select a row of values by their buckets and their ranks among the members of these."""
    down, along, n0, n1 = tile
    pitches = (np.uint64(along + n1 - 1), np.uint64(1)) if by_rows else (np.uint64(1), np.uint64(down + n0 - 1))
    for x in range(along):
        begin, left = np.uint64(found[x]) * np.uint64(part), np.int64(before[x])
        members = within_window(rows, cols, begin, row, x, n0, n1)
        while left >= bits_set(members):
            left -= bits_set(members)
            begin += np.uint64(WORD)
            members = within_window(rows, cols, begin, row, x, n0, n1)
        begin += np.uint64(nth_bit(members, left))
        out[np.uint64(x * step)] = values[rows[begin] * pitches[0] + cols[begin] * pitches[1]]


@kernel
def divide(order, size, by_rows, buckets, rows, cols):
    """Write the bucket of each pixel, and row and column of each value in sorted order; returns the bucket size."""
    part = (order.size + BUCKETS - 1) // BUCKETS
    pitch = np.uint32(size[1] if by_rows else size[0])
    for bucket in range(BUCKETS):
        for index in range(bucket * part, min((bucket + 1) * part, order.size)):
            line, at = order[index] // pitch, order[index] % pitch
            row, col = (line, at) if by_rows else (at, line)
            rows[index], cols[index] = row, col
            buckets[row, col] = bucket
    return part
