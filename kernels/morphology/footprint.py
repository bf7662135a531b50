"""Minimum (or maximum) under a footprint of zeros and ones.

Each row of the footprint is a few runs of ones. The minimum of a run is that of two overlapping stretches whose
length is a power of two, and those come from tables that all runs and all rows share, each made of the one before. Of
a small footprint all values are compared as they are.
"""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.extremes import extremes, is_ordered
from gpuimg.kernels.lib.rows import neighbour_addresses
from gpuimg.kernels.lib.spans import load_span

SCRATCH_BYTES = 1 << 18
FEW = 12  # ones for which tables do not pay


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, footprint, flip):
    height, breadth = footprint.shape
    cols = src.shape[1] // step
    stretches, levels = find_stretches(footprint)
    affordable = SCRATCH_BYTES // (height * levels * src.itemsize * step) - breadth
    pixels = min(cols, max(affordable, breadth, 512 // step))
    tables = np.empty((height, levels, (pixels + breadth - 1) * step), src.dtype)
    addresses, pair = np.empty(len(stretches), np.int64), np.empty(2, np.int64)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        ordered = 0  # how many rows without NaN there are on end
        for row in range(top - height // 2, bottom + height - height // 2 - 1):
            if is_set(stop):
                return
            lines = tables[row % height]
            load_span(src, row, first - breadth // 2, wanted + breadth - 1, lines[0], step, mode, cval)
            ordered = ordered + 1 if is_ordered(lines[0, : (wanted + breadth - 1) * step]) else 0
            make_tables(lines, pair, (wanted + breadth - 1) * step, step, flip, ordered > 0)
            target = row - (height - height // 2 - 1)
            if target >= top:
                stretch_addresses(tables, target - height // 2, stretches, step, addresses)
                out = dst[target, first * step : (first + wanted) * step]
                extremes(addresses, out, flip, ordered >= height)


@kernel
def find_stretches(footprint):
    """Stretches of ones as rows (footprint row, table, first column), and how many tables they need."""
    height, breadth = footprint.shape
    found = np.empty((footprint.size + 1, 3), np.int64)
    few = footprint.sum() <= FEW
    number, levels = 0, 1
    for row in range(height):
        col = 0
        while col < breadth:
            begin = col
            while col < breadth and footprint[row, col] and not (few and col > begin):
                col += 1
            if col > begin:
                level = 0
                while 2 << level <= col - begin:
                    level += 1
                levels = max(levels, level + 1)
                found[number] = row, level, begin
                number += 1
                if begin + (1 << level) < col:
                    found[number] = row, level, col - (1 << level)
                    number += 1
            else:
                col += 1
    return found[:number], levels


@kernel
def make_tables(lines, pair, count, step, flip, ordered):
    """Minima of 2, 4, ... neighbours in a row, below those of single ones."""
    for level in range(1, len(lines)):
        reach = step << (level - 1)
        count -= reach
        neighbour_addresses(lines[level - 1], reach, pair)
        extremes(pair, lines[level, :count], flip, ordered)


@kernel
def stretch_addresses(tables, first, stretches, step, addresses):
    """Where the stretches of a row's first pixel are in memory; ``first`` is the footprint's first row."""
    height = tables.shape[0]
    for index in range(len(stretches)):
        row, level, col = stretches[index]
        slot = (first + row) % height
        at = slot * tables.strides[0] + level * tables.strides[1] + col * step * tables.itemsize
        addresses[index] = tables.ctypes.data + at
