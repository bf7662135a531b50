"""Two thresholds: 1 for strong pixels, above ``high``, 2 for weak ones, above ``low`` only, ``rest`` for all others."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, low, high, rest):
    """The thresholds have the image's dtype."""
    lower, upper = src.dtype.type(low), src.dtype.type(high)
    strong, weak, other = np.uint8(1), np.uint8(2), np.uint8(rest)
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(source.size):
            value = source[x]
            above = weak if value > lower else other
            target[x] = strong if value > upper else above
