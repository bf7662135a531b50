"""Three channels, each a weighted sum of the three input channels, with constants added before and after."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import share

GREEN, BLUE, THREE = np.uintp(1), np.uintp(2), np.uintp(3)


@kernel
def fill(src, dst, top, bottom, before, matrix, after):
    """``matrix @ (src + before) + after``, with integers divided by their dtype's maximum; ``matrix`` is (3, 3)."""
    for row in range(top, bottom):
        convert(src[row], dst[row], before, matrix, after)


@kernel
def convert(line, out, before, matrix, after):
    number = out.dtype.type
    b0, b1, b2 = number(before[0]), number(before[1]), number(before[2])
    a0, a1, a2 = number(after[0]), number(after[1]), number(after[2])
    m00, m01, m02 = number(matrix[0, 0]), number(matrix[0, 1]), number(matrix[0, 2])
    m10, m11, m12 = number(matrix[1, 0]), number(matrix[1, 1]), number(matrix[1, 2])
    m20, m21, m22 = number(matrix[2, 0]), number(matrix[2, 1]), number(matrix[2, 2])
    for pixel in range(line.size // 3):
        at = np.uintp(pixel) * THREE
        first = share(line[at], out) + b0
        second = share(line[at + GREEN], out) + b1
        third = share(line[at + BLUE], out) + b2
        out[at] = (first * m00 + second * m01) + third * m02 + a0
        out[at + GREEN] = (first * m10 + second * m11) + third * m12 + a1
        out[at + BLUE] = (first * m20 + second * m21) + third * m22 + a2
