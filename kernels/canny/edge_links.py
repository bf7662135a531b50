"""Hysteresis within slabs of rows, in place: changes every 2 that is connected with a 1 in the same slab into a 1.
Neighbours touch at their edges, and with ``reach`` 1 also at their corners. Slabs are the parts.

A word holds 64 pixels as bits. Downward and upward sweeps alternate: weak pixels that touch a strong one in the
previous row become strong, then the runs that contain them. This ends soon but for winding lines, left to `flood`.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuimg.kernels.canny.flood import FEW, STRONG, WEAK, bits_of, flood_row
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD

TURNS = 6
LAST = np.uint64(WORD - 1)
ONE = np.uint64(1)


@kernel
def fill(src, dst, top, bottom, stop, step, height, reach):
    words = (dst.shape[1] + WORD - 1) // WORD
    weak, strong = np.empty((height, words), np.uint64), np.empty((height, words), np.uint64)
    waiting = np.empty(FEW, np.int64)
    for slab in range(top, bottom):
        first, last = slab * height, min((slab + 1) * height, dst.shape[0])
        # With several channels, adjacent bits are not neighbours.
        if step == 1 and link_words(dst[first:last], weak, strong, reach):
            continue
        for row in range(first, last):
            waiting = flood_row(dst, row, first, last, step, reach, waiting, stop)


@kernel
def link_words(edges, weak, strong, reach):
    """Link by words; returns whether everything is linked."""
    rows = edges.shape[0]
    for row in range(rows):
        load_words(edges[row], STRONG | WEAK, weak[row])
        load_words(edges[row], STRONG, strong[row])
    changed = True
    turn = 0
    while changed and turn < TURNS:
        changed = False
        for place in range(2 * rows):
            down = place < rows
            row = place if down else 2 * rows - 1 - place
            adjacent = max(row - 1, 0) if down else min(row + 1, rows - 1)
            changed |= spread(strong[adjacent], weak[row], strong[row], reach, turn == 0 and down)
        turn += 1
    for row in range(rows):
        store_words(weak[row], strong[row], edges[row])
    return not changed


@kernel
def spread(adjacent, weak, strong, reach, first):
    """Mark weak pixels that touch a strong pixel of the adjacent row as strong, and the runs that contain them; with
    ``first`` also the runs of pixels that were strong before. Returns whether any pixel touched."""
    changed = False
    before = np.uint64(0)
    corners = np.uint64(0) - np.uint64(reach)  # all ones or zero
    for word in range(weak.size):
        here = adjacent[word]
        after = adjacent[word + 1] if word + 1 < weak.size else np.uint64(0)
        touched = here | (corners & ((here << ONE) | (here >> ONE) | (before >> LAST) | (after << LAST)))
        before = here
        if touched & weak[word] & ~strong[word]:
            strong[word] |= touched & weak[word]
            changed = True
    if changed or first:
        spread_along(weak, strong)
    return changed


@kernel
def spread_along(weak, strong):
    """Mark runs of weak pixels that contain a strong one as strong."""
    carry = np.uint64(0)
    for word in range(weak.size):
        mask = weak[word]
        found = strong[word] | (mask & carry)
        # An addition carries through all ones above.
        found |= mask & ((mask + found) ^ mask)
        strong[word] = found
        carry = found >> LAST
    carry = np.uint64(0)
    for word in range(weak.size - 1, -1, -1):
        mask = weak[word]
        found = strong[word] | (mask & (carry << LAST))
        if found != mask:
            for shift in (1, 2, 4, 8, 16, 32):
                found |= mask & (found >> np.uint64(shift))
                mask &= mask >> np.uint64(shift)
        strong[word] = found
        carry = found & ONE


@kernel
def load_words(line, wanted, words):
    """A bit for each pixel: whether any of the wanted bits is set."""
    for word in range(words.size):
        start = word * WORD
        if start + WORD <= line.size:
            words[word] = bits_of(line, start, np.uint8(wanted))
            continue
        bits = np.uint64(0)
        for x in range(start, line.size):
            bits |= np.uint64((line[x] & wanted) != 0) << np.uint64(x - start)
        words[word] = bits


@kernel
def store_words(weak, strong, line):
    """1 for a strong pixel, 2 for one that is weak only."""
    for word in range(weak.size):
        start = word * WORD
        if start + WORD <= line.size:
            store_word(weak[word], strong[word], line, start)
            continue
        for x in range(start, line.size):
            bit = np.uint64(x - start)
            line[x] = 2 * ((weak[word] >> bit) & ONE) - ((strong[word] >> bit) & ONE)


@intrinsic
def store_word(_context, weak, strong, line, at):
    """`store_words` for one word, from ``at`` on."""

    def build(context, builder, signature, arguments):
        first, second, held, at = arguments
        bits, vector = ir.VectorType(ir.IntType(1), WORD), ir.VectorType(ir.IntType(8), WORD)
        some, most = (builder.zext(builder.bitcast(each, bits), vector) for each in (first, second))
        place = builder.gep(context.make_array(line)(context, builder, held).data, [at])
        builder.store(builder.sub(builder.add(some, some), most), builder.bitcast(place, vector.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.none(types.uint64, types.uint64, line, types.int64), build
