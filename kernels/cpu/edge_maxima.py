"""Where the smoothed image's gradient is greatest along its own direction: 1 where its magnitude is at least ``high``
there, 2 where it is at least ``low``, else 0, as on the image's outermost pixels.

In mode "constant" the smoothed image is divided by the share of the weights that lies inside, and by ``outside`` times
the rest."""

import numpy as np

from gpuimg.kernels.cpu.borders import CONSTANT, kernel
from gpuimg.kernels.cpu.harris import real_weights
from gpuimg.kernels.cpu.rows import edge_columns, neighbour_addresses, pad_edges, row_addresses, weigh

ROWS = 3  # kept of whatever neighbouring rows are needed of


@kernel
def fill(src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, outside, low, high):
    rows, width = src.shape
    down, along = real_weights(src, w0), real_weights(src, w1)
    number = down.dtype.type
    line = np.empty(width + 2 * r1 * step, down.dtype)
    border = np.full(width if mode == CONSTANT else 0, src.dtype.type(cval))
    columns = edge_columns(r1, r1, width // step, mode)
    addresses, shifts = np.empty(2 * r0 + 1, np.int64), np.empty(2 * r1 + 1, np.int64)
    inside = shares(width // step, step, w1)
    smooth = np.empty((ROWS, width + 2 * step), down.dtype)
    across = np.empty((ROWS, width), down.dtype)
    column = np.empty(width + 2 * step, down.dtype)
    rises, runs = np.empty((ROWS, width), down.dtype), np.empty((ROWS, width), down.dtype)
    strengths = np.empty((ROWS, width), down.dtype)
    for row in range(top - 2, bottom + 2):
        # The smoothed image goes on beyond its edge as in mode "reflect".
        source = min(max(row, 0), rows - 1)
        here = row % ROWS
        row_addresses(src, source - r0, mode, border, addresses)
        weigh(addresses, src, 0, down, r0, number(0), line[r1 * step : r1 * step + width])
        pad_edges(line, width, columns, r1, step, number(cval))
        neighbour_addresses(line, step, shifts)
        middle = smooth[here, step : step + width]
        weigh(shifts, line, 0, along, r1, number(0), middle)
        if mode == CONSTANT:
            divide(middle, inside, share_inside(source, rows, w0), outside, r1 * step)
        for x in range(step):
            smooth[here, x] = smooth[here, step + x]
            smooth[here, width + step + x] = smooth[here, width + x]
        add_neighbours(smooth[here], smooth[here, step:], smooth[here, 2 * step :], across[here])
        if row < top:
            continue
        above, middle_row = (row - 2) % ROWS, (row - 1) % ROWS
        add_neighbours(smooth[above], smooth[middle_row], smooth[here], column)
        subtract(across[here], across[above], rises[middle_row])
        subtract(column[2 * step :], column, runs[middle_row])
        measure(rises[middle_row], runs[middle_row], strengths[middle_row])
        if row < top + 2:
            continue
        # Now the gradients of the rows from row - 3 to row - 1 are there.
        if row - 2 == 0 or row - 2 == rows - 1 or width <= 2 * step:
            dst[row - 2] = 0
            continue
        for x in range(step):
            dst[row - 2, x] = 0
            dst[row - 2, width - 1 - x] = 0
        keep_greatest(
            strengths[row % ROWS],
            strengths[above],
            strengths[middle_row],
            rises[above, step:],
            runs[above, step:],
            step,
            number(low),
            number(high),
            dst[row - 2, step : width - step],
        )


@kernel
def share_inside(place, length, weights):
    """What share of the weights around a place lies inside."""
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
    """Divide by what a smoothed row of ones is; it is 1 more than ``reach`` elements away from its ends."""
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


@kernel
def add_neighbours(before, middle, after, out):
    for x in range(out.size):
        out[x] = (before[x] + after[x]) + (middle[x] + middle[x])


@kernel
def subtract(one, other, out):
    for x in range(out.size):
        out[x] = one[x] - other[x]


@kernel
def measure(rises, runs, out):
    for x in range(out.size):
        out[x] = np.sqrt(rises[x] * rises[x] + runs[x] * runs[x])


@kernel
def keep_greatest(above, here, below, rises, runs, step, low, high, out):
    """Compare with the two places where the gradient's line leaves the ring of neighbours, between two of them each."""
    number = here.dtype.type
    above_left, above_middle, above_right = above, above[step:], above[2 * step :]
    left, middle, right = here, here[step:], here[2 * step :]
    below_left, below_middle, below_right = below, below[step:], below[2 * step :]
    for x in range(out.size):
        # All is loaded whether needed or not: LLVM makes vectors of choices between values, not between loads.
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
        ahead = corner * weight + side * rest
        behind = opposite * weight + back * rest
        kept = np.uint8(ahead <= strength) & np.uint8(behind <= strength)
        kept &= np.uint8(strength >= low) & np.uint8(strength > 0)
        out[x] = kept + (kept & np.uint8(strength < high))
