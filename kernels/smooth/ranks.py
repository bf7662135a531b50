"""Rank filter for wide types: the values of a tile are replaced by their ordinals in sorted order, and a set of
ordinals, one bit each, slides over the tile: Huang's moving window [1] with Suomela's sets in place of histograms [2].
The cost per pixel grows with the shorter side of the window, not with its area. Tiles without NaN: see `buckets`.

.. [1] T. Huang, G. Yang, G. Tang, "A fast two-dimensional median filtering algorithm", IEEE Transactions on Acoustics,
   Speech, and Signal Processing 27(1), 1979, 13-18.
.. [2] J. Suomela, "Median filtering is equivalent to sorting", arXiv:1406.1717, 2014.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD, bits_set, nth_bit
from gpuimg.kernels.lib.spans import load_span
from gpuimg.kernels.smooth.buckets import FARTHEST, ROWS, select_by_buckets

TILE = 64  # maximum pixels on a side, or half as many as the window has
LOOK = 1 << 16  # values between checks of the stop flag
DIGIT = 11  # bits of one pass of the radix sort
MASK = (1 << DIGIT) - 1


def order_key(value):
    """An unsigned integer that sorts as the value does; every NaN has the maximum key."""
    raise NotImplementedError


@overload(order_key)
def _order_key(value):
    if isinstance(value, types.Float):
        plain, unsigned = (np.float32, np.uint32) if value == types.float32 else (np.float64, np.uint64)
        top_bit = unsigned(1 << (value.bitwidth - 1))
        maximum = unsigned((1 << value.bitwidth) - 1)

        def key(value):
            if value != value:
                return maximum
            bits = plain(value).view(unsigned)
            return unsigned(~bits) if bits & top_bit else unsigned(bits | top_bit)

        return key
    if value == types.int16:
        return lambda value: np.uint16(value ^ -0x8000)
    if value == types.int32:
        return lambda value: np.uint32(value ^ -0x80000000)
    return lambda value: np.uint16(value)


@kernel
def sort_order(values, order, spare, count, stop):
    """Radix sort of the places of ``values``; returns the two arrays, the first of which holds the result.

    Returns early once the flag at ``stop`` is set.
    """
    starts = np.empty((1 << DIGIT) + 1, np.int64)
    for index in range(count):
        order[index] = index
    for shift in range(0, 8 * values.itemsize, DIGIT):
        starts[:] = 0
        for index in range(count):
            starts[digit_of(values[index], shift) + np.uint64(1)] += 1
        if starts[digit_of(values[0], shift) + np.uint64(1)] == count:
            continue
        for digit in range(1 << DIGIT):
            starts[digit + 1] += starts[digit]
        for begin in range(0, count, LOOK):
            if is_set(stop):
                return order, spare
            for index in range(begin, min(begin + LOOK, count)):
                place = order[index]
                digit = digit_of(values[place], shift)
                spare[np.uint64(starts[digit])] = place
                starts[digit] += 1
        order, spare = spare, order
    return order, spare


@kernel
def digit_of(value, shift):
    return (np.uint64(order_key(value)) >> np.uint64(shift)) & np.uint64(MASK)


@kernel
def even_part(length, most):
    """The size of the parts, at most ``most``, that a length is divided into; the last one may be shorter."""
    parts = (length + most - 1) // most
    return (length + parts - 1) // parts


def select_by_ranks(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank):
    """The value with ``rank`` others before it, of any type, tile by tile; or that of a percentile, see `nan_rank`."""
    cols = src.shape[1] // step
    by_rows = n1 < n0  # moving along the longer side changes fewer values
    high, wide = even_part(bottom - top, max(TILE, n0 // 2)), even_part(cols, max(TILE, n1 // 2))
    most = (high + n0 - 1) * (wide + n1 - 1)
    room = max(most, ROWS * (wide + n1 - 1)) + 2 * WORD // 4  # a vector of members may reach beyond the last value
    by_buckets = isinstance(rank, int) and max(high + n0, wide + n1) <= FARTHEST + 1
    line = np.empty((wide + n1 - 1) * step, src.dtype)
    values = np.empty(most, src.dtype)
    places, spare = np.empty(room, np.uint32), np.empty(room, np.uint32)
    members = np.empty((most + WORD - 1) // WORD, np.uint64)
    for row in range(top, bottom, high):
        for col in range(0, cols, wide):
            down, along = min(high, bottom - row), min(wide, cols - col)
            for channel in range(step):
                begin = row - n0 // 2, col - n1 // 2
                size = down + n0 - 1, along + n1 - 1
                load_tile(src, begin, size, channel, step, mode, cval, by_rows, line, values, stop)
                if is_set(stop):
                    return
                count = size[0] * size[1]
                order, ordinals = sort_order(values, places, spare, count, stop)
                if is_set(stop):
                    return
                out = dst[row : row + down, col * step + channel :]
                if by_buckets and count_numbers(values, order[:count]) == count:
                    tile = down, along, n0, n1
                    select_by_buckets(values, order, ordinals, tile, by_rows, rank, out, step, stop)
                    continue
                for index in range(count):
                    ordinals[order[index]] = index
                tile = (down, along, n0, n1) if by_rows else (along, down, n1, n0)
                slide(values, order[:count], ordinals, members, tile, rank, out, by_rows, step, stop)


@kernel
def load_tile(src, begin, size, channel, step, mode, cval, by_rows, line, values, stop):
    """Load one channel of a piece of the padded image, row by row or column by column."""
    down, along = size
    for y in range(down):
        if is_set(stop):
            return
        load_span(src, begin[0] + y, begin[1], along, line, step, mode, cval)
        for x in range(along):
            values[y * along + x if by_rows else x * down + y] = line[x * step + channel]


@kernel
def count_numbers(values, order):
    """The number of sorted values that are not NaN."""
    numbers = order.size
    while numbers > 0 and values[order[numbers - 1]] != values[order[numbers - 1]]:
        numbers -= 1
    return numbers


@kernel
def slide(values, order, ordinals, members, tile, rank, out, by_rows, step, stop):
    """Move the window over the tile, forward in one line and back in the next, so that it is never rebuilt.

    ``order`` has the places of the tile's values in sorted order, ``ordinals`` is its inverse. ``tile`` has the pixels
    in the direction of movement and across it, and the window's values in both directions; those across are adjacent in
    memory. ``by_rows`` says that it moves down."""
    length, breadth, n_along, n_across = tile
    pitch = breadth + n_across - 1
    numbers = count_numbers(values, order)
    has_nan = numbers < order.size
    members[:] = 0
    nans = 0
    for i in range(n_along):
        if is_set(stop):
            return
        for j in range(n_across):
            nans += toggle(members, ordinals[i * pitch + j]) >= numbers
    here, below = 0, 0
    at = 0
    for line in range(breadth):
        if is_set(stop):
            return
        ahead = 1 if line % 2 == 0 else -1
        for moved in range(length):
            if moved > 0:
                old = (at if ahead > 0 else at + n_along - 1) * pitch + line
                new, apart, size = old + ahead * n_along * pitch, 1, n_across
                at += ahead
            elif line > 0:
                old = at * pitch + line - 1
                new, apart, size = old + n_across, pitch, n_along
            else:
                old, new, apart, size = 0, 0, 0, 0
            below += replace(ordinals, old, new, apart, size, members, here * WORD)
            if has_nan:
                nans += more_from(ordinals, old, new, apart, size, numbers)
            wanted = place_among(rank, n_along * n_across - nans)
            here, below = word_of(members, here, below, wanted)
            row, x = at if by_rows else line, (line if by_rows else at) * step
            put_value(rank, values, order, members, here, below, wanted, n_along * n_across - nans, nans, out, row, x)


@kernel
def toggle(members, ordinal):
    """Add a value to the set, or remove it."""
    place = np.uint64(ordinal)
    members[place // np.uint64(WORD)] ^= np.uint64(1) << place % np.uint64(WORD)
    return ordinal


@kernel
def replace(ordinals, old, new, pitch, size, members, limit):
    """Remove one line of the window from the set and add another; returns the change in the number of values below
    ``limit``."""
    change = 0
    if pitch == 1:
        leaving, coming = ordinals[old : old + size], ordinals[new : new + size]
        for index in range(size):
            change -= toggle(members, leaving[index]) < limit
            change += toggle(members, coming[index]) < limit
        return change
    for index in range(size):
        change -= toggle(members, ordinals[old + index * pitch]) < limit
        change += toggle(members, ordinals[new + index * pitch]) < limit
    return change


@kernel
def more_from(ordinals, old, new, pitch, size, limit):
    """The number of values from ``limit`` on in the new line minus that in the old one."""
    change = 0
    for index in range(size):
        change += np.int64(ordinals[new + index * pitch] >= limit) - np.int64(ordinals[old + index * pitch] >= limit)
    return change


@kernel
def word_of(members, here, below, wanted):
    """The word with the member that has ``wanted`` others before it, and the number of members before the word;
    searched from the word ``here`` on."""
    while below > wanted:
        here -= 1
        below -= bits_set(members[here])
    while True:
        within = bits_set(members[here])
        if below + within > wanted:
            return here, below
        below += within
        here += 1


@kernel
def value_of(values, order, members, here, below, wanted):
    """The value of the member in word ``here`` that has ``wanted`` others before it."""
    return values[order[here * WORD + nth_bit(members[here], wanted - below)]]


def place_among(rank, numbers):
    """The number of values before the selected one."""
    raise NotImplementedError


@overload(place_among)
def _place_among(rank, numbers):
    if isinstance(rank, types.Integer):
        return lambda rank, numbers: rank
    return lambda rank, numbers: max(min(np.int64(np.float64(numbers) * rank[0] / 100.0), numbers - 1), 0)


def put_value(rank, values, order, members, here, below, wanted, numbers, nans, out, row, x):
    """Store the value of a rank, or NaN if the window has one; or the value of a percentile of the numbers, optionally
    the mean with the previous one."""
    raise NotImplementedError


@overload(put_value)
def _put_value(rank, values, order, members, here, below, wanted, numbers, nans, out, row, x):
    if isinstance(rank, types.Integer):

        def put_rank(rank, values, order, members, here, below, wanted, numbers, nans, out, row, x):
            if nans > 0:
                out[row, x] = values[order[order.size - 1]]
            else:
                out[row, x] = value_of(values, order, members, here, below, wanted)

        return put_rank

    def put_percentile(rank, values, order, members, here, below, wanted, numbers, nans, out, row, x):
        half = out.dtype.type(0.5)
        value = value_of(values, order, members, here, below, wanted)
        if rank[1] and numbers % 2 == 0 and wanted > 0:
            here, below = word_of(members, here, below, wanted - 1)
            before = value_of(values, order, members, here, below, wanted - 1)
            out[row, x] = value if before == value else before * half + value * half
        else:
            out[row, x] = value

    return put_percentile
