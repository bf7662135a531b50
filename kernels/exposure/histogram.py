"""The histogram of an integer image, with a bin for each value, by channel: row ``s`` of ``dst`` is that of slab ``s``
of rows."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel

TURNS = 8  # neighbours are often equal: counting them in turn in several histograms avoids waiting for each other
FEW = 256


@kernel
def fill(src, dst, top, bottom, step, low):
    rows = src.shape[0]
    slabs = dst.shape[0]
    bins = dst.shape[1] // step
    turns = np.zeros(TURNS * FEW, np.uint32)
    for slab in range(top, bottom):
        counts = dst[slab]
        counts[:] = 0
        for row in range(slab * rows // slabs, (slab + 1) * rows // slabs):
            if step == 1 and bins == FEW:
                count_in_turn(src[row], turns)
                if row % 1024 == 1023:  # before a count can overflow
                    add_turns(turns, counts)
            else:
                count_channels(src[row], counts, step, bins, low)
        add_turns(turns, counts)


# Unsigned indices: for signed ones Numba tests whether they count from the end.
@kernel
def count_in_turn(line, turns):
    whole = line.size // TURNS * TURNS
    for x in range(0, whole, TURNS):
        count(turns, 0, line[x])
        count(turns, 1, line[x + 1])
        count(turns, 2, line[x + 2])
        count(turns, 3, line[x + 3])
        count(turns, 4, line[x + 4])
        count(turns, 5, line[x + 5])
        count(turns, 6, line[x + 6])
        count(turns, 7, line[x + 7])
    for x in range(whole, line.size):
        count(turns, 0, line[x])


@kernel
def count(turns, turn, value):
    turns[np.uintp(turn * FEW) + np.uintp(value)] += np.uint32(1)


@kernel
def add_turns(turns, counts):
    for value in range(min(FEW, counts.size)):
        for turn in range(TURNS):
            counts[value] += turns[turn * FEW + value]
            turns[turn * FEW + value] = 0


@kernel
def count_channels(line, counts, step, bins, low):
    for channel in range(step):
        base = channel * bins - low
        for x in range(channel, line.size, step):
            counts[np.uintp(base + line[x])] += 1
