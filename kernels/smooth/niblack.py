"""Thresholds from the mean and the standard deviation of the window around a pixel (W. Niblack; J. Sauvola, M.
Pietikäinen), at a cost that hardly grows with the window.

Integers: running sums and sums of squares down the columns, exactly; deviations are from the integer nearest to the
mean, so that nothing cancels. Floats: sums and squared deviations of 1, then 2 or 3, then 4 to 7, ... rows are combined
in float64 (T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979), so that only means of neighbours are subtracted. Along the rows the same, for both.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES, _load, _splat, _store
from gpuimg.kernels.lib.numbers import constant_kept
from gpuimg.kernels.lib.rows import edge_columns, pad_edges
from gpuimg.kernels.lib.spans import load_span
from gpuimg.kernels.smooth.uniform import PIECE, SCRATCH_BYTES, add_up, halvings

FITS_INT32 = 1 << 31
DOUBLES = VECTOR_BYTES // 8


def variant(src, step, mode, cval, n0, n1, k, r, scale):
    """The shortest type that holds all sums of squares; float64 holds those of 16-bit values for any window."""
    if src.dtype.kind == "f":
        return "fill_floats"
    return "fill_short" if src.itemsize == 1 and n0 * n1 * 255**2 < FITS_INT32 else "fill_exact"


@kernel
def fill_short(src, dst, top, bottom, stop, step, mode, cval, n0, n1, k, r, scale):
    slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, k, r, np.int32(0))


@kernel
def fill_exact(src, dst, top, bottom, stop, step, mode, cval, n0, n1, k, r, scale):
    slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, k, r, 0.0)


@kernel
def slide(src, dst, top, bottom, stop, step, mode, cval, n0, n1, k, r, zero):
    """Running sums down the columns, of the type of ``zero``."""
    rows, width = src.shape
    before, halo = n1 // 2, (n1 - 1) * step
    columns = edge_columns(before, n1 - before - 1, width // step, mode)
    lines = np.full((2, width + halo), zero)
    inner = before * step
    sums, squares = lines[0, inner : inner + width], lines[1, inner : inner + width]
    constant = np.full(width, lines.dtype.type(cval))
    outside = constant[0] * lines.dtype.type(n0)
    piece = piece_for(width, halo)
    spare, zeros = np.full((4, piece + halo), zero), np.full(piece + halo, zero)
    found = np.empty((2, piece))
    for row in range(top - n0 // 2, top - n0 // 2 + n0):
        if is_set(stop):
            return
        source = fold(row, rows, mode)
        if source < 0:
            add_row(constant, sums, squares)
        else:
            add_row(src[source], sums, squares)
    for row in range(top, bottom):
        if is_set(stop):
            return
        if row > top:
            entering, leaving = fold(row + n0 // 2, rows, mode), fold(row - n0 // 2 - 1, rows, mode)
            if entering >= 0 and leaving >= 0:
                replace_row(src[entering], src[leaving], sums, squares)
            elif entering >= 0:
                replace_row(src[entering], constant, sums, squares)
            elif leaving >= 0:
                replace_row(constant, src[leaving], sums, squares)
        pad_edges(lines[0], width, columns, before, step, outside)
        pad_edges(lines[1], width, columns, before, step, outside * constant[0])
        for start in range(0, width, piece):
            wanted = min(piece, width - start)
            total = sum_neighbours(lines[0, start:], spare[:2], zeros, step, n1, wanted)
            square = sum_neighbours(lines[1, start:], spare[2:], zeros, step, n1, wanted)
            moments(total[:wanted], square[:wanted], n0 * n1, found)
            finish(found[0, :wanted], found[1, :wanted], dst[row, start : start + wanted], k, r)


@kernel
def piece_for(width, halo):
    """The number of elements to sum at a time: fits the first-level cache, with a halo that is small in comparison."""
    return min(max(PIECE, 2 * halo), width)


@kernel
def add_row(line, sums, squares):
    kind = sums.dtype.type
    for x in range(sums.size):
        value = kind(line[x])
        sums[x] = kind(sums[x] + value)
        squares[x] = kind(squares[x] + kind(value * value))


@kernel
def replace_row(entering, leaving, sums, squares):
    kind = sums.dtype.type
    for x in range(sums.size):
        new, old = kind(entering[x]), kind(leaving[x])
        more = kind(new - old)
        sums[x] = kind(sums[x] + more)
        squares[x] = kind(squares[x] + kind(more * kind(new + old)))


@kernel
def sum_neighbours(line, spare, zeros, step, count, wanted):
    """Sums of ``count`` neighbours in ``line``, combined from sums of half as many, in a row of ``spare``."""
    part = line
    for level in range(halvings(count) - 1, -1, -1):
        add_up(line, part, zeros, step, count, level, wanted, spare[level % 2])
        part = spare[level % 2]
    return part


@kernel
def moments(sums, squares, area, found):
    """Means and standard deviations of integers."""
    kind = sums.dtype.type
    means, deviations = found
    divisor, whole = np.float64(area), kind(area)
    for x in range(sums.size):
        mean = np.float64(sums[x]) / divisor
        near = kind(np.int32(np.rint(mean)))
        left = kind(sums[x] - kind(near * whole))
        spread = np.float64(kind(squares[x] - kind(near * kind(sums[x] + left))))
        means[x] = mean
        deviations[x] = np.sqrt((spread - np.float64(left) * np.float64(left) / divisor) / divisor)


@kernel
def finish(means, deviations, out, k, r):
    """Niblack's thresholds, or Sauvola's for an ``r`` above 0."""
    kind = out.dtype.type
    if r > 0:
        for x in range(out.size):
            out[x] = kind(means[x] * (1.0 + k * (deviations[x] / r - 1.0)))
    else:
        for x in range(out.size):
            out[x] = kind(means[x] - k * deviations[x])


@kernel
def fill_floats(src, dst, top, bottom, stop, step, mode, cval, n0, n1, k, r, scale):
    width = src.shape[1]
    cols = width // step
    levels, held = halvings(n0), 3
    for level in range(levels - 1, -1, -1):
        held += (n0 >> level) + 2
    pixels = min(cols, max(SCRATCH_BYTES // (held * 16 * step), n1, PIECE // step))
    length = (pixels + n1 - 1) * step
    rings, line = np.zeros((held, 2, length)), np.zeros((2, length))
    spare, found = np.empty((2, 2, length)), np.empty((2, pixels * step))
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        size = (wanted + n1 - 1) * step
        for row in range(top - n0 // 2, bottom + n0 // 2):
            if is_set(stop):
                return
            newest = rings[row % 3] if levels else line
            load_span(src, row, first - n1 // 2, wanted + n1 - 1, newest[0], step, mode, cval)
            if scale != 1:
                for x in range(size):
                    newest[0, x] *= scale
            join_rows(rings, line, row, row - (top - n0 // 2) + 1, n0, levels, size)
            target = row - n0 // 2
            if target >= top:
                done = join_neighbours(line, spare, step, n0, n1, size)
                place = first * step
                near = src[target, place : place + wanted * step]
                float_moments(done[0, : near.size], done[1, : near.size], near, n0, n1, scale, found)
                out = dst[target, place : place + near.size]
                finish(found[0, : out.size], found[1, : out.size], out, k, r)


@kernel
def join_rows(rings, line, row, loaded, count, levels, size):
    """Combine the sums that end with row ``row``: of 2 or 3, ... and last of ``count`` rows, stored in ``line``.
    ``rings`` holds the latest rows, the latest sums of 2 or 3 rows, and so on, up to half of ``count``."""
    base = 0
    for level in range(levels - 1, -1, -1):
        total, half = count >> level, count >> (level + 1)
        if total > loaded:
            return
        begin = row - total + 1
        following = base + half + 2
        one, other = rings[base + begin % (half + 2)], rings[base + (begin + half) % (half + 2)]
        out = rings[following + begin % (total + 2)] if level else line
        join(one, other, rings[row % 3], 0, out, size, total, 1)
        base = following


@kernel
def join_neighbours(line, spare, step, rows, count, size):
    """The same along a row, whose elements are sums of ``rows`` rows each."""
    part = line
    for level in range(halvings(count) - 1, -1, -1):
        total = count >> level
        join(part, part, line, total // 2 * step, spare[level % 2], size - (total - 1) * step, total, rows)
        part = spare[level % 2]
    return part


@kernel
def join(one, other, third, shift, out, size, total, count):
    """Sums and squared deviations of ``total`` elements of ``count`` values each, from those of two halves, the second
    of which is ``shift`` further on, and if the total is odd, of a single element twice ``shift`` further on."""
    times = 2.0 * (total // 2)
    factor, last_factor = 1.0 / (times * count), 1.0 / (times * total * count)
    lanes = DOUBLES
    for place in range(0, size if size >= lanes else 0, lanes):
        x = min(place, size - lanes)
        if total % 2:
            join_three(one, other, third, shift, x, times, factor, last_factor, out)
        else:
            join_two(one, other, third, shift, x, times, factor, last_factor, out)
    for x in range(size if size < lanes else 0):
        apart = one[0, x] - other[0, shift + x]
        spread = one[1, x] + other[1, shift + x] + apart * apart * factor
        joined = one[0, x] + other[0, shift + x]
        if total % 2:
            apart = joined - third[0, 2 * shift + x] * times
            spread = spread + third[1, 2 * shift + x] + apart * apart * last_factor
            joined = joined + third[0, 2 * shift + x]
        out[0, x], out[1, x] = joined, spread


def joiner(is_odd):
    """An intrinsic that computes a vector of `join`, from element ``x`` on. All sums are read before any is written:
    LLVM would have to prove that they do not overlap."""

    @intrinsic
    def join_vector(_context, one, other, third, shift, x, times, factor, last_factor, out):
        def build(context, builder, signature, arguments):
            *held, shift, x, times, factor, last_factor, target = arguments
            vector = ir.VectorType(ir.DoubleType(), DOUBLES)
            times, factor, last_factor = (_splat(builder, each, DOUBLES) for each in (times, factor, last_factor))

            def addresses(kind, array, at):
                found = context.make_array(kind)(context, builder, array)
                length = cgutils.unpack_tuple(builder, found.shape)[1]
                return [builder.gep(found.data, [at]), builder.gep(found.data, [builder.add(length, at)])]

            def load(kind, array, at):
                return [_load(builder, place, vector, 8) for place in addresses(kind, array, at)]

            def plus_square(spreads, more, apart, factor):
                square = builder.fmul(builder.fmul(apart, apart), factor)
                return builder.fadd(builder.fadd(spreads, more), square)

            first, first_spreads = load(one, held[0], x)
            second, second_spreads = load(other, held[1], builder.add(x, shift))
            spreads = plus_square(first_spreads, second_spreads, builder.fsub(first, second), factor)
            sums = builder.fadd(first, second)
            if is_odd:
                last, last_spreads = load(third, held[2], builder.add(x, builder.shl(shift, shift.type(1))))
                apart = builder.fsub(sums, builder.fmul(last, times))
                spreads = plus_square(spreads, last_spreads, apart, last_factor)
                sums = builder.fadd(sums, last)
            for place, value in zip(addresses(out, target, x), (sums, spreads), strict=True):
                _store(builder, value, place, 8)
            return context.get_dummy_value()

        index, number = types.int64, types.float64
        return types.none(one, other, third, index, index, number, number, number, out), build

    return join_vector


join_two, join_three = joiner(False), joiner(True)


@kernel
def float_moments(sums, spreads, centre, n0, n1, scale, found):
    """Means and standard deviations of floats; both are those of a constant if they differ from it only by rounding."""
    means, deviations = found[0, : sums.size], found[1, : sums.size]
    area, tolerance, times = np.float64(n0 * n1), rounding(n0, n1), 1.0 / scale  # a power of two: exact
    for x in range(sums.size):
        mean = sums[x] / area
        deviation = np.sqrt(spreads[x] / area)
        kept = deviation * times  # computed even if unused: a condition would prevent vectorisation
        deviations[x] = 0.0 if deviation <= tolerance * abs(mean) else kept
        means[x] = constant_kept(mean * times, np.float64(centre[x]), tolerance)


@kernel
def rounding(n0, n1):
    """The relative rounding error of a constant's mean."""
    return (2 * (halvings(n0) + halvings(n1)) + 1) * np.finfo(np.float64).eps
