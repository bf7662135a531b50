"""Non-maximum suppression: where the gradient magnitude is a maximum along the gradient's direction, 1 if it is at
minimum ``high``, 2 if it is at least ``low``; else 0, also on the image's outermost pixels.

The image is the magnitude; ``down`` and ``along`` are the derivatives down the columns and along the rows. ``mode`` and
``cval`` are not used."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import weighed


@kernel
def fill(src, dst, top, bottom, step, mode, cval, down, along, low, high):
    for row in range(top, bottom):
        above, below = src[max(row - 1, 0)], src[min(row + 1, src.shape[0] - 1)]
        suppress(above, src[row], below, down[row], along[row], row, src.shape[0], step, low, high, dst[row])


@kernel
def suppress(above, here, below, rises, runs, row, rows, step, low, high, out):
    """One row; the outermost pixels of the image are 0."""
    number, width = here.dtype.type, out.size
    if row == 0 or row == rows - 1 or width <= 2 * step:
        out[:] = 0
        return
    for x in range(step):
        out[x] = 0
        out[width - 1 - x] = 0
    inner = out[step : width - step]
    keep_maxima(above, here, below, rises[step:], runs[step:], step, number(low), number(high), inner)


@kernel
def keep_maxima(above, here, below, rises, runs, step, low, high, out):
    """Compare with the two points, each between two neighbours, where the gradient's line crosses their ring."""
    number = here.dtype.type
    above_left, above_middle, above_right = above, above[step:], above[2 * step :]
    left, middle, right = here, here[step:], here[2 * step :]
    below_left, below_middle, below_right = below, below[step:], below[2 * step :]
    for x in range(out.size):
        # Everything is loaded, needed or not: LLVM vectorises selects between values, not between loads.
        rise, run = rises[x], runs[x]
        strength, before, after = middle[x], left[x], right[x]
        upper_left, upper, upper_right = above_left[x], above_middle[x], above_right[x]
        lower_left, lower, lower_right = below_left[x], below_middle[x], below_right[x]
        falling = (rise <= 0) == (run <= 0)
        rise, run = abs(rise), abs(run)
        steep = rise > run
        short = run if steep else rise
        weight = short / (rise if steep else run)
        rest = number(1) - weight
        corner = lower_right if falling else upper_right
        opposite = upper_left if falling else lower_left
        vertical = lower if falling else upper
        other = upper if falling else lower
        side = vertical if steep else after
        back = other if steep else before
        ahead = weighed(corner, weight) + weighed(side, rest)
        behind = weighed(opposite, weight) + weighed(back, rest)
        kept = np.uint8(ahead <= strength) & np.uint8(behind <= strength)
        kept &= np.uint8(strength >= low) & np.uint8(strength > 0)
        out[x] = kept + (kept & np.uint8(strength < high))
