"""Values of one image where a condition holds, those of another elsewhere."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.stacks import stack_array

RUN = 1024  # values of a condition that are repeated for the channels at a time


@kernel
def fill(src, dst, top, bottom, channels, first, second):
    """``channels`` is the number of values for each value of the condition."""
    for row in range(top, bottom):
        if channels == 1:
            choose(src[row], first[row], second[row], dst[row])
            continue
        held = stack_array(np.uint8, RUN)
        most = RUN // channels
        for begin in range(0, src.shape[1], most):
            holds = repeated(src[row, begin : begin + most], channels, held)
            part = slice(begin * channels, begin * channels + holds.size)
            choose(holds, first[row, part], second[row, part], dst[row, part])


@kernel
def choose(condition, first, second, out):
    for x in range(out.size):
        a, b = first[x], second[x]  # both are loaded, so that the loop is vectorised
        out[x] = a if condition[x] != 0 else b


@kernel
def repeated(condition, channels, held):
    """Repeat each value of a condition for all channels, in the memory of ``held``."""
    for pixel in range(np.uintp(condition.size)):
        if channels == 3:
            at = np.uintp(3) * pixel
            held[at] = held[at + np.uintp(1)] = held[at + np.uintp(2)] = condition[pixel]
        else:
            for channel in range(channels):
                held[pixel * channels + channel] = condition[pixel]
    return held[: condition.size * channels]
