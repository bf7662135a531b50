"""Rows of an image for separable kernels, down the columns, then along the rows: borders of a row, and symmetric
weighted sums of rows or neighbours as vector operations; the number of taps is known only at run time."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES, _rounded, _splat

ACCUMULATORS = 4  # vectors of sums in registers: enough to hide an addition's latency
LOOK_TAPS = 1 << 16  # taps of vectors between checks of the stop flag, some hundred microseconds
HALF = 128  # fixed-point sums are in 256ths


@kernel
def edge_columns(before, after, cols, mode):
    """Source columns of the ``before`` and ``after`` border pixels of a row of ``cols`` pixels; -1 for the constant."""
    columns = np.empty(before + after, np.int64)
    for place in range(before):
        columns[place] = fold(place - before, cols, mode)
    for place in range(after):
        columns[before + place] = fold(cols + place, cols, mode)
    return columns


@kernel
def pad_edges(line, width, columns, before, step, outside):
    """Fill the border of ``line``, whose ``width`` inner elements, after ``before`` pixels, are already filled."""
    start = before * step
    copy_columns(line, columns, 0, before, start, 0, step, outside)
    copy_columns(line, columns, before, columns.size, start, width, step, outside)


@kernel
def copy_columns(line, columns, first, last, origin, to, step, outside):
    """Copy some ``columns`` of ``line``, whose column 0 is at ``origin``; negative ones are the constant."""
    for place in range(first, last):
        source = origin + columns[place] * step
        for channel in range(step):
            line[to + place * step + channel] = outside if columns[place] < 0 else line[source + channel]


@kernel
def row_address(array, row):
    """The address of a row."""
    return array.ctypes.data + row * array.strides[0]


@kernel
def row_addresses(array, first, mode, border, addresses):
    """The addresses of the rows from ``first`` on, folded into the image; ``border`` holds the constant."""
    for place in range(addresses.size):
        row = fold(first + place, array.shape[0], mode)
        addresses[place] = border.ctypes.data if row < 0 else row_address(array, row)


@kernel
def neighbour_addresses(line, step, addresses):
    """The addresses of a row shifted by 0, 1, 2, ... pixels."""
    for place in range(addresses.size):
        addresses[place] = line.ctypes.data + place * step * line.itemsize


def _pixels(source, weights):
    """The number of pixels in one source vector of a weighted sum."""
    if isinstance(weights.dtype, types.Float):
        return VECTOR_BYTES * 8 // weights.dtype.bitwidth
    return VECTOR_BYTES * 8 // source.dtype.bitwidth


def pixels_at_once(source, weights):
    raise NotImplementedError


@overload(pixels_at_once)
def _pixels_at_once(source, weights):
    pixels = _pixels(source, weights)
    return lambda source, weights: pixels


class _Sums:
    """Builder of a weighted sum, held in one or two vectors, by the types of its source, weights and target."""

    def __init__(self, context, builder, source, weights, target, pixels):
        self.builder = builder
        self.source, self.target = source.dtype, target.dtype
        self.pixels = pixels
        self.floating = isinstance(weights.dtype, types.Float)
        # Bytes are widened by interleaving them with zeros within each 16, the one way that is cheap on x86.
        self.spread = not self.floating and source.dtype.bitwidth == 8 and pixels > 1
        self.loaded = ir.VectorType(context.get_data_type(source.dtype), pixels)
        lanes = pixels // 2 if self.spread else pixels
        self.vector = ir.VectorType(context.get_data_type(weights.dtype), lanes)
        self.wide = ir.VectorType(ir.IntType(32), lanes)
        self.parts = 2 if self.spread else 1

    def splat(self, scalar):
        return _splat(self.builder, scalar, self.vector.count)

    def constant(self, vector, number):
        return ir.Constant(vector, [number] * vector.count)

    def load(self, address, at):
        """Load pixels in the sum's type; in fixed point as 256ths."""
        builder = self.builder
        base = builder.inttoptr(address, self.loaded.element.as_pointer())
        pointer = builder.bitcast(builder.gep(base, [at]), self.loaded.as_pointer())
        values = builder.load(pointer, align=self.source.bitwidth // 8)
        if self.floating:
            if self.source == types.float32 and self.vector.element == ir.DoubleType():
                return [builder.fpext(values, self.vector)]
            if isinstance(self.source, types.Float):
                return [values]
            convert = builder.sitofp if self.source.signed else builder.uitofp
            return [convert(values, self.vector)]
        if self.source.bitwidth == 16:
            return [values]
        if not self.spread:
            return [builder.shl(builder.zext(values, self.vector), self.constant(self.vector, 8))]
        return [builder.bitcast(self.interleaved(values, start), self.vector) for start in (0, 8)]

    def interleaved(self, values, start):
        zeros = self.constant(self.loaded, 0)
        order = []
        for place in range(self.pixels // 2):
            order += [self.pixels, 16 * (place // 8) + start + place % 8]
        return self.builder.shuffle_vector(values, zeros, self.indices(order))

    def indices(self, order):
        return ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)

    def constant_kept(self, total, centre, tolerance):
        """See `lib.numbers.constant_kept`."""
        builder = self.builder
        name = f"llvm.fabs.v{self.vector.count}{'f64' if self.vector.element == ir.DoubleType() else 'f32'}"
        kind = ir.FunctionType(self.vector, [self.vector])
        magnitude = cgutils.get_or_insert_function(builder.module, kind, name)
        apart = builder.call(magnitude, [builder.fsub(total, centre)])
        most = builder.fmul(builder.call(magnitude, [centre]), self.splat(tolerance))
        return builder.select(builder.fcmp_ordered("<=", apart, most), centre, total)

    def scaled(self, value, weight):
        if self.floating:
            return self.builder.fmul(value, weight)
        product = self.builder.mul(self.builder.zext(value, self.wide), self.builder.zext(weight, self.wide))
        return self.builder.trunc(self.builder.lshr(product, self.constant(self.wide, 16)), self.vector)

    def add(self, a, b):
        return self.builder.fadd(a, b) if self.floating else self.builder.add(a, b)

    def with_pair(self, total, one, other, weight):
        """``total + weight * (one + other)``; each fixed-point product is truncated separately."""
        if self.floating:
            return self.add(total, self.scaled(self.add(one, other), weight))
        return self.add(self.add(total, self.scaled(one, weight)), self.scaled(other, weight))

    def result(self, totals):
        """Convert sums to the target's type, in the pixels' order."""
        builder = self.builder
        whole = ir.VectorType(ir.IntType(self.target.bitwidth), self.pixels)
        if self.floating:
            return totals[0] if isinstance(self.target, types.Float) else _rounded(builder, totals[0], self.target)
        total = totals[0]
        if self.spread:
            lanes = self.vector.count
            order = [place // 16 * 8 + place % 8 + (lanes if place % 16 >= 8 else 0) for place in range(self.pixels)]
            total = builder.shuffle_vector(totals[0], totals[1], self.indices(order))
        if self.target.bitwidth == 16:
            return total
        total = builder.add(total, self.constant(self.vector, HALF))
        return builder.trunc(builder.lshr(total, self.constant(self.vector, 8)), whole)

    def store(self, totals, line, to):
        """Store the results of vectors of sums in a line."""
        for number in range(len(totals) // self.parts):
            result = self.result(totals[number * self.parts : (number + 1) * self.parts])
            address = self.builder.gep(line, [self.builder.add(to, ir.IntType(64)(number * self.pixels))])
            address = self.builder.bitcast(address, result.type.as_pointer())
            self.builder.store(result, address, align=self.target.bitwidth // 8)


def _weigher(blocks, single=False):
    """An intrinsic that computes ``blocks`` vectors of weighted sums, or a single sum; see `weigh`."""

    @intrinsic
    def apply(_context, addresses, source, at, weights, radius, offset, target, to):
        def build(context, builder, signature, arguments):
            held_addresses, _, at, held_weights, radius, offset, held_target, to = arguments
            sums = _Sums(context, builder, source, weights, target, 1 if single else _pixels(source, weights))
            table = context.make_array(addresses)(context, builder, held_addresses).data
            taps = context.make_array(weights)(context, builder, held_weights).data
            places = [builder.add(at, ir.IntType(64)(block * sums.pixels)) for block in range(blocks)]
            centre = builder.load(builder.gep(table, [radius]))
            weight = sums.splat(builder.load(taps))
            totals = []
            for place in places:
                for value in sums.load(centre, place):
                    total = sums.scaled(value, weight)
                    if not sums.floating:
                        total = sums.add(total, sums.splat(offset))
                    totals.append(cgutils.alloca_once_value(builder, total))
            with cgutils.for_range(builder, radius) as loop:
                tap = builder.add(loop.index, ir.IntType(64)(1))
                weight = sums.splat(builder.load(builder.gep(taps, [tap])))
                before = builder.load(builder.gep(table, [builder.sub(radius, tap)]))
                after = builder.load(builder.gep(table, [builder.add(radius, tap)]))
                for number, place in enumerate(places):
                    pairs = zip(sums.load(before, place), sums.load(after, place), strict=True)
                    for part, (one, other) in enumerate(pairs):
                        total = totals[number * sums.parts + part]
                        builder.store(sums.with_pair(builder.load(total), one, other, weight), total)
            if sums.floating:
                for place, held in zip(places, totals, strict=True):
                    builder.store(sums.constant_kept(builder.load(held), sums.load(centre, place)[0], offset), held)
            line = context.make_array(target)(context, builder, held_target).data
            sums.store([builder.load(total) for total in totals], line, to)
            return context.get_dummy_value()

        index = types.int64
        signature = types.none(addresses, source, index, weights, index, weights.dtype, target, index)
        return signature, build

    return apply


def _pair_weigher(blocks):
    """An intrinsic that computes ``blocks`` vectors of two sums, one address apart; see `weigh_two`."""

    @intrinsic
    def apply(_context, addresses, source, at, weights, radius, offset, targets, to):
        def build(context, builder, signature, arguments):
            held_addresses, _, at, held_weights, radius, offset, held_targets, to = arguments
            sums = _Sums(context, builder, source, weights, targets[0], _pixels(source, weights))
            table = context.make_array(addresses)(context, builder, held_addresses).data
            taps = context.make_array(weights)(context, builder, held_weights).data
            one = ir.IntType(64)(1)
            places = [builder.add(at, ir.IntType(64)(block * sums.pixels)) for block in range(blocks)]

            def values_at(number):
                address = builder.load(builder.gep(table, [number]))
                return [value for place in places for value in sums.load(address, place)]

            centres = [values_at(radius), values_at(builder.add(radius, one))]
            weight = sums.splat(builder.load(taps))
            start = None if sums.floating else sums.splat(offset)
            totals = [[sums.scaled(value, weight) for value in values] for values in centres]
            if start is not None:
                totals = [[sums.add(total, start) for total in part] for part in totals]
            upper, lower = ([cgutils.alloca_once_value(builder, total) for total in part] for part in totals)
            # The lower sum's value before its centre is the one that the upper sum used last, and vice versa.
            before, after = ([cgutils.alloca_once_value(builder, value) for value in part] for part in centres)
            with cgutils.for_range(builder, radius) as loop:
                tap = builder.add(loop.index, one)
                weight = sums.splat(builder.load(builder.gep(taps, [tap])))
                firsts = values_at(builder.sub(radius, tap))
                lasts = values_at(builder.add(builder.add(radius, one), tap))
                for number, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
                    for held, pair in (
                        (upper[number], (first, builder.load(after[number]))),
                        (lower[number], (builder.load(before[number]), last)),
                    ):
                        builder.store(sums.with_pair(builder.load(held), *pair, weight), held)
                    builder.store(first, before[number])
                    builder.store(last, after[number])
            for row, totals in enumerate((upper, lower)):
                results = [builder.load(total) for total in totals]
                if sums.floating:
                    again = values_at(builder.add(radius, ir.IntType(64)(row)))
                    results = [sums.constant_kept(*each, offset) for each in zip(results, again, strict=True)]
                line = context.make_array(targets[row])(context, builder, builder.extract_value(held_targets, row)).data
                sums.store(results, line, to)
            return context.get_dummy_value()

        index = types.int64
        signature = types.none(addresses, source, index, weights, index, weights.dtype, targets, index)
        return signature, build

    return apply


_weigh_blocks = _weigher(ACCUMULATORS)
weigh_block = _weigher(1)
_weigh_single = _weigher(1, single=True)
_weigh_two_blocks = _pair_weigher(ACCUMULATORS // 2)
weigh_two_block = _pair_weigher(1)


@kernel
def weigh(addresses, source, at, weights, radius, offset, target, stop):
    """Set ``target[x]`` to the weighted sum of the values ``at + x`` elements after ``2 * radius + 1`` addresses.

    ``weights`` is one half of a symmetric kernel, from the centre outwards. Floating-point weights: the values,
    converted to the weights' type, are summed from the centre outwards in pairs; a sum that differs from the centre's
    value by no more than ``offset`` times that value is replaced by it; integer targets are rounded at the end.
    uint16 weights: values in 256ths, each product truncated to 256ths, plus ``offset``; a uint16 target stores the sum,
    a uint8 target rounds it. ``source`` only gives the type of the values at the addresses. Returns early once the flag
    at ``stop`` is set.
    """
    count = target.size
    pixels = pixels_at_once(source, weights)
    x, unlooked = 0, (LOOK_TAPS // (radius + 1) + 1) * ACCUMULATORS * pixels
    while x + ACCUMULATORS * pixels <= count:
        if is_set(stop):
            return
        end = min(count, x + unlooked)
        while x + ACCUMULATORS * pixels <= end:
            _weigh_blocks(addresses, source, at + x, weights, radius, offset, target, x)
            x += ACCUMULATORS * pixels
    while x + pixels <= count:
        weigh_block(addresses, source, at + x, weights, radius, offset, target, x)
        x += pixels
    if x < count and count >= pixels:  # overlap the previous vector instead of a scalar tail
        weigh_block(addresses, source, at + count - pixels, weights, radius, offset, target, count - pixels)
        x = count
    while x < count:
        _weigh_single(addresses, source, at + x, weights, radius, offset, target, x)
        x += 1


@kernel
def weigh_two(addresses, source, at, weights, radius, offset, targets, stop):
    """`weigh` for two targets, the second from the next address on; each value is read once for both."""
    count = targets[0].size
    pixels = pixels_at_once(source, weights)
    if count < pixels:
        weigh(addresses, source, at, weights, radius, offset, targets[0], stop)
        weigh(addresses[1:], source, at, weights, radius, offset, targets[1], stop)
        return
    at_once = ACCUMULATORS // 2 * pixels
    x, unlooked = 0, (LOOK_TAPS // (radius + 1) + 1) * at_once
    while x + at_once <= count:
        if is_set(stop):
            return
        end = min(count, x + unlooked)
        while x + at_once <= end:
            _weigh_two_blocks(addresses, source, at + x, weights, radius, offset, targets, x)
            x += at_once
    while x < count:
        begin = min(x, count - pixels)
        weigh_two_block(addresses, source, at + begin, weights, radius, offset, targets, begin)
        x = begin + pixels
