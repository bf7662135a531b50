"""Exclusive prefix sums over the rows. The parts are blocks of columns."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, blocks):
    rows, width = src.shape
    for block in range(top, bottom):
        first, last = block * width // blocks, (block + 1) * width // blocks
        dst[0, first:last] = 0
        for row in range(1, rows):
            add(dst[row - 1, first:last], src[row - 1, first:last], dst[row, first:last])


@kernel
def add(one, other, out):
    for x in range(out.size):
        out[x] = one[x] + other[x]
