"""Reversed order of rows or columns."""

import numpy as np

from gpuimg.kernels.lib.addresses import copy_elements
from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, step, vertical, horizontal):
    rows = dst.shape[0]
    for row in range(top, bottom):
        source = src[rows - 1 - row if vertical else row]
        if not horizontal:
            copy_elements(source, dst[row])
        elif step == 1:
            turn(source, dst[row])
        elif step == 3:
            turn_colors(source, dst[row])
        else:
            turn_pixels(source, dst[row], step)


@kernel
def turn(source, out):
    last = np.uintp(out.size - 1)  # unsigned indices need no test for negative ones, and the loop is vectorised
    for x in range(np.uintp(out.size)):
        out[x] = source[last - x]


@kernel
def turn_colors(source, out):
    last = np.uintp(out.size - 3)
    for x in range(np.uintp(out.size // 3)):
        at = np.uintp(3) * x
        out[at] = source[last - at]
        out[at + np.uintp(1)] = source[last - at + np.uintp(1)]
        out[at + np.uintp(2)] = source[last - at + np.uintp(2)]


@kernel
def turn_pixels(source, out, step):
    last = out.size - step
    for x in range(0, out.size, step):
        for channel in range(step):
            out[x + channel] = source[last - x + channel]
