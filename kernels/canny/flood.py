"""Flood fill, pixel by pixel, from strong pixels to weak ones that touch them: at their edges, and with ``reach`` 1
also at their corners."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import _splat
from gpuimg.kernels.lib.runs import WORD, lowest_bit

STRONG, WEAK = 1, 2  # bits; strong equals True
FEW = 1024
SHIFT = 32  # of the row index, above the index of an element in the row


@intrinsic
def bits_of(_context, line, at, wanted):
    """A bit for each of `WORD` bytes from ``at`` on: whether any of the wanted bits is set."""

    def build(context, builder, signature, arguments):
        values, at, wanted = arguments
        vector = ir.VectorType(ir.IntType(8), WORD)
        place = builder.gep(context.make_array(line)(context, builder, values).data, [at])
        found = builder.load(builder.bitcast(place, vector.as_pointer()), align=1)
        found = builder.and_(found, _splat(builder, wanted, WORD))
        return builder.bitcast(builder.icmp_unsigned("!=", found, ir.Constant(vector, [0] * WORD)), ir.IntType(WORD))

    return types.uint64(line, types.int64, types.uint8), build


@kernel
def flood_row(edges, row, first, last, step, reach, waiting, stop):
    """Flood from all strong pixels of a row, within rows ``first`` to ``last``; see `flood`."""
    line = edges[row]
    x = 0
    while x + WORD <= line.size:
        bits = bits_of(line, x, np.uint8(STRONG))
        while bits:
            waiting = flood(edges, row, x + lowest_bit(bits), first, last, step, reach, waiting, stop)
            bits &= bits - np.uint64(1)
        x += WORD
    for col in range(x, line.size):
        if line[col] == STRONG:
            waiting = flood(edges, row, col, first, last, step, reach, waiting, stop)
    return waiting


@kernel
def flood(edges, row, col, first, last, step, reach, waiting, stop):
    """Mark all weak pixels linked with a strong one as strong, within some rows, unless stopped. ``waiting`` is the
    stack of pixels whose neighbours are still to be visited. Returns it, or a larger one."""
    width = edges.shape[1]
    waiting[0] = (row << SHIFT) + col
    count = 1
    while count and not is_set(stop):
        count -= 1
        place = waiting[count]
        row = place >> SHIFT
        col = place - (row << SHIFT)
        left = col - step if col >= step else col
        right = col + step if col + step < width else col
        for near in range(max(row - 1, first), min(row + 2, last)):
            line = edges[near]
            whole = reach == 1 or near == row
            for adjacent in range(left if whole else col, (right if whole else col) + 1, step):
                if line[np.uintp(adjacent)] == WEAK:
                    line[np.uintp(adjacent)] = STRONG
                    if count == waiting.size:
                        waiting = longer(waiting)
                    waiting[count] = (near << SHIFT) + adjacent
                    count += 1
    return waiting


@kernel
def longer(waiting):
    """A copy with twice the memory."""
    more = np.empty(2 * waiting.size, np.int64)
    for place in range(waiting.size):
        more[place] = waiting[place]
    return more
