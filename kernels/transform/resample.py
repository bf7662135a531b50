"""Separable resampling: rows, then columns, as weighted sums of a few samples each, given by tables.

uint8 weights are 16384ths: a row is kept in 256ths of a grey level, and the last sum is rounded to integers. The other
types are summed in floating point, tap by tap. So is uint8 into float32: colours times alpha, the last channel.

With positive weights, sums of floats are clipped to the range of their samples: so constants stay exact, however sums
are rounded. A nonzero ``overshoot``, for negative weights, is at least their sum; it widens the range by this many
times its length on both sides, and rows of uint8 are kept in 128ths.

``reach`` is the number of pixels of a row that neighbouring columns sample, which CUDA's tiles hold.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.gathers import (
    HALVED,
    LINES,
    REAL_BYTES,
    ROW_PIXELS,
    bias,
    fit_16_bits,
    halve_1,
    halve_2,
    halve_3,
    halve_4,
    plan_picks,
    weigh_colors_of_2,
    weigh_colors_of_4,
    weigh_pairs_of_1,
    weigh_pairs_of_2,
    weigh_pairs_of_4,
    weigh_picked_of_1,
    weigh_picked_of_2,
    weigh_picked_of_3,
    weigh_picked_of_4,
    weigh_real_block,
    weigh_row_pairs,
    weigh_rows,
    weigh_shared_block,
)
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.target import HAS_AVX512

HALF = 1 << 13  # a weight of 1/2
LANES = 16  # uint8 pixels that a `pair_picker` computes at once
REACH = 128  # elements of a line that it picks from


@kernel
def fill(src, dst, top, bottom, step, overshoot, reach, i0, w0, q0, i1, w1, q1):
    weigh(src, dst, top, bottom, step, overshoot, i0, w0, q0, i1, w1, q1)


def weigh(src, dst, top, bottom, step, overshoot, i0, w0, q0, i1, w1, q1):
    """Weighted sums, in the arithmetic that suits the type."""
    raise NotImplementedError


@overload(weigh)
def _weigh(src, dst, top, bottom, step, overshoot, i0, w0, q0, i1, w1, q1):
    return weigh_bytes if dst.dtype == types.uint8 else weigh_reals


def weigh_bytes(src, dst, top, bottom, step, overshoot, i0, w0, q0, i1, w1, q1):
    count = dst.shape[1]
    if halves(i0[top:bottom], q0[top:bottom], top) and halves(i1, q1, 0):
        for row in range(top, bottom):
            halve(src[2 * row], src[2 * row + 1], step, dst[row])
        return
    bits = 8 if overshoot == 0 else 7
    if HAS_AVX512 and count >= LANES and fit_16_bits(q0, bits) and fit_16_bits(q1, bits):
        groups = (count + LANES - 1) // LANES
        bases = np.empty(groups, np.int64)
        places = np.empty(groups * ((q1.shape[1] + 1) // 2) * 2 * LANES, np.int16)
        heavy = np.empty(places.size, np.int16)
        widest = plan_picks(step, i1, q1, LANES, REACH, 2, bases, places, heavy)
        if widest > 0:
            lines = np.empty((LINES, src.shape[1] + REACH), np.int16)
            for row in range(top, bottom, LINES):
                held = min(LINES, bottom - row)
                for line in range(held):
                    weigh_byte_rows(src, i0[row + line], q0[row + line], bits, lines[line])
                pick_bytes(lines, held, bits, widest, bases, places, heavy, dst, row)
            return
    wide = np.empty(src.shape[1], np.int32)
    for row in range(top, bottom):
        weigh_byte_rows(src, i0[row], q0[row], bits, wide)
        weigh_columns(wide, bits, step, i1, q1, dst[row])


@kernel
def pick_bytes(lines, held, bits, widest, bases, places, heavy, dst, row):
    """Weighted sums along lines, for rows of the result from ``row`` on."""
    for group in range(bases.size):
        to = min(group * LANES, dst.shape[1] - LANES)
        if widest <= REACH // 4:
            weigh_pairs_of_1(lines, held, bits, bases, places, heavy, group, dst, row, to)
        elif widest <= REACH // 2:
            weigh_pairs_of_2(lines, held, bits, bases, places, heavy, group, dst, row, to)
        else:
            weigh_pairs_of_4(lines, held, bits, bases, places, heavy, group, dst, row, to)


@kernel
def halves(index, weights, first):
    """Whether the pixels from ``first`` on are means of two neighbours each, of disjoint pairs."""
    if index.shape[1] != 2:
        return False
    for place in range(len(index)):
        near = 2 * (first + place)
        if index[place, 0] != near or index[place, 1] != near + 1:
            return False
        if weights[place, 0] != HALF or weights[place, 1] != HALF:
            return False
    return True


@kernel
def halve(upper, lower, step, target):
    """Means of 2 x 2 uint8 pixels, exact before the last rounding, of halves up."""
    count, at_once = target.size, HALVED[step] * step if step < len(HALVED) else 0
    if count < at_once or at_once == 0:
        for x in range(count):
            near = x + x // step * step
            total = np.int32(upper[near]) + upper[near + step] + lower[near] + lower[near + step]
            target[x] = np.uint8((total + 2) >> 2)
        return
    for place in range(0, count, at_once):
        x = min(place, count - at_once)
        if step == 1:
            halve_1(upper, lower, x, target)
        elif step == 2:
            halve_2(upper, lower, x, target)
        elif step == 3:
            halve_3(upper, lower, x, target)
        else:
            halve_4(upper, lower, x, target)


@kernel
def weigh_byte_rows(src, rows, weights, bits, line):
    """The weighted sum of rows, with ``bits`` fractional bits; minus `bias` for a 16-bit line."""
    width = src.shape[1]
    if width < ROW_PIXELS:
        for x in range(width):
            total = 1 << 13 - bits
            for tap in range(rows.size):
                total += weights[tap] * src[rows[tap], x]
            line[x] = (total >> 14 - bits) - (bias(bits) if line.itemsize == 2 else 0)
        return
    first, last = used_taps(weights)
    rows, weights = rows[first:last], weights[first:last]
    weigh_byte_blocks(src, rows, weights, bits, line)


def weigh_byte_blocks(src, rows, weights, bits, line):
    """The same for at least `ROW_PIXELS`."""
    raise NotImplementedError


@overload(weigh_byte_blocks)
def _weigh_byte_blocks(src, rows, weights, bits, line):
    weigh_block = weigh_row_pairs if line.dtype == types.int16 else weigh_rows

    def weigh_blocks(src, rows, weights, bits, line):
        width = src.shape[1]
        for x in range(0, width, ROW_PIXELS):
            weigh_block(src, rows, weights, bits, min(x, width - ROW_PIXELS), line)

    return weigh_blocks


@kernel
def used_taps(weights):
    """The taps without those at both ends that are 0 in fixed point."""
    first, last = 0, weights.size
    while last > 1 and weights[last - 1] == 0:
        last -= 1
    while first < last - 1 and weights[first] == 0:
        first += 1
    return first, last


def weigh_reals(src, dst, top, bottom, step, overshoot, i0, w0, q0, i1, w1, q1):
    width, count = src.shape[1], dst.shape[1]
    lines = np.empty((LINES, width + REACH), real_type(src))
    lanes = 64 // lines.itemsize
    groups = (count + lanes - 1) // lanes
    bases = np.empty(groups, np.int64)
    places = np.empty(groups * w1.shape[1] * lanes, index_type(lines))
    heavy = np.empty(places.size, lines.dtype)
    widest = 0
    if HAS_AVX512 and count >= lanes:
        widest = plan_picks(step, i1, w1, lanes, 4 * lanes, 1, bases, places, heavy)
    for row in range(top, bottom, LINES):
        held = min(LINES, bottom - row)
        if not (held == LINES and weigh_shared(src, i0[row : row + LINES], w0[row : row + LINES], lines)):
            for line in range(held):
                weigh_line(src, step, overshoot, i0[row + line], w0[row + line], lines[line, :width])
        if widest > 0:
            pick_reals(lines, held, widest, bases, places, heavy, overshoot, dst, row)
        else:
            for line in range(held):
                weigh_real_columns(lines[line], step, overshoot, i1, w1, dst[row + line])


@kernel
def pick_reals(lines, held, widest, bases, places, heavy, overshoot, dst, row):
    """Weighted means along lines, for rows of the result from ``row`` on."""
    lanes = 64 // lines.itemsize
    for group in range(bases.size):
        to = min(group * lanes, dst.shape[1] - lanes)
        if widest <= lanes:
            weigh_picked_of_1(lines, held, bases, places, heavy, overshoot, group, dst, row, to)
        elif widest <= 2 * lanes:
            weigh_picked_of_2(lines, held, bases, places, heavy, overshoot, group, dst, row, to)
        elif widest <= 3 * lanes:
            weigh_picked_of_3(lines, held, bases, places, heavy, overshoot, group, dst, row, to)
        else:
            weigh_picked_of_4(lines, held, bases, places, heavy, overshoot, group, dst, row, to)


def weigh_shared(src, rows, weights, lines):
    """The weighted sums of integer rows for `LINES` lines if they share many rows; else returns False."""
    raise NotImplementedError


@overload(weigh_shared)
def _weigh_shared(src, rows, weights, lines):
    if src.dtype == types.uint8 or isinstance(src.dtype, types.Float) or not HAS_AVX512:
        return lambda src, rows, weights, lines: False
    return weigh_shared_rows.py_func


@kernel
def weigh_shared_rows(src, rows, weights, lines):
    width, at_once = src.shape[1], REAL_BYTES // lines.itemsize
    if width < at_once or not share_neighbours(rows):
        return False
    shares = weights.astype(lines.dtype)
    for x in range(0, width, at_once):
        weigh_shared_block(src, rows, shares, min(x, width - at_once), lines)
    return True


@kernel
def share_neighbours(rows):
    """Whether the rows of each line are consecutive, and many are shared between lines."""
    for line in range(len(rows)):
        if rows[line, 0] < rows[max(line - 1, 0), 0]:
            return False
        for tap in range(1, rows.shape[1]):
            if rows[line, tap] != rows[line, 0] + tap:
                return False
    return rows[len(rows) - 1, 0] - rows[0, 0] < rows.shape[1]


def weigh_line(src, step, overshoot, rows, weights, line):
    """The weighted mean of rows; for bytes, colours are multiplied by alpha."""
    raise NotImplementedError


@overload(weigh_line)
def _weigh_line(src, step, overshoot, rows, weights, line):
    if src.dtype == types.uint8:
        return weigh_color_rows.py_func
    return lambda src, step, overshoot, rows, weights, line: weigh_real_rows(src, overshoot, rows, weights, line)


@kernel
def weigh_color_rows(src, step, overshoot, rows, weights, line):
    width, at_once = line.size, REAL_BYTES // line.itemsize
    for x in range(0, width, at_once if width >= at_once else width):
        if width < at_once:
            weigh_few_colors(src, step, rows, weights, line)
        elif step == 4:
            weigh_colors_of_4(src, rows, weights, overshoot, min(x, width - at_once), line)
        else:
            weigh_colors_of_2(src, rows, weights, overshoot, min(x, width - at_once), line)


@kernel
def weigh_few_colors(src, step, rows, weights, line):
    real = line.dtype.type
    for x in range(line.size):
        alpha = x // step * step + step - 1
        line[x] = real(0)
        for tap in range(rows.size):
            share = real(src[rows[tap], alpha]) if x < alpha else real(1)
            product = real(weights[tap]) * (real(src[rows[tap], x]) * share)
            line[x] = product if tap == 0 else line[x] + product


@kernel
def weigh_real_rows(src, overshoot, rows, weights, line):
    """The weighted mean of rows; for floats clipped to the range of its samples plus the overshoot."""
    real, width, at_once = line.dtype.type, line.size, REAL_BYTES // line.itemsize
    if width >= at_once:
        for x in range(0, width, at_once):
            weigh_real_block(src, rows, weights, overshoot, min(x, width - at_once), line)
        return
    for x in range(width):
        low = high = real(src[rows[0], x])
        total = real(weights[0]) * low
        for tap in range(1, rows.size):
            sample = real(src[rows[tap], x])
            total += real(weights[tap]) * sample
            low, high = sample if sample < low else low, sample if sample > high else high
        line[x] = clipped(total, low, high, real(overshoot), src)


def clipped(value, low, high, overshoot, of):
    """A mean, for floats clipped to the range of its samples plus the overshoot; NaN stays NaN."""
    raise NotImplementedError


@overload(clipped)
def _clipped(value, low, high, overshoot, of):
    if not isinstance(of.dtype, types.Float):
        return lambda value, low, high, overshoot, of: value

    def clip(value, low, high, overshoot, of):
        beyond = overshoot * high - overshoot * low
        low, high = low - beyond, high + beyond
        value = low if value < low else value
        return high if value > high else value

    return clip


def real_type(src):
    """The type that images other than uint8 are computed in."""
    raise NotImplementedError


@overload(real_type)
def _real_type(src):
    if src.dtype == types.float64:
        return lambda src: np.float64
    return lambda src: np.float32


def index_type(line):
    """The signed integer type as wide as an element."""
    raise NotImplementedError


@overload(index_type)
def _index_type(line):
    if line.dtype == types.float64:
        return lambda line: np.int64
    return lambda line: np.int32


@kernel
def weigh_columns(line, bits, step, index, weights, target):
    """The weighted sums of samples of a uint8 row, one by one."""
    taps = index.shape[1]
    for col in range(len(index)):
        for channel in range(step):
            total = 1 << 13 + bits
            for tap in range(taps):
                total += weights[col, tap] * line[index[col, tap] * step + channel]
            target[col * step + channel] = np.uint8(min(max(total >> 14 + bits, 0), 255))


@kernel
def weigh_real_columns(line, step, overshoot, index, weights, target):
    """The same in floating point; for floats clipped to the range of the samples plus the overshoot."""
    real = line.dtype.type
    taps = index.shape[1]
    for col in range(len(index)):
        for channel in range(step):
            low = high = line[index[col, 0] * step + channel]
            total = real(weights[col, 0]) * low
            for tap in range(1, taps):
                sample = line[index[col, tap] * step + channel]
                total += real(weights[col, tap]) * sample
                low, high = sample if sample < low else low, sample if sample > high else high
            target[col * step + channel] = stored(clipped(total, low, high, real(overshoot), target), target)
