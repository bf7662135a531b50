"""The samples' coordinates by a 3x3 matrix from output to input coordinates (column, row, 1)."""

from gpuimg.kernels.lib.borders import kernel


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
    if matrix[2, 0] == 0 and matrix[2, 1] == 0 and matrix[2, 2] == 1:
        return
    scale_row, c = matrix[2, 1] * row + matrix[2, 2], matrix[2, 0]
    for i in range(count):
        scale = c * float(first + i) + scale_row
        x[i] /= scale
        y[i] /= scale
