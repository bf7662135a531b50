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
    guessed = 0 < scale < np.inf  # else the range is too small or too large for its inverse
    for slab in range(top, bottom):
        first, last = slab * rows // slabs, (slab + 1) * rows // slabs
        turns[:] = 0
        values = src[first:last].reshape((last - first) * width)
        if guessed:
            count_all(values, edges, scale, turns, apart)
        else:
            search_all(values, edges, turns)
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
def search_all(values, edges, turns):
    for x in range(values.size):
        turns[search(values[x], edges)] += 1


@kernel
def place(value, edges, scale):
    """The bin of a value, by a guess that is stepped to the right one."""
    bins = edges.size - 1
    if not (edges[0] <= value <= edges[bins]):
        return np.uintp(bins)
    # The edges are nearly equidistant: a guess is off by a step or two at most. Clipping it costs less as a float.
    guess = np.uintp(min((value - edges[0]) * scale, np.float64(bins - 1)))
    while guess > 0 and value < edges[guess]:
        guess -= np.uintp(1)
    while guess < np.uintp(bins - 1) and value >= edges[guess + np.uintp(1)]:
        guess += np.uintp(1)
    return guess


@kernel
def search(value, edges):
    """The bin of a value, by binary search."""
    low, high = 0, edges.size - 1
    if not (edges[0] <= value <= edges[high]):
        return np.uintp(high)
    while high - low > 1:
        middle = (low + high) // 2
        if value < edges[middle]:
            high = middle
        else:
            low = middle
    return np.uintp(low)
