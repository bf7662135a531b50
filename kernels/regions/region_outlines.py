"""Counts of outline pixels of regions by the kind of their neighbours on the outline: a part for each slab of rows.

A pixel is on the outline if one of its four neighbours belongs to another region. A table's row counts the pixels that
add 1 to the perimeter, those that add the root of two, and those that add the mean of both.
"""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.regions.tables import hand_over_all, numbers_of, slots_for

KINDS = np.zeros(64, np.int64)  # by 1 + 2 * neighbours at edges + 10 * neighbours at corners
KINDS[np.array([5, 7, 15, 17, 25, 27])] = 1
KINDS[np.array([21, 33])] = 2
KINDS[np.array([13, 23])] = 3


@kernel
def fill(src, dst, top, bottom, labels, height):
    rows, cols = labels.shape
    nothing = np.zeros(cols, labels.dtype)
    outlines = np.zeros((3, cols + 2), labels.dtype)
    regions, held = slots_for(dst)
    for part in range(top, bottom):
        first, last = part * height, min((part + 1) * height, rows)
        for row in range(first - 1, last + 1):
            mark(labels, row, nothing, outlines[row % 3])
            if row > first:
                above, line, below = outlines[(row - 2) % 3], outlines[(row - 1) % 3], outlines[row % 3]
                count(dst, regions, held, above, line, below)
        hand_over_all(dst, dst.shape[1], regions, held)


@kernel
def mark(labels, row, nothing, outline):
    """The labels of a row's outline pixels, zeros elsewhere; with a zero on each side."""
    rows, cols = labels.shape
    if not 0 <= row < rows:
        outline[:] = 0
        return
    line = labels[row]
    above = labels[row - 1] if row > 0 else nothing
    below = labels[row + 1] if row + 1 < rows else nothing
    outline[1], outline[cols] = line[0], line[cols - 1]
    for x in range(1, cols - 1):
        label = line[x]
        inside = (line[x - 1] == label) & (line[x + 1] == label) & (above[x] == label) & (below[x] == label)
        outline[x + 1] = 0 if inside else label


@kernel
def count(dst, regions, held, above, line, below):
    for x in range(1, line.size - 1):
        label = line[x]
        if not 0 < label < dst.shape[0]:
            continue
        edges = (line[x - 1] == label) + (line[x + 1] == label) + (above[x] == label) + (below[x] == label)
        corners = (above[x - 1] == label) + (above[x + 1] == label) + (below[x - 1] == label) + (below[x + 1] == label)
        kind = KINDS[1 + 2 * edges + 10 * corners]
        if kind:
            numbers_of(dst, dst.shape[1], regions, held, np.int64(label))[kind - 1] += np.uint64(1)
