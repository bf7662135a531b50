"""Mean of the pixels around each one, weighted by how alike the patches around them are (non-local means).

For one shift after the other, the squared differences between the image and the shifted image are summed over patches:
down the columns by adding the row that enters and subtracting the one that leaves, along the rows by doubling. A weight
serves both pixels of a pair, so that half of the shifts do. Squared differences are whole numbers, those of floats in
units of a small part of the largest distance that counts: their sums are exact, in whatever order they are made. What
is averaged are differences to the pixel, so that a constant stays exactly.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.spans import load_span

HEIGHT, WIDTH = 96, 256  # pixels whose sums are made at a time: they should stay in the second-level cache


@kernel
def fill(
    src, dst, top, bottom, stop, step, mode, cval, before, after, distance, powers, limits, rest, rate, cap, factor
):
    """A patch reaches ``before`` and ``after`` pixels from its centre, and others up to ``distance`` away have weights.

    Differences times ``factor``, of which ``cap`` is beyond the largest that counts, are squared and summed up. A sum
    above ``limits[0]`` has no weight. Without ``limits[1]`` and ``rest``, times ``rate``, it is the number whose
    exponential function is the weight, after repeated squaring; ``powers`` are the coefficients of a polynomial for
    it."""
    number, cols, reach, size = powers.dtype.type, src.shape[1] // step, distance + after, before + after + 1
    height, width = share_of(bottom - top, HEIGHT), share_of(cols, max(WIDTH // step, 32))
    line = np.empty((width + 2 * reach) * step, src.dtype)
    planes = np.empty((height + 2 * reach, step, width + 2 * reach), plain(line, powers).dtype)
    totals = np.empty((height, step + 1, width), powers.dtype)
    columns = np.empty((size + 5, width + distance + size), limits.dtype)
    weights = np.empty((2, width + distance), powers.dtype)
    numbers = number(rest), number(rate), planes.dtype.type(cap), number(factor)
    for first_row in range(top, bottom, height):
        high = min(height, bottom - first_row)
        for first in range(0, cols, width):
            wide = min(width, cols - first)
            span = line[: (wide + 2 * reach) * step]
            for row in range(high + 2 * reach):
                load_span(src, first_row + row - reach, first - reach, wide + 2 * reach, span, step, mode, cval)
                take_apart(span, planes[row])
            totals[:, :step], totals[:, step] = 0, 1
            for down in range(distance + 1):
                for along in range(-distance if down else 1, distance + 1):
                    if is_set(stop):
                        return
                    inner = totals[:high, :, :wide]
                    add_shift(
                        *(planes, inner, columns, weights, down, along, reach, before, after),
                        *(powers, limits, numbers),
                    )
            for row in range(high):
                part = dst[first_row + row, first * step : (first + wide) * step]
                for channel in range(step):
                    own = planes[row + reach, channel, reach:]
                    for x in range(wide):
                        mean = totals[row, channel, x] / totals[row, step, x] / number(factor)
                        part[x * step + channel] = stored(number(own[x]) + mean, dst)


@kernel
def share_of(length, most):
    """The length of as few equal shares as possible of ``most`` at most."""
    shares = max((length + most - 1) // most, 1)
    return (length + shares - 1) // shares


def plain(line, like):
    raise NotImplementedError


@overload(plain)
def _plain(line, like):
    """What holds pixels and their differences: int32 for whole numbers."""
    if isinstance(line.dtype, types.Float):
        return lambda line, like: like
    return lambda line, like: np.empty(0, np.int32)


@kernel
def take_apart(line, planes):
    """Pixels as a row of each channel."""
    step = planes.shape[0]
    for channel in range(step):
        plane = planes[channel]
        for x in range(line.size // step):
            plane[x] = line[x * step + channel]


@kernel
def add_shift(planes, totals, columns, weights, down, along, reach, before, after, powers, limits, numbers):
    """Add what pixels that lie ``down`` rows and ``along`` columns apart weigh to the sums of both, those of the later
    one first."""
    high, step, wide = totals.shape[0], totals.shape[1] - 1, totals.shape[2]
    size, count = before + after + 1, wide + abs(along)
    left, right = max(along, 0), max(-along, 0)  # where those of a pair begin that are in the tile
    start = reach - left - before
    span = count + size - 1
    column, ring = columns[0, :span], columns[5:, :span]
    column[:] = 0
    ring[:] = 0
    slot = 0
    for row in range(-down - before, high + after):
        one, other = planes[reach + row], planes[reach + row + down]
        add_squares(column, ring[slot], columns[1], one[:, start:], other[:, start + along :], numbers)
        slot = slot + 1 if slot + 1 < size else 0
        y = row - after
        if y < -down:
            continue
        found = patches(column, columns[1:5], size, count)
        weight, part = weights[0, :count], weights[1, :count]
        weigh(found, weight, powers, limits, numbers)
        at = start + before
        later, earlier = y + down < high, y >= 0
        for channel in range(step + 1):
            if channel < step:
                centre, beside = planes[reach + y, channel, at:], planes[reach + y + down, channel, at + along :]
                weigh_differences(weight, centre, beside, part, numbers)
            values = weight if channel == step else part
            if later and channel == step:
                add_row(totals[y + down, channel], values[right:])
            elif later:
                subtract_row(totals[y + down, channel], values[right:])
            if earlier:
                add_row(totals[y, channel], values[left:])


@kernel
def add_squares(column, old, fresh, one, other, numbers):
    """Replace a row of squared differences by the one below the window, in the sums of columns too."""
    step, span = one.shape[0], column.size
    for channel in range(step - 1):
        a, b = one[channel], other[channel]
        for x in range(span):
            fresh[x] = (fresh[x] if channel else 0) + squared(a[x], b[x], numbers[2], numbers[3], fresh)
    a, b = one[step - 1], other[step - 1]
    if step == 1:
        for x in range(span):
            new = squared(a[x], b[x], numbers[2], numbers[3], old)
            column[x] += new - old[x]
            old[x] = new
        return
    for x in range(span):
        new = squared(a[x], b[x], numbers[2], numbers[3], old) + fresh[x]
        column[x] += new - old[x]
        old[x] = new


def squared(a, b, cap, factor, like):
    raise NotImplementedError


@overload(squared)
def _squared(a, b, cap, factor, like):
    """A squared difference as a whole number, those beyond the cap alike; NaN is beyond it."""
    whole = like.dtype
    if isinstance(a, types.Float):

        def square(a, b, cap, factor, like):
            apart = abs(b - a) * factor
            near = apart if apart < cap else cap
            return whole(np.rint(near * near))

    else:

        def square(a, b, cap, factor, like):
            near = max(min(np.int32(b - a), cap), np.int32(-cap))
            return whole(whole(near) * whole(near))

    return square


@kernel
def patches(column, rows, size, count):
    """Sums of ``size`` neighbours: of the powers of two that it consists of, each by doubling the last."""
    found, length, done, turn = rows[0, :count], 1, 0, 0
    now, span = column, column.size
    while True:
        if size & length:
            part = now[done:]
            if done:
                for x in range(count):
                    found[x] += part[x]
            else:
                for x in range(count):
                    found[x] = part[x]
            done += length
        if 2 * length > size:
            return found
        following, shifted = rows[1 + turn], now[length:]
        for x in range(span - 2 * length + 1):
            following[x] = now[x] + shifted[x]
        now, turn, length = following[:span], 1 - turn, 2 * length


@kernel
def weigh(found, weight, powers, limits, numbers):
    """The weights of patches by the sums of their squared differences."""
    most, base, rest, rate = limits[0], limits[1], numbers[0], numbers[1]
    number, coefficients = weight.dtype.type, as_tuple(powers)
    none = number(0)
    for x in range(weight.size):
        more = number(less(found[x], base)) - rest
        power = exponential((more if more > none else none) * rate, coefficients)
        weight[x] = power if found[x] <= most else none


def less(a, b):
    raise NotImplementedError


@overload(less)
def _less(a, b):
    kind = a
    return lambda a, b: kind(a - b)


def as_tuple(powers):
    raise NotImplementedError


@overload(as_tuple)
def _as_tuple(powers):
    """As many coefficients as an exponential function of the dtype has."""
    if powers.dtype == types.float32:
        return lambda powers: (powers[0], powers[1], powers[2], powers[3], powers[4], powers[5])
    return lambda powers: (powers[0], powers[1], powers[2], powers[3], powers[4], powers[5], powers[6], powers[7])


def exponential(y, p):
    raise NotImplementedError


@overload(exponential)
def _exponential(y, p):
    """``exp(-y)`` by a polynomial of a part of y, squared again and again."""
    if len(p) == 6:

        def eighth(y, p):
            power = p[0] + y * (p[1] + y * (p[2] + y * (p[3] + y * (p[4] + y * p[5]))))
            power *= power
            power *= power
            return power * power

        return eighth

    def thirtysecond(y, p):
        power = p[0] + y * (p[1] + y * (p[2] + y * (p[3] + y * (p[4] + y * (p[5] + y * (p[6] + y * p[7]))))))
        power *= power
        power *= power
        power *= power
        power *= power
        return power * power

    return thirtysecond


def weigh_differences(weight, centre, beside, part, numbers):
    raise NotImplementedError


@overload(weigh_differences)
def _weigh_differences(weight, centre, beside, part, numbers):
    """Weighted differences to the pixels; 0 for a weight of 0, also of NaN and infinity."""
    number = weight.dtype
    if isinstance(centre.dtype, types.Float):

        def weigh_them(weight, centre, beside, part, numbers):
            none = number(0)
            for x in range(weight.size):
                apart = (beside[x] - centre[x]) * numbers[3]
                part[x] = weight[x] * (apart if weight[x] > none else none)

        return weigh_them

    def weigh_all(weight, centre, beside, part, numbers):
        for x in range(weight.size):
            part[x] = weight[x] * number(np.int32(beside[x] - centre[x]))

    return weigh_all


@kernel
def add_row(total, values):
    for x in range(total.size):
        total[x] += values[x]


@kernel
def subtract_row(total, values):
    for x in range(total.size):
        total[x] -= values[x]
