"""The least and the greatest value of a slab of rows; NaN is both where one occurs."""

import numpy as np

from gpuimg.kernels.cpu.borders import kernel
from gpuimg.kernels.cpu.extremes import row_extremes


@kernel
def fill(src, dst, top, bottom):
    rows = src.shape[0]
    slabs = dst.shape[0]
    for slab in range(top, bottom):
        first, last = slab * rows // slabs, (slab + 1) * rows // slabs
        low = high = np.float64(src[first, 0])
        for row in range(first, last):
            least, most = row_range(src[row])
            low, high = min(low, least), max(high, most)
            if least != least:
                low = high = np.nan
                break
        dst[slab, 0], dst[slab, 1] = low, high


@kernel
def row_range(line):
    """The extremes of one row, or NaN."""
    least, most, count, ordered = row_extremes(line)
    low = high = np.float64(line[0])
    if not ordered:
        return np.nan, np.nan
    if count:
        low, high = np.float64(least), np.float64(most)
    for x in range(count, line.size):
        value = np.float64(line[x])
        if value != value:
            return np.nan, np.nan
        low, high = min(low, value), max(high, value)
    return low, high
