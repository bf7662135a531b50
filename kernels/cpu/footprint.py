"""Least (or greatest) value under a footprint of zeros and ones.

Each row of the footprint is a few runs of ones. The least value of a run is that of two overlapping stretches whose
length is a power of two, and those come from tables that all runs and all rows share, each made of the one before.
"""

import numpy as np

from gpuimg.kernels.cpu.borders import kernel
from gpuimg.kernels.cpu.minimum import copy_turned, pairwise, turn
from gpuimg.kernels.cpu.spans import least, load_span

SCRATCH_BYTES = 1 << 18
AT_ONCE = 3  # runs taken together, so that the result is loaded and stored less often


@kernel
def fill(src, dst, top, bottom, step, mode, cval, footprint, flip):
    height, breadth = footprint.shape
    cols = src.shape[1] // step
    runs, levels = find_runs(footprint)
    affordable = SCRATCH_BYTES // (height * levels * src.itemsize * step) - breadth
    pixels = min(cols, max(affordable, breadth, 512 // step))
    tables = np.empty((height, levels, (pixels + breadth - 1) * step), src.dtype)
    result = np.empty(pixels * step, src.dtype)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        count = wanted * step
        for row in range(top - height // 2, top + height - height // 2 - 1):
            load_tables(
                src, row, first - breadth // 2, wanted + breadth - 1, step, mode, cval, flip, tables[row % height]
            )
        for row in range(top, bottom):
            last = row + height - height // 2 - 1
            load_tables(
                src, last, first - breadth // 2, wanted + breadth - 1, step, mode, cval, flip, tables[last % height]
            )
            for index in range(0, len(runs), AT_ONCE):
                lay_runs(tables, row - height // 2, runs[index : index + AT_ONCE], step, result[:count], index == 0)
            copy_turned(result, dst[row, first * step : first * step + count], flip)


@kernel
def find_runs(footprint):
    """Runs of ones as rows (footprint row, table, first column of one stretch, first column of the other), their number
    a multiple of `AT_ONCE` (a run may be taken twice), and how many tables they need."""
    height, breadth = footprint.shape
    found = np.empty((height * ((breadth + 1) // 2) + AT_ONCE, 4), np.int64)
    number, levels = 0, 1
    for row in range(height):
        col = 0
        while col < breadth:
            begin = col
            while col < breadth and footprint[row, col]:
                col += 1
            if col > begin:
                level = 0
                while 2 << level <= col - begin:
                    level += 1
                levels = max(levels, level + 1)
                found[number] = row, level, begin, col - (1 << level)
                number += 1
            col += 1
    while number % AT_ONCE:
        found[number] = found[number - 1]
        number += 1
    return found[:number], levels


@kernel
def load_tables(src, row, first, pixels, step, mode, cval, flip, tables):
    """Least values of 1, 2, 4, ... neighbours in a row."""
    count = pixels * step
    load_span(src, row, first, pixels, tables[0], step, mode, cval)
    if flip:
        turn(tables[0, :count])
    for level in range(1, len(tables)):
        reach = step << (level - 1)
        count -= reach
        pairwise(tables[level - 1], tables[level - 1, reach:], tables[level, :count])


@kernel
def stretch(tables, row, run, which, step, count):
    """Least values of one stretch of a run for all pixels of a row; ``row`` is the footprint's first."""
    line = tables[(row + run[0]) % tables.shape[0], run[1]]
    return line[run[which] * step : run[which] * step + count]


@kernel
def lay_runs(tables, row, runs, step, result, begin):
    """Take the runs' least values into the result."""
    a = stretch(tables, row, runs[0], 2, step, result.size)
    b = stretch(tables, row, runs[0], 3, step, result.size)
    c = stretch(tables, row, runs[1], 2, step, result.size)
    d = stretch(tables, row, runs[1], 3, step, result.size)
    e = stretch(tables, row, runs[2], 2, step, result.size)
    f = stretch(tables, row, runs[2], 3, step, result.size)
    if begin:
        for x in range(result.size):
            result[x] = least(least(least(a[x], b[x]), least(c[x], d[x])), least(e[x], f[x]))
    else:
        for x in range(result.size):
            both = least(least(least(a[x], b[x]), least(c[x], d[x])), least(e[x], f[x]))
            result[x] = least(result[x], both)
