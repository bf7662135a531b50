"""The areas of regions, run by run: a part for each slab of rows."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import find_starts
from gpuimg.kernels.regions.tables import hand_over_all, numbers_of, slots_for


@kernel
def fill(src, dst, top, bottom, labels, height):
    rows, cols = labels.shape
    starts = np.empty(cols + 1, np.int32)
    regions, held = slots_for(dst)
    for part in range(top, bottom):
        for row in range(part * height, min((part + 1) * height, rows)):
            line = labels[row]
            for run in range(find_starts(line, starts)):
                begin, end = starts[np.uintp(run)], starts[np.uintp(run + 1)]
                region = np.int64(line[np.uintp(begin)])
                if 0 < region < dst.shape[0]:
                    numbers_of(dst, 1, regions, held, region)[0] += np.uint64(end - begin)
        hand_over_all(dst, 1, regions, held)
