"""A symmetric kernel down the columns, then along the rows.

uint8 with short kernels is summed in fixed point, 16 bits a value (sums down the columns in 256ths), everything else in
floating point. Wide images are convolved in strips of columns whose rows stay in the second-level cache. With long
kernels, a block of rows is transposed before the sums along rows, so that neighbours are aligned vectors.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import CONSTANT, WRAP, kernel
from gpuimg.kernels.lib.numbers import rounding
from gpuimg.kernels.lib.rows import (
    copy_columns,
    edge_columns,
    neighbour_addresses,
    pad_edges,
    pixels_at_once,
    row_addresses,
    weigh,
    weigh_block,
    weigh_two,
    weigh_two_block,
)
from gpuimg.kernels.lib.scratch import aligned
from gpuimg.kernels.transform.transpose import block_side, turn_square

ROWS_AT_ONCE = 8
PIECE_BYTES = 1 << 14  # of source rows summed at a time, at least eight vectors of each
TURNED_FROM = 16  # radius from which sums along rows use transposed rows
WHOLE_BYTES = 3 << 18  # of source rows and sums, which stay in the second-level cache; more are processed in strips
STRIP_BYTES = 1 << 19  # of source rows and sums in a strip
MIN_STRIP = 1024  # elements of a strip
TURNED_PIECE = 256  # elements of a row that are transposed at a time


def variant(src, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    """Fixed or floating point, and whether blocks of rows are transposed; each variant is compiled separately."""
    if src.dtype == np.uint8 and q0.size > r0 and q1.size > r1:  # longer kernels have no weights in fixed point
        return "fill_fixed_turned" if r1 >= TURNED_FROM else "fill_fixed"
    return "fill_turned" if r1 >= TURNED_FROM else "fill_plain"


@kernel
def fill_plain(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    down, along, outside = in_type_of_sums(src, w0, w1, cval)
    near0, near1 = rounding(down), rounding(along)
    convolve(src, dst, top, bottom, stop, step, mode, cval, r0, r1, down, along, near0, near1, outside)


@kernel
def fill_turned(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    down, along, outside = in_type_of_sums(src, w0, w1, cval)
    near0, near1 = rounding(down), rounding(along)
    convolve_turned(src, dst, top, bottom, stop, step, mode, cval, r0, r1, down, along, near0, near1, outside)


@kernel
def fill_fixed(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    outside, near0, near1 = np.uint16(np.uint16(cval) << np.uint16(8)), np.uint16(o0), np.uint16(o1)
    convolve(src, dst, top, bottom, stop, step, mode, cval, r0, r1, q0, q1, near0, near1, outside)


@kernel
def fill_fixed_turned(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, q0, q1, o0, o1):
    outside, near0, near1 = np.uint16(np.uint16(cval) << np.uint16(8)), np.uint16(o0), np.uint16(o1)
    convolve_turned(src, dst, top, bottom, stop, step, mode, cval, r0, r1, q0, q1, near0, near1, outside)


def in_type_of_sums(src, down, along, cval):
    """Weights and a border value of float64 for images of float64, else of float32."""
    raise NotImplementedError


@overload(in_type_of_sums)
def _in_type_of_sums(src, down, along, cval):
    if src.dtype == types.float64:
        return lambda src, down, along, cval: (down, along, cval)
    return lambda src, down, along, cval: (down.astype(np.float32), along.astype(np.float32), np.float32(cval))


def _convolver(can_turn):
    """Make the convolution, with or without the code that transposes blocks of rows."""

    @kernel
    def convolve(src, dst, top, bottom, stop, step, mode, cval, r0, r1, down, along, o0, o1, outside):
        """Convolve strip by strip, each from top to bottom: source rows stay in the second-level cache until the last
        sum that needs them."""
        width, halo = src.shape[1], r1 * step
        side = max(pixels_at_once(down, down), block_side(down), block_side(dst))
        turned = can_turn and bottom - top >= side and width >= side
        at_once = min(side if turned else ROWS_AT_ONCE, bottom - top)
        held = (2 * r0 + at_once) * src.itemsize + at_once * down.itemsize
        longest = max(width if held * width < WHOLE_BYTES else STRIP_BYTES // held, 4 * halo, MIN_STRIP, step)
        strips = (width // step + longest // step - 1) // (longest // step)
        length = (width // step + strips - 1) // strips * step
        lines = np.empty((at_once, length + 2 * halo), down.dtype)
        border = np.full(width if mode == CONSTANT else 0, src.dtype.type(cval))
        columns = edge_columns(r1, r1, width // step, mode)
        rows, shifts = np.empty(2 * r0 + at_once, np.int64), np.empty(2 * r1 + 2, np.int64)
        piece = min(width // step // strips * step, max(TURNED_PIECE, 2 * halo)) if turned else 0
        if can_turn:
            tall = piece + 2 * halo if turned else 0
            tile = aligned(tall * side, down).reshape((tall, side))
            results = aligned(piece * side, dst).reshape((piece, side))
        for strip in range(strips):
            start, end = width // step * strip // strips * step, width // step * (strip + 1) // strips * step
            for first in range(top, bottom, at_once):
                count = min(at_once, bottom - first)
                row_addresses(src, first - r0, mode, border, rows[: 2 * r0 + count])
                sums = lines[:count, : end - start + 2 * halo]
                weigh_padded_columns(src, rows, start - halo, down, r0, o0, sums, stop, step, mode, columns, outside)
                if can_turn and turned and count == side:
                    neighbour_addresses(tile.reshape(-1), step * side, shifts)
                    for at in range(start, end, piece):
                        if is_set(stop):
                            return
                        begin = min(at, end - piece)
                        turn(lines, 0, begin - start, tile, 0, 0, side, len(tile))
                        weigh_turned(shifts, tile, step, along, r1, o1, results)
                        turn(results, 0, 0, dst, first, begin, piece, side)
                else:
                    for slot in range(count):
                        neighbour_addresses(sums[slot], step, shifts)
                        weigh(shifts, sums, 0, along, r1, o1, dst[first + slot, start:end], stop)

    return convolve


convolve, convolve_turned = _convolver(False), _convolver(True)


@kernel
def weigh_padded_columns(src, rows, first, weights, radius, offset, lines, stop, step, mode, columns, outside):
    """The sums down the columns from ``first`` on, some of which may be beyond the edge."""
    width = src.shape[1]
    last = first + lines.shape[1]
    before, after = max(-first, 0), max(last - width, 0)
    inner = lines[:, before : lines.shape[1] - after]
    weigh_columns(src, rows, first + before, weights, radius, offset, inner, stop)
    if before > 0 and after > 0:
        for slot in range(len(lines)):
            pad_edges(lines[slot], width, columns, columns.size // 2, step, outside)
    elif before > 0 or after > 0:
        half = columns.size // 2
        beyond, to = (columns[:half], 0) if before > 0 else (columns[half:], lines.shape[1] - after)
        weigh_columns_beyond(src, rows, beyond, -first, weights, radius, offset, lines, to, stop, step, mode, outside)


@kernel
def weigh_columns_beyond(src, rows, columns, origin, weights, radius, offset, lines, to, stop, step, mode, outside):
    """The sums beyond one edge, from ``to`` on; those of column 0 would be at ``origin``."""
    if mode == WRAP:
        out = lines[:, to : to + columns.size * step]
        weigh_columns(src, rows, columns[0] * step, weights, radius, offset, out, stop)
        return
    for line in lines:
        copy_columns(line, columns, 0, columns.size, origin, to, step, outside)


@kernel
def turn(src, row, col, dst, out_row, out_col, rows, cols):
    """Transpose a rectangle of at least one square on each side."""
    side = block_side(src)
    for at in range(0, rows, side):
        top = min(at, rows - side)
        for x in range(0, cols, side):
            left = min(x, cols - side)
            turn_square(src, row + top, 1, col + left, dst, out_row + left, 1, out_col + top)


@kernel
def weigh_turned(shifts, tile, step, weights, radius, offset, results):
    """The sums along transposed rows: each vector holds a column of them, so there are no unaligned loads."""
    size, side = results.shape
    line, out = tile.reshape(-1), results.reshape(-1)
    pixels, reach = pixels_at_once(tile, weights), step * side
    place = 0
    while place + 2 * step <= size:
        begin = place * side
        targets = out[begin : begin + reach], out[begin + reach : begin + 2 * reach]
        for at in range(0, reach, pixels):
            weigh_two_block(shifts, line, begin + at, weights, radius, offset, targets, at)
        place += 2 * step
    for at in range(place * side, size * side, pixels):
        weigh_block(shifts, line, at, weights, radius, offset, out, at)


@kernel
def weigh_columns(src, rows, first, weights, radius, offset, lines, stop):
    """The sums down the columns for adjacent rows."""
    count, width = lines.shape
    pixels = pixels_at_once(src, weights)
    piece = max(PIECE_BYTES // ((2 * radius + count) * src.itemsize) // (4 * pixels), 2) * 4 * pixels
    for start in range(0, width, piece):
        begin = max(0, min(start, width - pixels))
        end = min(start + piece, width)
        for slot in range(0, count - 1, 2):
            targets = lines[slot, begin:end], lines[slot + 1, begin:end]
            weigh_two(rows[slot:], src, first + begin, weights, radius, offset, targets, stop)
        if count % 2:
            weigh(rows[count - 1 :], src, first + begin, weights, radius, offset, lines[count - 1, begin:end], stop)
