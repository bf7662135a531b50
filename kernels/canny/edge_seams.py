"""Continues `edge_links` across the seams between slabs, in place. A part is a group of slabs: links across the seams
between its smaller groups, of ``span`` slabs each, whose inner seams are already done."""

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
