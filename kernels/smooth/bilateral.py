"""Bilateral filter: mean of the window around a pixel, weighted by spatial distance and by difference in all channels
together.

Weights are powers of two, computed by additions and multiplications only, which every backend rounds identically. The
sums are of differences from the centre pixel, so that a constant stays exact. The rows of the windows are kept as
floats, each channel separately.
"""

from functools import partial

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES, _load, _splat, _store, lanes
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.spans import load_span

SCRATCH_BYTES, WEIGHTS_BYTES = 1 << 18, 1 << 19  # rows of values and weights should stay in the second-level cache
LEAST = 256  # minimum elements of a row that are computed at a time
BLOCKS = 2, 4, 2, 1  # vectors of sums in registers, for 1 to 3 channels; the first is for any other number
CHUNK = 128  # pixels of the window with a separate partial sum, as longer sums lose digits; as in bilateral.cu
INDEX = ir.IntType(64)


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, size, places, exponents, powers, factor, scale, limit):
    """``places`` are rows and columns of the ``size`` x ``size`` window, without its centre; ``exponents`` count how
    often their distances halve the weight. A difference times ``factor``, squared, counts how often it does; times
    ``scale``, it is the difference again. Weights below ``2 ** -limit`` are 0. ``powers`` are the coefficients of a
    polynomial, ``2 ** -x`` for -0.5 <= x <= 0.5. Differences of integers times ``factor`` must be finite."""
    number = exponents.dtype.type
    reach, cols, at_once = size // 2, src.shape[1] // step, pixels_at_once(step, exponents)
    affordable = max(SCRATCH_BYTES // (size * step * exponents.itemsize) - size, LEAST // step, 1)
    shared = shared_places(places, reach, cols, bottom - top, exponents.itemsize)
    if shared:
        affordable = min(affordable, WEIGHTS_BYTES // (shared * (reach + 1) * exponents.itemsize))
    adjacent = reach if shared else 0  # pixels on either side that share weights with the tile
    wide = (min(cols, affordable) + 2 * adjacent + at_once - 1) // at_once * at_once
    pixels = wide - 2 * adjacent
    line = np.empty((pixels + size - 1) * step, src.dtype)
    lines = np.zeros((size, step, wide + size - 1), exponents.dtype)
    parts, totals = np.empty((step, at_once), exponents.dtype), np.empty((step + 1, wide), exponents.dtype)
    kept = np.empty((shared * (reach + 1), wide + 2 * reach), exponents.dtype)  # weights of previous rows
    others, weights = np.empty(len(places), np.int64), np.empty(len(places), np.int64)
    numbers = number(factor), number(limit)
    for first in range(0, cols, pixels):
        wanted = min(pixels, cols - first)
        span = line[: (wanted + size - 1) * step]
        following = top - reach
        for row in range(top - adjacent, bottom):
            for source in range(following, row + reach + 1):
                load_span(src, source, first - reach, wanted + size - 1, span, step, mode, cval)
                take_apart(span, lines[source % size, :, adjacent:])
            following = row + reach + 1
            for index in range(len(places)):
                down, along = places[index, 0] - reach, places[index, 1]
                others[index] = lines[(row + down) % size, 0, along:].ctypes.data
                weights[index] = weights_of(kept, index, len(places), shared, reach, row, down, along)
            own = lines[row % size, :, reach:]
            totals[:step], totals[step] = 0, 1
            start = 0
            while row < top and start < len(places) and row + places[start, 0] - reach < top:
                start += 1
            for x in range(0, wanted + 2 * adjacent, at_once):
                for begin in range(start, len(places), CHUNK):
                    if is_set(stop):
                        return
                    some = others[begin : begin + CHUNK], weights[begin : begin + CHUNK]
                    known = min(max(shared - begin, 0), len(some[0])) if row >= top else 0
                    halvings = exponents[begin : begin + CHUNK]
                    if step == 1:
                        add_one(some, known, own, halvings, powers, numbers, parts, totals, x, dst)
                    elif step == 3:
                        add_three(some, known, own, halvings, powers, numbers, parts, totals, x, dst)
                    else:
                        add_any(some, known, own, halvings, powers, numbers, parts, totals, x, dst)
            if row < top:
                continue
            part = dst[row, first * step : (first + wanted) * step]
            for channel in range(step):
                for x in range(wanted):
                    mean = totals[channel, adjacent + x] / totals[step, adjacent + x] * number(scale)
                    part[x * step + channel] = stored(own[channel, adjacent + x] + mean, dst)


@kernel
def shared_places(places, reach, cols, rows, itemsize):
    """The number of places, those above the pixel, whose weights are reused: a pair's weight is the same from either
    side. 0 if too many would have to be kept, or too few rows are filled."""
    above = 0
    while above < len(places) and places[above, 0] < reach:
        above += 1
    fits = above * (reach + 1) * itemsize * min(cols, LEAST) <= WEIGHTS_BYTES
    return above if fits and rows >= 3 * reach else 0


@kernel
def weights_of(kept, index, count, shared, reach, row, down, along):
    """The address of the kept weights of a place; for places above the pixel, those of the pixels there; 0 for others.
    Opposite places are equally far from the ends of the list."""
    if index < shared:
        return kept[index * (reach + 1) + (row + down) % (reach + 1), along:].ctypes.data
    if index >= count - shared:
        return kept[(count - 1 - index) * (reach + 1) + row % (reach + 1), reach:].ctypes.data
    return 0


@kernel
def take_apart(line, planes):
    """Split pixels into a row for each channel."""
    step = planes.shape[0]
    for channel in range(step):
        plane = planes[channel]
        for x in range(line.size // step):
            plane[x] = line[x * step + channel]


@kernel
def pixels_at_once(step, values):
    return lanes(values) * BLOCKS[step if step < len(BLOCKS) else 0]


class _Sums:
    """Builder of the weights and sums of vectors of pixels, for a given or any number of channels."""

    def __init__(self, context, builder, kind, target, channels):
        self.context, self.builder, self.channels = context, builder, channels
        self.element = context.get_data_type(kind)
        self.bits = kind.bitwidth
        self.pixels = VECTOR_BYTES * 8 // self.bits
        self.vector = ir.VectorType(self.element, self.pixels)
        self.whole = ir.VectorType(ir.IntType(self.bits), self.pixels)
        self.is_real = isinstance(target.dtype, types.Float)

    def splat(self, scalar):
        return _splat(self.builder, scalar, self.vector.count)

    def constant(self, number):
        return ir.Constant(self.vector, [number] * self.pixels)

    def load(self, base, at):
        return _load(self.builder, self.builder.gep(base, [at]), self.vector, self.bits // 8)

    def store(self, value, base, at):
        _store(self.builder, value, self.builder.gep(base, [at]), self.bits // 8)

    def plus_product(self, total, one, other):
        return self.builder.fadd(total, self.builder.fmul(one, other))

    def weight(self, halvings, powers, limit):
        """``2 ** -halvings`` where ``halvings`` is at most the limit, and whether it is."""
        builder, digits = self.builder, 23 if self.bits == 32 else 52
        magic = self.constant(1.5 * 2.0**digits)  # adding it leaves an integer in the last digits
        moved = builder.fadd(halvings, magic)
        rest = builder.fsub(halvings, builder.fsub(moved, magic))
        power = powers[-1]
        for coefficient in reversed(powers[:-1]):
            power = self.plus_product(coefficient, power, rest)
        exponent = builder.shl(builder.bitcast(moved, self.whole), ir.Constant(self.whole, [digits] * self.pixels))
        found = builder.sub(builder.bitcast(power, self.whole), exponent)
        is_near = builder.fcmp_ordered("<=", halvings, limit)
        none = ir.Constant(self.whole, [0] * self.pixels)
        return builder.bitcast(builder.select(is_near, found, none), self.vector), is_near

    def each_channel(self, step, do):
        if self.channels is None:
            with cgutils.for_range(self.builder, step) as loop:
                do(loop.index)
        else:
            for channel in range(self.channels):
                do(INDEX(channel))


def _adder(channels):
    """An intrinsic that adds a part of the window to the sums of vectors of pixels of ``channels`` channels.

    Returns
    -------
    ``add(addresses, known, own, exponents, powers, numbers, parts, totals, x, target)``: the first ``addresses`` are
    those of the neighbours' first channels for the first pixel, the second ones those of their weights: the first
    ``known`` weights are loaded, the rest are stored, except at address 0. ``own`` has a row for each channel.
    ``totals`` accumulates, for each channel, the weighted sum of the differences times the factor, then the sum of the
    weights. ``parts`` is scratch for any number of channels, None.
    """

    blocks = BLOCKS[channels or 0]

    @intrinsic
    def add(_context, addresses, known, own, exponents, powers, numbers, parts, totals, x, target):
        def build(context, builder, signature, arguments):
            tables, known, own_, exponents_, powers_, numbers_, parts_, totals_, x, _ = arguments
            kind = exponents.dtype
            sums = _Sums(context, builder, kind, target, channels)
            table, kept = (
                context.make_array(addresses[each])(context, builder, array)
                for each, array in enumerate(cgutils.unpack_tuple(builder, tables))
            )
            halvings = context.make_array(exponents)(context, builder, exponents_).data
            coefficients = context.make_array(powers)(context, builder, powers_).data
            own_ = context.make_array(own)(context, builder, own_)
            made = context.make_array(totals)(context, builder, totals_)
            apart = builder.sdiv(builder.extract_value(own_.strides, 0), INDEX(sums.bits // 8))
            step, width = builder.extract_value(own_.shape, 0), builder.extract_value(made.shape, 1)
            places = [builder.add(x, INDEX(block * sums.pixels)) for block in range(blocks)]
            power = [
                sums.splat(builder.load(builder.gep(coefficients, [INDEX(each)])))
                for each in range(terms(kind, target.dtype))
            ]
            factor, limit = (sums.splat(builder.extract_value(numbers_, each)) for each in range(2))
            nothing = sums.constant(0)
            squares, weights = ([cgutils.alloca_once(builder, sums.vector) for _ in places] for _ in range(2))
            if channels is None:
                room = context.make_array(parts)(context, builder, parts_).data
            else:
                room = cgutils.alloca_once(builder, sums.element, size=INDEX(channels * blocks * sums.pixels))

            def part(channel, block):
                return builder.mul(builder.add(builder.mul(channel, INDEX(blocks)), INDEX(block)), INDEX(sums.pixels))

            def clear(channel):
                for block in range(blocks):
                    sums.store(nothing, room, part(channel, block))

            sums.each_channel(step, clear)
            for total in weights:
                builder.store(nothing, total)

            def row(table, tap):
                return builder.inttoptr(builder.load(builder.gep(table.data, [tap])), sums.element.as_pointer())

            def own_value(channel, place):
                return sums.load(own_.data, builder.add(builder.mul(channel, apart), place))

            mine = [[own_value(INDEX(channel), place) for place in places] for channel in range(channels or 0)]

            def difference(base, channel, block):
                at = builder.add(builder.mul(channel, apart), places[block])
                centre = own_value(channel, places[block]) if channels is None else mine[channel.constant][block]
                return builder.fmul(builder.fsub(sums.load(base, at), centre), factor)

            def add_weighed(differ, found):
                def add_channel(channel):
                    for block, (weight, is_near) in enumerate(found):
                        each = differ(channel, block)
                        if sums.is_real:  # zero times NaN is NaN
                            each = builder.select(is_near, each, nothing)
                        at = part(channel, block)
                        sums.store(sums.plus_product(sums.load(room, at), weight, each), room, at)

                sums.each_channel(step, add_channel)
                for total, (weight, _) in zip(weights, found, strict=True):
                    builder.store(builder.fadd(builder.load(total), weight), total)

            with cgutils.for_range(builder, known) as tap:
                held = [sums.load(row(kept, tap.index), place) for place in places]
                near = [(each, builder.fcmp_ordered(">", each, nothing)) for each in held]
                add_weighed(partial(difference, row(table, tap.index)), near)

            with cgutils.for_range(builder, builder.extract_value(table.shape, 0), start=known) as tap:
                differ = partial(difference, row(table, tap.index))
                first = sums.splat(builder.load(builder.gep(halvings, [tap.index])))

                def add_square(channel):
                    for block, total in enumerate(squares):
                        each = differ(channel, block)
                        builder.store(sums.plus_product(builder.load(total), each, each), total)

                for total in squares:
                    builder.store(first, total)
                sums.each_channel(step, add_square)
                found = [sums.weight(builder.load(total), power, limit) for total in squares]
                add_weighed(differ, found)
                target_row = row(kept, tap.index)
                with builder.if_then(cgutils.is_not_null(builder, target_row)):
                    for place, (weight, _) in zip(places, found, strict=True):
                        sums.store(weight, target_row, place)

            def add_to(channel, place, more):
                at = builder.add(builder.mul(channel, width), place)
                sums.store(builder.fadd(sums.load(made.data, at), more), made.data, at)

            def finish(channel):
                for block, place in enumerate(places):
                    add_to(channel, place, sums.load(room, part(channel, block)))

            sums.each_channel(step, finish)
            for place, total in zip(places, weights, strict=True):
                add_to(step, place, builder.load(total))
            return context.get_dummy_value()

        return types.none(
            addresses, types.int64, own, exponents, powers, numbers, parts, totals, types.int64, target
        ), build

    return add


def terms(kind, dtype):
    """The number of coefficients of the power of two, for an image dtype."""
    return 11 if kind == types.float64 else 4 if dtype.bitwidth == 8 else 6


add_one, add_three, add_any = _adder(1), _adder(3), _adder(None)
