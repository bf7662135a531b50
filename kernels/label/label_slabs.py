"""The runs of each slab and their components, see `runs`: a part for each slab of each channel."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import COUNT, HEADER, LAST_ROW, channel_line, find_runs, unite_rows


@kernel
def fill(src, dst, top, bottom, step, height, reach):
    rows, cols = src.shape[0], src.shape[1] // step
    slabs = dst.shape[0] // step
    lines = np.empty((2, cols), src.dtype)
    starts = np.empty(cols + 1, np.int32)
    runs = np.empty((2, 2, cols + 1), np.int32)
    for part in range(top, bottom):
        channel, slab = part // slabs, part % slabs
        nodes = dst[part]
        node_above, node = HEADER, HEADER
        above = lines[1]
        for row in range(slab * height, min((slab + 1) * height, rows)):
            line = channel_line(src, row, channel, step, lines[row % 2])
            upper, lower = runs[1 - row % 2], runs[row % 2]
            count = find_runs(line, starts, lower)
            for run in range(count):
                nodes[node + run] = node + run
            if row > slab * height:
                unite_rows(nodes, above, upper, node_above, line, lower, count, node, reach)
            node_above, node, above = node, node + count, line
        nodes[COUNT] = node
        nodes[LAST_ROW] = node_above
        settle(nodes, part * dst.shape[1])


@kernel
def settle(nodes, base):
    """Point each run to its root in the whole table, in which the slab begins at ``base``."""
    for node in range(HEADER, nodes[COUNT]):
        first = nodes[node]
        nodes[node] = base + node if first == node else nodes[first]
