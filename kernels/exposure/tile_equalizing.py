"""Look-up tables of the tiles of an image from their clipped histograms: row ``t`` of ``dst`` is that of tile ``t``.
``bins`` is the bin, of 256, of each value, ``scale`` the result for the total count of a tile. Tiles that extend beyond
the image are filled with its reflection, without the edge itself.

This is the first step of scikit-image's contrast limited adaptive histogram equalisation; the second one is
`tile_blending`."""

import numpy as np

from gpuimg.kernels.exposure.histogram import FEW, TURNS, add_turns, count_in_turn
from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel

ROWS_AT_ONCE = 1024  # before a count can overflow


@kernel
def fill(src, dst, top, bottom, stop, tile_rows, tile_cols, bins, clip_limit, scale):
    across = (src.shape[1] + tile_cols - 1) // tile_cols
    turns = np.zeros(TURNS * FEW, np.uint32)
    values, counts = np.empty(FEW, np.int64), np.empty(FEW, np.int64)
    area = tile_rows * tile_cols
    limit = max(np.int64(clip_limit * area), 1) if clip_limit > 0 else area
    for tile in range(top, bottom):
        values[:], counts[:] = 0, 0
        row, col = tile // across * tile_rows, tile % across * tile_cols
        if not count_tile(src, row, col, stop, tile_rows, tile_cols, turns, values):
            return
        for value in range(FEW):
            counts[bins[0, value]] += values[value]
        clip(counts, limit)
        for bin in range(1, FEW):
            counts[bin] += counts[bin - 1]
        for value in range(FEW):
            dst[tile, value] = min(counts[bins[0, value]] / area, 1.0) * scale


@kernel
def count_tile(src, first_row, first_col, stop, tile_rows, tile_cols, turns, values):
    """Count the values of a tile; returns False if stopped."""
    rows, cols = src.shape
    last_col = min(first_col + tile_cols, cols)
    reflected = 2 * cols - 1 - first_col - tile_cols  # the first of the columns that are counted twice
    for number in range(tile_rows):
        if is_set(stop):
            return False
        row = first_row + number
        line = src[row if row < rows else 2 * (rows - 1) - row]
        count_in_turn(line[first_col:last_col], turns)
        if reflected < cols - 1:
            count_in_turn(line[reflected : cols - 1], turns)
        if number % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            add_turns(turns, values)
    add_turns(turns, values)
    return True


@kernel
def clip(counts, limit):
    """Clip a histogram at a limit, and redistribute the excess over the bins below it.

    All of them get an equal share; those close to the limit are filled. The remainder goes one by one to equidistant
    bins, with further passes for what is left, as in scikit-image.
    """
    excess = 0
    for bin in range(FEW):
        excess += max(counts[bin] - limit, 0)
        counts[bin] = min(counts[bin], limit)
    share = excess // FEW
    near = limit - share
    for bin in range(FEW):
        before = counts[bin]
        if before < near:
            counts[bin] += share
        if near <= counts[bin] < limit:
            counts[bin] = limit
        excess -= counts[bin] - before
    given = 1
    while excess > 0 and given > 0:
        given = 0
        for first in range(FEW):
            step, added = spread(counts, limit, first, excess)
            given += added
            excess -= added
            if excess <= 0 or (added == 0 and step == 1):  # no further bin is below the limit
                break


@kernel
def spread(counts, limit, first, excess):
    """Add one to equidistant bins, from ``first`` on, if they are below the limit; returns the distance and the number
    of these bins."""
    below = 0
    for bin in range(FEW):
        below += counts[bin] < limit
    step = max(1, below // excess)
    added = 0
    for bin in range(first, FEW, step):
        if counts[bin] < limit:
            counts[bin] += 1
            added += 1
    return step, added
