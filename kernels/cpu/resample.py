"""Rows, then columns, as weighted sums of a few samples each, which tables name.

uint8 counts in 16384ths: a row is kept in 256ths of a grey level, and the last sum is rounded to whole ones. The other
types are summed in floating point, tap after tap. One tap for both axes is a mere copy.
"""

import numpy as np
from numba import literally, types
from numba.extending import overload

from gpuimg.kernels.cpu.borders import kernel
from gpuimg.kernels.cpu.gathers import (
    BIAS,
    CAN_PICK,
    ROW_PIXELS,
    copy_bytes,
    group_start,
    none_negative,
    plan_picks,
    weigh_picked,
    weigh_picked_pairs,
    weigh_rows,
)

LANES = 16  # uint8 pixels that `weigh_picked_pairs` makes at once
REACH = 64  # elements of a line that it picks from


@kernel
def fill(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    if i0.shape[1] == 1 and i1.shape[1] == 1:
        pick(src, dst, top, bottom, step, i0, i1)
    else:
        weigh(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1)


@kernel
def pick(src, dst, top, bottom, step, i0, i1):
    """Copy single samples."""
    columns = np.empty(len(i1), np.uint32)
    for col in range(columns.size):
        columns[col] = i1[col, 0] * step
    size = step * src.itemsize
    # Pixels that can be copied with some bytes more, which the next pixels then cover.
    chunk = 4 if size <= 4 else 8 if size <= 8 else 16
    more = (chunk + src.itemsize - 1) // src.itemsize
    loose = 0
    while step > 1 and size <= 16 and loose + more < columns.size and columns[loose] + more <= src.shape[1]:
        loose += 1
    for row in range(top, bottom):
        source, target = src[i0[row, 0]], dst[row]
        if row > top and i0[row, 0] == i0[row - 1, 0]:
            target[:] = dst[row - 1]
        elif step == 1:
            pick_single(source, columns, target)
        else:
            if chunk == 4:
                pick_loosely(source, columns, step, loose, target, 4)
            elif chunk == 8:
                pick_loosely(source, columns, step, loose, target, 8)
            else:
                pick_loosely(source, columns, step, loose, target, 16)
            for col in range(loose, columns.size):
                for channel in range(step):
                    target[col * step + channel] = source[columns[col] + channel]


@kernel
def pick_single(source, columns, target):
    for x in range(target.size):
        target[x] = source[columns[x]]


@kernel
def pick_loosely(source, columns, step, count, target, size):
    for col in range(count):
        copy_bytes(source, columns[col], target, col * step, literally(size))


def weigh(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    """Weighted sums, in the arithmetic that suits the type."""
    raise NotImplementedError


@overload(weigh)
def _weigh(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    if src.dtype == types.uint8:
        return lambda src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1: weigh_bytes(
            src, dst, top, bottom, step, i0, q0, i1, q1
        )
    real = np.float64 if src.dtype == types.float64 else np.float32
    return lambda src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1: weigh_reals(
        src, dst, top, bottom, step, i0, w0.astype(real), i1, w1.astype(real)
    )


@kernel
def weigh_bytes(src, dst, top, bottom, step, i0, q0, i1, q1):
    count = dst.shape[1]
    if CAN_PICK and count >= LANES and none_negative(q0) and none_negative(q1):
        groups = (count + LANES - 1) // LANES
        bases = np.empty(groups, np.int64)
        places = np.zeros((groups, (q1.shape[1] + 1) // 2, 2 * LANES), np.int16)
        heavy = np.zeros(places.shape, np.int16)
        if plan_picks(step, i1, q1, LANES, REACH, 2, bases, places, heavy):
            line = np.empty(src.shape[1] + REACH, np.int16)
            for row in range(top, bottom):
                weigh_byte_rows(src, i0[row], q0[row], line)
                for group in range(groups):
                    weigh_picked_pairs(line, bases, places, heavy, group, dst[row], group_start(group, LANES, count))
            return
    wide = np.empty(src.shape[1], np.int32)
    for row in range(top, bottom):
        weigh_byte_rows(src, i0[row], q0[row], wide)
        weigh_columns(wide, step, i1, q1, dst[row])


@kernel
def weigh_byte_rows(src, rows, weights, line):
    """The weighted sum of some rows in 256ths; less `BIAS` where the line has 16 bits."""
    width = src.shape[1]
    if width < ROW_PIXELS:
        for x in range(width):
            total = 32
            for tap in range(rows.size):
                total += weights[tap] * src[rows[tap], x]
            line[x] = (total >> 6) - (BIAS if line.itemsize == 2 else 0)
        return
    for x in range(0, width - ROW_PIXELS, ROW_PIXELS):
        weigh_rows(src, rows, weights, x, line)
    weigh_rows(src, rows, weights, width - ROW_PIXELS, line)


@kernel
def weigh_reals(src, dst, top, bottom, step, i0, w0, i1, w1):
    count = dst.shape[1]
    lanes = 64 // w0.itemsize
    line = np.zeros(src.shape[1] + 2 * lanes, w0.dtype)
    sums = np.empty(count, w0.dtype)
    groups = (count + lanes - 1) // lanes
    bases = np.empty(groups, np.int64)
    places = np.zeros((groups, w1.shape[1], lanes), index_type(w1))
    heavy = np.zeros(places.shape, w1.dtype)
    picks = CAN_PICK and count >= lanes and plan_picks(step, i1, w1, lanes, 2 * lanes, 1, bases, places, heavy)
    for row in range(top, bottom):
        weigh_real_rows(src, i0[row], w0[row], line[: src.shape[1]])
        if picks:
            for group in range(groups):
                weigh_picked(line, bases, places, heavy, group, sums, group_start(group, lanes, count))
            for x in range(count):
                dst[row, x] = rounded(sums[x], dst.dtype.type(0))
        else:
            weigh_columns(line, step, i1, w1, dst[row])


@kernel
def weigh_real_rows(src, rows, weights, line):
    """The weighted sum of some rows."""
    real = line.dtype.type
    one, weight = src[rows[0]], weights[0]
    if rows.size == 1:
        for x in range(line.size):
            line[x] = weight * real(one[x])
        return
    other, second = src[rows[1]], weights[1]
    for x in range(line.size):
        line[x] = weight * real(one[x]) + second * real(other[x])
    for tap in range(2, rows.size):
        one, weight = src[rows[tap]], weights[tap]
        for x in range(line.size):
            line[x] += weight * real(one[x])


def index_type(weights):
    """The signed integer as wide as a weight."""
    raise NotImplementedError


@overload(index_type)
def _index_type(weights):
    if weights.dtype == types.float64:
        return lambda weights: np.int64
    return lambda weights: np.int32


def rounded(total, like):
    """A sum as a value of the image's type, the same as ``like``'s: rounded half to even and saturated."""
    raise NotImplementedError


@overload(rounded)
def _rounded(total, like):
    if isinstance(like, types.Float):
        return lambda total, like: total
    if like == types.uint8:
        return lambda total, like: np.uint8(min(max((total + (1 << 21)) >> 22, 0), 255))
    cast = np.dtype(str(like)).type
    low, high = np.float32(np.iinfo(cast).min), np.float32(np.iinfo(cast).max)
    return lambda total, like: cast(min(max(np.rint(total), low), high))


@kernel
def weigh_columns(line, step, index, weights, target):
    """The weighted sums of some samples of a row."""
    like = target.dtype.type(0)
    for col in range(len(index)):
        for channel in range(step):
            total = weights.dtype.type(weights[col, 0] * line[index[col, 0] * step + channel])
            for tap in range(1, index.shape[1]):
                product = weights.dtype.type(weights[col, tap] * line[index[col, tap] * step + channel])
                total = weights.dtype.type(total + product)
            target[col * step + channel] = rounded(total, like)
