"""Samples of an image at the coordinates of a run of adjacent output pixels.

A run whose samples are all inside the image is read without border handling. Every coordinate is clipped before it is
converted to an index.

``taps``, `LINEAR` or `CUBIC`, is the interpolation: the pixels along an axis that contribute, counted from the one
before the sample. Sums of floats by cubic convolution, which may overshoot, are clipped to the range of their samples,
widened by `OVERSHOOT` times its length on both sides: so constants stay exact, however sums are rounded.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import CONSTANT, fold, kernel
from gpuimg.kernels.lib.lanes import BYTES, equal_bytes
from gpuimg.kernels.lib.numbers import stored, weighed, widened
from gpuimg.kernels.lib.stacks import prefetch, stack_array
from gpuimg.kernels.warp.corners import INTERPOLATORS, OVERSHOOT, VECTOR_BYTES

LINEAR = (0, 1)
CUBIC = (-1, 0, 1, 2)
MOST_TAPS = 4
RUN = 512  # output pixels of a row
ROWS = 32  # of a tile of such runs, which read the same part of the image
BOUNDS = 4 * ROWS  # numbers: the parts of each row of a tile
AHEAD = 8  # rows between a prefetch and its use
APART = 4  # output pixels between two prefetches
WHOLE_FLOATS, WHOLE_INTS = 1 << 24, 1 << 31  # below: exact as float32, as int32
INSIDE, BEYOND, NEAR_EDGE = 0, 1, 2  # the state of a sample
STATES = RUN + BYTES  # memory for the states of a run: `equal_bytes` reads past its end
FARTHEST = float(1 << 40)  # coordinates are clipped to this one


@kernel
def limited(coordinate):
    near = coordinate if coordinate > -FARTHEST else -FARTHEST  # NaN as well
    return near if near < FARTHEST else FARTHEST


@kernel
def below(step):
    """The number of bottom rows that cannot hold the upper pixels of a sample whose four pixels are read as vectors:
    with three channels an extra element is read, which does not exist after the last row."""
    return 2 if step == 3 else 1


@kernel
def touched_limits(src, step, taps):
    """The lowest coordinate, and the ends of x and y, of samples to which pixels of the image may contribute."""
    reach = len(taps) // 2
    return -float(reach), float(src.shape[1] // step - 1 + reach), float(src.shape[0] - 1 + reach)


@kernel
def inside_limits(src, step, taps):
    """The lowest coordinate, and the ends of x and y, of samples whose pixels are all inside, read as vectors."""
    reach = len(taps) // 2
    low, end_x, end_y = reach - 1, src.shape[1] // step - reach, src.shape[0] - below(step) - reach + 1
    return float(low), float(max(low, end_x)), float(max(low, end_y))


@kernel
def begins(x, y, count, src, step, at, x_share, y_share, taps):
    """The offset of the pixel to the upper left of each sample, and the sample's fractional coordinates.

    Returns whether all samples are inside; if one is not, ``at`` still holds offsets of pixels of the image.
    """
    low, end_x, end_y = inside_limits(src, step, taps)
    if end_x == low or end_y == low:
        return False
    if max(end_x, end_y) < WHOLE_FLOATS and src.shape[1] < WHOLE_INTS:
        number = x.dtype.type
        limits = number(low), number(end_x - 1), number(end_y - 1)
        return begins_within(x, y, count, limits, np.int32(src.shape[1]), np.int32(step), at, x_share, y_share)
    return begins_within(x, y, count, (low, end_x - 1, end_y - 1), src.shape[1], step, at, x_share, y_share)


@kernel
def begins_within(x, y, count, limits, width, step, at, x_share, y_share):
    """The same in the limits' type, which is exact for integers up to them, with products in the width's type."""
    low, last_col, last_row = limits
    number, whole = type(low), type(width)
    missed = np.int32(0)
    for i in range(count):
        col, row = np.floor(number(x[i])), np.floor(number(y[i]))
        near_col, near_row = within(col, low, last_col), within(row, low, last_row)
        missed = np.int32(missed | np.int32((near_col != col) | (near_row != row)))
        x_share[i], y_share[i] = x[i] - near_col, y[i] - near_row
        at[i] = np.int64(whole(near_row)) * np.int64(width) + np.int64(whole(near_col)) * np.int64(step)
    return missed == 0


@kernel
def begins_nearest(x, y, count, src, step, at):
    """The offset of the pixel nearest to each sample; returns whether all samples are inside."""
    width = src.shape[1]
    last_row, last_col = float(src.shape[0] - 1), float(width // step - 1)
    missed = 0
    for i in range(count):
        col, row = np.floor(np.float64(x[i]) + 0.5), np.floor(np.float64(y[i]) + 0.5)
        near_col, near_row = within(col, 0.0, last_col), within(row, 0.0, last_row)
        missed += (near_col != col) | (near_row != row)
        at[i] = np.int64(near_row) * width + np.int64(near_col) * step
    return missed == 0


@kernel
def within(index, first, last):
    """An index clipped to [first, last]; NaN becomes the first."""
    near = index if index > first else first
    return near if near < last else last


@kernel
def interpolate(src, pixels, target, first, count, step, x, y, at, x_share, y_share, mode, cval, taps):
    """Interpolate at the coordinates of a run of output pixels."""
    before = at[count // 2]
    inside = begins(x, y, count, src, step, at, x_share, y_share, taps)
    prefetch_below(pixels, at, 0, count, at[count // 2] - before)
    if inside:
        interpolate_run(src, pixels, target, first, 0, count, step, at, x_share, y_share, taps)
        return
    states = stack_array(np.uint8, STATES)
    find_states(x, y, count, src, step, inside_limits(src, step, taps), len(taps) // 2, mode, states)
    begin = 0
    while begin < count:
        end = end_of_state(states, begin, count, INSIDE)
        if end > begin:
            interpolate_run(src, pixels, target, first, begin, end, step, at, x_share, y_share, taps)
            begin = end
        end = end_of_state(states, begin, count, BEYOND)
        if end > begin:
            fill_constant(target, (first + begin) * step, (end - begin) * step, cval)
        elif begin < count:
            end += 1
            col, row = np.float64(x[begin]), np.float64(y[begin])
            interpolate_anywhere(src, target, (first + begin) * step, step, col, row, mode, cval, taps)
        begin = end


@kernel
def find_states(x, y, count, src, step, limits, reach, mode, states):
    """Whether each sample of a run is inside, between the ``limits``, or so far outside that it is the constant; tested
    for vectors of samples."""
    low, end_x, end_y = limits
    rows, cols, constant = src.shape[0], src.shape[1] // step, mode == CONSTANT
    for i in range(count):
        col, row = np.float64(x[i]), np.float64(y[i])
        inside = (low <= col) & (col < end_x) & (low <= row) & (row < end_y)
        outside = constant & beyond(col, row, cols, rows, reach)
        states[i] = INSIDE if inside else BEYOND if outside else NEAR_EDGE


@kernel
def end_of_state(states, begin, count, state):
    """The end of the samples from ``begin`` on that have the same state."""
    end, found = begin, BYTES
    while end < count and found == BYTES:
        found = equal_bytes(states, end, state)
        end += found
    return min(end, count)


@kernel
def prefetch_below(pixels, at, begin, end, down):
    """Prefetch the pixels of later rows; ``down`` is the distance of the samples of adjacent rows."""
    for i in range(begin, end, APART):
        prefetch(pixels, at[i] + AHEAD * down)


@kernel
def interpolate_run(src, pixels, target, first, begin, end, step, at, x_share, y_share, taps):
    """Interpolate the samples [begin, end) of a run, which are inside."""
    lanes = VECTOR_BYTES // x_share.itemsize // (4 if step == 3 else step)
    if step > 4 or end - begin < lanes:
        for i in range(begin, end):
            interpolate_inside(pixels, src.shape[1], target, first + i, step, at[i], x_share[i], y_share[i], taps)
        return
    for place in range(begin, end, lanes):
        i = min(place, end - lanes)
        interpolate_vector(src, at, x_share, y_share, i, target, (first + i) * step, step, taps)


def interpolate_vector(src, at, x_share, y_share, first, target, to, step, taps):
    """Interpolate a vector of samples that are inside."""
    raise NotImplementedError


@overload(interpolate_vector, inline="always")
def _interpolate_vector(src, at, x_share, y_share, first, target, to, step, taps):
    one, two, three, four = INTERPOLATORS[len(taps)]

    def interpolate(src, at, x_share, y_share, first, target, to, step, taps):
        if step == 1:
            one(src, at, x_share, y_share, first, target, to)
        elif step == 2:
            two(src, at, x_share, y_share, first, target, to)
        elif step == 3:
            three(src, at, x_share, y_share, first, target, to)
        else:
            four(src, at, x_share, y_share, first, target, to)

    return interpolate


@kernel
def interpolate_inside(pixels, width, target, col, step, at, x_share, y_share, taps):
    x_weights, y_weights = weights_of(x_share, taps, pixels), weights_of(y_share, taps, pixels)
    for channel in range(step):
        total = no_sum(pixels)
        for i in range(len(taps)):
            line, begin = no_sum(pixels), at + taps[i] * width + channel
            for k in range(len(taps)):
                line = added(line, pixels[begin + taps[k] * step], x_weights[k], pixels)
            total = added(total, mean(line, taps, pixels), y_weights[i], pixels)
        target[col * step + channel] = stored(mean(total, taps, pixels), target)


@kernel
def interpolate_anywhere(src, target, to, step, x, y, mode, cval, taps):
    """Interpolate one sample anywhere."""
    rows, cols = src.shape[0], src.shape[1] // step
    if x != x or y != y or (mode == CONSTANT and beyond(x, y, cols, rows, len(taps) // 2)):
        fill_constant(target, to, step, cval)
        return
    x, y = limited(x), limited(y)
    col, row = np.floor(x), np.floor(y)
    x_weights = weights_of(widened(x - col, src), taps, src)
    y_weights = weights_of(widened(y - row, src), taps, src)
    near_cols, near_rows = stack_array(np.int64, MOST_TAPS), stack_array(np.int64, MOST_TAPS)
    for i in range(len(taps)):
        near_cols[i], near_rows[i] = (
            fold(np.int64(col) + taps[i], cols, mode),
            fold(np.int64(row) + taps[i], rows, mode),
        )
    for channel in range(step):
        total = no_sum(src)
        for i in range(len(taps)):
            line = no_sum(src)
            for k in range(len(taps)):
                value = pixel(src, near_rows[i], near_cols[k], step, channel, cval)
                line = added(line, value, x_weights[k], src)
            total = added(total, mean(line, taps, src), y_weights[i], src)
        target[to + channel] = stored(mean(total, taps, src), target)


@kernel
def pick(src, pixels, target, first, count, step, x, y, at, mode, fill_value):
    """Copy the pixels nearest to the coordinates of a run of output pixels."""
    before = at[count // 2]
    inside = begins_nearest(x, y, count, src, step, at)
    prefetch_below(pixels, at, 0, count, at[count // 2] - before)
    if inside:
        pick_run(pixels, target, first, step, at[:count])
        return
    states, last = stack_array(np.uint8, STATES), (src.shape[1] // step - 1, src.shape[0] - 1)
    find_states(x, y, count, src, step, (0.0, float(last[0]), float(last[1])), 1, mode, states)
    begin = 0
    while begin < count:
        end = end_of_state(states, begin, count, INSIDE)
        if end > begin:
            pick_run(pixels, target, first + begin, step, at[begin:end])
            begin = end
        end = end_of_state(states, begin, count, BEYOND)
        if end > begin:
            fill_constant(target, (first + begin) * step, (end - begin) * step, fill_value)
        elif begin < count:
            pick_anywhere(src, target, first + end, step, np.float64(x[end]), np.float64(y[end]), mode, fill_value)
            end += 1
        begin = end


@kernel
def beyond(x, y, cols, rows, reach):
    """Whether a sample is so far outside that no pixel within ``reach`` on each side contributes."""
    return (x <= -reach) | (x >= cols - 1 + reach) | (y <= -reach) | (y >= rows - 1 + reach)


@kernel
def pick_anywhere(src, target, to, step, x, y, mode, fill_value):
    row, col = nearest(y, src.shape[0], mode), nearest(x, src.shape[1] // step, mode)
    if row < 0 or col < 0:
        fill_constant(target, to * step, step, fill_value)
    else:
        for channel in range(step):
            target[to * step + channel] = src[row, col * step + channel]


@kernel
def nearest(coordinate, length, mode):
    """The index of the pixel nearest to a coordinate, halves up; -1 for the constant."""
    given = np.float64(coordinate)
    return fold(np.int64(np.floor(limited(given) + 0.5)), length, mode) if given == given else -1


@kernel
def pick_run(pixels, target, first, step, at):
    """Copy samples that are inside."""
    if step == 1:
        pick_pixels(pixels, target, first, 1, at)
    elif step == 3:
        pick_pixels(pixels, target, first, 3, at)
    else:
        pick_pixels(pixels, target, first, step, at)


@kernel
def pick_pixels(pixels, target, first, step, at):
    along = np.uintp(step)
    for i in range(at.size):
        here, to = np.uintp(at[i]), np.uintp(first + i) * along
        for channel in range(along):
            target[to + channel] = pixels[here + channel]


@kernel
def fill_constant(target, begin, count, value):
    for x in range(begin, begin + count):
        target[x] = value


@kernel
def pixel(src, row, col, step, channel, cval):
    return src[row, col * step + channel] if row >= 0 and col >= 0 else src.dtype.type(cval)


def weights_of(share, taps, like):
    """The weights of the pixels along an axis; ``share`` is the sample's distance after the first of the inner two."""
    raise NotImplementedError


@overload(weights_of)
def _weights_of(share, taps, like):
    if len(taps) == 2:
        return lambda share, taps, like: (widened(1, like) - share, share)

    def cubic(share, taps, like):
        rest = widened(1, like) - share
        return outer(share, rest, like), inner(share, like), inner(rest, like), outer(rest, share, like)

    return cubic


@kernel
def inner(distance, like):
    """Keys' kernel with a = -1/2 at a distance up to 1."""
    return widened(1, like) + distance * distance * (widened(1.5, like) * distance - widened(2.5, like))


@kernel
def outer(beyond, rest, like):
    """The same at distance 1 + ``beyond``; ``rest`` is 1 - ``beyond``. It is 0 if either of them is."""
    return widened(-0.5, like) * beyond * (rest * rest)


@kernel
def no_sum(like):
    """An empty sum, minimum and maximum; -0 plus the first addend is the addend."""
    return widened(-0.0, like), widened(np.inf, like), widened(-np.inf, like)


@kernel
def added(found, value, weight, like):
    """The same with one value added."""
    total, low, high = found
    value = widened(value, like)
    total += product(value, weight, like)
    return total, value if value < low else low, value if value > high else high


def product(value, weight, like):
    """The weighted value; values with weight 0 may be NaN."""
    raise NotImplementedError


@overload(product, inline="always")
def _product(value, weight, like):
    if isinstance(like.dtype, types.Float):
        return lambda value, weight, like: weighed(value, weight)
    return lambda value, weight, like: value * weight


def mean(found, taps, like):
    """The sum; with cubic convolution of floats, clipped to the widened range of its values."""
    raise NotImplementedError


@overload(mean)
def _mean(found, taps, like):
    if len(taps) == 2 or not isinstance(like.dtype, types.Float):
        return lambda found, taps, like: found[0]

    def clipped(found, taps, like):
        total, low, high = found
        half = widened(OVERSHOOT, like)
        beyond = half * high - half * low
        minimum, maximum = low - beyond, high + beyond
        total = minimum if total < minimum else total
        return maximum if total > maximum else total

    return clipped


def shares(src):
    """Memory for fractional coordinates, in the accumulator type."""
    raise NotImplementedError


@overload(shares)
def _shares(src):
    if src.dtype == types.float64:
        return lambda src: stack_array(np.float64, RUN)
    return lambda src: stack_array(np.float32, RUN)
