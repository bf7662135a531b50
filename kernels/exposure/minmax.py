"""The minimum and maximum of a slab of rows; both are NaN if one occurs."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.extremes import row_extremes


@kernel
def fill(src, dst, top, bottom):
    rows = src.shape[0]
    slabs = dst.shape[0]
    for slab in range(top, bottom):
        first, last = slab * rows // slabs, (slab + 1) * rows // slabs
        dst[slab, 0], dst[slab, 1] = value_range(src[first:last].reshape((last - first) * src.shape[1]))


@kernel
def value_range(values):
    low = high = np.float64(values[0])
    minimum, maximum, count, ordered = row_extremes(values)
    if not ordered:
        return np.nan, np.nan
    if count:
        low, high = np.float64(minimum), np.float64(maximum)
    for x in range(count, values.size):
        value = np.float64(values[x])
        if value != value:
            return np.nan, np.nan
        low, high = min(low, value), max(high, value)
    return low, high
