"""Mean of the window around a pixel, at a cost that hardly grows with the window.

Whole numbers: sums down the columns move along with the rows, exactly. Floats: sums of 1, 2, 4, ... rows are put
together, so that nothing is ever subtracted: neither NaN nor a large value leaves a trace outside of its windows, and
the order of additions does not depend on where a band begins. Along the rows the same, for both.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.cpu.borders import fold, kernel
from gpuimg.kernels.cpu.rows import edge_columns, pad_edges
from gpuimg.kernels.cpu.spans import load_span

EXACT_FLOAT32 = 1 << 22  # whole numbers below it, divided in float32, round as the exact quotient does
SCRATCH_BYTES = 1 << 19


@kernel
def fill(src, dst, top, bottom, step, mode, cval, n0, n1):
    means(src, dst, top, bottom, step, mode, cval, n0, n1)


def means(src, dst, top, bottom, step, mode, cval, n0, n1):
    """All means of some rows, in the numbers that suit the image's dtype."""


@overload(means)
def _means(src, dst, top, bottom, step, mode, cval, n0, n1):
    if isinstance(src.dtype, types.Float):
        return float_means
    greatest = max(-src.dtype.minval, src.dtype.maxval)
    if src.dtype == types.uint8:

        def whole_means(src, dst, top, bottom, step, mode, cval, n0, n1):
            if n0 * n1 * greatest < 1 << 16:
                sliding_means(src, dst, top, bottom, step, mode, cval, n0, n1, np.zeros(src.shape[1], np.uint16), greatest)
            elif n0 * n1 * greatest < 1 << 31:
                sliding_means(src, dst, top, bottom, step, mode, cval, n0, n1, np.zeros(src.shape[1], np.int32), greatest)
            else:
                sliding_means(src, dst, top, bottom, step, mode, cval, n0, n1, np.zeros(src.shape[1], np.float64), greatest)
    else:

        def whole_means(src, dst, top, bottom, step, mode, cval, n0, n1):
            if n0 * n1 * greatest < 1 << 31:
                sliding_means(src, dst, top, bottom, step, mode, cval, n0, n1, np.zeros(src.shape[1], np.int32), greatest)
            else:
                sliding_means(src, dst, top, bottom, step, mode, cval, n0, n1, np.zeros(src.shape[1], np.float64), greatest)

    return whole_means


@kernel
def sliding_means(src, dst, top, bottom, step, mode, cval, n0, n1, sums, greatest):
    """``sums`` down the columns gain a row and lose one from row to row."""
    rows, width = src.shape
    kind = sums.dtype.type
    before, after = n1 // 2, n1 - n1 // 2 - 1
    columns = edge_columns(before, after, width // step, mode)
    line = np.empty(width + (n1 - 1) * step, sums.dtype)
    spare = np.empty((2, line.size), sums.dtype)
    outside = kind(kind(cval) * kind(n0))
    for row in range(top - n0 // 2, top - n0 // 2 + n0):
        add_row(src, fold(row, rows, mode), sums, cval)
    for row in range(top, bottom):
        if row > top:
            entering = fold(row - n0 // 2 + n0 - 1, rows, mode)
            leaving = fold(row - n0 // 2 - 1, rows, mode)
            replace_row(src, entering, leaving, sums, cval)
        line[before * step : before * step + width] = sums
        pad_edges(line, width, columns, before, step, outside)
        total = window_sums(line, spare, n1, step, width)
        divide(total[:width], dst[row], n0 * n1, n0 * n1 * greatest)


@kernel
def add_row(src, row, sums, cval):
    kind = sums.dtype.type
    if row < 0:
        sums += kind(cval)
        return
    line = src[row]
    for x in range(sums.size):
        sums[x] = kind(sums[x] + kind(line[x]))


@kernel
def replace_row(src, entering, leaving, sums, cval):
    kind = sums.dtype.type
    if entering == leaving:
        return
    if entering < 0 or leaving < 0:
        add_row(src, entering, sums, cval)
        if leaving < 0:
            sums -= kind(cval)
        else:
            for x in range(sums.size):
                sums[x] = kind(sums[x] - kind(src[leaving, x]))
        return
    new, old = src[entering], src[leaving]
    for x in range(sums.size):
        sums[x] = kind(kind(sums[x] + kind(new[x])) - kind(old[x]))


@kernel
def window_sums(line, spare, count, step, width):
    """Sums of ``count`` neighbours, put together from sums of 1, 2, 4, ...; in ``line`` or a row of ``spare``."""
    if count == 1:
        return line
    total, doubled = spare[0], spare[1]
    have, span, started = 0, 1, False
    reach = line.size
    while True:
        if count & span:
            if started:
                add_shifted(total, line, have * step, width)
            elif span == count:
                return line
            else:
                total[:width] = line[:width]
                started = True
            have += span
            if have == count:
                return total
        reach -= span * step
        double(line, doubled, span * step, reach)
        line, doubled = doubled, line
        span *= 2


@kernel
def add_shifted(total, line, shift, width):
    kind = total.dtype.type
    shifted = line[shift : shift + width]
    for x in range(width):
        total[x] = kind(total[x] + shifted[x])


@kernel
def double(line, doubled, shift, count):
    kind = line.dtype.type
    shifted = line[shift : shift + count]
    for x in range(count):
        doubled[x] = kind(line[x] + shifted[x])


@kernel
def divide(total, out, area, bound):
    """Means of whole numbers, rounded half to even as the exact quotient is: a division gives a half where there is one,
    and a product, which is faster, serves where there can be none or the area is a power of two."""
    product = area % 2 == 1 or area & (area - 1) == 0
    if bound < EXACT_FLOAT32:
        divide_float32(total, out, np.float32(area), np.float32(1) / np.float32(area), product)
    else:
        divide_float64(total, out, np.float64(area), 1.0 / area, product)


@kernel
def divide_float32(total, out, area, inverse, product):
    if product:
        for x in range(out.size):
            out[x] = out.dtype.type(np.int32(np.rint(np.float32(total[x]) * inverse)))
    else:
        for x in range(out.size):
            out[x] = out.dtype.type(np.int32(np.rint(np.float32(total[x]) / area)))


@kernel
def divide_float64(total, out, area, inverse, product):
    if product:
        for x in range(out.size):
            out[x] = out.dtype.type(np.int32(np.rint(np.float64(total[x]) * inverse)))
    else:
        for x in range(out.size):
            out[x] = out.dtype.type(np.int32(np.rint(np.float64(total[x]) / area)))


def float_means(src, dst, top, bottom, step, mode, cval, n0, n1):
    width = src.shape[1]
    affordable = SCRATCH_BYTES // (2 * n0 * 8) - (n1 - 1) * step
    block = max(affordable, 64 * step, 2 * (n1 - 1) * step, 1) // step * step
    for first in range(0, width, block):
        float_means_of_columns(src, dst, top, bottom, step, mode, cval, n0, n1, first, min(block, width - first))


@kernel
def float_means_of_columns(src, dst, top, bottom, step, mode, cval, n0, n1, first, width):
    """Some columns. ``sums[level]`` holds, for some rows back, the sums of the last 2 ** level rows, as a ring."""
    length = width + (n1 - 1) * step
    levels = 0
    while n0 >> (levels + 1):
        levels += 1
    sums = np.empty((2 << levels, length), np.float64)  # level's ring of 2 ** level rows begins at row 2 ** level - 1
    loaded = np.empty(length, src.dtype)
    line, spare = np.empty(length, np.float64), np.empty((2, length), np.float64)
    low = top - n0 // 2
    for row in range(low, bottom + n0 - n0 // 2 - 1):
        load_span(src, row, first // step - n1 // 2, length // step, loaded, step, mode, cval)
        push(sums, levels, row - low, loaded, line, n0)
        if row - low >= n0 - 1:
            total = window_sums(line, spare, n1, step, width)
            out = dst[row - (n0 - n0 // 2 - 1), first : first + width]
            for x in range(width):
                out[x] = total[x] / (n0 * n1)


@kernel
def push(sums, levels, count, loaded, line, n0):
    """Add a row to all levels' rings; ``line`` becomes the sum of the last ``n0`` rows."""
    have = 0
    newest = sums[2 * (1 << levels) - 1]
    newest[:] = loaded
    for level in range(levels + 1):
        size = 1 << level
        base = size - 1
        if n0 & size:
            back = base + (count - have) % size if have else -1
            part = newest if back < 0 else sums[back]
            if have:
                add_shifted(line, part, 0, line.size)
            else:
                line[:] = part
            have += size
        # What is overwritten is the sum that ended 2 ** level rows ago: with the newest it makes the next level's.
        slot = sums[base + count % size]
        for x in range(line.size):
            older = slot[x]
            slot[x] = newest[x]
            newest[x] = newest[x] + older
