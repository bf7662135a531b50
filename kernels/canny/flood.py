"""Spreads from strong pixels to weak ones that touch them, by looking at single pixels: at their edges, and with
``reach`` 1 at their corners too."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import _splat
from gpuimg.kernels.lib.runs import WORD, lowest_bit

STRONG, WEAK = 1, 2  # in bits; strong is what True is
FEW = 1024
SHIFT = 32  # of a row's number, above that of an element in it


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
    """Flood from all the strong pixels of a row, inside of the rows from ``first`` to ``last``; see `flood`."""
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
    """Make strong all weak pixels that are linked with a strong one, inside of some rows, unless the work is to stop.
    ``waiting`` is memory for pixels whose neighbours are to be looked at; it, or a larger one, is given."""
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
            for beside in range(left if whole else col, (right if whole else col) + 1, step):
                if line[np.uintp(beside)] == WEAK:
                    line[np.uintp(beside)] = STRONG
                    if count == waiting.size:
                        waiting = longer(waiting)
                    waiting[count] = (near << SHIFT) + beside
                    count += 1
    return waiting


@kernel
def longer(waiting):
    """Twice as much memory, with what is there."""
    more = np.empty(2 * waiting.size, np.int64)
    for place in range(waiting.size):
        more[place] = waiting[place]
    return more
