"""How often each value of an integer image occurs, for each channel: row ``s`` of ``dst`` counts the slab ``s`` of
rows."""

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


# Unsigned indices: for signed ones Numba asks of each whether it counts from the end.
@kernel
def count_in_turn(line, turns):
    one = np.uint32(1)
    second, third, fourth = np.uintp(FEW), np.uintp(2 * FEW), np.uintp(3 * FEW)
    whole = line.size // TURNS * TURNS
    for x in range(0, whole, TURNS):
        turns[np.uintp(line[x])] += one
        turns[second + np.uintp(line[x + 1])] += one
        turns[third + np.uintp(line[x + 2])] += one
        turns[fourth + np.uintp(line[x + 3])] += one
    for x in range(whole, line.size):
        turns[np.uintp(line[x])] += one


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
