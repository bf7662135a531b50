"""The sum of a slab of rows."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom):
    rows, slabs = src.shape[0], dst.shape[0]
    for slab in range(top, bottom):
        total = dst.dtype.type(0)
        for row in range(slab * rows // slabs, (slab + 1) * rows // slabs):
            for x in range(src.shape[1]):
                total += src[np.uintp(row), np.uintp(x)]
        dst[slab, 0] = total
