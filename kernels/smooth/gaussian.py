"""A symmetric kernel down the columns, then along the rows.

uint8 with short kernels counts in fixed point, 16 bits a value, in which a result of uint16 stays (in 256ths); all else
in floating point. Some output rows are
made at a time: down the columns in pieces short enough that the source rows of a piece stay in the first-level cache.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import CONSTANT, kernel
from gpuimg.kernels.lib.numbers import rounding
from gpuimg.kernels.lib.rows import (
    edge_columns,
    neighbour_addresses,
    pad_edges,
    pixels_at_once,
    row_addresses,
    weigh,
    weigh_two,
)

ROWS_AT_ONCE = 8
LINES_BYTES = 1 << 18  # unfinished rows should stay in the second-level cache
PIECE_BYTES = 1 << 14


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    smooth(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1)


def smooth(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    raise NotImplementedError


@overload(smooth)
def _smooth(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    if src.dtype == types.uint8:
        return smooth_bytes
    if src.dtype == types.float64:
        return smooth_doubles
    return smooth_floats.py_func


def smooth_bytes(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    if q0.size > r0 and q1.size > r1:  # longer kernels have no weights in fixed point
        outside = np.uint16(np.uint16(cval) << np.uint16(8))
        convolve(src, dst, top, bottom, stop, step, mode, cval, r0, r1, q0, q1, np.uint16(o0), np.uint16(o1), outside)
    else:
        smooth_floats(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1)


@kernel
def smooth_floats(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    down, along = w0.astype(np.float32), w1.astype(np.float32)
    near0, near1 = rounding(down), rounding(along)
    convolve(src, dst, top, bottom, stop, step, mode, cval, r0, r1, down, along, near0, near1, np.float32(cval))


def smooth_doubles(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    convolve(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, rounding(w0), rounding(w1), cval)


@kernel
def convolve(src, dst, top, bottom, stop, step, mode, cval, r0, r1, down, along, o0, o1, outside):
    width = src.shape[1]
    length = width + 2 * r1 * step
    at_once = min(max(1, LINES_BYTES // (length * down.itemsize)), ROWS_AT_ONCE, bottom - top)
    lines = np.empty((at_once, length), down.dtype)
    border = np.full(width if mode == CONSTANT else 0, src.dtype.type(cval))
    columns = edge_columns(r1, r1, width // step, mode)
    rows, shifts = np.empty(2 * r0 + at_once, np.int64), np.empty(2 * r1 + 1, np.int64)
    for first in range(top, bottom, at_once):
        count = min(at_once, bottom - first)
        row_addresses(src, first - r0, mode, border, rows[: 2 * r0 + count])
        weigh_columns(src, rows, down, r0, o0, lines[:count, r1 * step : r1 * step + width], stop)
        for slot in range(count):
            line = lines[slot]
            pad_edges(line, width, columns, r1, step, outside)
            neighbour_addresses(line, step, shifts)
            weigh(shifts, line, 0, along, r1, o1, dst[first + slot], stop)


@kernel
def weigh_columns(src, rows, weights, radius, offset, lines, stop):
    """The sums down the columns for neighbouring rows."""
    count, width = lines.shape
    pixels = pixels_at_once(src, weights)
    piece = max(PIECE_BYTES // ((2 * radius + count) * src.itemsize) // (4 * pixels), 1) * 4 * pixels
    for start in range(0, width, piece):
        begin = max(0, min(start, width - pixels))
        end = min(start + piece, width)
        for slot in range(0, count - 1, 2):
            targets = lines[slot, begin:end], lines[slot + 1, begin:end]
            weigh_two(rows[slot:], src, begin, weights, radius, offset, targets, stop)
        if count % 2:
            weigh(rows[count - 1 :], src, begin, weights, radius, offset, lines[count - 1, begin:end], stop)
