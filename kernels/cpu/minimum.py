"""Least (or greatest) value of the window around a pixel, at a cost that does not grow with the window.

Along the columns van Herk's algorithm [1], three operations a pixel, a whole row at a time; a few rows are compared as
they are. Along a row the least of 4, 8, ... neighbours, and then two overlapping runs of the greatest such length.

.. [1] M. van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels",
   Pattern Recognition Letters 13(7), 1992, 517-521.
"""

import numpy as np

from gpuimg.kernels.cpu.borders import kernel
from gpuimg.kernels.cpu.spans import least, load_span, turned

SCRATCH_BYTES = 1 << 18  # the rows of a window should stay in the second-level cache
FEW = 6  # rows that are compared at once


@kernel
def fill(src, dst, top, bottom, step, mode, cval, above, below, left, right, flip):
    rows, width = src.shape
    cols = width // step
    # A window that covers a border's whole period holds every value already.
    above, below = min(above, 2 * rows), min(below, 2 * rows)
    left, right = min(left, 2 * cols), min(right, 2 * cols)
    affordable = SCRATCH_BYTES // ((above + below + 1) * src.itemsize * step)
    pixels = min(cols, max(affordable, 4 * (left + right), 1024 // step))
    window = np.empty((above + below + 1, pixels * step), src.dtype)
    best = np.empty(pixels * step, src.dtype)
    lines = np.empty((2, (pixels + left + right) * step), src.dtype)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        fill_block(
            src,
            dst,
            top,
            bottom,
            step,
            mode,
            cval,
            above,
            left,
            left + right + 1,
            flip,
            first,
            wanted,
            window,
            best,
            lines,
        )


@kernel
def fill_block(src, dst, top, bottom, step, mode, cval, above, left, taps, flip, first, pixels, window, best, lines):
    """Rows [top, bottom) of the columns from ``first`` on. ``window`` holds, from its slot ``at`` on, the least values
    from a row to the end of its group of rows, and before it rows of the next group, whose least value is ``best``."""
    size = window.shape[0]
    count = pixels * step
    # Slots are looked up: of rows at known distances LLVM asks once, outside of the loop over them, whether any two
    # overlap, finds that each is written and read, and takes the loop that is not vectorised.
    slots = np.arange(size)
    for slot in range(size - 1):
        load_reduced(src, top - above + slot, step, mode, cval, left, taps, flip, first, pixels, window[slot], lines)
    for row in range(top, bottom):
        at = (row - top) % size
        newest = window[(at + size - 1) % size]
        load_reduced(src, row - above + size - 1, step, mode, cval, left, taps, flip, first, pixels, newest, lines)
        out = dst[row, first * step : first * step + count]
        if size <= FEW:
            combine_few(window, out, flip)
        elif at == 0:
            for slot in range(size - 2, -1, -1):
                accumulate(window[slots[slot]], window[slots[slot + 1]], count)
            copy_turned(window[0], out, flip)
        elif at == 1:
            combine_first(window[1], newest, best, out, flip)
        else:
            combine(window[at], newest, best, out, flip)


@kernel
def load_reduced(src, row, step, mode, cval, left, taps, flip, first, pixels, out, lines):
    """Least values of ``taps`` neighbours in a row, from ``left`` pixels before ``first`` on."""
    if taps == 1:
        load_span(src, row, first, pixels, out, step, mode, cval)
        if flip:
            turn(out[: pixels * step])
        return
    old, new = lines[0], lines[1]
    size = (pixels + taps - 1) * step
    load_span(src, row, first - left, pixels + taps - 1, old, step, mode, cval)
    if flip:
        turn(old[:size])
    if taps == 3:
        triples(old, old[step:], old[2 * step :], out[: pixels * step])
        return
    reach = 1
    if taps > 4:
        size -= 3 * step
        fours(old, old[step:], old[2 * step :], old[3 * step :], new[:size])
        old, new = new, old
        reach = 4
    while 2 * reach < taps:
        size -= reach * step
        pairwise(old, old[reach * step :], new[:size])
        old, new = new, old
        reach *= 2
    pairwise(old, old[(taps - reach) * step :], out[: pixels * step])


@kernel
def turn(line):
    for x in range(line.size):
        line[x] = turned(line[x], 1)


@kernel
def pairwise(one, other, out):
    for x in range(out.size):
        out[x] = least(one[x], other[x])


@kernel
def triples(one, second, third, out):
    for x in range(out.size):
        out[x] = least(least(one[x], second[x]), third[x])


@kernel
def fours(one, second, third, fourth, out):
    for x in range(out.size):
        out[x] = least(least(one[x], second[x]), least(third[x], fourth[x]))


@kernel
def combine_few(window, out, flip):
    """The least values of at most `FEW` rows; where there are fewer, some are taken twice."""
    last = window.shape[0] - 1
    a, b, c = window[0], window[min(1, last)], window[last]
    if last < 3:
        for x in range(out.size):
            out[x] = turned(least(least(a[x], b[x]), c[x]), flip)
    else:
        d, e, f = window[2], window[min(3, last)], window[min(4, last)]
        for x in range(out.size):
            out[x] = turned(least(least(least(a[x], b[x]), least(c[x], d[x])), least(e[x], f[x])), flip)


@kernel
def accumulate(line, more, count):
    for x in range(count):
        line[x] = least(line[x], more[x])


@kernel
def copy_turned(line, out, flip):
    for x in range(out.size):
        out[x] = turned(line[x], flip)


@kernel
def combine_first(rest, newest, best, out, flip):
    for x in range(out.size):
        value = newest[x]
        best[x] = value
        out[x] = turned(least(rest[x], value), flip)


@kernel
def combine(rest, newest, best, out, flip):
    for x in range(out.size):
        value = least(best[x], newest[x])
        best[x] = value
        out[x] = turned(least(rest[x], value), flip)
