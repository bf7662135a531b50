"""Sums of the finite intensities of regions as integers, independent of the order: a part for each slab.

A value is split into multiples of two powers of two that depend only on the region's maximum magnitude: 32 bits below
it, and 32 bits below the first. A table's row for each channel of each region has the sums of both multiples. See
J. Demmel, H. D. Nguyen, "Fast reproducible floating-point summation", ARITH 2013, 163-172.
"""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.roots import number_of
from gpuimg.kernels.lib.runs import find_starts
from gpuimg.kernels.regions.tables import hand_over_all, numbers_of, slots_for

BITS = 32  # sums of 2**31 values fit 64 bits
LEAST = 128  # minimum biased exponent: its powers and their inverses are normal numbers


@kernel
def fill(src, dst, top, bottom, labels, intensity, extrema, step, height):
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
                        numbers = numbers_of(dst, 2, regions, held, region * step + channel)
                        exponent = exponent_of(extrema[region * step + channel])
                        add_values(numbers, intensity[row], begin * step + channel, end * step, step, exponent)
        hand_over_all(dst, 2, regions, held)


@kernel
def exponent_of(extrema):
    """The biased exponent of the maximum magnitude."""
    return max(magnitude_of(extrema[0]), magnitude_of(~extrema[1]), np.int64(LEAST))


@kernel
def magnitude_of(place):
    """The exponent of the value of a given rank."""
    bits = place if place >> np.uint64(63) else ~place
    return np.int64((bits >> np.uint64(52)) & np.uint64(0x7FF))


@kernel
def power(exponent):
    return number_of(np.int64(exponent) << 52)


@kernel
def add_values(numbers, values, begin, end, step, exponent):
    coarse, by_coarse = power(exponent + 1 - BITS), power(2045 + BITS - exponent)
    by_fine = power(2045 + 2 * BITS - exponent)
    high = low = np.int64(0)
    for x in range(begin, end, step):
        value = np.float64(values[np.uintp(x)])
        if value - value == 0:
            multiple = np.rint(value * by_coarse)
            high += np.int64(multiple)
            low += np.int64(np.rint((value - multiple * coarse) * by_fine))
    numbers[0] += np.uint64(high)
    numbers[1] += np.uint64(low)
