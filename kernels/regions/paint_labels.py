"""Colours painted over an image by its labels: ``places`` holds a row of ``table`` for each label.

A row is a colour of three channels and the weight of the image, to which they are added. The channels of a colour image
are first moved towards their maximum; with ``saturation`` 0 they become equal to it.
"""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored, weighed, widened


@kernel
def fill(src, dst, top, bottom, labels, places, table, step, saturation):
    for row in range(top, bottom):
        if step == 3:
            paint_colors(src[row], labels[row], places[0], table, saturation, dst[row])
        else:
            paint(src[row], labels[row], places[0], table, dst[row])


@kernel
def paint(line, labels, places, table, out):
    for x in range(labels.size):
        color = table[np.uintp(places[np.uintp(labels[x])])]
        value = weighed(widened(line[x], out), widened(color[3], out))
        for channel in range(3):
            out[3 * x + channel] = stored(widened(color[channel], out) + value, out)


@kernel
def paint_colors(line, labels, places, table, saturation, out):
    kept, grey = widened(saturation, out), widened(1 - saturation, out)
    for x in range(labels.size):
        color = table[np.uintp(places[np.uintp(labels[x])])]
        weight = widened(color[3], out)
        value = weighed(widened(largest(line[3 * x], line[3 * x + 1], line[3 * x + 2]), out), grey)
        for channel in range(3):
            mixed = weighed(widened(line[3 * x + channel], out), kept) + value
            out[3 * x + channel] = stored(widened(color[channel], out) + weighed(mixed, weight), out)


@kernel
def largest(red, green, blue):
    """The maximum of three numbers; NaN if one of them is NaN."""
    most = green if green > red or green != green else red
    return blue if blue > most or blue != blue else most
