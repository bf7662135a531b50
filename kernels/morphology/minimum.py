"""Minimum (or maximum) of the window around a pixel, at a cost that does not grow with the window.

Windows of few rows are compared directly, first down the columns, then along the row. Higher ones use van Herk's
algorithm [1] down the columns, three operations per pixel, a whole row at a time. Along a row: minima of 8, 16, ...
neighbours, then of two overlapping runs of the largest such length.

.. [1] M. van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels",
   Pattern Recognition Letters 13(7), 1992, 517-521.
"""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.lib.extremes import extremes, is_ordered
from gpuimg.kernels.lib.rows import edge_columns, neighbour_addresses, pad_edges, row_addresses
from gpuimg.kernels.lib.scratch import keep, unowned
from gpuimg.kernels.lib.spans import load_span, smaller, turned

SCRATCH_BYTES = 1 << 18  # the rows of a window should stay in the second-level cache
FEW = 8  # rows or neighbours that are compared directly


def variant(src, step, mode, cval, above, below, left, right, flip):
    return "fill_few" if above + below < FEW else "fill_many"


@kernel
def fill_few(src, dst, top, bottom, stop, step, mode, cval, above, below, left, right, flip):
    width, size = src.shape[1], above + below + 1
    taps = left + right + 1
    owners = (
        edge_columns(left, right, width // step, mode),
        np.empty((2, width + (taps - 1) * step), src.dtype),
        np.full(width, cval).astype(src.dtype),
        np.empty(size, np.int64),
        np.empty(FEW, np.int64),
    )
    columns, lines, border, addresses, places = unowned(owners)
    inner = lines[0, left * step : left * step + width]
    outside = src.dtype.type(cval)
    ordered = 0  # consecutive rows without NaN
    for row in range(top - above, bottom + below):
        if is_set(stop):
            return
        source = fold(row, src.shape[0], mode)
        ordered = ordered + 1 if is_ordered(border if source < 0 else src[source]) else 0
        target = row - below
        if target < top:
            continue
        row_addresses(src, target - above, mode, border, addresses)
        if taps == 1:
            extremes(addresses, dst[target], flip, ordered >= size)
            continue
        extremes(addresses, inner, flip, ordered >= size)
        pad_edges(lines[0], width, columns, left, step, outside)
        along(lines[0], lines[1], places, step, taps, dst[target], flip, ordered >= size)
    keep(owners)


@kernel
def fill_many(src, dst, top, bottom, stop, step, mode, cval, above, below, left, right, flip):
    cols = src.shape[1] // step
    affordable = SCRATCH_BYTES // ((above + below + 1) * src.itemsize * step)
    pixels = min(cols, max(affordable, 4 * (left + right), 1024 // step, 1))
    window = np.empty((above + below + 1, pixels * step), src.dtype)
    best = np.empty(pixels * step, src.dtype)
    lines = np.empty((2, (pixels + left + right) * step), src.dtype)
    owners = window, best, lines, np.empty(FEW, np.int64)
    window, best, lines, places = unowned(owners)
    for first in range(0, cols, pixels):
        block = first, min(pixels, cols - first)
        window_from = above, left, left + right + 1
        fill_block(src, dst, top, bottom, stop, step, mode, cval, window_from, flip, block, window, best, lines, places)
    keep(owners)


@kernel
def along(line, spare, places, step, taps, out, maximum, ordered):
    """Extremes of ``taps`` neighbours in a row; ``spare`` is as long as the row, and both are overwritten. ``places``
    holds `FEW` addresses."""
    addresses = places[: min(taps, FEW)]
    reach = 1
    while taps > FEW and 2 * reach < taps:
        near = addresses if reach == 1 else addresses[:2]
        neighbour_addresses(line, step * reach, near)
        reach *= near.size
        extremes(near, spare[: out.size + (taps - reach) * step], maximum, ordered)
        line, spare = spare, line
    last = addresses if reach == 1 else addresses[:2]
    neighbour_addresses(line, step if reach == 1 else (taps - reach) * step, last)
    extremes(last, out, maximum, ordered)


@kernel
def fill_block(src, dst, top, bottom, stop, step, mode, cval, window_from, flip, block, window, best, lines, places):
    """Rows [top, bottom) of a block of columns. ``window`` holds, from its slot ``at`` on, the minima from a row to the
    end of its group of rows, and before it rows of the next group, whose minimum is ``best``. ``block`` is the first
    pixel and the number of pixels, ``window_from`` the window's extent up and to the left, and its width."""
    size, above = window.shape[0], window_from[0]
    first, count = block[0], block[1] * step
    # Slots are looked up: for rows at known distances LLVM tests once, outside the loop over them, whether any two
    # overlap, finds that each is written and read, and takes the loop that is not vectorised.
    slots = np.arange(size)
    for slot in range(size - 1):
        if is_set(stop):
            return
        load_reduced(src, top - above + slot, step, mode, cval, window_from, flip, block, window[slot], lines, places)
    for row in range(top, bottom):
        if is_set(stop):
            return
        at = (row - top) % size
        newest = window[(at + size - 1) % size]
        load_reduced(src, row - above + size - 1, step, mode, cval, window_from, flip, block, newest, lines, places)
        out = dst[row, first * step : first * step + count]
        if at == 0:
            for slot in range(size - 2, -1, -1):
                accumulate(window[slots[slot]], window[slots[slot + 1]], count)
            copy_turned(window[0], out, flip)
        elif at == 1:
            combine_first(window[1], newest, best, out, flip)
        else:
            combine(window[at], newest, best, out, flip)


@kernel
def load_reduced(src, row, step, mode, cval, window_from, flip, block, out, lines, places):
    """Minima along one row of the window for a block of pixels."""
    _, left, taps = window_from
    first, pixels = block
    if taps == 1:
        load_span(src, row, first, pixels, out, step, mode, cval)
        if flip:
            turn(out[: pixels * step])
        return
    size = (pixels + taps - 1) * step
    line = lines[0]
    load_span(src, row, first - left, pixels + taps - 1, line, step, mode, cval)
    if flip:
        turn(line[:size])
    along(line, lines[1], places, step, taps, out[: pixels * step], False, is_ordered(line[:size]))


@kernel
def turn(line):
    for x in range(line.size):
        line[x] = turned(line[x], 1)


@kernel
def accumulate(line, more, count):
    for x in range(count):
        line[x] = smaller(line[x], more[x])


@kernel
def copy_turned(line, out, flip):
    for x in range(out.size):
        out[x] = turned(line[x], flip)


@kernel
def combine_first(rest, newest, best, out, flip):
    for x in range(out.size):
        value = newest[x]
        best[x] = value
        out[x] = turned(smaller(rest[x], value), flip)


@kernel
def combine(rest, newest, best, out, flip):
    for x in range(out.size):
        value = smaller(best[x], newest[x])
        best[x] = value
        out[x] = turned(smaller(rest[x], value), flip)
