"""sRGB as CIE L*, a* and b*."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import share
from gpuimg.kernels.lib.roots import cube_root, power_2_4

GREEN, BLUE, THREE = np.uintp(1), np.uintp(2), np.uintp(3)


@kernel
def fill(src, dst, top, bottom, matrix):
    """``matrix`` converts linear red, green and blue to X, Y and Z, relative to white."""
    for row in range(top, bottom):
        convert(src[row], dst[row], matrix)


@kernel
def linear(value):
    """The linear value of an sRGB one."""
    number = type(value)
    bright = power_2_4((value + number(0.055)) * number(1 / 1.055))
    return bright if value > number(0.04045) else value * number(1 / 12.92)


@kernel
def response(light):
    number = type(light)
    return cube_root(light) if light > number(0.008856) else number(7.787) * light + number(16.0 / 116.0)


@kernel
def convert(line, out, matrix):
    number = out.dtype.type
    m00, m01, m02 = number(matrix[0, 0]), number(matrix[0, 1]), number(matrix[0, 2])
    m10, m11, m12 = number(matrix[1, 0]), number(matrix[1, 1]), number(matrix[1, 2])
    m20, m21, m22 = number(matrix[2, 0]), number(matrix[2, 1]), number(matrix[2, 2])
    for pixel in range(line.size // 3):
        at = np.uintp(pixel) * THREE
        red = linear(share(line[at], out))
        green = linear(share(line[at + GREEN], out))
        blue = linear(share(line[at + BLUE], out))
        x = response((red * m00 + green * m01) + blue * m02)
        y = response((red * m10 + green * m11) + blue * m12)
        z = response((red * m20 + green * m21) + blue * m22)
        out[at] = number(116) * y - number(16)
        out[at + GREEN] = number(500) * (x - y)
        out[at + BLUE] = number(200) * (y - z)
