"""Hue, saturation and value as red, green and blue."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel

GREEN, BLUE, THREE = np.uintp(1), np.uintp(2), np.uintp(3)


@kernel
def fill(src, dst, top, bottom):
    for row in range(top, bottom):
        convert(src[row], dst[row])


@kernel
def convert(line, out):
    number = out.dtype.type
    one, three, five, six = number(1), number(3), number(5), number(6)
    for pixel in range(line.size // 3):
        at = np.uintp(pixel) * THREE
        hue, value = line[at] * six, line[at + BLUE]
        depth = value * line[at + GREEN]
        out[at] = value - depth * share(five + hue, number)
        out[at + GREEN] = value - depth * share(three + hue, number)
        out[at + BLUE] = value - depth * share(one + hue, number)


@kernel
def share(turn, number):
    """The fraction of the saturation that is subtracted from a channel, whose turn is from 0 to 6."""
    turn = turn - number(6) * np.floor(turn / number(6))
    near = min(turn, number(4) - turn)
    return max(min(near, number(1)), number(0))
