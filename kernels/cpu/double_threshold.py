"""Two thresholds: 1 for strong pixels, above ``high``, 2 for weak ones, above ``low`` only, else 0."""

import numpy as np

from gpuimg.kernels.cpu.borders import kernel


@kernel
def fill(src, dst, top, bottom, low, high, always_low, always_high):
    """The thresholds are values of the image's own type; ``always_`` is 1 where every pixel lies above one."""
    lower, upper = src.dtype.type(low), src.dtype.type(high)
    every_low, every_high = np.uint8(always_low), np.uint8(always_high)
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(source.size):
            # Each step in bytes again: vectors of 64-bit numbers would hold an eighth as many.
            above = np.uint8(np.uint8(source[x] > lower) | every_low)
            strong = np.uint8(np.uint8(source[x] > upper) | every_high)
            target[x] = np.uint8(np.uint8(above << 1) - strong)
