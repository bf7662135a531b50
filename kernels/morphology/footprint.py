"""Minimum (or maximum) under a footprint of zeros and ones.

Each row of the footprint consists of runs of ones. The minimum of a run is that of two overlapping stretches whose
length is a power of two, looked up in tables that all runs and rows share, each computed from the previous one. Small
footprints compare all values directly, where they are in the image. If the tables for all rows of a footprint would be
large, they are computed for some rows at a time, and intermediate results are updated.
"""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import CONSTANT, fold, kernel
from gpuimg.kernels.lib.extremes import extremes, is_ordered
from gpuimg.kernels.lib.rows import neighbour_addresses, row_address
from gpuimg.kernels.lib.spans import load_span, smaller, turned
from gpuimg.kernels.lib.stacks import stack_array

SCRATCH_BYTES = 1 << 18
TABLE_BYTES = 1 << 19  # of tables for all rows of a footprint; larger ones are for some rows at a time
LOOK = 1 << 24  # comparisons between checks of the stop flag, some milliseconds
FEW = 12  # ones for which tables do not pay
EDGE = 16  # elements of a row whose windows cross its ends: more are not computed one by one


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, footprint, flip):
    height, breadth = footprint.shape
    cols = src.shape[1] // step
    stretches, levels = find_stretches(footprint)
    if len(stretches) <= FEW and levels == 1 and (breadth - 1) * step <= EDGE:
        fill_few(src, dst, top, bottom, stop, step, mode, cval, footprint.shape, flip, stretches)
        return
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
def fill_few(src, dst, top, bottom, stop, step, mode, cval, shape, flip, stretches):
    """The same for few ones, without tables: rows are read where they are, and only their ends are folded."""
    height, breadth = shape
    rows, width = src.shape
    below = height - height // 2 - 1
    left = breadth // 2 * step
    begin = min(left, width)
    end = max(width - (breadth - 1) * step + left, begin)
    places = edge_places(begin, end, width, step, mode, stretches, left)
    outside = src.dtype.type(cval)
    border = np.empty(width if mode == CONSTANT else 0, src.dtype)
    border[:] = outside
    addresses, sources = stack_array(np.int64, FEW)[: len(stretches)], stack_array(np.int64, FEW)[: len(stretches)]
    ordered = 0  # consecutive rows without NaN
    for row in range(top - height // 2, bottom + below):
        if is_set(stop):
            return
        source = fold(row, rows, mode)
        ordered = ordered + 1 if is_ordered(border if source < 0 else src[source]) else 0
        target = row - below
        if target < top:
            continue
        for index in range(len(stretches)):
            source = fold(target - height // 2 + stretches[index, 0], rows, mode)
            start = border.ctypes.data if source < 0 else row_address(src, source)
            sources[index] = source
            addresses[index] = start + (begin - left + stretches[index, 2] * step) * src.itemsize
        extremes(addresses, dst[target, begin:end], flip, ordered >= height)
        for number in range(len(places)):  # a function of one row's elements would take longer to call than to run
            best = outside
            for index in range(len(stretches)):
                inside = sources[index] >= 0 and places[number, index] >= 0
                value = turned(src[sources[index], places[number, index]] if inside else outside, flip)
                best = value if index == 0 else smaller(value, best)
            dst[target, number if number < begin else end + number - begin] = turned(best, flip)


@kernel
def edge_places(begin, end, width, step, mode, stretches, left):
    """The source columns of all ones, for each element of a row before ``begin`` and from ``end`` on; -1 for the
    constant."""
    places = np.empty((begin + width - end, len(stretches)), np.int64)
    for number in range(len(places)):
        x = number if number < begin else end + number - begin
        for index in range(len(stretches)):
            pixel = fold(x // step - left // step + stretches[index, 2], width // step, mode)
            places[number, index] = -1 if pixel < 0 else pixel * step + x % step
    return places


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
