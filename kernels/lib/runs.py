"""Rows as runs of equal values, and union-find over the runs of an image in slabs.

A part is a slab of rows of one channel; the parts of a channel are consecutive. A part's row of the table ``nodes`` has
a header, then a node for each run of nonzero values, in raster order: the index, in the whole table, of an earlier run
of the same component, or its own index if it is the first, the root.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.images import RUNS_HEADER
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.target import HAS_AVX512, has

COUNT, LAST_ROW, ROOTS = 0, 1, 2  # in the header: the end of the runs, the first of the last row, the number of roots
HEADER = RUNS_HEADER
WORD = 64
BEYOND = (1 << 31) - 2  # more than any column


@intrinsic
def changes(_context, line, at):
    """A bit for each of `WORD` elements from ``at`` on: whether the next element differs."""

    def build(context, builder, signature, arguments):
        values, at = arguments
        element = context.get_data_type(line.dtype)
        vector = ir.VectorType(element, WORD)
        place = builder.gep(context.make_array(line)(context, builder, values).data, [at])
        after = builder.gep(place, [ir.IntType(64)(1)])
        align = line.dtype.bitwidth // 8
        here, there = (builder.load(builder.bitcast(each, vector.as_pointer()), align=align) for each in (place, after))
        return builder.bitcast(builder.icmp_unsigned("!=", here, there), ir.IntType(WORD))

    return types.uint64(line, types.int64), build


@intrinsic
def lowest_bit(_context, bits):
    """The index of the lowest set bit."""

    def build(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), build


@intrinsic
def bits_set(_context, bits):
    """The number of set bits."""
    return types.int64(types.uint64), lambda _context, builder, _signature, arguments: builder.ctpop(arguments[0])


@intrinsic
def spread_bits(_context, bits, places):
    """Deposit the lowest bits of ``bits`` at the set bits of ``places``."""

    def build(_context, builder, _signature, arguments):
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word, word])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.bmi.pdep.64"), arguments)

    return types.uint64(types.uint64, types.uint64), build


@kernel
def bit_by_halves(bits, count):
    """The index of the set bit that has ``count`` set bits below it."""
    place = 0
    for half in (32, 16, 8, 4, 2, 1):
        lower = bits_set(bits & ((np.uint64(1) << np.uint64(half)) - np.uint64(1)))
        above = count >= lower
        count -= lower if above else 0
        bits >>= np.uint64(half if above else 0)
        place += half if above else 0
    return place


@kernel
def bit_by_spreading(bits, count):
    """The same in three instructions."""
    return lowest_bit(spread_bits(np.uint64(1) << np.uint64(count), bits))


# Branch-free. Some older processors take hundreds of cycles for the instruction.
nth_bit = bit_by_spreading if HAS_AVX512 and has("bmi2") else bit_by_halves


@kernel
def channel_line(image, row, channel, step, line):
    """One channel of a row: the row itself if it has only one channel, else a copy in ``line``."""
    if step == 1:
        return image[row]
    values = image[row]
    for x in range(line.size):
        line[x] = values[x * step + channel]
    return line


@kernel
def find_starts(line, starts):
    """Write where each run of equal values begins, then the line's length, and return the number of runs."""
    count, x = 1, 0
    starts[0] = 0
    while x + WORD < line.size:
        bits = changes(line, x)
        while bits:
            starts[np.uintp(count)] = x + 1 + lowest_bit(bits)
            count += 1
            bits &= bits - np.uint64(1)
        x += WORD
    for after in range(x + 1, line.size):
        if line[after] != line[after - 1]:
            starts[count] = after
            count += 1
    starts[count] = line.size
    return count


@kernel
def root_of(nodes, node):
    """The root of a component, as far as it is known, with path compression."""
    while nodes[np.uintp(node)] != node:
        nodes[np.uintp(node)] = nodes[np.uintp(nodes[np.uintp(node)])]
        node = nodes[np.uintp(node)]
    return node


@kernel
def find_runs(line, starts, runs):
    """Write begin and end of each run of a nonzero value, then a sentinel beyond all; returns the number of runs."""
    pieces = find_starts(line, starts)
    begins, ends = runs[0], runs[1]
    count = 0
    for piece in range(pieces):
        begins[np.uintp(count)] = starts[np.uintp(piece)]
        ends[np.uintp(count)] = starts[np.uintp(piece + 1)]
        count += line[np.uintp(starts[np.uintp(piece)])] != 0
    end_runs(runs, count)
    return count


@kernel
def end_runs(runs, count):
    """Write the sentinel after the first ``count`` runs."""
    runs[0, min(count, runs.shape[1] - 1)] = BEYOND
    runs[1, min(count, runs.shape[1] - 1)] = BEYOND


@kernel
def unite_rows(nodes, above, upper, node_above, below, lower, count, node, reach):
    """Unite the runs of a row with adjacent runs of equal value in the row above; ``reach`` 1: also at corners.

    ``upper`` and ``lower`` are the runs of the two rows, ``count`` of them in the lower one; their nodes begin at
    ``node_above`` and ``node``.
    """
    begins, ends = upper[0], upper[1]
    place = 0
    for run in range(count):
        begin, end = lower[0, np.uintp(run)], lower[1, np.uintp(run)]
        value = below[np.uintp(begin)]
        while ends[np.uintp(place)] + reach <= begin:
            place += 1
        root = root_of(nodes, node + run)
        other = place
        while begins[np.uintp(other)] < end + reach:
            if above[np.uintp(begins[np.uintp(other)])] == value:
                found = root_of(nodes, node_above + other)
                nodes[np.uintp(max(root, found))] = min(root, found)
                root = min(root, found)
            other += 1
