"""Mean of the window around a pixel, at a cost that hardly grows with the window.

Integers: running sums down the columns, exactly. Floats, in their type: sums of 1, then 2 or 3, then 4 to 7, ... rows
are combined, without any subtraction: neither NaN nor a large value leaves a trace outside its windows, the errors of
only few additions accumulate, and their order does not depend on where a band begins. Along the rows the same, for
both.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import LINE_BYTES, is_set
from gpuimg.kernels.lib.borders import CONSTANT, fold, kernel
from gpuimg.kernels.lib.numbers import constant_kept
from gpuimg.kernels.lib.rows import edge_columns, pad_edges
from gpuimg.kernels.lib.scratch import aligned, keep, unowned
from gpuimg.kernels.lib.spans import load_span
from gpuimg.kernels.lib.stacks import prefetch

FITS_UINT16 = 1 << 16
FITS_INT32 = 1 << 31
PIECE = 1024  # elements of a row that are summed at a time, in the first-level cache
FITS_FLOAT64 = 1 << 53
REPEATS = 4  # of an image in a window, from which on rows are weighted by their multiplicity
FEW = 3  # rows that are summed directly from the source
TERMS = 32  # that are added sequentially
SCRATCH_BYTES = 1 << 18  # rows of sums should stay in the second-level cache


def variant(src, step, mode, cval, n0, n1):
    """The accumulators: the shortest types that hold all sums."""
    if src.dtype.kind == "f":
        rows, cols = src.shape[0], src.shape[1] // step
        if n0 > REPEATS * rows or n1 > REPEATS * cols:
            return "fill_repeats"
        return "fill_floats" if n0 > FEW else "fill_few"
    brightest = 255 if src.itemsize == 1 else FITS_UINT16 - 1
    bound = n0 * n1 * brightest
    if bound < FITS_UINT16 and plain_quotient(n0 * n1, bound)[0]:
        return "fill_short"
    if bound >= FITS_INT32:
        return "fill_exact" if bound < FITS_FLOAT64 else "fill_longest"
    return "fill_mixed" if n0 * brightest < FITS_UINT16 else "fill_long"


@kernel
def fill_short(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, np.uint16(0), np.uint16(0))


@kernel
def fill_mixed(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, np.uint16(0), np.int32(0))


@kernel
def fill_long(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, np.int32(0), np.int32(0))


@kernel
def fill_exact(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, 0.0, 0.0)


@kernel
def fill_longest(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, np.int64(0), np.int64(0))


@kernel
def slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, column_zero, zero):
    """Running sums down the columns, of the type of ``column_zero``."""
    rows, width = src.shape
    before = n1 // 2
    owned = (
        line_for(width, step, n1, column_zero),
        spare_for(width, step, n1, zero),
        edge_columns(before, n1 - before - 1, width // step, mode),
    )
    line, spare, columns = unowned(owned)
    inner = line[before * step : before * step + width]
    outside = line.dtype.type(line.dtype.type(cval) * line.dtype.type(n0))
    for row in range(top - n0 // 2, top - n0 // 2 + n0):
        if is_set(stop):
            return
        add_row(src, fold(row, rows, mode), inner, cval)
    for row in range(top, bottom):
        if is_set(stop):
            return
        if row > top:
            leaving = fold(row - n0 // 2 - 1, rows, mode)
            entering = fold(row - n0 // 2 + n0 - 1, rows, mode)
            replace_row(src, entering, leaving, inner, cval)
        pad_edges(line, width, columns, before, step, outside)
        add_neighbours(line, spare, step, n1, src[row], dst[row], n0)
    keep(owned)


@kernel
def add_row(src, row, sums, cval):
    kind = sums.dtype.type
    if row < 0:
        for x in range(sums.size):
            sums[x] = kind(sums[x] + kind(cval))
        return
    line = src[row]
    for x in range(sums.size):
        sums[x] = kind(sums[x] + kind(line[x]))


@kernel
def replace_row(src, entering, leaving, sums, cval):
    kind = sums.dtype.type
    if entering < 0 or leaving < 0:
        add_row(src, entering, sums, cval)
        if leaving < 0:
            for x in range(sums.size):
                sums[x] = kind(sums[x] - kind(cval))
        else:
            line = src[leaving]
            for x in range(sums.size):
                sums[x] = kind(sums[x] - kind(line[x]))
    elif entering != leaving:
        new, old = src[entering], src[leaving]
        for x in range(sums.size):
            sums[x] = kind(kind(sums[x] + kind(new[x])) - kind(old[x]))


@kernel
def piece_for(width, step, count):
    """The number of elements to sum at a time: large compared with the halo, which is summed again."""
    return min(max(PIECE, 4 * (count - 1) * step), width)


@kernel
def line_for(width, step, count, zero):
    """A row of zeros with its border."""
    line = aligned(width + (count - 1) * step, np.full(1, zero), count // 2 * step)
    line[:] = zero
    return line


@kernel
def spare_for(width, step, count, zero):
    """Scratch for `add_neighbours`: two rows, and one of zeros."""
    length = -(-(piece_for(width, step, count) + count * step) // LINE_BYTES) * LINE_BYTES
    spare = aligned(3 * length, np.full(1, zero))
    spare[:] = zero
    return spare.reshape((3, length))


@kernel
def halvings(count):
    """The number of halvings of a count to 1."""
    levels = 0
    while count >> (levels + 1):
        levels += 1
    return levels


@kernel
def add_neighbours(line, spare, step, count, centre, out, rows):
    """Sums of ``count`` neighbours in ``line``, of ``rows`` rows each, divided by the number of values: the means
    around the elements of ``centre``.

    A sum of ``2 * n`` or ``2 * n + 1`` values is combined from two sums of ``n`` and, if needed, one more value."""
    levels, zeros, half = halvings(count), spare[2].view(line.dtype), count // 2 * step
    area, terms = rows * count, 2 * (halvings(rows) + levels) + 1
    piece = piece_for(out.size, step, count)
    for start in range(0, out.size, piece):
        values, target = line[start:], out[start : start + piece]
        if levels == 0:
            divide(values, zeros, zeros, spare, centre[start:], target, area, terms)
            continue
        if levels > 1:
            add_up(values, values, zeros, step, count, levels - 1, target.size, spare[(levels - 1) % 2])
        for level in range(levels - 2, 0, -1):
            add_up(values, spare[(level + 1) % 2], zeros, step, count, level, target.size, spare[level % 2])
        part, third = halves(values, spare[1], levels), values[2 * half :] if count % 2 else zeros
        divide(part, part[half:], third, spare, centre[start:], target, area, terms)


def halves(values, sums, levels):
    """What the last sums are combined from: the values after one halving of their number, else ``sums``."""
    raise NotImplementedError


@overload(halves)
def _halves(values, sums, levels):
    if values.dtype == sums.dtype:
        return lambda values, sums, levels: values if levels == 1 else sums

    def converted(values, sums, levels):
        if levels == 1:
            for x in range(min(values.size, sums.size)):
                sums[x] = values[x]
        return sums

    return converted


@kernel
def add_up(values, part, zeros, step, count, level, wanted, out):
    """Sums of ``count >> level`` values from sums of half as many."""
    size = count >> level
    half = size // 2 * step
    target = out[: wanted + (count - size) * step]
    if size % 2:
        add_three(part, part[half:], values[2 * half :], target)
    else:
        add_three(part, part[half:], zeros, target)


@kernel
def add_three(one, other, third, out):
    kind = out.dtype.type
    for x in range(out.size):
        out[x] = kind(kind(kind(one[x]) + kind(other[x])) + kind(third[x]))


def divide(one, other, third, like, centre, out, area, terms):
    """Means from sums in three parts, added in the type of ``like``; ``centre`` holds the windows' centre values, for
    which constants are kept, see `constant_kept`."""
    raise NotImplementedError


@overload(divide)
def _divide(one, other, third, like, centre, out, area, terms):
    if isinstance(out.dtype, types.Float):
        return divide_floats
    whole = {types.uint16: divide_uint16, types.int32: divide_int32, types.int64: divide_int64}
    return whole.get(like.dtype, divide_float64)


def divide_floats(one, other, third, like, centre, out, area, terms):
    number = out.dtype.type
    divisor, tolerance = number(area), number(terms * np.finfo(number).eps)
    for x in range(out.size):
        mean = number(number(one[x] + other[x]) + third[x]) / divisor
        out[x] = constant_kept(mean, centre[x], tolerance)


def plain_quotient(area, bound):
    """Whether ``(n * factor >> 16) >> shift`` equals ``n // area`` for all n in the rounding of sums up to ``bound``,
    and the factor and the shift."""
    shift = 0
    while area > 2 << shift:
        shift += 1
    factor = ((FITS_UINT16 << shift) + area - 1) // area
    maximum = bound + area // 2
    excess = factor * area - (FITS_UINT16 << shift)
    return area > 1 and maximum < FITS_UINT16 and maximum * excess < FITS_UINT16 << shift, factor, shift


quick_quotient = kernel(plain_quotient)


def divide_uint16(one, other, third, like, centre, out, area, terms):
    _, factor, shift = quick_quotient(area, area * 255)
    number = np.uint16
    half, even = number(area // 2), number(1 - area % 2)
    factor, scale = number(factor), number(1 << (8 - shift))
    for x in range(out.size):
        total = number(number(number(one[x] + other[x]) + third[x]) + half)
        up = quotient(total, factor, scale)
        down = quotient(number(total - even), factor, scale)
        # They differ only at ties.
        out[x] = number(down + number(number(up - down) & down))


@kernel
def quotient(value, factor, scale):
    high = np.uint16(np.uint32(np.uint32(value) * np.uint32(factor)) >> np.uint32(16))
    return np.uint16(np.uint16(high * scale) >> np.uint16(8))  # shorter numbers in a vector outweigh the shift


def divide_int32(one, other, third, like, centre, out, area, terms):
    inverse, whole = np.float32(1) / np.float32(area), np.int32(area)
    for x in range(out.size):
        total = np.int32(np.int32(np.int32(one[x]) + np.int32(other[x])) + np.int32(third[x]))
        # Off by at most one, which the remainder shows: for the rounded mean it is at most half the area.
        guess = np.int32(np.rint(np.float32(total) * inverse))
        left = np.int32(np.int32(total - np.int32(guess * whole)) * np.int32(2))
        odd = np.int32(guess & np.int32(1))
        up, down = np.int32(np.int32(left + odd) > whole), np.int32(np.int32(odd - left) > whole)
        out[x] = out.dtype.type(np.int32(guess + np.int32(up - down)))


def divide_int64(one, other, third, like, centre, out, area, terms):
    for x in range(out.size):
        total = np.int64(one[x]) + np.int64(other[x]) + np.int64(third[x])
        down = total // area
        left = 2 * (total - down * area)
        out[x] = out.dtype.type(down + (left > area or (left == area and down % 2 != 0)))


def divide_float64(one, other, third, like, centre, out, area, terms):
    inverse, whole = 1.0 / area, np.float64(area)
    for x in range(out.size):
        total = np.float64(one[x]) + np.float64(other[x]) + np.float64(third[x])
        guess = np.rint(total * inverse)
        left = (total - guess * whole) * 2.0
        odd = guess - 2.0 * np.floor(guess * 0.5)
        up, down = np.float64(left + odd > whole), np.float64(odd - left > whole)
        out[x] = out.dtype.type(np.int32(guess + (up - down)))


@kernel
def fill_floats(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    width = src.shape[1]
    cols = width // step
    levels, held = halvings(n0), 0
    for level in range(levels, 0, -1):
        held += (n0 >> level) + 2
    affordable = SCRATCH_BYTES // (max(held, 1) * src.itemsize * step)
    pixels = min(cols, max(affordable, 4 * (n1 - 1), PIECE // step, 1))
    length = (pixels + n1 - 1) * step
    zero = src.dtype.type(0)
    spares = spare_for(pixels * step, step, n1, zero)
    owned = np.empty((max(held, 1), length), src.dtype), np.empty(length, src.dtype), spares
    rings, line, spare = unowned(owned)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        size = (wanted + n1 - 1) * step
        for row in range(top - n0 // 2, bottom + n0 - n0 // 2 - 1):
            if is_set(stop):
                return
            newest = rings[row % 3] if levels else line
            load_span(src, row, first - n1 // 2, wanted + n1 - 1, newest, step, mode, cval)
            add_rows(rings, line, row, row - (top - n0 // 2) + 1, n0, levels, size)
            target = row - (n0 - n0 // 2 - 1)
            if target >= top:
                out = dst[target, first * step : (first + wanted) * step]
                add_neighbours(line, spare, step, n1, src[target, first * step :], out, n0)
    keep(owned)


@kernel
def fill_few(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    """The same sums as `fill_floats`, for windows of up to `FEW` rows: a piece of a row of sums is used at once."""
    rows, width = src.shape
    before, zero = n1 // 2, src.dtype.type(0)
    piece, halo = piece_for(width, step, n1), (n1 - 1) * step
    owned = (
        line_for(width, step, n1, zero),
        spare_for(width, step, n1, zero),
        edge_columns(before, n1 - before - 1, width // step, mode),
        np.full(width if mode == CONSTANT else 1, cval, src.dtype),
        np.empty(1, src.dtype),
    )
    line, spare, columns, constant, outside = unowned(owned)
    inner = line[before * step : before * step + width]
    add_few(constant, constant, constant, n0, outside)
    for row in range(top, bottom):
        if is_set(stop):
            return
        one = row_or(src, fold(row - n0 // 2, rows, mode), constant)
        two = row_or(src, fold(row - n0 // 2 + 1, rows, mode), constant)
        three = row_or(src, fold(row - n0 // 2 + 2, rows, mode), constant)
        entering = row - n0 // 2 + n0
        for place in range(columns.size):
            to = place * step if place < before else place * step + width
            for channel in range(step):
                at = columns[place] * step + channel
                if columns[place] < 0:
                    line[to + channel] = outside[0]
                else:
                    add_few(one[at:], two[at:], three[at:], n0, line[to + channel : to + channel + 1])
        summed = 0
        for start in range(0, width, piece):
            end = min(start + piece + halo, width)
            add_few(one[summed:], two[summed:], three[summed:], n0, inner[summed:end])
            if entering < rows:
                prefetch_row(src[entering, start : start + piece])
            summed = end
            add_neighbours(line[start:], spare, step, n1, src[row, start:], dst[row, start : start + piece], n0)
    keep(owned)


@kernel
def prefetch_row(values):
    for x in range(0, values.size, LINE_BYTES // values.itemsize):
        prefetch(values, x)


@kernel
def row_or(src, row, constant):
    """A row of the image, or of the constant if ``row`` is -1."""
    return constant if row < 0 else src[row]


@kernel
def add_few(one, two, three, count, out):
    """The sum of the first ``count`` of three rows."""
    if count == 1:
        out[:] = one[: out.size]
    elif count == 2:
        add_two(one, two, out)
    else:
        add_three(one, two, three, out)


@kernel
def fill_repeats(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    """Floats under a window in which the image repeats: every row times its multiplicity in the window."""
    rows, width = src.shape
    before = n1 // 2
    columns = edge_columns(before, n1 - before - 1, width // step, mode)
    line = np.zeros(width + (n1 - 1) * step)
    inner, part = line[before * step : before * step + width], np.zeros(width)
    spare = spare_for(width, step, n1, 0.0)
    times = np.zeros(rows + 1)  # the last is that of the constant, at fold's -1
    for row in range(top - n0 // 2, top - n0 // 2 + n0 - 1):
        times[fold(row, rows, mode)] += 1.0
    for row in range(top, bottom):
        times[fold(row - n0 // 2 + n0 - 1, rows, mode)] += 1.0
        inner[:] = cval * times[rows] if times[rows] > 0 else 0.0
        terms = 0
        for source in range(rows):
            if is_set(stop):
                return
            if times[source] > 0:
                add_times(src[source], times[source], part)
                terms += 1
            if terms == TERMS or (source == rows - 1 and terms > 0):
                add_two(inner, part, inner)
                part[:] = 0.0
                terms = 0
        pad_edges(line, width, columns, before, step, cval * n0)
        add_neighbours(line, spare, step, n1, src[row], dst[row], n0)
        times[fold(row - n0 // 2, rows, mode)] -= 1.0


@kernel
def add_times(line, times, sums):
    for x in range(sums.size):
        sums[x] += line[x] * times


@kernel
def add_rows(rings, line, row, loaded, count, levels, size):
    """Combine the sums that end with row ``row``: of 2 or 3, ... and last of ``count`` rows, stored in ``line``.
    ``rings`` holds the latest rows, the latest sums of 2 or 3 rows, and so on, up to half of ``count``."""
    base = 0
    for level in range(levels - 1, -1, -1):
        total, half = count >> level, count >> (level + 1)
        if total > loaded:
            return
        begin = row - total + 1
        following = base + half + 2
        one, other = rings[base + begin % (half + 2)], rings[base + (begin + half) % (half + 2)]
        out = rings[following + begin % (total + 2)] if level else line
        if total % 2:
            add_three(one, other, rings[row % 3], out[:size])
        else:
            add_two(one, other, out[:size])
        base = following


@kernel
def add_two(one, other, out):
    for x in range(out.size):
        out[x] = out.dtype.type(one[x] + other[x])
