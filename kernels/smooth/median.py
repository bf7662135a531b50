"""Median, or the value of any other rank, of the window around a pixel.

Windows of 3x3, 5x5 and 7x7 pixels: every column of the window is sorted by a network [1] of minima and maxima, once for
all windows that share it; then each row of the sorted columns is sorted; and the median is selected from the remaining
candidates. The nine values of the smallest window are sorted again for each pixel, which is faster than keeping sorted
columns. For other ranks all columns are merged. Larger windows use histograms: see `histograms` and `ranks`, and
`repeats` if the window is larger than the image.

.. [1] D. Knuth, "The Art of Computer Programming", volume 3, section 5.3.4.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import lanes
from gpuimg.kernels.lib.scratch import aligned
from gpuimg.kernels.lib.spans import load_span
from gpuimg.kernels.smooth.histograms import select_by_histograms
from gpuimg.kernels.smooth.networks import MEDIAN, MEDIAN_OF_9, MERGE, SORT
from gpuimg.kernels.smooth.ranks import select_by_ranks
from gpuimg.kernels.smooth.repeats import select_of_repeats

BLOCK_BYTES = 1 << 14  # of a row that is kept while the window moves down
REPEATS = 16  # of an image of bytes in a window, from which on sorting the image is cheaper than counting the values
CHUNK_BYTES = 1 << 12  # of sorted columns: for small images, intermediate rows stay in the first-level cache


def variant(src, step, mode, cval, n0, n1, rank):
    """Networks for small windows; ``rank`` is the number of values before the selected one."""
    rows, cols = src.shape[0], src.shape[1] // step
    most = REPEATS if src.itemsize == 1 else 1
    if n0 != n1 or n0 not in SORT:
        if n0 > most * rows or n1 > most * cols:
            return "fill_repeats"
        return "fill_many"
    return "fill_median" if rank == n0 * n1 // 2 else "fill_rank"


@kernel
def fill_repeats(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank):
    select_of_repeats(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank)


@kernel
def fill_many(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank):
    select_of_many(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank)


def select_of_many(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank):
    """The value of a rank by the algorithm that suits the type."""
    raise NotImplementedError


@overload(select_of_many)
def _select_of_many(src, dst, top, bottom, stop, step, mode, cval, n0, n1, rank):
    return select_by_histograms if src.dtype == types.uint8 else select_by_ranks


@kernel
def copy(line, out):
    for x in range(out.size):
        out[x] = line[x]


@kernel
def whole_vectors(count, lanes):
    return (count + lanes - 1) // lanes * lanes


def sweep(n, select):
    """A kernel that sorts columns and selects values, ``count`` of them from element ``begin`` on, by the networks for
    windows of ``n`` squared."""
    sort = SORT[n]

    @kernel
    def run(window, stride, ranked, step, begin, sorts, count, merged, rank, result):
        pitch = ranked.size // n
        for x in range(0, sorts, lanes(window)):
            sort(window, stride, step, begin + x, ranked, pitch, x)
        for x in range(0, count, lanes(window)):
            select(ranked, pitch, step, x, merged, rank, result, begin + x)

    return run


@kernel
def select_of_9(window, stride, step, result, out):
    """Medians of 3x3 pixels, stored directly in the result; the last vector overlaps the previous one."""
    more = lanes(window)
    if out.size < more:
        MEDIAN_OF_9(window, stride, step, 0, result, 0, 0)
        copy(result, out)
        return
    for place in range(0, out.size, more):
        x = min(place, out.size - more)
        MEDIAN_OF_9(window, stride, step, x, out, 0, x)


def selector_of_median(n):
    """A kernel that selects medians from sorted columns."""
    network = MEDIAN[n]

    @kernel
    def select(ranked, pitch, step, x, merged, rank, result, to):
        network(ranked, pitch, step, x, result, 0, to)

    return select


def selector_of_rank(n):
    """A kernel that merges sorted columns and selects the values of one rank."""
    network = MERGE[n]

    @kernel
    def select(ranked, pitch, step, x, merged, rank, result, to):
        count = lanes(ranked)
        network(ranked, pitch, step, x, merged, count, 0)
        copy(merged[rank * count : (rank + 1) * count], result[to : to + count])

    return select


def has_nan(line):
    """Whether any value is NaN."""
    raise NotImplementedError


@overload(has_nan)
def _has_nan(line):
    if not isinstance(line.dtype, types.Float):
        return lambda line: False

    def look(line):
        found = 0
        for x in range(line.size):
            found += line[x] != line[x]
        return found > 0

    return look


def spread_nan(window, stride, step, n, result, count):
    """Set results to NaN if the window contains one: networks lose it."""
    raise NotImplementedError


@overload(spread_nan)
def _spread_nan(window, stride, step, n, result, count):
    if not isinstance(window.dtype, types.Float):
        return lambda window, stride, step, n, result, count: None

    def spread(window, stride, step, n, result, count):
        for row in range(n):
            for pixel in range(n):
                line = window[row * stride + pixel * step :]
                for x in range(count):
                    result[x] = line[x] if line[x] != line[x] else result[x]

    return spread


def by_network(selector, of_9_at_once=False):
    """A kernel for windows of 3x3, 5x5 and 7x7 pixels; ``selector(n)`` selects from their sorted columns."""
    sweep_3, sweep_5, sweep_7 = (sweep(n, selector(n)) for n in (3, 5, 7))

    @kernel
    def fill(src, dst, top, bottom, step, mode, cval, n, n1, rank):
        cols = src.shape[1] // step
        more = lanes(src)
        pixels = min(cols, max(BLOCK_BYTES // (src.itemsize * step), 1))
        halo = (n - 1) * step
        # The last vector of a row extends beyond its end twice: when columns are sorted and when they are combined.
        stride = whole_vectors(pixels * step + halo + 2 * more, more)
        chunk = max(CHUNK_BYTES // (n * src.itemsize) // more, 1) * more
        window = aligned(n * stride, src)
        holes = np.zeros(n, np.bool_)
        ranked = aligned(n * whole_vectors(chunk + halo + 2 * more, more), src)
        result = aligned(stride, src)
        merged = np.empty(n * n * more, src.dtype)
        for first in range(0, cols, pixels):
            wanted = min(pixels, cols - first)
            for row in range(top - n // 2, bottom + n // 2):
                line = window[row % n * stride : (row % n + 1) * stride]
                load_span(src, row, first - n // 2, wanted + n - 1, line, step, mode, cval)
                holes[row % n] = has_nan(line[: wanted * step + halo])
                if row < top + n // 2:
                    continue
                out = dst[row - n // 2, first * step : (first + wanted) * step]
                if of_9_at_once and n == 3:
                    select_of_9(window, stride, step, result, out)
                    if holes.any():
                        spread_nan(window, stride, step, n, out, out.size)
                    continue
                for begin in range(0, wanted * step, chunk):
                    count = min(chunk, wanted * step - begin)
                    sorts = count + halo
                    if n == 3:
                        sweep_3(window, stride, ranked, step, begin, sorts, count, merged, rank, result)
                    elif n == 5:
                        sweep_5(window, stride, ranked, step, begin, sorts, count, merged, rank, result)
                    else:
                        sweep_7(window, stride, ranked, step, begin, sorts, count, merged, rank, result)
                if holes.any():
                    spread_nan(window, stride, step, n, result, wanted * step)
                copy(result, out)

    return fill


fill_median, fill_rank = by_network(selector_of_median, of_9_at_once=True), by_network(selector_of_rank)
