"""Tables with a row of numbers for each region, sums first, then maxima of numbers that are at least zero.

Each part of an image collects the numbers of regions in slots, and adds them to the table, which all parts share, when
another region takes the slot: integers may be added in any order.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from gpuimg.kernels.lib.borders import kernel

SLOTS = 512  # neighbouring regions often have neighbouring numbers, and so different slots


def _atomic(operation):
    @intrinsic
    def apply(_context, table, at, number):
        def build(context, builder, signature, arguments):
            held, at, number = arguments
            place = builder.gep(context.make_array(table)(context, builder, held).data, [at])
            builder.atomic_rmw(operation, place, number, "monotonic")
            return context.get_dummy_value()

        return types.none(table, types.int64, table.dtype), build

    return apply


add_to, raise_to = _atomic("add"), _atomic("umax")


@kernel
def slots_for(dst):
    """Empty slots, with region 0 and zeros."""
    return np.zeros(SLOTS, np.int64), np.zeros((SLOTS, dst.shape[1]), dst.dtype)


@kernel
def numbers_of(dst, sums, regions, held, region):
    """The slot of a region, evicting another region if needed; the first ``sums`` numbers are sums."""
    slot = region & (SLOTS - 1)
    if regions[slot] != region:
        hand_over(dst, sums, regions, held, slot)
        regions[slot] = region
    return held[slot]


@kernel
def hand_over(dst, sums, regions, held, slot):
    table, numbers = dst.reshape(dst.size), held[slot]
    if regions[slot] > 0:
        first = regions[slot] * numbers.size
        for number in range(numbers.size):
            if number < sums:
                add_to(table, first + number, numbers[number])
            else:
                raise_to(table, first + number, numbers[number])
            numbers[number] = 0
        regions[slot] = 0


@kernel
def hand_over_all(dst, sums, regions, held):
    for slot in range(SLOTS):
        hand_over(dst, sums, regions, held, slot)
