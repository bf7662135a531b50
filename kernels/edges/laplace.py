"""The sum of the second differences down the columns and along the rows."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel, pad_row


def lines_for(src, length):
    """Three rows of the type that sums of the image's values are computed in."""


@overload(lines_for)
def _lines_for(src, length):
    # Sums of bytes are exact in 16 bits, and twice as many fit a vector.
    kind = {types.uint8: np.int16, types.float64: np.float64}.get(src.dtype, np.float32)
    return lambda src, length: np.empty((3, length), kind)


@kernel
def fill(src, dst, top, bottom, step, mode, cval):
    width = src.shape[1]
    padded = lines_for(src, width + 2 * step)
    for row in range(top - 1, top + 1):
        pad_row(src, row, padded[row % 3], 1, 1, step, mode, cval)
    for row in range(top, bottom):
        pad_row(src, row + 1, padded[(row + 1) % 3], 1, 1, step, mode, cval)
        above, here, below = padded[(row - 1) % 3], padded[row % 3], padded[(row + 1) % 3]
        sum_up(above[step:], below[step:], here, here[step:], here[2 * step :], dst[row])


@kernel
def sum_up(above, below, left, middle, right, out):
    number = above.dtype.type
    for x in range(out.size):
        around = number(number(above[x] + below[x]) + number(left[x] + right[x]))
        out[x] = number(around - number(middle[x] * number(4)))
