"""Transpose, with rows or columns reversed: rotation by 90 degrees."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES

# Source rows read at a time. Their cache lines stay in a cache until all pixels are used: pixel by pixel in the first
# level; by squares in the second level, for longer runs of stores.
BLOCK, BLOCK_OF_SQUARES = 64, 1024
SIDE = 16  # of the squares: more rows of vectors than registers would be spilled


@kernel
def fill(src, dst, top, bottom, step, turned_rows, turned_cols):
    """Pixel (i, j) is the source's (j, i), counted from the end if its rows or columns are reversed."""
    rows, cols = src.shape[0], src.shape[1] // step
    stride = -1 if turned_rows else 1
    side = block_side(src) if step == 1 else 1
    block = BLOCK_OF_SQUARES if side > 1 else BLOCK
    for first in range(0, rows, block):
        count = min(block, rows - first)
        begin = rows - 1 - first if turned_rows else first
        squares = count // side * side if side > 1 else 0
        row = top
        while squares > 0 and row + side <= bottom:
            # The block's columns in the source's order: if reversed, the last one is the first row.
            col = cols - row - side if turned_cols else row
            for at in range(0, squares, side):
                last = row + side - 1 if turned_cols else row
                turn_square(src, begin + stride * at, stride, col, dst, last, -1 if turned_cols else 1, first + at)
            gather_rows(src, begin, stride, squares, count, step, dst, row, row + side, first, cols, turned_cols)
            row += side
        gather_rows(src, begin, stride, 0, count, step, dst, row, bottom, first, cols, turned_cols)


@kernel
def gather_rows(src, begin, stride, skip, count, step, dst, top, bottom, first, cols, turned_cols):
    """Copy the pixels from ``skip`` to ``count`` of a block in rows [top, bottom), one at a time."""
    for row in range(top, bottom):
        col = (cols - 1 - row if turned_cols else row) * step
        out = dst[row, (first + skip) * step : (first + count) * step]
        if step == 3:
            gather_colors(src, begin + stride * skip, stride, np.uintp(col), out)
        else:
            gather(src, begin + stride * skip, stride, col, step, out)


@kernel
def gather_colors(src, first, stride, col, out):
    row = first
    for x in range(np.uintp(out.size // 3)):
        source, at = np.uintp(row), np.uintp(3) * x
        out[at] = src[source, col]
        out[at + np.uintp(1)] = src[source, col + np.uintp(1)]
        out[at + np.uintp(2)] = src[source, col + np.uintp(2)]
        row += stride


@kernel
def gather(src, first, stride, col, step, out):
    """Gather the pixels of one column, from row ``first`` on."""
    row = first
    for x in range(0, out.size, step):
        for channel in range(step):
            out[x + channel] = src[np.uintp(row), np.uintp(col + channel)]
        row += stride


def block_side(array):
    """The side of the squares that `turn_square` transposes."""
    raise NotImplementedError


def _side(kind):
    return min(SIDE, VECTOR_BYTES * 8 // kind.bitwidth)


@overload(block_side)
def _block_side(array):
    side = _side(array.dtype)
    return lambda array: side


@intrinsic
def turn_square(_context, src, row, row_stride, col, dst, out_row, out_stride, out_col):
    """Transpose a square: read from (row, col) on, written from (out_row, out_col) on, row by row.

    Each round interleaves the rows of the first half with those of the second; log2(side) rounds transpose the square
    [1].

    .. [1] H. S. Stone, "Parallel processing with the perfect shuffle", IEEE Transactions on Computers C-20, 1971.
    """

    def build(context, builder, signature, arguments):
        src_, row_, row_stride_, col_, dst_, out_row_, out_stride_, out_col_ = arguments
        side = _side(src.dtype)
        vector = ir.VectorType(context.get_data_type(src.dtype), side)
        word = ir.IntType(64)

        def place(array_type, held, row, stride, col):
            array = context.make_array(array_type)(context, builder, held)
            width = builder.extract_value(array.shape, 1)
            base = builder.gep(array.data, [builder.add(builder.mul(row, width), col)])
            return base, builder.mul(stride, width)

        def pointer(base, step, number):
            return builder.bitcast(builder.gep(base, [builder.mul(step, word(number))]), vector.as_pointer())

        base, step = place(src, src_, row_, row_stride_, col_)
        align = src.dtype.bitwidth // 8
        rows = [builder.load(pointer(base, step, number), align=align) for number in range(side)]
        for _ in range(side.bit_length() - 1):
            rows = [
                builder.shuffle_vector(rows[number], rows[number + side // 2], _interleaved(side, half))
                for number in range(side // 2)
                for half in (0, 1)
            ]
        base, step = place(dst, dst_, out_row_, out_stride_, out_col_)
        for number, values in enumerate(rows):
            builder.store(values, pointer(base, step, number), align=align)
        return context.get_dummy_value()

    index = types.int64
    return types.none(src, index, index, index, dst, index, index, index), build


def _interleaved(side, half):
    """The shuffle that interleaves the first or second halves of two vectors."""
    order = [place for at in range(side // 2) for place in (half * side // 2 + at, side + half * side // 2 + at)]
    return ir.Constant(ir.VectorType(ir.IntType(32), side), order)
