"""Median of the window around a pixel.

Windows of 3, 5 and 7 pixels squared: every column of the window is sorted by a network [1] of minima and maxima, once
for all windows that share it; then the minima of all columns, the second ones, and so on; and out of what can
still be the median, it is selected. Larger windows by histograms: see `histograms` and `ranks`.

.. [1] D. Knuth, "The Art of Computer Programming", volume 3, section 5.3.4.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import lanes
from gpuimg.kernels.lib.spans import load_span
from gpuimg.kernels.smooth.histograms import constant_time_median
from gpuimg.kernels.smooth.networks import MEDIAN, SORT
from gpuimg.kernels.smooth.ranks import median_by_ranks

BLOCK_BYTES = 1 << 14  # of a row that is kept while the window moves down
CHUNK_BYTES = 1 << 13  # of sorted columns that are kept in the first-level cache


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    if n0 == n1 and n0 in (3, 5, 7):
        median_by_network(src, dst, top, bottom, step, mode, cval, n0)
    else:
        median_of_many(src, dst, top, bottom, stop, step, mode, cval, n0, n1)


def median_of_many(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    """Median by the algorithm that suits the type."""
    raise NotImplementedError


@overload(median_of_many)
def _median_of_many(src, dst, top, bottom, stop, step, mode, cval, n0, n1):
    return constant_time_median if src.dtype == types.uint8 else median_by_ranks


@kernel
def median_by_network(src, dst, top, bottom, step, mode, cval, n):
    cols = src.shape[1] // step
    more = lanes(src)
    pixels = min(cols, max(BLOCK_BYTES // (src.itemsize * step), 1))
    halo = (n - 1) * step
    # The last vector of a row reaches beyond its end, twice: when columns are sorted and when they are combined.
    stride = pixels * step + halo + 2 * more
    chunk = max(CHUNK_BYTES // (n * src.itemsize) // more, 1) * more
    window = np.empty(n * stride, src.dtype)
    holes = np.zeros(n, np.bool_)
    ranked = np.empty(n * (chunk + halo + 2 * more), src.dtype)
    result = np.empty(stride, src.dtype)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        for row in range(top - n // 2, bottom + n // 2):
            line = window[row % n * stride : (row % n + 1) * stride]
            load_span(src, row, first - n // 2, wanted + n - 1, line, step, mode, cval)
            holes[row % n] = has_nan(line[: wanted * step + halo])
            if row < top + n // 2:
                continue
            for begin in range(0, wanted * step, chunk):
                count = min(chunk, wanted * step - begin)
                sorts = count + halo
                if n == 3:
                    sweep_3(window, stride, ranked, step, begin, sorts, count, result)
                elif n == 5:
                    sweep_5(window, stride, ranked, step, begin, sorts, count, result)
                else:
                    sweep_7(window, stride, ranked, step, begin, sorts, count, result)
            if holes.any():
                spread_nan(window, stride, step, n, result, wanted * step)
            copy(result, dst[row - n // 2, first * step : (first + wanted) * step])


@kernel
def copy(line, out):
    for x in range(out.size):
        out[x] = line[x]


def sweep(n):
    """A kernel that sorts columns and selects medians, ``count`` of them from element ``begin`` on, by the networks for
    windows of ``n`` squared."""
    sort, select = SORT[n], MEDIAN[n]

    @kernel
    def run(window, stride, ranked, step, begin, sorts, count, result):
        pitch = ranked.size // n
        for x in range(0, sorts, lanes(window)):
            sort(window, stride, step, begin + x, ranked, pitch, x)
        for x in range(0, count, lanes(window)):
            select(ranked, pitch, step, x, result, 0, begin + x)

    return run


sweep_3, sweep_5, sweep_7 = (sweep(n) for n in (3, 5, 7))


def has_nan(line):
    """Whether there is a NaN among the values."""
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
    """Put NaN where there is one in the window: networks lose it."""
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
