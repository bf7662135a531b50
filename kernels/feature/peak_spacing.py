"""Keeps peaks at least ``distance`` rows or columns apart, in place, the first ones in raster order.

Closer peaks are equal: each is the maximum of a window that contains the other. So only their raster order matters. All
is one part, because keeping a peak may depend on the previous one.
"""

import numpy as np

from gpuimg.kernels.canny.flood import bits_of
from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD, lowest_bit


@kernel
def fill(src, dst, top, bottom, stop, step, distance):
    rows, width = dst.shape
    kept = np.full(width, -distance, np.int64)  # the row of each column's last peak
    for row in range(rows if top < bottom else 0):
        if is_set(stop):
            break
        line, x = dst[row], 0
        while x + WORD <= width:
            bits = bits_of(line, x, np.uint8(1))
            while bits:
                keep_or_clear(line, x + lowest_bit(bits), row, step, distance, kept)
                bits &= bits - np.uint64(1)
            x += WORD
        for col in range(x, width):
            if line[col]:
                keep_or_clear(line, col, row, step, distance, kept)


@kernel
def keep_or_clear(line, x, row, step, distance, kept):
    reach = min(distance - 1, line.size // step) * step
    for near in range(max(x - reach, x % step), min(x + reach + 1, line.size), step):
        if kept[near] > row - distance:
            line[x] = 0
            return
    kept[x] = row
