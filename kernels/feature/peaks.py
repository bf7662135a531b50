"""Peaks: pixels that equal the maximum of their window and exceed ``value``, or with ``always`` all that equal it.

The image holds the maxima. ``margin_rows`` and ``margin_cols`` pixels along each edge of the image are excluded.
"""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, image, step, value, always, margin_rows, margin_cols):
    rows, width = src.shape
    limit, every = src.dtype.type(value), np.uint8(always)
    begin, end = min(margin_cols * step, width), max(width - margin_cols * step, 0)
    for row in range(top, bottom):
        out = dst[row]
        if row < margin_rows or row >= rows - margin_rows or begin >= end:
            out[:] = 0
            continue
        out[:begin] = 0
        out[end:] = 0
        find(image[row][begin:end], src[row][begin:end], limit, every, out[begin:end])


@kernel
def find(line, maxima, limit, every, out):
    for x in range(out.size):
        out[x] = np.uint8(line[x] == maxima[x]) & (np.uint8(line[x] > limit) | every)
