"""Rank filter of uint8 images by histograms, in constant time per pixel, whatever the window [1].

Every column keeps the histogram of its pixels in the window's rows: sixteen coarse bins, and sixteen fine ones in each.
The window's histogram gains one column and loses one from pixel to pixel; its fine bins are updated only when needed.
All counts are cumulative: so the bin of a value is the number of counts below its rank.

.. [1] S. Perreault, P. Hebert, "Median Filtering in Constant Time", IEEE Transactions on Image Processing 16(9), 2007,
   2389-2394.
"""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.lib.lanes import BINS, add_bins, bins_within

STRIP = 640  # columns whose histograms fit into the second-level cache


def select_by_histograms(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank):
    """The value with ``rank`` others before it, for windows of fewer than 2**32 values."""
    cols = src.shape[1] // step
    wanted = min(cols, max(STRIP - n1, n1))
    columns = np.empty(wanted + n1 - 1, np.int64)
    steps, nothing = steps_of(np.uint32), np.zeros(BINS, np.uint32)
    coarse = np.empty(columns.size * BINS, steps.dtype)
    fine = np.empty(columns.size * BINS * BINS, steps.dtype)
    total, inner = np.empty(BINS, steps.dtype), np.empty(BINS * BINS, steps.dtype)
    for first in range(0, cols, wanted):
        size = min(wanted, cols - first)
        within = columns[: size + n1 - 1]
        for channel in range(step):
            for x in range(within.size):
                col = fold(first - n1 // 2 + x, cols, mode)
                within[x] = col * step + channel if col >= 0 else -1
            begin_columns(src, top - n0 // 2, n0, within, mode, np.uint8(cval), steps, nothing, coarse, fine, stop)
            for row in range(top, bottom):
                if is_set(stop):
                    return
                if row > top:
                    move_columns(src, row - n0 // 2 - 1, n0, within, mode, np.uint8(cval), steps, nothing, coarse, fine)
                out = dst[row, first * step + channel :]
                select_row(coarse, fine, within.size, n1, rank, total, inner, out, step, None)


@kernel
def steps_of(dtype):
    """The increments of the cumulative counts for one value of each bin."""
    steps = np.empty(BINS * BINS, dtype)
    for index in range(steps.size):
        steps[index] = index % BINS >= index // BINS
    return steps


@kernel
def value_at(src, row, column, cval):
    return src[row, column] if row >= 0 and column >= 0 else cval


@kernel
def begin_columns(src, first, n0, columns, mode, cval, steps, nothing, coarse, fine, stop):
    """Initialise the columns' histograms for the ``n0`` rows from ``first`` on."""
    coarse[: columns.size * BINS] = 0
    fine[: columns.size * BINS * BINS] = 0
    for index in range(n0):
        if is_set(stop):
            return
        row = fold(first + index, src.shape[0], mode)
        for x in range(columns.size):
            value = np.int64(value_at(src, row, columns[x], cval))
            high, low = value // BINS, value % BINS
            add_bins(coarse, x * BINS, steps, high * BINS, nothing, 0)
            add_bins(fine, (high * columns.size + x) * BINS, steps, low * BINS, nothing, 0)


@kernel
def move_columns(src, oldest, n0, columns, mode, cval, steps, nothing, coarse, fine):
    """Remove row ``oldest`` from the columns' histograms, and add the row below them."""
    rows = src.shape[0]
    leaving, coming = fold(oldest, rows, mode), fold(oldest + n0, rows, mode)
    for x in range(columns.size):
        old = np.int64(value_at(src, leaving, columns[x], cval))
        new = np.int64(value_at(src, coming, columns[x], cval))
        if old == new:
            continue
        add_bins(coarse, x * BINS, steps, new // BINS * BINS, steps, old // BINS * BINS)
        add_bins(fine, (new // BINS * columns.size + x) * BINS, steps, new % BINS * BINS, nothing, 0)
        add_bins(fine, (old // BINS * columns.size + x) * BINS, nothing, 0, steps, old % BINS * BINS)


@kernel
def select_row(coarse, fine, size, n1, rank, total, inner, out, step, before):
    """One row of results, ``step`` elements apart, from the histograms of ``size`` columns; optionally also how many of
    the same bin come ``before`` each. ``total`` and ``inner`` are memory for the window's histogram."""
    limit = total.dtype.type(rank)
    valid = np.full(BINS, -n1, np.int64)  # the pixel for which the fine bins of each coarse bin are valid
    nothing = np.zeros(BINS, coarse.dtype)
    total[:] = 0
    for x in range(n1 - 1):
        add_bins(total, 0, coarse, x * BINS, nothing, 0)
    for x in range(size - n1 + 1):
        add_bins(total, 0, coarse, (x + n1 - 1) * BINS, nothing, 0)
        high = min(bins_within(total, 0, limit), BINS - 1)  # counts are wrong if the image changes concurrently
        begin = high * size
        if x - valid[high] >= n1:
            inner[high * BINS : high * BINS + BINS] = 0
            for col in range(x, x + n1):
                add_bins(inner, high * BINS, fine, (begin + col) * BINS, nothing, 0)
        else:
            for col in range(valid[high], x):
                add_bins(inner, high * BINS, fine, (begin + col + n1) * BINS, fine, (begin + col) * BINS)
        valid[high] = x
        left = limit - (total[high - 1] if high > 0 else total.dtype.type(0))
        low = bins_within(inner, high * BINS, total.dtype.type(left))
        out[x * step] = high * BINS + low
        if before is not None:
            before[x] = left - inner[high * BINS + low - 1] if low > 0 else left
        add_bins(total, 0, nothing, 0, coarse, x * BINS)
