"""Whether labels differ in a pixel's neighbourhood; in the background (mode "inner") or in regions (mode "outer") only
where other regions meet."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel, pad_row

INNER, OUTER = 1, 2


@kernel
def fill(src, dst, top, bottom, step, reach, kind, background, most, mode, cval):
    width = src.shape[1]
    lines = np.empty((3, width + 2 * step), src.dtype)
    pad_row(src, top - 1, lines[(top + 2) % 3], 1, 1, step, mode, cval)
    pad_row(src, top, lines[top % 3], 1, 1, step, mode, cval)
    for row in range(top, bottom):
        above, line, below = lines[(row + 2) % 3], lines[row % 3], lines[(row + 1) % 3]
        pad_row(src, row + 1, below, 1, 1, step, mode, cval)
        out = dst[row]
        find(above, line, below, out, step, reach)
        if kind == INNER:
            for x in range(width):
                out[x] &= line[x + step] != background
        elif kind == OUTER:
            for x in range(width):
                apart = line[x + step] == background or meets(above, line, below, x, step, background, most)
                out[x] &= apart


@kernel
def find(above, line, below, out, step, reach):
    for x in range(out.size):
        label, at = line[x + step], x + step
        out[x] = (line[x] != label) | (line[at + step] != label) | (above[at] != label) | (below[at] != label)
    if reach:
        for x in range(out.size):
            label, right = line[x + step], x + 2 * step
            corners = (above[x] != label) | (above[right] != label) | (below[x] != label) | (below[right] != label)
            out[x] |= corners


@kernel
def meets(above, line, below, x, step, background, most):
    """Whether the maximum label of the neighbourhood differs from the minimum region label."""
    maximum, minimum = line[x], line.dtype.type(most)
    for values in (above, line, below):
        for at in range(x, x + 3 * step, step):
            label = values[at]
            maximum = max(maximum, label)
            if label != background:
                minimum = min(minimum, label)
    return maximum != minimum
