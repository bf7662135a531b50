"""Goes on with `edge_links` over the seams between slabs, in place. A part is a group of slabs: seams between smaller
groups in it, of ``span`` slabs each, are gone over; those within them have been already."""

import numpy as np

from gpuimg.kernels.canny.flood import FEW, flood_row
from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, stop, step, height, span, group, reach):
    rows = dst.shape[0]
    waiting = np.empty(FEW, np.int64)
    for part in range(top, bottom):
        first, last = part * group * height, min((part + 1) * group * height, rows)
        for seam in range(first + span * height, last, span * height):
            waiting = flood_row(dst, seam - 1, first, last, step, reach, waiting, stop)
            waiting = flood_row(dst, seam, first, last, step, reach, waiting, stop)
