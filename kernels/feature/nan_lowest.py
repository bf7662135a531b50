"""The least value in place of NaN."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom):
    least = dst.dtype.type(-np.inf)
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(source.size):
            value = source[x]
            target[x] = value if value == value else least
