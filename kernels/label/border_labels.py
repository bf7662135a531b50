"""Labels within ``buffer`` pixels of the image's outermost ones, as bits: that of a label is at ``label * step +
channel``. All is one part, as it is little work."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, step, buffer):
    rows, width = src.shape
    bits = dst[0]
    bits[:] = 0
    for row in range(rows if top < bottom else 0):
        if row <= buffer or row >= rows - 1 - buffer:
            mark(src[row], 0, width, step, bits)
        else:
            mark(src[row], 0, (buffer + 1) * step, step, bits)
            mark(src[row], width - (buffer + 1) * step, width, step, bits)


@kernel
def mark(line, begin, end, step, bits):
    for x in range(begin, end):
        place = np.uint64(line[x]) * np.uint64(step) + np.uint64(x % step)
        bits[place >> np.uint64(5)] |= np.uint32(1) << np.uint32(place & np.uint64(31))
