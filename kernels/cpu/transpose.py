"""Rows as columns, either of them in the opposite order: an image turned by a quarter."""

from gpuimg.kernels.cpu.borders import kernel

BLOCK = 64  # pixels a side: what is read of a block stays in the first-level cache until all of it is used


@kernel
def fill(src, dst, top, bottom, step, turned_rows, turned_cols):
    """The pixel (i, j) is the source's (j, i), counted from its end where its rows or columns are turned."""
    rows, cols = src.shape[0], src.shape[1] // step
    for first in range(0, rows, BLOCK):
        last = min(first + BLOCK, rows)
        for row in range(top, bottom):
            col = (cols - 1 - row if turned_cols else row) * step
            out = dst[row, first * step : last * step]
            if turned_rows:
                gather(src, rows - 1 - first, -1, col, step, out)
            else:
                gather(src, first, 1, col, step, out)


@kernel
def gather(src, first, stride, col, step, out):
    """Pixels of one column, from row ``first`` on."""
    row = first
    for x in range(0, out.size, step):
        for channel in range(step):
            out[x + channel] = src[row, col + channel]
        row += stride
