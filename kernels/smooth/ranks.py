"""Values of a rank in windows of wide types: the values of a tile are replaced by their ranks in it, and a histogram of
ranks slides over the tile [1]. What a pixel costs grows with the shorter side of the window, not with its area.

.. [1] T. Huang, G. Yang, G. Tang, "A fast two-dimensional median filtering algorithm", IEEE Transactions on Acoustics,
   Speech, and Signal Processing 27(1), 1979, 13-18.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.spans import load_span

TILE = 64  # pixels on a side, or as many as the window has
LOOK = 1 << 16  # values between looks at the stop flag
DIGIT = 11  # bits that one pass of the sort looks at
MASK = (1 << DIGIT) - 1


def order_key(value):
    """An unsigned integer that sorts as the value does; every NaN has the maximum."""
    raise NotImplementedError


@overload(order_key)
def _order_key(value):
    if isinstance(value, types.Float):
        plain, unsigned = (np.float32, np.uint32) if value == types.float32 else (np.float64, np.uint64)
        top_bit = unsigned(1 << (value.bitwidth - 1))
        greatest = unsigned((1 << value.bitwidth) - 1)

        def key(value):
            if value != value:
                return greatest
            bits = plain(value).view(unsigned)
            return unsigned(~bits) if bits & top_bit else unsigned(bits | top_bit)

        return key
    if value == types.int16:
        return lambda value: np.uint16(value ^ -0x8000)
    if value == types.int32:
        return lambda value: np.uint32(value ^ -0x80000000)
    return lambda value: np.uint16(value)


@kernel
def sort_by_key(keys, spare_keys, order, spare_order, count, stop):
    """Sort ``keys`` and ``order`` along with them, digit by digit, and return the two arrays that hold the result.

    Leaves off once the flag at ``stop`` is set.
    """
    starts = np.empty((1 << DIGIT) + 1, np.int64)
    for shift in range(0, 8 * keys.itemsize, DIGIT):
        starts[:] = 0
        for index in range(count):
            starts[((np.int64(keys[index]) >> shift) & MASK) + 1] += 1
        for digit in range(1 << DIGIT):
            starts[digit + 1] += starts[digit]
        for begin in range(0, count, LOOK):
            if is_set(stop):
                return keys, order
            for index in range(begin, min(begin + LOOK, count)):
                digit = (np.int64(keys[index]) >> shift) & MASK
                spare_keys[starts[digit]] = keys[index]
                spare_order[starts[digit]] = order[index]
                starts[digit] += 1
        keys, spare_keys = spare_keys, keys
        order, spare_order = spare_order, order
    return keys, order


def select_by_ranks(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank):
    """The value with ``rank`` others before it, of any type, tile by tile; or, see `nan_rank`, that of a percentile."""
    cols = src.shape[1] // step
    by_rows = n1 < n0  # moving along the longer side changes fewer values
    high, wide = min(bottom - top, max(TILE, n0)), min(cols, max(TILE, n1))
    most = (high + n0 - 1) * (wide + n1 - 1)
    line = np.empty((wide + n1 - 1) * step, src.dtype)
    values = np.empty(most, src.dtype)
    found = np.empty(most, src.dtype)  # the value of each rank
    ranks = np.empty(most, np.int32)
    counts = np.empty(most, np.int32)
    keys = np.full(most, order_key(src.dtype.type(0)))
    spare_keys = np.empty_like(keys)
    order, spare_order = np.empty(most, np.int32), np.empty(most, np.int32)
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
                for index in range(count):
                    keys[index] = order_key(values[index])
                    order[index] = index
                sorted_keys, sorted_order = sort_by_key(keys, spare_keys, order, spare_order, count, stop)
                if is_set(stop):
                    return
                kinds = rank_values(values, sorted_keys, sorted_order, count, ranks, found)
                out = dst[row : row + down, col * step + channel :]
                tile = (down, along, n0, n1) if by_rows else (along, down, n1, n0)
                slide(ranks, found[:kinds], counts[:kinds], tile, rank, out, by_rows, step, stop)


@kernel
def load_tile(src, begin, size, channel, step, mode, cval, by_rows, line, values, stop):
    """One channel of a piece of the padded image, row after row or column after column."""
    down, along = size
    for y in range(down):
        if is_set(stop):
            return
        load_span(src, begin[0] + y, begin[1], along, line, step, mode, cval)
        for x in range(along):
            values[y * along + x if by_rows else x * down + y] = line[x * step + channel]


@kernel
def rank_values(values, keys, order, count, ranks, found):
    """Number the different values of a tile in their order, and return how many there are."""
    rank = 0
    for index in range(count):
        if index > 0 and keys[index] != keys[index - 1]:
            rank += 1
        ranks[order[index]] = rank
        found[rank] = values[order[index]]
    return rank + 1


@kernel
def slide(ranks, found, counts, tile, rank, out, by_rows, step, stop):
    """Move the window over the tile, forth in one line and back in the next, so that it is never built anew.

    ``tile`` is its pixels in the direction of movement and across it, and the window's values in both directions; those
    across are neighbours in memory. ``by_rows`` says that it moves down."""
    length, breadth, n_along, n_across = tile
    pitch = breadth + n_across - 1
    last = counts.size - 1
    has_nan = found[last] != found[last]
    counts[:] = 0
    for i in range(n_along):
        if is_set(stop):
            return
        for j in range(n_across):
            counts[ranks[i * pitch + j]] += 1
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
            below += replace(ranks, old, new, apart, size, counts, here)
            numbers = n_along * n_across - (counts[last] if has_nan else 0)
            wanted = place_among(rank, numbers)
            while below > wanted:
                here -= 1
                below -= counts[here]
            while below + counts[here] <= wanted:
                below += counts[here]
                here += 1
            row, x = at if by_rows else line, (line if by_rows else at) * step
            put_value(rank, found, counts, here, below < wanted, numbers, out, row, x)


@kernel
def replace(ranks, old, new, pitch, size, counts, here):
    """Remove one line of the window from its histogram and add another, and return how many more values lie below
    ``here`` then."""
    change = 0
    for index in range(size):
        leaving, coming = ranks[old + index * pitch], ranks[new + index * pitch]
        counts[leaving] -= 1
        counts[coming] += 1
        change += np.int64(coming < here) - np.int64(leaving < here)
    return change


@kernel
def put(found, counts, here, out, row, x):
    """The value as a pixel; NaN, which ranks last, if there is one."""
    last = found[found.size - 1]
    out[row, x] = last if last != last and counts[counts.size - 1] > 0 else found[here]


def place_among(rank, numbers):
    """How many values come before the one that is looked for."""
    raise NotImplementedError


@overload(place_among)
def _place_among(rank, numbers):
    if isinstance(rank, types.Integer):
        return lambda rank, numbers: rank
    return lambda rank, numbers: max(min(np.int64(np.float64(numbers) * rank[0] / 100.0), numbers - 1), 0)


def put_value(rank, found, counts, here, follows_equal, numbers, out, row, x):
    """The value of a rank; or that of a percentile of the numbers, if so wanted the mean with the one before."""
    raise NotImplementedError


@overload(put_value)
def _put_value(rank, found, counts, here, follows_equal, numbers, out, row, x):
    if isinstance(rank, types.Integer):
        return lambda rank, found, counts, here, follows_equal, numbers, out, row, x: put(
            found, counts, here, out, row, x
        )

    def put_percentile(rank, found, counts, here, follows_equal, numbers, out, row, x):
        half, before = out.dtype.type(0.5), here
        if rank[1] and numbers > 0 and numbers % 2 == 0 and not follows_equal:
            before -= 1
            while counts[before] == 0:
                before -= 1
        out[row, x] = found[here] if before == here else found[before] * half + found[here] * half

    return put_percentile
