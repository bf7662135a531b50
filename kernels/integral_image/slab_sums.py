"""Sums of the columns of slabs of ``height`` rows: row ``s`` of ``dst`` has those of slab ``s``."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel

PIECE = 1024  # columns whose sums stay in the first-level cache
EXACT_ROWS = {1: 257, 2: 32768}  # sums of as many 8-bit values fit 16 bits, of 16-bit values 32 bits


def sums_of_few(src, count):
    """Zeros of a type that holds sums of `EXACT_ROWS` values: slabs have fewer rows."""


@overload(sums_of_few)
def _sums_of_few(src, count):
    if src.dtype == types.uint8:
        return lambda src, count: np.zeros(count, np.uint16)
    kind = np.float64 if isinstance(src.dtype, types.Float) else np.int32
    return lambda src, count: np.zeros(count, kind)


@kernel
def fill(src, dst, top, bottom, height):
    rows, width = src.shape
    sums = sums_of_few(src, PIECE)
    for slab in range(top, bottom):
        first, last = slab * height, min((slab + 1) * height, rows)
        for start in range(0, width, PIECE):
            count = min(PIECE, width - start)
            inner = sums[:count]
            inner[:] = 0
            for row in range(first, last):
                add(src[row, start : start + count], inner)
            dst[slab, start : start + count] = inner


@kernel
def add(line, sums):
    number = sums.dtype.type
    for x in range(sums.size):
        sums[x] = number(sums[x] + number(line[x]))
