"""Piecewise linear interpolation between a table's entries, equidistant from ``low`` to ``high``; beyond them the first
and the last. NaN stays NaN. numpy.interp on such a grid, in float64."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, step, low, high, table):
    for row in range(top, bottom):
        for channel in range(step):
            interpolate(src[row], dst[row], channel, step, low[channel], high[channel], table[channel])


@kernel
def interpolate(source, target, channel, step, low, high, values):
    last = values.size - 1
    part = 1.0 if high - low < np.inf else 0.5  # a factor of all values, so that differences do not overflow
    begin, span = low * part, high * part - low * part
    for x in range(channel, source.size, step):
        value = float(source[x])
        if value <= low:
            result = values[0]
        elif value >= high:
            result = values[last]
        elif value == value:
            position = (value * part - begin) / span * last
            left = max(min(int(position), last - 1), 0)
            result = values[left] + (position - left) * (values[left + 1] - values[left])
        else:
            result = value
        target[x] = result
