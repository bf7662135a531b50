"""Samples of an image at coordinates, which are those of a run of neighbouring output pixels.

A run whose samples all lie inside of the image is read without regard to its border. Every coordinate is limited before
an index is made of it.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import CONSTANT, fold, kernel
from gpuimg.kernels.lib.numbers import stored, weighed, widened
from gpuimg.kernels.lib.stacks import prefetch, stack_array
from gpuimg.kernels.warp.corners import VECTOR_BYTES, interpolate_1, interpolate_2, interpolate_3, interpolate_4

RUN = 512  # output pixels of a row
ROWS = 32  # of a tile of such runs, which read the same part of the image
BOUNDS = 4 * ROWS  # numbers: the parts of each row of a tile
AHEAD = 8  # rows, of which the pixels are asked for before they are needed
APART = 4  # output pixels between two that are asked for
FARTHEST = float(1 << 40)  # a coordinate; those beyond it count as this one


@kernel
def limited(coordinate):
    near = coordinate if coordinate > -FARTHEST else -FARTHEST  # NaN as well
    return near if near < FARTHEST else FARTHEST


@kernel
def below(step):
    """How many rows at the bottom hold no upper pixel of a sample whose four pixels are read as vectors: those of three
    channels take an element more, which the last row does not have behind it."""
    return 2 if step == 3 else 1


@kernel
def begins(x, y, count, src, step, at, x_share, y_share):
    """Where the upper left pixel of each sample begins in the image, and the shares of those to the right and below.

    Returns whether all samples lie inside; where one does not, ``at`` still names pixels of the image.
    """
    width = src.shape[1]
    last_row, last_col = float(src.shape[0] - below(step) - 1), float(width // step - 2)
    if last_row < 0 or last_col < 0:
        return False
    missed = 0
    for i in range(count):
        col, row = np.floor(np.float64(x[i])), np.floor(np.float64(y[i]))
        near_col, near_row = within(col, last_col), within(row, last_row)
        missed += (near_col != col) | (near_row != row)
        x_share[i], y_share[i] = x[i] - near_col, y[i] - near_row
        at[i] = np.int64(near_row) * width + np.int64(near_col) * step
    return missed == 0


@kernel
def begins_nearest(x, y, count, src, step, at):
    """Where the pixel nearest to each sample begins; returns whether all samples lie inside."""
    width = src.shape[1]
    last_row, last_col = float(src.shape[0] - 1), float(width // step - 1)
    missed = 0
    for i in range(count):
        col, row = np.floor(np.float64(x[i]) + 0.5), np.floor(np.float64(y[i]) + 0.5)
        near_col, near_row = within(col, last_col), within(row, last_row)
        missed += (near_col != col) | (near_row != row)
        at[i] = np.int64(near_row) * width + np.int64(near_col) * step
    return missed == 0


@kernel
def within(index, last):
    """An index from 0 to the last one; NaN becomes 0."""
    near = index if index > 0.0 else 0.0
    return near if near < last else last


@kernel
def interpolate(src, pixels, target, first, count, step, x, y, at, x_share, y_share, mode, cval):
    """Bilinear interpolation at the coordinates of a run of output pixels."""
    before = at[count // 2]
    inside = begins(x, y, count, src, step, at, x_share, y_share)
    prefetch_below(pixels, at, 0, count, at[count // 2] - before)
    if inside:
        interpolate_run(src, pixels, target, first, 0, count, step, at, x_share, y_share)
        return
    rows, cols = src.shape[0], src.shape[1] // step
    begin = 0
    while begin < count:
        end = begin
        while end < count and 0 <= x[end] < cols - 1 and 0 <= y[end] < rows - below(step):
            end += 1
        if end > begin:
            interpolate_run(src, pixels, target, first, begin, end, step, at, x_share, y_share)
            begin = end
        while end < count and mode == CONSTANT and beyond(x[end], y[end], cols, rows):
            end += 1
        if end > begin:
            fill_constant(target, (first + begin) * step, (end - begin) * step, cval)
        elif begin < count:
            end += 1
            col, row = np.float64(x[begin]), np.float64(y[begin])
            interpolate_anywhere(src, target, (first + begin) * step, step, col, row, x_share[begin:], mode, cval)
        begin = end


@kernel
def prefetch_below(pixels, at, begin, end, down):
    """Ask for the pixels of some rows later; ``down`` is how far apart the samples of neighbouring rows lie."""
    for i in range(begin, end, APART):
        prefetch(pixels, at[i] + AHEAD * down)


@kernel
def interpolate_run(src, pixels, target, first, begin, end, step, at, x_share, y_share):
    """The samples [begin, end) of a run, which lie inside."""
    lanes = VECTOR_BYTES // x_share.itemsize // (4 if step == 3 else step)
    if step > 4 or end - begin < lanes:
        for i in range(begin, end):
            interpolate_inside(pixels, src.shape[1], target, first + i, step, at[i], x_share[i], y_share[i])
        return
    for place in range(begin, end, lanes):
        i = min(place, end - lanes)
        to = (first + i) * step
        if step == 1:
            interpolate_1(src, at, x_share, y_share, i, target, to)
        elif step == 2:
            interpolate_2(src, at, x_share, y_share, i, target, to)
        elif step == 3:
            interpolate_3(src, at, x_share, y_share, i, target, to)
        else:
            interpolate_4(src, at, x_share, y_share, i, target, to)


@kernel
def interpolate_inside(pixels, width, target, col, step, at, x_share, y_share):
    along, down = np.uintp(step), np.uintp(width)
    here, to = np.uintp(at), np.uintp(col * step)
    for channel in range(along):
        a, b = pixels[here + channel], pixels[here + channel + along]
        c, d = pixels[here + channel + down], pixels[here + channel + down + along]
        target[to + channel] = stored(mixed(a, b, c, d, x_share, y_share, pixels), target)


@kernel
def interpolate_anywhere(src, target, to, step, x, y, share, mode, cval):
    """One sample; ``share`` is room for its shares' type."""
    rows, cols = src.shape[0], src.shape[1] // step
    if x != x or y != y or (mode == CONSTANT and beyond(x, y, cols, rows)):
        fill_constant(target, to, step, cval)
        return
    x, y = limited(x), limited(y)
    col, row = np.floor(x), np.floor(y)
    left, right = fold(np.int64(col), cols, mode), fold(np.int64(col) + 1, cols, mode)
    upper, lower = fold(np.int64(row), rows, mode), fold(np.int64(row) + 1, rows, mode)
    share[0] = x - col
    x_share = share[0]
    share[0] = y - row
    for channel in range(step):
        a, b = pixel(src, upper, left, step, channel, cval), pixel(src, upper, right, step, channel, cval)
        c, d = pixel(src, lower, left, step, channel, cval), pixel(src, lower, right, step, channel, cval)
        target[to + channel] = stored(mixed(a, b, c, d, x_share, share[0], src), target)


@kernel
def pick(src, pixels, target, first, count, step, x, y, at, mode, fill_value):
    """The pixels nearest to the coordinates of a run of output pixels."""
    before = at[count // 2]
    inside = begins_nearest(x, y, count, src, step, at)
    prefetch_below(pixels, at, 0, count, at[count // 2] - before)
    if inside:
        pick_run(pixels, target, first, step, at[:count])
        return
    rows, cols = src.shape[0], src.shape[1] // step
    begin = 0
    while begin < count:
        end = begin
        while end < count and 0 <= x[end] < cols - 1 and 0 <= y[end] < rows - 1:
            end += 1
        if end > begin:
            pick_run(pixels, target, first + begin, step, at[begin:end])
            begin = end
        while end < count and mode == CONSTANT and beyond(x[end], y[end], cols, rows):
            end += 1
        if end > begin:
            fill_constant(target, (first + begin) * step, (end - begin) * step, fill_value)
        elif begin < count:
            pick_anywhere(src, target, first + end, step, np.float64(x[end]), np.float64(y[end]), mode, fill_value)
            end += 1
        begin = end


@kernel
def beyond(x, y, cols, rows):
    """Whether a sample lies so far outside that no pixel takes part in it."""
    return x <= -1 or x >= cols or y <= -1 or y >= rows


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
    """The index of the pixel nearest to a coordinate, halves up; -1 where the constant stands."""
    given = np.float64(coordinate)
    return fold(np.int64(np.floor(limited(given) + 0.5)), length, mode) if given == given else -1


@kernel
def pick_run(pixels, target, first, step, at):
    """Samples that lie inside."""
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


def mixed(a, b, c, d, x_share, y_share, like):
    """The weighted sum of two pixels and of the two below them; what has no weight may be NaN."""
    raise NotImplementedError


@overload(mixed, inline="always")
def _mixed(a, b, c, d, x_share, y_share, like):
    if isinstance(like.dtype, types.Float):

        def mix(a, b, c, d, x_share, y_share, like):
            left, up = widened(1, like) - x_share, widened(1, like) - y_share
            above = weighed(a, left) + weighed(b, x_share)
            below = weighed(c, left) + weighed(d, x_share)
            return weighed(above, up) + weighed(below, y_share)

        return mix

    def mix_whole(a, b, c, d, x_share, y_share, like):
        left, up = widened(1, like) - x_share, widened(1, like) - y_share
        above = widened(a, like) * left + widened(b, like) * x_share
        below = widened(c, like) * left + widened(d, like) * x_share
        return above * up + below * y_share

    return mix_whole


def shares(src):
    """Room for the shares of pixels, in the type that sums are made in."""
    raise NotImplementedError


@overload(shares)
def _shares(src):
    if src.dtype == types.float64:
        return lambda src: stack_array(np.float64, RUN)
    return lambda src: stack_array(np.float32, RUN)
