"""Non-local means: mean of the surrounding pixels, weighted by the similarity of the patches around them.

For each shift, the squared differences between the image and the shifted image are summed over patches: down the
columns as running sums, along the rows by doubling. A weight serves both pixels of a pair, so half of the shifts
suffice. Squared differences are integers, those of floats in units of a small fraction of the largest distance that
has a weight: their sums are exact, in any order. The averages are of differences from the pixel, so that a constant
stays exact.
"""

from contextlib import contextmanager

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES, _load, _splat, _store
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.spans import load_span

HEIGHT, WIDTH = 96, 256  # pixels of a tile, whose sums should stay in the second-level cache
INDEX = ir.IntType(64)
SPARE = 64  # padding elements after each row for whole vectors
DOUBLINGS = 8  # rows of sums of 1, 2, 4, ... columns, and one of combined sums


@kernel
def fill(
    src, dst, top, bottom, stop, step, mode, cval, before, after, distance, powers, limits, rest, rate, cap, factor
):
    """A patch extends ``before`` and ``after`` pixels from its centre; pixels up to ``distance`` away have weights.

    Differences times ``factor``, clipped at ``cap``, which exceeds the largest with a weight, are squared and summed. A
    sum above ``limits[0]`` has no weight. Minus ``limits[1]`` and ``rest``, times ``rate``, it is the number whose
    exponential is the weight, after repeated squaring; ``powers`` are the coefficients of a polynomial for it."""
    number, cols, reach, size = powers.dtype.type, src.shape[1] // step, distance + after, before + after + 1
    height, width = share_of(bottom - top, HEIGHT), share_of(cols, max(WIDTH // step, 32))
    line = np.empty((width + 2 * reach) * step, src.dtype)
    planes = np.zeros((height + 2 * reach, step, width + 2 * reach + SPARE), plain(line, powers).dtype)
    # Contributions to pixels outside the tile go to the columns around it and to the last row.
    totals = np.empty((height + 1, step + 1, width + 2 * distance + SPARE), powers.dtype)
    columns = np.empty((DOUBLINGS + size, width + distance + 2 * size + SPARE), limits.dtype)
    numbers = number(rest), number(rate), planes.dtype.type(cap), number(factor)
    for first_row in range(top, bottom, height):
        high = min(height, bottom - first_row)
        for first in range(0, cols, width):
            wide = min(width, cols - first)
            span = line[: (wide + 2 * reach) * step]
            for row in range(high + 2 * reach):
                load_span(src, first_row + row - reach, first - reach, wide + 2 * reach, span, step, mode, cval)
                take_apart(span, planes[row])
            totals[:, :step], totals[:, step] = 0, 1
            for down in range(distance + 1):
                for along in range(-distance if down else 1, distance + 1):
                    if is_set(stop):
                        return
                    add_shift(
                        *(planes, totals, columns, down, along, reach, before, after, high, wide),
                        *(powers, limits, numbers),
                    )
            for row in range(high):
                part = dst[first_row + row, first * step : (first + wide) * step]
                for channel in range(step):
                    own = planes[row + reach, channel, reach:]
                    total, weights = totals[row, channel, distance:], totals[row, step, distance:]
                    for x in range(wide):
                        mean = total[x] / weights[x] / number(factor)
                        part[x * step + channel] = stored(number(own[x]) + mean, dst)


@kernel
def share_of(length, most):
    """The length of equal shares, as few as possible, of at most ``most`` each."""
    shares = max((length + most - 1) // most, 1)
    return (length + shares - 1) // shares


def plain(line, like):
    raise NotImplementedError


@overload(plain)
def _plain(line, like):
    """The type of pixels and their differences: int32 for integers."""
    if isinstance(line.dtype, types.Float):
        return lambda line, like: like
    return lambda line, like: np.empty(0, np.int32)


@kernel
def take_apart(line, planes):
    """Split pixels into a row for each channel."""
    step = planes.shape[0]
    for channel in range(step):
        plane = planes[channel]
        for x in range(line.size // step):
            plane[x] = line[x * step + channel]


@kernel
def add_shift(planes, totals, columns, down, along, reach, before, after, high, wide, powers, limits, numbers):
    """Add the weights of pixels ``down`` rows and ``along`` columns apart to both sums, the later pixel's first."""
    distance, spare = reach - after, totals.shape[0] - 1
    size, count = before + after + 1, wide + abs(along)
    left, right = max(along, 0), max(-along, 0)  # the first columns of a pair that are in the tile
    centre = reach - left
    start, span = centre - before, count + size - 1
    columns[0] = 0
    columns[DOUBLINGS:] = 0
    slot = 0
    for row in range(-down - before, high + after):
        one = reach + row
        add_squares(planes, one, one + down, start, start + along, columns, DOUBLINGS + slot, span, numbers)
        slot = slot + 1 if slot + 1 < size else 0
        y = row - after
        if y < -down:
            continue
        part, other, apart = patches(columns, size, span)
        later, earlier = y + down if y + down < high else spare, y if y >= 0 else spare
        pair = reach + y, centre, reach + y + down, centre + along
        targets = later, distance - right, earlier, distance - left
        sums = columns, part, other, apart
        add_weighed(sums, planes, pair, totals, targets, count, powers, limits, numbers)


@kernel
def patches(columns, size, span):
    """Sums of ``size`` neighbours, as two rows to add and the offset of the second: by the binary digits of the size,
    with doubling."""
    row, length, done, found = 0, 1, 0, 0
    while 2 * length < size:
        if size & length:
            if done:
                add_rows(columns, found, row, done, DOUBLINGS - 1, span)
            found = DOUBLINGS - 1 if done else row
            done += length
        add_rows(columns, row, row, length, row + 1, span)
        row, length = row + 1, 2 * length
    return (row, row, length) if 2 * length == size else (found, row, done)


class _Pairs:
    """Builder of sums over pairs of pixels, in vectors.

    Rows of arrays are C-contiguous, and whole vectors of them may be loaded and stored. `splat` broadcasts scalars that
    all vectors share."""

    def __init__(self, context, builder, number, sums, plane):
        self.context, self.builder = context, builder
        self.number, self.sums, self.plane = number, sums, plane
        self.pixels = VECTOR_BYTES * 8 // max(number.bitwidth, sums.bitwidth)

    def vector(self, kind):
        return ir.VectorType(self.context.get_data_type(kind), self.pixels)

    def constant(self, kind, number):
        return ir.Constant(self.vector(kind), [number] * self.pixels)

    def splat(self, scalar):
        return _splat(self.builder, scalar, self.pixels)

    def shape(self, kind, array):
        return cgutils.unpack_tuple(
            self.builder, self.context.make_array(kind)(self.context, self.builder, array).shape
        )

    def row(self, kind, array, *indices):
        """A function from an element's offset after ``indices`` to the address of a vector."""
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        at = INDEX(0)
        for index, extent in zip(indices, self.shape(kind, array), strict=True):
            at = self.builder.add(self.builder.mul(at, extent), index)
        base = self.builder.gep(data, [at])
        return lambda x: self.builder.gep(base, [x])

    def load(self, kind, address):
        return _load(self.builder, address, self.vector(kind.dtype), kind.dtype.bitwidth // 8)

    def store(self, kind, value, address):
        _store(self.builder, value, address, kind.dtype.bitwidth // 8)

    def elements(self, kind, array, count):
        """The first elements of an array, each broadcast to a vector."""
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        each = [self.builder.load(self.builder.gep(data, [INDEX(index)])) for index in range(count)]
        return [self.splat(scalar) for scalar in each]

    @contextmanager
    def each(self, count):
        """A loop over ``count`` pixels, which yields the offset of each vector."""
        loops = self.builder.udiv(self.builder.add(count, INDEX(self.pixels - 1)), INDEX(self.pixels))
        with cgutils.for_range(self.builder, loops) as loop:
            yield self.builder.mul(loop.index, INDEX(self.pixels))

    def numbers(self, numbers):
        """The rest, the rate, the cap and the factor, broadcast to vectors."""
        return [self.splat(self.builder.extract_value(numbers, each)) for each in range(4)]

    def squared(self, a, b, cap, factor):
        """Squared differences as integers, clipped at the cap; NaN counts as the cap."""
        builder = self.builder
        if isinstance(self.plane, types.Float):
            apart = builder.fmul(self.call("fabs", builder.fsub(b, a)), factor)
            near = builder.select(builder.fcmp_ordered("<", apart, cap), apart, cap)
            return builder.fptosi(self.call("rint", builder.fmul(near, near)), self.vector(self.sums))
        apart, minimum = builder.sub(b, a), builder.neg(cap)
        near = builder.select(builder.icmp_signed("<", apart, cap), apart, cap)
        near = builder.select(builder.icmp_signed(">", near, minimum), near, minimum)
        if self.sums.bitwidth > self.plane.bitwidth:
            near = builder.sext(near, self.vector(self.sums))
        return builder.mul(near, near)

    def difference(self, a, b, weight, factor):
        """Differences from the first pixels; 0 for a weight of 0, even with NaN and infinity."""
        builder, none = self.builder, self.constant(self.number, 0)
        if not isinstance(self.plane, types.Float):
            return builder.sitofp(builder.sub(b, a), none.type)
        apart = builder.fmul(builder.fsub(b, a), factor)
        return builder.select(builder.fcmp_ordered(">", weight, none), apart, none)

    def call(self, name, value):
        """Apply an LLVM intrinsic to each element of a vector of floats."""
        name = f"llvm.{name}.v{self.pixels}f{self.number.bitwidth}"
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(value.type, [value.type]), name)
        return self.builder.call(function, [value])

    def exponential(self, y, powers):
        """``exp(-y)`` by a polynomial of a fraction of y and repeated squaring."""
        power = powers[-1]
        for coefficient in reversed(powers[:-1]):
            power = self.builder.fadd(coefficient, self.builder.fmul(y, power))
        for _ in range(3 if self.number == types.float32 else 5):
            power = self.builder.fmul(power, power)
        return power


@intrinsic
def add_squares(_context, planes, one, other, at, adjacent, columns, slot, span, numbers):
    """Replace a row of squared differences by the one below the window, also in row 0, the sums of columns.

    The squared differences are those between row ``one`` of the planes from column ``at`` on and row ``other`` from
    column ``adjacent`` on, of all channels together."""

    def build(context, builder, signature, arguments):
        planes_, one, other, at, adjacent, columns_, slot, span, numbers_ = arguments
        pairs = _Pairs(context, builder, numbers[0], columns.dtype, planes.dtype)
        _, _, cap, factor = pairs.numbers(numbers_)
        total = cgutils.alloca_once(builder, pairs.vector(columns.dtype))
        channels = pairs.shape(planes, planes_)[1]
        column, ring = (pairs.row(columns, columns_, row, INDEX(0)) for row in (INDEX(0), slot))
        with pairs.each(span) as x:
            builder.store(pairs.constant(columns.dtype, 0), total)
            with cgutils.for_range(builder, channels) as loop:
                a = pairs.load(planes, pairs.row(planes, planes_, one, loop.index, at)(x))
                b = pairs.load(planes, pairs.row(planes, planes_, other, loop.index, adjacent)(x))
                builder.store(builder.add(builder.load(total), pairs.squared(a, b, cap, factor)), total)
            new = builder.load(total)
            change = builder.sub(new, pairs.load(columns, ring(x)))
            pairs.store(columns, builder.add(pairs.load(columns, column(x)), change), column(x))
            pairs.store(columns, new, ring(x))
        return context.get_dummy_value()

    places = [types.int64] * 4
    return types.none(planes, *places, columns, types.int64, types.int64, numbers), build


@intrinsic
def add_rows(_context, columns, one, other, apart, to, span):
    """``columns[to, x] = columns[one, x] + columns[other, x + apart]``."""

    def build(context, builder, signature, arguments):
        columns_, one, other, apart, to, span = arguments
        pairs = _Pairs(context, builder, columns.dtype, columns.dtype, columns.dtype)
        a, b, target = (
            pairs.row(columns, columns_, row, at) for row, at in ((one, INDEX(0)), (other, apart), (to, INDEX(0)))
        )
        with pairs.each(span) as x:
            pairs.store(columns, builder.add(pairs.load(columns, a(x)), pairs.load(columns, b(x))), target(x))
        return context.get_dummy_value()

    return types.none(columns, *[types.int64] * 5), build


@intrinsic
def add_weighed(_context, sums, planes, pair, totals, targets, count, powers, limits, numbers):
    """Add the weights of pairs of pixels, and the differences of each channel times them, to the totals.

    The sums of their patches are combined from two rows of ``sums[0]``: ``sums[1]``, and ``sums[2]`` from column
    ``sums[3]`` on. ``pair`` has the row and the first column in the planes of one pixel and of the other, ``targets``
    those in the totals of the later pixel, which comes first, and of the earlier one."""

    def build(context, builder, signature, arguments):
        sums_, planes_, pair_, totals_, targets_, count, powers_, limits_, numbers_ = arguments
        columns, number = sums[0], totals.dtype
        columns_, part, another, apart = cgutils.unpack_tuple(builder, sums_)
        one, at, other, adjacent = cgutils.unpack_tuple(builder, pair_)
        later, at_later, earlier, at_earlier = cgutils.unpack_tuple(builder, targets_)
        pairs = _Pairs(context, builder, number, columns.dtype, planes.dtype)
        rest, rate, _, factor = pairs.numbers(numbers_)
        most, base = pairs.elements(limits, limits_, 2)
        coefficients = pairs.elements(powers, powers_, 6 if number == types.float32 else 8)
        channels, none = pairs.shape(planes, planes_)[1], pairs.constant(number, 0)
        one_part, other_part = (
            pairs.row(columns, columns_, part, INDEX(0)),
            pairs.row(columns, columns_, another, apart),
        )

        def add_to(channel, x, subtract, value):
            for row, column, do in ((later, at_later, subtract), (earlier, at_earlier, builder.fadd)):
                address = pairs.row(totals, totals_, row, channel, column)(x)
                pairs.store(totals, do(pairs.load(totals, address), value), address)

        with pairs.each(count) as x:
            found = builder.add(pairs.load(columns, one_part(x)), pairs.load(columns, other_part(x)))
            is_near = builder.icmp_signed("<=", found, most)
            bits = builder.bitcast(is_near, ir.IntType(pairs.pixels))
            with builder.if_then(builder.icmp_unsigned("!=", bits, bits.type(0))):
                more = builder.fsub(builder.sitofp(builder.sub(found, base), none.type), rest)
                more = builder.select(builder.fcmp_ordered(">", more, none), more, none)
                power = pairs.exponential(builder.fmul(more, rate), coefficients)
                weight = builder.select(is_near, power, none)
                with cgutils.for_range(builder, channels) as loop:
                    a = pairs.load(planes, pairs.row(planes, planes_, one, loop.index, at)(x))
                    b = pairs.load(planes, pairs.row(planes, planes_, other, loop.index, adjacent)(x))
                    add_to(loop.index, x, builder.fsub, builder.fmul(weight, pairs.difference(a, b, weight, factor)))
                add_to(channels, x, builder.fadd, weight)
        return context.get_dummy_value()

    return types.none(sums, planes, pair, totals, targets, types.int64, powers, limits, numbers), build
