"""The samples' coordinates by a 3x3 matrix from output to input coordinates (column, row, 1)."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def is_affine(matrix):
    return matrix[2, 0] == 0 and matrix[2, 1] == 0 and matrix[2, 2] == 1


@kernel
def coordinates(matrix, row, first, count, x, y):
    """The columns and rows of the samples of a run of output pixels. Each is computed by itself: no error adds up."""
    # In one row only the columns change. The terms are added in the same order on every backend.
    x_row = matrix[0, 1] * row + matrix[0, 2]
    y_row = matrix[1, 1] * row + matrix[1, 2]
    a, b = matrix[0, 0], matrix[1, 0]
    for i in range(count):
        col = float(first + i)
        x[i] = a * col + x_row
        y[i] = b * col + y_row
    if is_affine(matrix):
        return
    scale_row, c = matrix[2, 1] * row + matrix[2, 2], matrix[2, 0]
    for i in range(count):
        scale = c * float(first + i) + scale_row
        x[i] /= scale
        y[i] /= scale


@kernel
def affine_begins(matrix, row, first, count, half, end_x, end_y, width, step, at, x_share, y_share):
    """Where the pixel of each sample of a run begins, and the shares of its neighbours, by an affine matrix.

    Returns whether all coordinates, plus ``half``, are at least 0 and below ``end_x`` and ``end_y``; otherwise nothing
    is computed. They lie between those of the run's ends, also after rounding.
    """
    x_row = matrix[0, 1] * row + matrix[0, 2]
    y_row = matrix[1, 1] * row + matrix[1, 2]
    a, b = matrix[0, 0], matrix[1, 0]
    for col in (float(first), float(first + count - 1)):
        x, y = a * col + x_row + half, b * col + y_row + half
        if not (0 <= x < end_x and 0 <= y < end_y):
            return False
    pitch, along = float(width), float(step)
    for i in range(count):
        col = float(first + i)
        x, y = a * col + x_row + half, b * col + y_row + half
        whole_x, whole_y = np.floor(x), np.floor(y)
        x_share[i], y_share[i] = x - whole_x, y - whole_y
        at[i] = np.int64(whole_y * pitch + whole_x * along)
    return True
