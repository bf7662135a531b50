"""``dst = table[src]``, with one table for all channels or one for each."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.cpu.borders import kernel


def entry(value):
    """Where a value stands in a table: negative ones in the second half."""


@overload(entry, inline="always")
def _entry(value):
    if value == types.int16:
        return lambda value: np.uint16(value)
    return lambda value: value


@kernel
def fill(src, dst, top, bottom, step, table):
    for row in range(top, bottom):
        source = src[row]
        target = dst[row]
        if table.shape[0] == 1:
            values = table[0]
            for x in range(source.size):
                target[x] = values[entry(source[x])]
        else:
            for channel in range(step):
                values = table[channel]
                for x in range(channel, source.size, step):
                    target[x] = values[entry(source[x])]
