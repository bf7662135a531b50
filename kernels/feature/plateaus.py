"""Candidates for local maxima: pixels above ``lowest`` that no neighbour exceeds; NaN is neither.

2 for a candidate, 1 for one next to an equal pixel that is not a candidate (with ``inner``, also for one at the image's
edge), else 0. Candidates that touch are equal, so a plateau of them is a maximum unless it is connected with a 1.
Neighbours touch at their edges, and with ``reach`` 1 also at their corners.
"""

import numpy as np

from gpuimg.kernels.lib.borders import kernel

RING = 3


@kernel
def fill(src, dst, top, bottom, step, mode, cval, lowest, reach, inner):
    rows, width = src.shape
    ring = np.empty((RING, width), np.uint8)
    for row in range(max(top - 1, 0), min(top + 1, rows)):
        find_candidates(src, row, step, lowest, reach, ring[row % RING])
    for row in range(top, bottom):
        if row + 1 < rows:
            find_candidates(src, row + 1, step, lowest, reach, ring[(row + 1) % RING])
        out = dst[row]
        out[:] = inner != 0 and (row == 0 or row == rows - 1)
        if inner:
            out[:step] = 1
            out[width - step :] = 1
        for near in range(max(row - 1, 0), min(row + 2, rows)):
            here, adjacent, candidates = src[row], src[near], ring[near % RING]
            if near != row:
                mark_equal(here, adjacent, candidates, out)
            if reach or near == row:
                mark_equal(here[step:], adjacent[: width - step], candidates[: width - step], out[step:])
                mark_equal(here[: width - step], adjacent[step:], candidates[step:], out[: width - step])
        grade(ring[row % RING], out)


@kernel
def find_candidates(image, row, step, lowest, reach, out):
    here, width = image[row], image.shape[1]
    out[:] = 0
    for near in range(max(row - 1, 0), min(row + 2, image.shape[0])):
        adjacent = image[near]
        if near != row:
            mark_greater(here, adjacent, out)
        if reach or near == row:
            mark_greater(here[step:], adjacent[: width - step], out[step:])
            mark_greater(here[: width - step], adjacent[step:], out[: width - step])
    keep_above(here, here.dtype.type(lowest), out)


@kernel
def mark_greater(here, adjacent, out):
    for x in range(out.size):
        out[x] |= np.uint8(adjacent[x] > here[x])


@kernel
def keep_above(here, lowest, out):
    """1 for each unmarked pixel above the lowest value."""
    for x in range(out.size):
        out[x] = np.uint8(here[x] > lowest) & np.uint8(out[x] == 0)


@kernel
def mark_equal(here, adjacent, candidates, out):
    """Mark pixels that equal a neighbour that is not a candidate."""
    for x in range(out.size):
        out[x] |= np.uint8(adjacent[x] == here[x]) & np.uint8(candidates[x] == 0)


@kernel
def grade(candidates, out):
    """1 for marked candidates, 2 for others."""
    for x in range(out.size):
        out[x] = candidates[x] << np.uint8(out[x] == 0)
