"""`nan_rank` for small windows: where ``plain``, the percentile of the window, is NaN, the percentile of its numbers,
by insertion sort."""

import numpy as np

from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.smooth.ranks import order_key, place_among


@kernel
def fill(src, dst, top, bottom, step, mode, cval, n0, n1, percentile, halves, plain):
    held = np.empty(n0 * n1, src.dtype)
    for row in range(top, bottom):
        known, out = plain[row], dst[row]
        for x in range(out.size):
            if known[x] == known[x]:
                out[x] = known[x]
            else:
                numbers = sorted_numbers(src, row, x, step, mode, cval, n0, n1, held)
                out[x] = percentile_of(numbers, percentile, halves)


@kernel
def sorted_numbers(src, row, x, step, mode, cval, n0, n1, held):
    """Sort the numbers of a window in ascending order, in the memory of ``held``."""
    rows, cols, count = src.shape[0], src.shape[1] // step, 0
    for i in range(n0):
        source = fold(row + i - n0 // 2, rows, mode)
        for j in range(n1):
            col = fold(x // step + j - n1 // 2, cols, mode)
            value = src[source, col * step + x % step] if source >= 0 and col >= 0 else src.dtype.type(cval)
            if value != value:
                continue
            at = count
            while at > 0 and order_key(held[at - 1]) > order_key(value):
                held[at] = held[at - 1]
                at -= 1
            held[at] = value
            count += 1
    return held[:count]


@kernel
def percentile_of(numbers, percentile, halves):
    number, count = numbers.dtype.type, numbers.size
    if count == 0:
        return number(np.nan)
    place = place_among((percentile, halves), count)
    found = numbers[place]
    if halves == 0 or count % 2 == 1 or numbers[place - 1] == found:
        return found
    return numbers[place - 1] * number(0.5) + found * number(0.5)
