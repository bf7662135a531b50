"""Rows, then columns, as weighted sums of a few samples each, which tables name.

uint8 counts in 16384ths: a row is kept in 256ths of a grey level, and the last sum is rounded to whole ones. The other
types are summed in floating point, tap after tap.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.exposure.minmax import value_range
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.gathers import (
    BIAS,
    ROW_PIXELS,
    none_negative,
    plan_picks,
    weigh_picked,
    weigh_picked_pairs,
    weigh_rows,
)
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.target import HAS_AVX512

LANES = 16  # uint8 pixels that `weigh_picked_pairs` makes at once
REACH = 128  # elements of a line that it picks from


@kernel
def fill(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    weigh(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1)


def weigh(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    """Weighted sums, in the arithmetic that suits the type."""
    raise NotImplementedError


@overload(weigh)
def _weigh(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    return weigh_bytes if src.dtype == types.uint8 else weigh_reals


def weigh_bytes(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    count = dst.shape[1]
    if HAS_AVX512 and count >= LANES and none_negative(q0) and none_negative(q1):
        groups = (count + LANES - 1) // LANES
        bases = np.empty(groups, np.int64)
        places = np.empty(groups * ((q1.shape[1] + 1) // 2) * 2 * LANES, np.int16)
        heavy = np.empty(places.size, np.int16)
        if plan_picks(step, i1, q1, LANES, REACH, 2, bases, places, heavy):
            line = np.empty(src.shape[1] + REACH, np.int16)
            for row in range(top, bottom):
                weigh_byte_rows(src, i0[row], q0[row], line)
                for group in range(groups):
                    weigh_picked_pairs(line, bases, places, heavy, group, dst[row], min(group * LANES, count - LANES))
            return
    wide = np.empty(src.shape[1], np.int32)
    for row in range(top, bottom):
        weigh_byte_rows(src, i0[row], q0[row], wide)
        weigh_columns(wide, step, i1, q1, dst[row])


@kernel
def weigh_byte_rows(src, rows, weights, line):
    """The weighted sum of some rows in 256ths; minus `BIAS` where the line has 16 bits."""
    width = src.shape[1]
    if width < ROW_PIXELS:
        for x in range(width):
            total = 32
            for tap in range(rows.size):
                total += weights[tap] * src[rows[tap], x]
            line[x] = (total >> 6) - (BIAS if line.itemsize == 2 else 0)
        return
    for x in range(0, width, ROW_PIXELS):
        weigh_rows(src, rows, weights, min(x, width - ROW_PIXELS), line)


def weigh_reals(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    count = dst.shape[1]
    line = np.empty(src.shape[1] + REACH, real_type(src))
    sums = np.empty(count, line.dtype)
    lanes = 64 // line.itemsize
    groups = (count + lanes - 1) // lanes
    bases = np.empty(groups, np.int64)
    places = np.empty(groups * w1.shape[1] * lanes, index_type(line))
    heavy = np.empty(places.size, line.dtype)
    picks = HAS_AVX512 and count >= lanes and plan_picks(step, i1, w1, lanes, 4 * lanes, 1, bases, places, heavy)
    first, ranges = ranges_for(src, dst, i0[top:bottom])
    for row in range(top, bottom):
        weigh_real_rows(src, i0[row], w0[row], line[: src.shape[1]])
        target = dst[row]
        if picks:
            out = sums_line(sums, target)
            for group in range(groups):
                weigh_picked(line, bases, places, heavy, group, out, min(group * lanes, count - lanes))
            store_sums(out, target)
        else:
            weigh_columns(line, step, i1, w1, target)
        keep_in_range(target, src, i0[row], first, ranges)


def ranges_for(src, dst, samples):
    """For floats: the first row among samples, and room for the minimum and maximum of each row from it on."""
    raise NotImplementedError


@overload(ranges_for)
def _ranges_for(src, dst, samples):
    if not isinstance(dst.dtype, types.Float):
        return lambda src, dst, samples: (0, np.empty((0, 2), np.float64))

    def make(src, dst, samples):
        first = samples.min()
        return first, np.full((samples.max() - first + 1, 2), np.nan, src.dtype)

    return make


def keep_in_range(target, src, rows, first, ranges):
    """Clip floats to the range of the rows that they come from, which rounding may leave."""
    raise NotImplementedError


@overload(keep_in_range)
def _keep_in_range(target, src, rows, first, ranges):
    if not isinstance(target.dtype, types.Float):
        return lambda target, src, rows, first, ranges: None

    def keep(target, src, rows, first, ranges):
        number = target.dtype.type
        low, high = number(np.inf), number(-np.inf)
        for row in rows:
            known = ranges[row - first]
            if known[0] != known[0]:
                least, most = value_range(src[row])
                # A row with NaN may have any other value, too.
                known[0], known[1] = (-np.inf, np.inf) if least != least else (least, most)
            low, high = min(low, known[0]), max(high, known[1])
        for x in range(target.size):
            value = target[x]
            value = low if value < low else value
            target[x] = high if value > high else value

    return keep


@kernel
def weigh_real_rows(src, rows, weights, line):
    """The weighted sum of some rows."""
    real = line.dtype.type
    one, weight = src[rows[0]], real(weights[0])
    if rows.size == 1:
        for x in range(line.size):
            line[x] = weight * real(one[x])
        return
    other, second = src[rows[1]], real(weights[1])
    for x in range(line.size):
        line[x] = weight * real(one[x]) + second * real(other[x])
    for tap in range(2, rows.size):
        one, weight = src[rows[tap]], real(weights[tap])
        for x in range(line.size):
            line[x] += weight * real(one[x])


def real_type(src):
    """What an image that is not of bytes is computed in."""
    raise NotImplementedError


@overload(real_type)
def _real_type(src):
    if src.dtype == types.float64:
        return lambda src: np.float64
    return lambda src: np.float32


def index_type(line):
    """The signed integer as wide as an element."""
    raise NotImplementedError


@overload(index_type)
def _index_type(line):
    if line.dtype == types.float64:
        return lambda line: np.int64
    return lambda line: np.int32


def sums_line(sums, target):
    """Where sums are written to: the target itself if it is of their type, else ``sums``."""
    raise NotImplementedError


@overload(sums_line)
def _sums_line(sums, target):
    if sums.dtype == target.dtype:
        return lambda sums, target: target
    return lambda sums, target: sums


def store_sums(sums, target):
    """Round sums into the target, if they do not stand there already."""
    raise NotImplementedError


@overload(store_sums)
def _store_sums(sums, target):
    if sums.dtype == target.dtype:
        return lambda sums, target: None

    def store(sums, target):
        for x in range(sums.size):
            target[x] = stored(sums[x], target)

    return store


def finished(total, target):
    """A sum along a row as a value of the target's type."""
    raise NotImplementedError


@overload(finished)
def _finished(total, target):
    if target.dtype == types.uint8:
        return lambda total, target: np.uint8(min(max((total + (1 << 21)) >> 22, 0), 255))
    return lambda total, target: stored(total, target)


@kernel
def weigh_columns(line, step, index, weights, target):
    """The weighted sums of some samples of a row, one by one."""
    exact = line.dtype.type
    taps = index.shape[1]
    for col in range(len(index)):
        for channel in range(step):
            total = exact(weights[col, 0]) * line[index[col, 0] * step + channel]
            for tap in range(1, taps):
                total += exact(weights[col, tap]) * line[index[col, tap] * step + channel]
            target[col * step + channel] = finished(total, target)
