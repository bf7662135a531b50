"""A smoothed image divided by a smoothed image of ones, for mode "constant".

``w0`` and ``w1`` are the halves of the symmetric kernels that it was smoothed with; ``outside`` is the value of the
image of ones beyond the edge: the constant in units of the ones."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, step, w0, w1, outside):
    rows, width = src.shape
    inside = shares(width // step, step, w1)
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(width):
            target[x] = source[x]
        divide(target, inside, share_inside(row, rows, w0), outside, (w1.size - 1) * step)


@kernel
def share_inside(place, length, weights):
    """The share of the weights around a place that is inside."""
    share = 1.0
    for far in range(1, weights.size):
        share -= weights[far] * ((place - far < 0) + (place + far >= length))
    return share


@kernel
def shares(cols, step, weights):
    """`share_inside` for each element of a row."""
    inside = np.empty(cols * step, np.float64)
    for x in range(inside.size):
        inside[x] = share_inside(x // step, cols, weights)
    return inside


@kernel
def divide(values, inside, share, outside, reach):
    """Divide by a smoothed row of ones, which is 1 more than ``reach`` elements from its ends."""
    size = values.size
    ends = share == 1 and 2 * reach < size
    divide_each(values[: reach if ends else size], inside, share, outside)
    if ends:
        divide_each(values[size - reach :], inside[size - reach :], share, outside)


@kernel
def divide_each(values, inside, share, outside):
    for x in range(values.size):
        part = share * inside[x]
        values[x] = values[x] / (part + outside * (1 - part))
