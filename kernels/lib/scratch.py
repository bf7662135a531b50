"""Scratch memory aligned to cache lines: loading a vector that crosses two of them takes twice as long."""

import numpy as np

from gpuimg.kernels.lib.functions import kernel

LINE = 64  # bytes of a cache line


@kernel
def aligned(count, like):
    """Return uninitialised memory for elements of the dtype of ``like``, aligned to a cache line."""
    room = np.empty(count + LINE // like.itemsize, like.dtype)
    begin = -room.ctypes.data % LINE // like.itemsize
    return room[begin : begin + count]
