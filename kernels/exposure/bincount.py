"""The number of values in each bin ``edges[i] <= v < edges[i + 1]``, the last one closed, as numpy.histogram."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel

TURNS = 4  # neighbours often share a bin: counting them in turn in several histograms avoids waiting for each other
MANY = 1 << 16  # bins from which on one histogram is enough


@kernel
def fill(src, dst, top, bottom, edges):
    rows, width = src.shape
    slabs = dst.shape[0]
    bins = edges.size - 1
    apart = np.uintp(0 if bins > MANY else bins + 1)  # the stride of the histograms
    turns = np.empty((bins + 1) * (1 if bins > MANY else TURNS), np.int64)  # the last bin is for values outside
    scale = bins / (edges[bins] - edges[0])
    if not 0 < scale < np.inf:  # the range is too small or too large for its inverse
        scale = np.nan
    for slab in range(top, bottom):
        first, last = slab * rows // slabs, (slab + 1) * rows // slabs
        turns[:] = 0
        count_all(src[first:last].reshape((last - first) * width), edges, scale, turns, apart)
        for bin in range(bins):
            dst[slab, bin] = 0
            for begin in range(0, turns.size, bins + 1):
                dst[slab, bin] += turns[begin + bin]


@kernel
def count_all(values, edges, scale, turns, apart):
    whole = np.uintp(values.size // TURNS * TURNS)
    for x in range(np.uintp(0), whole, np.uintp(TURNS)):
        turns[place(values[x], edges, scale)] += 1
        turns[apart + place(values[x + np.uintp(1)], edges, scale)] += 1
        turns[apart * np.uintp(2) + place(values[x + np.uintp(2)], edges, scale)] += 1
        turns[apart * np.uintp(3) + place(values[x + np.uintp(3)], edges, scale)] += 1
    for x in range(whole, np.uintp(values.size)):
        turns[place(values[x], edges, scale)] += 1


@kernel
def place(value, edges, scale):
    """The bin of a value."""
    bins = edges.size - 1
    if not (edges[0] <= value <= edges[bins]):
        return np.uintp(bins)
    if scale != scale:
        return search(value, edges)
    # The edges are nearly equidistant: a guess is off by a step or two at most. It is clipped as an unsigned integer,
    # so that it stays in the table whatever the value.
    guess = min(np.uintp(np.int64((value - edges[0]) * scale)), np.uintp(bins - 1))
    while guess > 0 and value < edges[guess]:
        guess -= np.uintp(1)
    while guess < np.uintp(bins - 1) and value >= edges[guess + np.uintp(1)]:
        guess += np.uintp(1)
    return guess


@kernel
def search(value, edges):
    """The bin of a value between the edges, by binary search."""
    low, high = 0, edges.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if value < edges[middle]:
            high = middle
        else:
            low = middle
    return np.uintp(low)
