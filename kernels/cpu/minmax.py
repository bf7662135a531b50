"""The least and the greatest value of each channel of a slab of rows; NaN is both where one occurs."""

import numpy as np

from gpuimg.kernels.cpu.borders import kernel
from gpuimg.kernels.cpu.spans import least as smaller
from gpuimg.kernels.cpu.spans import turned


@kernel
def fill(src, dst, top, bottom, step):
    rows, width = src.shape
    slabs = dst.shape[0]
    least = np.empty(width, src.dtype)
    greatest = np.empty(width, src.dtype)
    ordered = np.empty(width, np.uint8)
    for slab in range(top, bottom):
        first, last = slab * rows // slabs, (slab + 1) * rows // slabs
        least[:] = src[first]
        greatest[:] = src[first]
        ordered[:] = 1
        for row in range(first, last):
            compare(src[row], least, greatest, ordered)
        for channel in range(step):
            dst[slab, channel], dst[slab, step + channel] = extremes(least, greatest, ordered, channel, step)


@kernel
def compare(line, least, greatest, ordered):
    for x in range(line.size):
        value = line[x]
        least[x] = smaller(value, least[x])
        greatest[x] = turned(smaller(turned(value, 1), turned(greatest[x], 1)), 1)
        ordered[x] &= np.uint8(value == value)


@kernel
def extremes(least, greatest, ordered, channel, step):
    low, high = np.float64(least[channel]), np.float64(greatest[channel])
    for x in range(channel, least.size, step):
        if not ordered[x]:
            return np.nan, np.nan
        low, high = min(low, np.float64(least[x])), max(high, np.float64(greatest[x]))
    return low, high
