"""Red, green and blue as hue, saturation and value."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import share

GREEN, BLUE, THREE = np.uintp(1), np.uintp(2), np.uintp(3)


@kernel
def fill(src, dst, top, bottom):
    """Integers are divided by their dtype's maximum."""
    for row in range(top, bottom):
        convert(src[row], dst[row])


@kernel
def convert(line, out):
    number = out.dtype.type
    zero, one, two, four, six = number(0), number(1), number(2), number(4), number(6)
    for pixel in range(line.size // 3):
        at = np.uintp(pixel) * THREE
        red, green, blue = share(line[at], out), share(line[at + GREEN], out), share(line[at + BLUE], out)
        value = max(max(red, green), blue)
        spread = value - min(min(red, green), blue)
        # Among equal channels the last one counts.
        ahead, behind, turn = green, blue, zero
        ahead, behind, turn = (blue, red, two) if green == value else (ahead, behind, turn)
        ahead, behind, turn = (red, green, four) if blue == value else (ahead, behind, turn)
        grey = spread == zero
        hue = (turn + (ahead - behind) / (one if grey else spread)) / six
        out[at] = zero if grey else hue - np.floor(hue)
        out[at + GREEN] = zero if grey else spread / value
        out[at + BLUE] = value
