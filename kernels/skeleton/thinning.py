"""Several rounds of parallel thinning of a mask whose pixels are bits, see `words`, in tiles of ``height`` rows and
``width`` words. Tiles are the parts.

A round has two sub-iterations. Each simultaneously removes all pixels whose neighbourhood's entry in ``table`` has its
bit: the lowest for the first, the next one for the second. An entry's index has a bit for each neighbour in raster
order, the lowest for the upper left. Pixels with four edge neighbours always stay.

A tile is thinned with a halo as wide as the rounds reach. Only pixels with changes around them since the same
sub-iteration of the previous round are examined. ``changed`` receives for each tile the number of rounds so far, or 0
if the latest ones have changed nothing: the next call, which gets it as ``before``, skips a tile if nothing has changed
in and around it. There are at most ``most`` rounds. ``first``: this is the first call."""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD, lowest_bit
from gpuimg.kernels.skeleton.words import LAST, ONE

ROUNDS = 8
HALO = 2 * ROUNDS  # rows around a tile; one word in columns
HALF = np.uint64(WORD // 2)
LOW = np.uint64((1 << WORD // 2) - 1)
SIDES = np.uint64(7)
WEST, EAST = np.uint64(1), np.uint64(4)
ALL = np.uint64((1 << WORD) - 1)


@kernel
def fill(src, dst, top, bottom, stop, before, first, most, table, height, width, changed):
    across = (src.shape[1] + width - 1) // width
    # A column of zeros on either side stands for the outside.
    held = np.zeros((height + 2 * HALO, width + 4), np.uint64)
    removed = np.zeros((3, *held.shape), np.uint64)
    for tile in range(top, bottom):
        if is_set(stop):
            return
        row, word = tile // across * height, tile % across * width
        last, end = min(row + height, src.shape[0]), min(word + width, src.shape[1])
        changed[tile, 0] = 0
        done = 0 if first else rounds_done(before, tile, across)
        if first or done:
            rounds = min(most - done, ROUNDS)
            load(src, row - HALO, word - 1, held)
            thin(held, removed, table, 2 * rounds)
            for y in range(row, last):
                for x in range(word, end):
                    bits = held[y - row + HALO, x - word + 2]
                    if bits != src[y, x]:
                        changed[tile, 0] = done + rounds
                    dst[y, x] = bits
        else:
            dst[row:last, word:end] = src[row:last, word:end]


@kernel
def rounds_done(changed, tile, across):
    """The number of rounds so far if the last ones have changed a tile or one around it, else 0."""
    for near in range(tile - across, tile + across + 1, across):
        for adjacent in range(near - (tile % across > 0), near + 1 + (tile % across < across - 1)):
            if 0 <= adjacent < changed.shape[0] and changed[adjacent, 0]:
                return changed[adjacent, 0]
    return 0


@kernel
def load(src, row, word, held):
    """Load words from a place on that may be outside the mask, where all bits are 0."""
    held[:] = 0
    for y in range(max(row, 0), min(row + held.shape[0], src.shape[0])):
        for x in range(max(word, 0), min(word + held.shape[1] - 2, src.shape[1])):
            held[y - row, x - word + 1] = src[y, x]


@kernel
def thin(held, removed, table, turns):
    """Thin all but `HALO` rows and a word at the edges: the invalid margin grows by a row and a column in each
    sub-iteration."""
    rows = held.shape[0]
    near, looked_at = np.zeros(held.shape[1], np.uint64), np.zeros(held.shape[1], np.uint64)
    # The pixels removed by each of the last three sub-iterations, and their rows. At first anything may have changed.
    removed[1:] = ALL
    touched = np.ones((3, rows), np.uint8)
    idle = 0
    for turn in range(turns):
        now, last, before = turn % 3, (turn + 2) % 3, (turn + 1) % 3
        found = False
        for row in range(turn + 1, rows - 1 - turn):
            touched[now, row] = 0
            if not (touched[last, row - 1 : row + 2].any() or touched[before, row - 1 : row + 2].any()):
                continue
            notice(removed[last], removed[before], row, near)
            choose(held, near, row, looked_at)
            touched[now, row] = match(held, row, looked_at, table, turn % 2, removed[now, row])
            found |= touched[now, row] != 0
        for row in range(turn + 1, rows - 1 - turn):
            if touched[now, row]:
                for word in range(near.size):
                    held[row, word] ^= removed[now, row, word]
        idle = 0 if found else idle + 1
        if idle == 2:
            break


@kernel
def notice(last, before, row, near):
    """A bit for each column: whether a pixel was removed in the row or the rows next to it."""
    for word in range(near.size):
        ends = last[row - 1, word] | last[row + 1, word] | before[row - 1, word] | before[row + 1, word]
        near[word] = ends | last[row, word] | before[row, word]


@kernel
def choose(held, near, row, looked_at):
    """The pixels that may be removed: those with a change around them, but without four edge neighbours."""
    above, line, below = held[row - 1], held[row], held[row + 1]
    for word in range(1, near.size - 1):
        adjacent = (near[word] << ONE) | (near[word - 1] >> LAST) | (near[word] >> ONE) | (near[word + 1] << LAST)
        west, east = (line[word] << ONE) | (line[word - 1] >> LAST), (line[word] >> ONE) | (line[word + 1] << LAST)
        inside = above[word] & below[word] & west & east
        looked_at[word] = line[word] & ~inside & (near[word] | adjacent)


@kernel
def match(held, row, looked_at, table, turn, removed):
    """Remove pixels by their neighbourhoods; returns whether any was removed."""
    above, line, below = held[row - 1], held[row], held[row + 1]
    found = np.uint64(0)
    for word in range(1, looked_at.size - 1):
        gone = np.uint64(0)
        if looked_at[word]:
            # Half a word of pixels and their neighbours fit in one word.
            low, high = looked_at[word] & LOW, looked_at[word] >> HALF
            gone = match_half(low, shifted(above, word), shifted(line, word), shifted(below, word), table, turn)
            upper = match_half(high, crossing(above, word), crossing(line, word), crossing(below, word), table, turn)
            gone |= upper << HALF
        removed[word] = gone
        found |= gone
    return found != 0


@kernel
def shifted(line, word):
    """Bits from the one before a word on."""
    return (line[word] << ONE) | (line[word - 1] >> LAST)


@kernel
def crossing(line, word):
    """Bits from the one before a word's upper half on."""
    return (line[word] >> (HALF - ONE)) | (line[word + 1] << (HALF + ONE))


@kernel
def match_half(looked_at, above, line, below, table, turn):
    gone = np.uint64(0)
    while looked_at:
        at = np.uint64(lowest_bit(looked_at))
        sides = line >> at
        upper, lower = (above >> at) & SIDES, (below >> at) & SIDES
        code = upper | ((sides & WEST) << np.uint64(3)) | ((sides & EAST) << np.uint64(2)) | (lower << np.uint64(5))
        gone |= np.uint64((table[code] >> turn) & 1) << at
        looked_at &= looked_at - ONE
    return gone
