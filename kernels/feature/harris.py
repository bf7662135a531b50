"""Harris' response to corners: products of Sobel's differences, smoothed by a symmetric kernel, and their determinant
minus ``k`` times their squared trace.

Products of as many rows as the kernel is high are kept; beyond the image's edge they are folded, or 0 in mode
"constant"."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.edges.derivative import lines_for, load, weigh
from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.lib.numbers import rounding, weighed
from gpuimg.kernels.lib.rows import edge_columns, neighbour_addresses, pad_edges, row_address
from gpuimg.kernels.lib.rows import weigh as smooth_rows

CENTRE, OUTER = 2, 1  # Sobel's weights
PRODUCTS = 3


def real_weights(src, weights):
    """Weights in the type that the image is computed in."""


@overload(real_weights)
def _real_weights(src, weights):
    if src.dtype == types.float64:
        return lambda src, weights: weights
    return lambda src, weights: weights.astype(np.float32)


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, r0, r1, w0, w1, k):
    rows, width = src.shape
    number = dst.dtype.type
    down, along = real_weights(src, w0), real_weights(src, w1)
    near0, near1 = rounding(down), rounding(along)
    kept = 2 * r0 + 1
    products = np.empty((PRODUCTS * kept, width), dst.dtype)
    line = np.empty(width + 2 * r1 * step, dst.dtype)
    smoothed = np.empty((PRODUCTS, width), dst.dtype)
    columns = edge_columns(r1, r1, width // step, mode)
    addresses, shifts = np.empty(kept, np.int64), np.empty(2 * r1 + 1, np.int64)
    padded = lines_for(src, 3, width + 2 * step)
    smooth = lines_for(src, 3, width)
    column = lines_for(src, 1, width + 2 * step)[0]
    held = np.full(3, -2, np.int64)
    for row in range(top - r0, bottom + r0):
        # ``row`` comes into the place of the one that is not needed any more.
        place = row % kept * PRODUCTS
        if is_set(stop):
            return
        inside = fold(row, rows, mode)
        if inside < 0:
            products[place : place + PRODUCTS] = 0
        else:
            for each in range(inside - 1, inside + 2):
                if held[each % 3] != each:
                    load(src, each, padded[each % 3], smooth[each % 3], stop, step, mode, cval, CENTRE, OUTER)
                    held[each % 3] = each
            above, below = (inside - 1) % 3, (inside + 1) % 3
            weigh(padded[above], padded[inside % 3], padded[below], column, CENTRE, OUTER)
            right, left = column[2 * step :], column[:width]
            multiply(smooth[below], smooth[above], smooth[below], smooth[above], products[place])
            multiply(smooth[below], smooth[above], right, left, products[place + 1])
            multiply(right, left, right, left, products[place + 2])
        middle = row - r0
        if middle < top:
            continue
        for product in range(PRODUCTS):
            for tap in range(kept):
                addresses[tap] = row_address(products, (middle - r0 + tap) % kept * PRODUCTS + product)
            smooth_rows(addresses, products, 0, down, r0, near0, line[r1 * step : r1 * step + width], stop)
            pad_edges(line, width, columns, r1, step, number(0))
            neighbour_addresses(line, step, shifts)
            smooth_rows(shifts, line, 0, along, r1, near1, smoothed[product], stop)
        respond(smoothed[0], smoothed[1], smoothed[2], number(k), dst[middle])


@kernel
def multiply(ahead, behind, right, left, out):
    """Products of two differences."""
    number = out.dtype.type
    for x in range(out.size):
        out[x] = (number(ahead[x]) - number(behind[x])) * (number(right[x]) - number(left[x]))


@kernel
def respond(rows, mixed, cols, k, out):
    for x in range(out.size):
        trace = rows[x] + cols[x]
        out[x] = (rows[x] * cols[x] - mixed[x] * mixed[x]) - weighed(trace * trace, k)
