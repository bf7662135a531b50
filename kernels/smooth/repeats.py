"""Rank filter for windows in which the image repeats: the window's histogram counts each row and column of the image as
often as the window contains it, so the cost per pixel grows with the image's shorter side, not with the window."""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.smooth.ranks import TILE, order_key, sort_order

UNUSED = -2


@kernel
def select_of_repeats(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank):
    """The value with ``rank`` others before it; a tile is as large as the image where the image repeats."""
    rows, cols = src.shape[0], src.shape[1] // step
    high = bottom - top if n0 > rows else min(bottom - top, max(TILE, n0))
    wide = cols if n1 > cols else min(cols, max(TILE, n1))
    for row in range(top, bottom, high):
        down = min(high, bottom - row)
        row_places, row_sources = lines_of(row - n0 // 2, down + n0 - 1, rows, mode, n0 > rows)
        for col in range(0, cols, wide):
            along = min(wide, cols - col)
            col_places, col_sources = lines_of(col - n1 // 2, along + n1 - 1, cols, mode, n1 > cols)
            by_rows = col_sources.size < row_sources.size
            for channel in range(step):
                values = load_lines(src, row_sources, col_sources, channel, step, cval, by_rows)
                ranks, kinds = ranked(values, stop)
                if is_set(stop):
                    return
                out = dst[row : row + down, col * step + channel :]
                if by_rows:
                    tile = row_places, row_sources.size, n0, col_places, col_sources.size, n1
                else:
                    tile = col_places, col_sources.size, n1, row_places, row_sources.size, n0
                slide(values, ranks, kinds, tile, rank, out, by_rows, step, stop)


@kernel
def lines_of(first, count, length, mode, repeats):
    """The lines of a tile for ``count`` places from ``first`` on, and the rows or columns of these lines: -1 for the
    constant. A row or column that ``repeats`` is one line."""
    places = np.empty(count, np.int64)
    sources = np.full(length + 1 if repeats else count, UNUSED)
    for index in range(count):
        source = fold(first + index, length, mode)
        places[index] = index if not repeats else source if source >= 0 else length
        sources[places[index]] = source
    return places, sources


@kernel
def load_lines(src, rows, cols, channel, step, cval, by_rows):
    """Load one channel of a tile, row by row or column by column; unused lines hold the constant."""
    values = np.full(rows.size * cols.size, cval).astype(src.dtype)
    for i in range(rows.size):
        for j in range(cols.size):
            if rows[i] >= 0 and cols[j] >= 0:
                at = i * cols.size + j if by_rows else j * rows.size + i
                values[at] = src[rows[i], cols[j] * step + channel]
    return values


@kernel
def ranked(values, stop):
    """The rank of each value among the distinct ones, and a place of each distinct value, in sorted order."""
    count = values.size
    order, ranks = sort_order(values, np.empty(count, np.uint32), np.empty(count, np.uint32), count, stop)
    if is_set(stop):
        return ranks, order
    rank = 0
    for index in range(count):
        place = order[index]
        rank += index > 0 and order_key(values[place]) != order_key(values[order[rank]])
        ranks[place] = rank
        order[rank] = place
    return ranks, order[: rank + 1]


@kernel
def slide(values, ranks, kinds, tile, rank, out, by_rows, step, stop):
    """Move the window over the tile, forward in one line and back in the next, as `ranks.slide` does.

    ``tile`` has, in the direction of movement and across it, the lines of the places that the window moves over, the
    number of lines, and the window's size; lines across are adjacent in memory."""
    along_places, along_lines, n_along, across_places, across_lines, n_across = tile
    length, breadth = along_places.size - n_along + 1, across_places.size - n_across + 1
    along, across = times_of(along_places[:n_along], along_lines), times_of(across_places[:n_across], across_lines)
    counts = np.zeros(kinds.size, np.int64)
    last = values[kinds[kinds.size - 1]]
    for i in range(along_lines):
        for j in range(across_lines):
            counts[ranks[i * across_lines + j]] += along[i] * across[j]
    here, below, at = 0, 0, 0
    for line in range(breadth):
        if is_set(stop):
            return
        ahead = 1 if line % 2 == 0 else -1
        for moved in range(length):
            if moved > 0:
                old = along_places[at if ahead > 0 else at + n_along - 1]
                new = along_places[at + n_along if ahead > 0 else at - 1]
                along[old] -= 1
                along[new] += 1
                below += replace(ranks, old * across_lines, new * across_lines, 1, across, counts, here)
                at += ahead
            elif line > 0:
                old, new = across_places[line - 1], across_places[line - 1 + n_across]
                across[old] -= 1
                across[new] += 1
                below += replace(ranks, old, new, across_lines, along, counts, here)
            while below > rank:
                here -= 1
                below -= counts[here]
            while below + counts[here] <= rank:
                below += counts[here]
                here += 1
            value = last if last != last and counts[counts.size - 1] > 0 else values[kinds[here]]
            out[at if by_rows else line, (line if by_rows else at) * step] = value


@kernel
def times_of(places, lines):
    """The number of occurrences of each line among the places."""
    times = np.zeros(lines, np.int64)
    for place in places:
        times[place] += 1
    return times


@kernel
def replace(ranks, old, new, pitch, times, counts, here):
    """Remove one line of the window from its histogram and add another, each value ``times`` times; returns the change
    in the number of values below ``here``."""
    change = 0
    if old == new:
        return change
    for index in range(times.size):
        leaving, coming = ranks[old + index * pitch], ranks[new + index * pitch]
        counts[leaving] -= times[index]
        counts[coming] += times[index]
        change += times[index] * (np.int64(coming < here) - np.int64(leaving < here))
    return change
