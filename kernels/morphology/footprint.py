"""Minimum (or maximum) under a footprint of zeros and ones.

Each row of the footprint consists of runs of ones. The minimum of a run is that of two overlapping stretches whose
length is a power of two, looked up in tables that all runs and rows share, each computed from the previous one. Small
footprints compare all values directly. If the tables for all rows of a footprint would be large, they are computed for
some rows at a time, and intermediate results are updated.
"""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.extremes import extremes, is_ordered
from gpuimg.kernels.lib.rows import neighbour_addresses
from gpuimg.kernels.lib.spans import load_span

SCRATCH_BYTES = 1 << 18
TABLE_BYTES = 1 << 19  # of tables for all rows of a footprint; larger ones are for some rows at a time
LOOK = 1 << 24  # comparisons between checks of the stop flag, some milliseconds
FEW = 12  # ones for which tables do not pay


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, footprint, flip):
    height, breadth = footprint.shape
    cols = src.shape[1] // step
    stretches, levels = find_stretches(footprint)
    affordable = SCRATCH_BYTES // (height * levels * src.itemsize * step) - breadth
    pixels = min(cols, max(affordable, breadth, 512 // step))
    held = max(TABLE_BYTES // (levels * (pixels + breadth - 1) * step * src.itemsize), 1)
    if held < height:
        tables = np.empty((held, levels, (pixels + breadth - 1) * step), src.dtype)
        fill_in_parts(src, dst, top, bottom, stop, step, mode, cval, footprint.shape, flip, stretches, tables, pixels)
        return
    tables = np.empty((height, levels, (pixels + breadth - 1) * step), src.dtype)
    addresses, pair = np.empty(len(stretches), np.int64), np.empty(2, np.int64)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        ordered = 0  # consecutive rows without NaN
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
def fill_in_parts(src, dst, top, bottom, stop, step, mode, cval, shape, flip, stretches, tables, pixels):
    """The same with memory for the tables of only some of the footprint's rows."""
    height, breadth = shape
    below = height - height // 2 - 1
    cols = src.shape[1] // step
    starts = row_starts(stretches, height)
    addresses, pair = np.empty(1 + len(stretches), np.int64), np.empty(2, np.int64)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        for row in range(top - height // 2, bottom + below, len(tables)):
            end = min(row + len(tables), bottom + below)
            ordered = True
            for source in range(row, end):
                if is_set(stop):
                    return
                lines, count = tables[source % len(tables)], (wanted + breadth - 1) * step
                load_span(src, source, first - breadth // 2, wanted + breadth - 1, lines[0], step, mode, cval)
                single = is_ordered(lines[0, :count])
                make_tables(lines, pair, count, step, flip, single)
                ordered = ordered and single
            for target in range(max(top, row - below), min(bottom, end + height // 2)):
                origin = target - height // 2
                part = starts[max(row - origin, 0)], starts[min(end - origin, height)]
                out = dst[target, first * step : (first + wanted) * step]
                compare_more(tables, origin, stretches, part, step, addresses, out, flip, ordered, stop)


@kernel
def row_starts(stretches, height):
    """The number of stretches above each row of a footprint, and in total."""
    starts = np.zeros(height + 1, np.int64)
    for index in range(len(stretches)):
        starts[stretches[index, 0] + 1] += 1
    for row in range(height):
        starts[row + 1] += starts[row]
    return starts


@kernel
def compare_more(tables, origin, stretches, part, step, addresses, out, flip, ordered, stop):
    """Update a row's extremes by the next part of the stretches."""
    at_once = max(LOOK // out.size, 1)
    for begin in range(part[0], part[1], at_once):
        if is_set(stop):
            return
        some = stretches[begin : min(begin + at_once, part[1])]
        following = min(begin, 1)
        addresses[0] = out.ctypes.data
        stretch_addresses(tables, origin, some, step, addresses[following:])
        extremes(addresses[: following + len(some)], out, flip, ordered)


@kernel
def find_stretches(footprint):
    """Stretches of ones as rows (footprint row, table, first column), and the number of tables."""
    height, breadth = footprint.shape
    found = np.empty((height * ((breadth + 1) // 2) + FEW, 3), np.int64)  # a run of one or three ones, then a zero
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
    """Compute minima of 2, 4, ... neighbours in a row, stored after the row itself."""
    for level in range(1, len(lines)):
        reach = step << (level - 1)
        count -= reach
        neighbour_addresses(lines[level - 1], reach, pair)
        extremes(pair, lines[level, :count], flip, ordered)


@kernel
def stretch_addresses(tables, first, stretches, step, addresses):
    """The addresses of the stretches of a row's first pixel; ``first`` is the footprint's first row."""
    height = tables.shape[0]
    for index in range(len(stretches)):
        row, level, col = stretches[index]
        slot = (first + row) % height
        at = slot * tables.strides[0] + level * tables.strides[1] + col * step * tables.itemsize
        addresses[index] = tables.ctypes.data + at
