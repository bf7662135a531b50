"""Sample coordinates by a 3x3 matrix from output to input coordinates (column, row, 1)."""

import numpy as np

from gpuimg.kernels.lib.borders import CONSTANT, kernel


@kernel
def is_affine(matrix):
    return matrix[2, 0] == 0 and matrix[2, 1] == 0 and matrix[2, 2] == 1


@kernel
def coordinates(matrix, row, first, count, x, y):
    """The columns and rows of the samples of a run of output pixels, each computed separately: no error accumulates."""
    # In one row only the columns change. The terms are added in the same order on every backend.
    x_row = matrix[0, 1] * row + matrix[0, 2]
    y_row = matrix[1, 1] * row + matrix[1, 2]
    scale_row = matrix[2, 1] * row + matrix[2, 2]
    a, b, c = matrix[0, 0], matrix[1, 0], matrix[2, 0]
    affine = is_affine(matrix)
    for i in range(count):
        col = float(first + i)
        scale = 1.0 if affine else c * col + scale_row
        x[i] = (a * col + x_row) / scale
        y[i] = (b * col + y_row) / scale


@kernel
def affine_places(matrix, row, first, half, width, step, at, x_share, y_share):
    """The offset of each sample's pixel for a run, and, unless None, its fractional coordinates, by an affine matrix.
    All coordinates, plus ``half``, are inside the image."""
    x_row = matrix[0, 1] * row + matrix[0, 2]
    y_row = matrix[1, 1] * row + matrix[1, 2]
    a, b = matrix[0, 0], matrix[1, 0]
    pitch, along = float(width), float(step)
    for i in range(at.size):
        col = float(first + i)
        x, y = a * col + x_row + half, b * col + y_row + half
        whole_x, whole_y = np.floor(x), np.floor(y)
        if x_share is not None:
            x_share[i], y_share[i] = x - whole_x, y - whole_y
        at[i] = np.int64(whole_y * pitch + whole_x * along)


@kernel
def affine_parts(matrix, row, cols, half, touched, inside, mode, bounds):
    """The columns of an output row where the samples, plus ``half``, begin to touch the image, to be inside, to leave
    it, and to be beyond; all touch it unless the mode is "constant". ``touched`` and ``inside`` are the lowest
    coordinate and the ends of x and y."""
    begin, end = affine_span(matrix, row, cols, half, touched) if mode == CONSTANT else (0, cols)
    entering, leaving = affine_span(matrix, row, cols, half, inside)
    if entering == leaving:
        entering = leaving = end
    bounds[0], bounds[1], bounds[2], bounds[3] = begin, entering, leaving, end


@kernel
def clipped(bounds, first, count):
    """The parts of a row clipped to a run, relative to it."""
    return (
        min(max(bounds[0] - first, 0), count),
        min(max(bounds[1] - first, 0), count),
        min(max(bounds[2] - first, 0), count),
        min(max(bounds[3] - first, 0), count),
    )


@kernel
def affine_span(matrix, row, cols, half, limits):
    """The output columns [begin, end) of a row whose coordinates, plus ``half``, are within limits, see
    `affine_parts`."""
    low, end_x, end_y = limits
    x_row = matrix[0, 1] * row + matrix[0, 2]
    y_row = matrix[1, 1] * row + matrix[1, 2]
    x_begin, x_end = span(matrix[0, 0], x_row, half, low, end_x, cols)
    y_begin, y_end = span(matrix[1, 0], y_row, half, low, end_y, cols)
    begin, end = max(x_begin, y_begin), min(x_end, y_end)
    return begin, max(begin, end)


@kernel
def span(slope, start, half, low, high, cols):
    one, other = crossing(slope, start, half, low, cols), crossing(slope, start, half, high, cols)
    return min(one, other), max(one, other)


@kernel
def crossing(slope, start, half, limit, cols):
    """The number of columns before the coordinate crosses a limit. Rounded coordinates are monotonic."""
    low, high = 0, cols
    while low < high:
        middle = (low + high) // 2
        if (slope * float(middle) + start + half >= limit) == (slope < 0):
            low = middle + 1
        else:
            high = middle
    return low
