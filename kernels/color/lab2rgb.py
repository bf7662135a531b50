"""CIE L*, a* and b* as sRGB, clipped to [0, 1]."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.roots import power_1_2_4

GREEN, BLUE, THREE = np.uintp(1), np.uintp(2), np.uintp(3)


@kernel
def fill(src, dst, top, bottom, matrix):
    """``matrix`` converts X, Y and Z, relative to white, to linear red, green and blue."""
    for row in range(top, bottom):
        convert(src[row], dst[row], matrix)


@kernel
def share_of(response):
    number = type(response)
    cube = response * response * response
    return cube if response > number(0.2068966) else (response - number(16.0 / 116.0)) / number(7.787)


@kernel
def gamma(light):
    """The sRGB value of a linear one."""
    number = type(light)
    bright = number(1.055) * power_1_2_4(light) - number(0.055)
    value = bright if light > number(0.0031308) else light * number(12.92)
    value = number(0) if value < number(0) else value
    return number(1) if value > number(1) else value


@kernel
def convert(line, out, matrix):
    number = out.dtype.type
    m00, m01, m02 = number(matrix[0, 0]), number(matrix[0, 1]), number(matrix[0, 2])
    m10, m11, m12 = number(matrix[1, 0]), number(matrix[1, 1]), number(matrix[1, 2])
    m20, m21, m22 = number(matrix[2, 0]), number(matrix[2, 1]), number(matrix[2, 2])
    for pixel in range(line.size // 3):
        at = np.uintp(pixel) * THREE
        middle = (line[at] + number(16)) / number(116)
        third = middle - line[at + BLUE] / number(200)
        x = share_of(line[at + GREEN] / number(500) + middle)
        y = share_of(middle)
        z = share_of(number(0) if third < number(0) else third)
        out[at] = gamma((x * m00 + y * m01) + z * m02)
        out[at + GREEN] = gamma((x * m10 + y * m11) + z * m12)
        out[at + BLUE] = gamma((x * m20 + y * m21) + z * m22)
