"""The maximum and minimum finite intensity of regions, and flags of others: a part for each slab of rows.

A table has a row of maxima for each channel of each region: the rank of the maximum among all float64 numbers; the
complement of the rank of the minimum; 1 if infinity occurs, 2 if NaN does; 1 if minus infinity does.
"""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.roots import bits_of
from gpuimg.kernels.lib.runs import find_starts
from gpuimg.kernels.regions.tables import hand_over_all, numbers_of, slots_for


@kernel
def fill(src, dst, top, bottom, labels, intensity, step, height):
    rows, cols = labels.shape
    starts = np.empty(cols + 1, np.int32)
    regions, held = slots_for(dst)
    for part in range(top, bottom):
        for row in range(part * height, min((part + 1) * height, rows)):
            line = labels[row]
            for run in range(find_starts(line, starts)):
                begin, end = np.int64(starts[np.uintp(run)]), np.int64(starts[np.uintp(run + 1)])
                region = np.int64(line[np.uintp(begin)])
                if region > 0 and (region + 1) * step <= dst.shape[0]:
                    for channel in range(step):
                        numbers = numbers_of(dst, 0, regions, held, region * step + channel)
                        add_values(numbers, intensity[row], begin * step + channel, end * step, step)
        hand_over_all(dst, 0, regions, held)


@kernel
def add_values(numbers, values, begin, end, step):
    low, high = np.inf, -np.inf
    for x in range(begin, end, step):
        value = np.float64(values[np.uintp(x)])
        if value - value == 0:
            low, high = min(low, value), max(high, value)
        elif value != value:
            numbers[2] = 2
        elif value > 0:
            numbers[2] = max(numbers[2], np.uint64(1))
        else:
            numbers[3] = 1
    if low <= high:
        numbers[0] = max(numbers[0], place_of(high))
        numbers[1] = max(numbers[1], ~place_of(low))


@kernel
def place_of(value):
    """The rank of a value among all float64 numbers."""
    bits = bits_of(value)
    return ~np.uint64(bits) if bits < 0 else np.uint64(bits) | np.uint64(1 << 63)
