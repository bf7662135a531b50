"""Canny's method up to weak and strong edges in one pass: `gaussian` in floating point, in mode "constant" `normalize`,
`derivative` with Sobel's weights, `nonmaximum`.

Bit for bit the same as these kernels in sequence; here each row is still in the cache for the next step.
"""

import numpy as np

from gpuimg.kernels.canny.nonmaximum import suppress
from gpuimg.kernels.canny.normalize import divide, share_inside, shares
from gpuimg.kernels.edges.derivative import root, scale
from gpuimg.kernels.edges.derivative import weigh as weigh_three
from gpuimg.kernels.feature.harris import CENTRE, OUTER, real_weights
from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import CONSTANT, kernel
from gpuimg.kernels.lib.numbers import rounding
from gpuimg.kernels.lib.rows import edge_columns, neighbour_addresses, pad_edges, row_addresses, weigh

ROWS = 3  # kept of each intermediate whose neighbouring rows are needed


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, outside, low, high):
    rows, width = src.shape
    down, along = real_weights(src, w0), real_weights(src, w1)
    number = down.dtype.type
    line = np.empty(width + 2 * r1 * step, down.dtype)
    border = np.full(width if mode == CONSTANT else 0, src.dtype.type(cval))
    columns = edge_columns(r1, r1, width // step, mode)
    addresses, shifts = np.empty(2 * r0 + 1, np.int64), np.empty(2 * r1 + 1, np.int64)
    near0, near1 = rounding(down), rounding(along)
    inside = shares(width // step, step, w1)
    smooth = np.empty((ROWS, width + 2 * step), down.dtype)
    across = np.empty((ROWS, width), down.dtype)
    column = np.empty(width + 2 * step, down.dtype)
    rises, runs = np.empty((ROWS, width), down.dtype), np.empty((ROWS, width), down.dtype)
    strengths = np.empty((ROWS, width), down.dtype)
    for row in range(top - 2, bottom + 2):
        # The smoothed image is extended beyond its edge as in mode "reflect".
        source = min(max(row, 0), rows - 1)
        if is_set(stop):
            return
        here = row % ROWS
        row_addresses(src, source - r0, mode, border, addresses)
        weigh(addresses, src, 0, down, r0, near0, line[r1 * step : r1 * step + width], stop)
        pad_edges(line, width, columns, r1, step, number(cval))
        neighbour_addresses(line, step, shifts)
        middle = smooth[here, step : step + width]
        weigh(shifts, line, 0, along, r1, near1, middle, stop)
        if mode == CONSTANT:
            divide(middle, inside, share_inside(source, rows, w0), outside, r1 * step)
        for x in range(step):
            smooth[here, x] = smooth[here, step + x]
            smooth[here, width + step + x] = smooth[here, width + x]
        weigh_three(smooth[here, :width], smooth[here, step:], smooth[here, 2 * step :], across[here], CENTRE, OUTER)
        if row < top:
            continue
        above, middle_row = (row - 2) % ROWS, (row - 1) % ROWS
        weigh_three(smooth[above], smooth[middle_row], smooth[here], column, CENTRE, OUTER)
        right, left = column[2 * step :], column[:width]
        scale(across[here], across[above], rises[middle_row], 1)
        scale(right, left, runs[middle_row], 1)
        root(right, left, across[here], across[above], strengths[middle_row], 1)
        if row < top + 2:
            continue
        # Now the gradients of rows row - 3 to row - 1 are available.
        suppress(
            strengths[row % ROWS],
            strengths[above],
            strengths[middle_row],
            rises[above],
            runs[above],
            row - 2,
            rows,
            step,
            low,
            high,
            dst[row - 2],
        )
