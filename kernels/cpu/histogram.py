"""How often each value of an integer image occurs, for each channel: row ``s`` of ``dst`` counts the slab ``s`` of rows."""

import numpy as np

from gpuimg.kernels.cpu.borders import kernel

TURNS = (
    4  # neighbours are often equal: counting them in turn in several places keeps one count from waiting for another
)
FEW = 256


@kernel
def fill(src, dst, top, bottom, step, low):
    rows = src.shape[0]
    slabs = dst.shape[0]
    bins = dst.shape[1] // step
    for slab in range(top, bottom):
        first, last = slab * rows // slabs, (slab + 1) * rows // slabs
        dst[slab] = 0
        if step == 1 and bins <= FEW:
            count_in_turn(src, dst[slab], first, last, low)
        else:
            for row in range(first, last):
                count_channels(src[row], dst[slab], step, bins, low)


@kernel
def count_in_turn(src, counts, first, last, low):
    turns = np.zeros((TURNS, FEW), np.uint32)
    for row in range(first, last):
        line = src[row]
        whole = line.size // TURNS * TURNS
        for x in range(0, whole, TURNS):
            turns[0, line[x] - low] += np.uint32(1)
            turns[1, line[x + 1] - low] += np.uint32(1)
            turns[2, line[x + 2] - low] += np.uint32(1)
            turns[3, line[x + 3] - low] += np.uint32(1)
        for x in range(whole, line.size):
            turns[0, line[x] - low] += np.uint32(1)
        if (row - first) % 1024 == 1023:  # before a count can overflow
            add_turns(turns, counts)
    add_turns(turns, counts)


@kernel
def add_turns(turns, counts):
    for turn in range(TURNS):
        for value in range(counts.size):
            counts[value] += turns[turn, value]
            turns[turn, value] = 0


@kernel
def count_channels(line, counts, step, bins, low):
    for channel in range(step):
        base = channel * bins - low
        for x in range(channel, line.size, step):
            counts[base + line[x]] += 1
