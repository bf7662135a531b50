"""Writes labels from the numbered roots of `label_roots`: a part for each slab of each channel."""

import numpy as np
from numba import types
from numba.extending import intrinsic

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import _address, _splat, _store
from gpuimg.kernels.lib.runs import COUNT, HEADER, ROOTS, channel_line, find_starts

LANES = 16


@kernel
def fill(src, dst, top, bottom, image, step, height):
    rows, cols = image.shape[0], image.shape[1] // step
    slabs = src.shape[0] // step
    nodes = src.reshape(src.size)
    before = labels_before(src, slabs)
    line = np.empty(cols, image.dtype)
    labels = np.empty(cols, dst.dtype)
    starts = np.empty(cols + 1, np.int32)
    for part in range(top, bottom):
        channel, slab = part // slabs, part % slabs
        node, end = part * src.shape[1] + HEADER, part * src.shape[1] + src[part, COUNT]
        for row in range(slab * height, min((slab + 1) * height, rows)):
            values = channel_line(image, row, channel, step, line)
            count = find_starts(values, starts)
            if step == 1:
                node = write(nodes, src.shape[1], before, node, end, values, starts, count, dst[row])
                continue
            node = write(nodes, src.shape[1], before, node, end, values, starts, count, labels)
            for x in range(cols):
                dst[row, x * step + channel] = labels[x]


@kernel
def labels_before(nodes, slabs):
    """The number of components that begin before each slab, in its channel."""
    before = np.empty(nodes.shape[0], np.int32)
    for part in range(nodes.shape[0]):
        before[part] = before[part - 1] + nodes[part - 1, ROOTS] if part % slabs else 0
    return before


@kernel
def write(nodes, stride, before, node, last, values, starts, count, out):
    """Write one row of labels; ``node`` is its first run. Returns the next row's first run. From ``last`` on there are
    none: an image that changes concurrently may have more runs than were found before."""
    for run in range(count):
        start, end = np.int64(starts[np.uintp(run)]), np.int64(starts[np.uintp(run + 1)])
        label = np.int32(0)
        if values[np.uintp(start)] != 0 and node < last:
            label = label_of(nodes, stride, before, node)
            node += 1
        # Whole vectors, as long as they stay in the row: the next run overwrites the excess.
        while start < end and start + LANES <= out.size:
            store_lanes(out, start, label)
            start += LANES
        for x in range(start, end):
            out[np.uintp(x)] = label
    return node


@kernel
def label_of(nodes, stride, before, node):
    number = nodes[np.uintp(node)]
    while number >= 0:
        node = np.int64(number)
        number = nodes[np.uintp(node)]
    return np.int32(before[np.uintp(node // stride)] - number)


@intrinsic
def store_lanes(_context, out, at, value):
    """``out[at : at + LANES] = value``."""

    def build(context, builder, signature, arguments):
        held, at, value = arguments
        place = _address(context, builder, out, held, at)
        _store(builder, _splat(builder, value, LANES), place, out.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(out, types.int64, out.dtype), build
