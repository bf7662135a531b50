"""Rows, then columns, as weighted sums of a few samples each, which tables name.

uint8 counts in 16384ths: a row is kept in 256ths of a grey level, and the last sum is rounded to whole ones. The other
types are summed in floating point, tap after tap. One tap for both axes is a mere copy.
"""

import numpy as np
from gpuimg.kernels.cpu.borders import kernel
from numba import types
from numba.extending import overload


@kernel
def fill(src, dst, top, bottom, step, i0, w0, q0, i1, w1, q1):
    if i0.shape[1] == 1 and i1.shape[1] == 1:
        pick(src, dst, top, bottom, step, i0, i1)
        return
    down, along = chosen(src, w0, q0), chosen(src, w1, q1)
    line = np.empty(src.shape[1], down.dtype)
    for row in range(top, bottom):
        add_rows(src, i0[row], down[row], line)
        add_columns(line, step, i1, along, dst[row])


@kernel
def pick(src, dst, top, bottom, step, i0, i1):
    """Copy single samples."""
    columns = np.empty(dst.shape[1], np.int64)
    for x in range(columns.size):
        columns[x] = i1[x // step, 0] * step + x % step
    for row in range(top, bottom):
        source, target = src[i0[row, 0]], dst[row]
        if row > top and i0[row, 0] == i0[row - 1, 0]:
            target[:] = dst[row - 1]
            continue
        for x in range(target.size):
            target[x] = source[columns[x]]


def chosen(src, weights, fixed):
    """The weights in the type that sums are made in."""
    raise NotImplementedError


@overload(chosen)
def _chosen(src, weights, fixed):
    if src.dtype == types.uint8:
        return lambda src, weights, fixed: fixed
    if src.dtype == types.float64:
        return lambda src, weights, fixed: weights
    return lambda src, weights, fixed: weights.astype(np.float32)


def kept(total, like):
    """What is kept of a sum along a column until the sum along the row."""
    raise NotImplementedError


@overload(kept)
def _kept(total, like):
    if like == types.uint8:
        return lambda total, like: np.int32((total + 32) >> 6)
    return lambda total, like: total


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
def add_rows(src, index, weights, line):
    """The weighted sum of some rows."""
    row, weight = src[index[0]], weights[0]
    for x in range(line.size):
        line[x] = weight * line.dtype.type(row[x])
    for tap in range(1, index.size):
        row, weight = src[index[tap]], weights[tap]
        for x in range(line.size):
            line[x] += line.dtype.type(weight * line.dtype.type(row[x]))
    zero = src.dtype.type(0)
    for x in range(line.size):
        line[x] = kept(line[x], zero)


@kernel
def add_columns(line, step, index, weights, target):
    """The weighted sums of some samples of a row."""
    like = target.dtype.type(0)
    for col in range(len(index)):
        for channel in range(step):
            total = weights.dtype.type(weights[col, 0] * line[index[col, 0] * step + channel])
            for tap in range(1, index.shape[1]):
                product = weights.dtype.type(weights[col, tap] * line[index[col, tap] * step + channel])
                total = weights.dtype.type(total + product)
            target[col * step + channel] = rounded(total, like)
