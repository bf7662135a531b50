"""A number where a condition is true, or where it is false, and the values of an image elsewhere."""

import numpy as np

from gpuimg.kernels.exposure.where import RUN, repeated
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.stacks import stack_array


@kernel
def fill(src, dst, top, bottom, channels, other, number, holds):
    """The result is ``number`` where the condition equals ``holds``; ``channels`` is as in `where`."""
    value, wanted = dst.dtype.type(number), holds != 0
    for row in range(top, bottom):
        if channels == 1:
            choose(src[row], other[row], dst[row], value, wanted)
            continue
        held = stack_array(np.uint8, RUN)
        most = RUN // channels
        for begin in range(0, src.shape[1], most):
            condition = repeated(src[row, begin : begin + most], channels, held)
            part = slice(begin * channels, begin * channels + condition.size)
            choose(condition, other[row, part], dst[row, part], value, wanted)


@kernel
def choose(condition, other, out, value, holds):
    for x in range(out.size):
        kept = other[x]
        out[x] = value if (condition[x] != 0) == holds else kept
