"""Unites the components of adjacent slabs, see `runs`, in place. A part is a group of slabs of a channel: components
are united across the seams between its smaller groups, of ``span`` slabs each, whose inner seams are already done."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import COUNT, HEADER, LAST_ROW, channel_line, end_runs, find_runs, unite_rows


@kernel
def fill(src, dst, top, bottom, image, step, height, reach, span, group):
    cols = image.shape[1] // step
    slabs = dst.shape[0] // step
    groups = (slabs + group - 1) // group
    nodes = dst.reshape(dst.size)
    lines = np.empty((2, cols), image.dtype)
    starts = np.empty(cols + 1, np.int32)
    upper, lower = np.empty((2, cols + 1), np.int32), np.empty((2, cols + 1), np.int32)
    for part in range(top, bottom):
        channel, first = part // groups, part % groups * group
        for slab in range(first + span, min(first + group, slabs), span):
            row = slab * height
            above = channel_line(image, row - 1, channel, step, lines[0])
            below = channel_line(image, row, channel, step, lines[1])
            place = (channel * slabs + slab) * dst.shape[1]
            above_it = place - dst.shape[1]
            node_above = above_it + nodes[above_it + LAST_ROW]
            # If the image changes concurrently, there may be more runs than nodes.
            find_runs(above, starts, upper)
            end_runs(upper, nodes[above_it + COUNT] - nodes[above_it + LAST_ROW])
            count = min(find_runs(below, starts, lower), np.int64(nodes[place + COUNT] - HEADER))
            unite_rows(nodes, above, upper, node_above, below, lower, count, place + HEADER, reach)
