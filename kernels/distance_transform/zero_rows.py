"""For each column, the first and the last row of each slab with a zero: row ``s`` of ``dst`` has the first rows of slab
``s``, then the last rows; `NEVER` and ``-NEVER`` for columns without zeros."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.spans import smaller

NEVER = 1 << 28
HIGHEST = 254  # rows of a slab: counted in bytes


@kernel
def fill(src, dst, top, bottom, height):
    rows, width = src.shape
    soonest, latest = np.empty(width, np.uint8), np.empty(width, np.uint8)
    for slab in range(top, bottom):
        first, last = slab * height, min((slab + 1) * height, rows)
        soonest[:] = HIGHEST + 1
        latest[:] = HIGHEST + 1  # counted from below
        for row in range(first, last):
            notice(src[row], row - first, soonest)
            notice(src[row], last - 1 - row, latest)
        for x in range(width):
            never = soonest[x] > HIGHEST
            dst[slab, x] = NEVER if never else first + soonest[x]
            dst[slab, width + x] = -NEVER if never else last - 1 - latest[x]


@kernel
def notice(line, number, nearest):
    place = np.uint8(number)
    for x in range(nearest.size):
        nearest[x] = smaller(np.uint8(np.uint8(-np.uint8(line[x] != 0)) | place), nearest[x])
