"""Area, sums of coordinates and of their products, and extents of regions, run by run: a part for each slab of rows.

A table's row has the area; the sums of r, c, r * r, r * c and c * c; `FAR` minus the first row, the end of the rows,
and the same for the columns.
"""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import find_starts
from gpuimg.kernels.regions.tables import hand_over_all, numbers_of, slots_for

FAR = 1 << 40
SUMS = 6


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
                    numbers = numbers_of(dst, SUMS, regions, held, region)
                    add_run(numbers, np.uint64(row), np.uint64(begin), np.uint64(end))
        hand_over_all(dst, SUMS, regions, held)


@kernel
def add_run(numbers, row, begin, end):
    one, far = np.uint64(1), np.uint64(FAR)
    area = end - begin
    cols = ((begin + end - one) * area) >> one
    numbers[0] += area
    numbers[1] += row * area
    numbers[2] += cols
    numbers[3] += row * row * area
    numbers[4] += row * cols
    numbers[5] += squares_below(end) - squares_below(begin)
    numbers[6] = max(numbers[6], far - row)
    numbers[7] = max(numbers[7], row + one)
    numbers[8] = max(numbers[8], far - begin)
    numbers[9] = max(numbers[9], end)


@kernel
def squares_below(end):
    """The sum of the squares of the integers in [0, end), for ``end`` up to 2**20."""
    one, two = np.uint64(1), np.uint64(2)
    return (end - one) * end * (two * end - one) // np.uint64(6) if end > 0 else np.uint64(0)
