"""Weighted sums of a list of values as vector operations: any number of taps, each an address and a weight."""

from itertools import chain

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES, _rounded, _splat
from gpuimg.kernels.lib.target import HAS_AVX512, has

ACCUMULATORS = 4  # vectors of sums of a row in registers
# Rows that share the values they read: loads across cache lines are slower than two rows of sums, but four rows of sums
# need more than 16 registers.
MOST_ROWS = 4 if HAS_AVX512 else 2
# One instruction multiplies pairs of 16-bit numbers and adds each two products in 32 bits.
PAIRED = {64: "llvm.x86.avx512.pmaddw.d.512"} if HAS_AVX512 else {32: "llvm.x86.avx2.pmadd.wd"} if has("avx2") else {}
INDEX = ir.IntType(64)


class _Sums:
    """Builder of sums in vectors of the weights' type: floats, or pairs of 16-bit numbers in 32 bits."""

    def __init__(self, context, builder, weights, target, pixels):
        self.builder = builder
        self.kind, self.target = weights.dtype, target.dtype
        self.floating = isinstance(self.kind, types.Float)
        self.element = context.get_data_type(self.kind)
        self.vector = ir.VectorType(self.element, pixels)
        self.pixels = pixels

    def splat(self, scalar):
        return _splat(self.builder, scalar, self.vector.count)

    def constant(self, number):
        return ir.Constant(self.vector, [number] * self.pixels)

    def load(self, address, at):
        base = self.builder.inttoptr(address, self.element.as_pointer())
        pointer = self.builder.bitcast(self.builder.gep(base, [at]), self.vector.as_pointer())
        return self.builder.load(pointer, align=self.kind.bitwidth // 8)

    def plus(self, total, value, weight):
        builder = self.builder
        if self.floating:
            return builder.fadd(total, builder.fmul(value, weight))
        return builder.add(total, self.paired(value, weight))

    def paired(self, value, weight):
        """The sum of the products of the lower and of the upper halves."""
        builder = self.builder
        halves = ir.VectorType(ir.IntType(16), 2 * self.pixels)
        name = PAIRED.get(self.pixels * 4)
        if name is not None:
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(self.vector, [halves, halves]), name
            )
            return builder.call(function, [builder.bitcast(value, halves), builder.bitcast(weight, halves)])
        half = self.constant(16)
        upper = builder.mul(builder.ashr(value, half), builder.ashr(weight, half))
        lower = builder.mul(
            *[builder.ashr(builder.shl(each, half), half) for each in (value, weight)],
        )
        return builder.add(lower, upper)

    def result(self, total, shift):
        """Convert a sum to the target's type: rounded half to even and saturated for integers."""
        builder = self.builder
        if isinstance(self.target, types.Float):
            return total
        low, high = self.target.minval, self.target.maxval
        if self.floating:
            return _rounded(builder, total, self.target)
        places = self.splat(shift)
        one = self.constant(1)
        odd = builder.and_(builder.ashr(total, places), one)
        # Half of the last place, minus one for an even result; 0 for a shift of 0.
        half = builder.sub(builder.lshr(builder.shl(one, places), one), one)
        half = builder.select(
            builder.icmp_signed("==", places, self.constant(0)), self.constant(0), builder.add(half, odd)
        )
        total = builder.ashr(builder.add(total, half), places)
        total = builder.select(builder.icmp_signed("<", total, self.constant(low)), self.constant(low), total)
        total = builder.select(builder.icmp_signed(">", total, self.constant(high)), self.constant(high), total)
        return builder.trunc(total, ir.VectorType(ir.IntType(self.target.bitwidth), self.pixels))


def _opaque(builder, pointer):
    """The same pointer, hidden from LLVM's alias analysis.

    A weight read for each vector is an operand of the multiplication; one kept in a register takes a separate load, for
    which multiplications and additions of 64 bytes leave no time (measured on Zen 4: a fifth slower).
    """
    same = ir.InlineAsm(ir.FunctionType(pointer.type, [pointer.type]), "", "=r,0", side_effect=True)
    return builder.call(same, [pointer])


def _adder(blocks, rows, by_rows=False, single=False):
    """An intrinsic that computes ``blocks`` vectors of sums, or single sums, in each of ``rows`` rows."""

    @intrinsic
    def apply(_context, addresses, weights, ends, bounds, shift, targets, to):
        def build(context, builder, signature, arguments):
            held_addresses, held_weights, held_ends, held_bounds, shift, held_target, to = arguments
            pixels = 1 if single else VECTOR_BYTES * 8 // weights.dtype.bitwidth
            sums = _Sums(context, builder, weights, targets, pixels)
            table = context.make_array(addresses)(context, builder, held_addresses)
            taps = context.make_array(weights)(context, builder, held_weights).data
            taps_of = [_opaque(builder, taps) if sums.floating and rows > 2 else taps for _ in range(blocks)]
            limits = context.make_array(bounds)(context, builder, held_bounds).data
            row_ends = context.make_array(ends)(context, builder, held_ends).data
            places = [builder.add(to, INDEX(block * pixels)) for block in range(blocks)]
            totals = [[cgutils.alloca_once(builder, sums.vector) for _ in places] for _ in range(rows)]
            for total in chain(*totals):
                builder.store(sums.constant(0), total)

            def add(part, which):
                first, last = (builder.load(builder.gep(limits, [INDEX(part + end)])) for end in (0, 1))
                if not by_rows:
                    add_between(first, last, which, totals)
                    return
                head, body, behind = (builder.append_basic_block(name) for name in ("head", "row", "behind"))
                place = cgutils.alloca_once_value(builder, first)
                builder.branch(head)
                builder.position_at_end(head)
                begin = builder.load(place)
                builder.cbranch(builder.icmp_signed("<", begin, last), body, behind)
                builder.position_at_end(body)
                of_row = [[cgutils.alloca_once(builder, sums.vector) for _ in places] for _ in totals]
                for total in chain(*of_row):
                    builder.store(sums.constant(0), total)
                end = builder.load(builder.gep(row_ends, [begin]))
                add_between(begin, end, which, of_row)
                for row in which:
                    for total, own in zip(totals[row], of_row[row], strict=True):
                        builder.store(builder.fadd(builder.load(total), builder.load(own)), total)
                builder.store(end, place)
                builder.branch(head)
                builder.position_at_end(behind)

            def add_between(first, last, which, totals):
                with cgutils.for_range_slice(builder, first, last, INDEX(1), INDEX) as (tap, _):
                    address = builder.load(builder.gep(table.data, [tap]))
                    values = [sums.load(address, place) for place in places]
                    for row in which:
                        at = builder.add(builder.mul(tap, INDEX(rows)), INDEX(row))
                        for value, total, held in zip(values, totals[row], taps_of, strict=True):
                            weight = sums.splat(builder.load(builder.gep(held, [at])))
                            builder.store(sums.plus(builder.load(total), value, weight), total)

            group = 1 if sums.floating else min(rows, 2)
            groups = rows // group
            for part in range(2 * groups - 1):
                add(part, range(max(part - groups + 1, 0) * group, min(part + 1, groups) * group))
            shift = builder.trunc(shift, ir.IntType(32))
            line = context.make_array(targets)(context, builder, held_target)
            apart = builder.extract_value(line.strides, 0)
            for row in range(rows):
                data = cgutils.pointer_add(builder, line.data, builder.mul(apart, INDEX(row)))
                for place, total in zip(places, totals[row], strict=True):
                    result = sums.result(builder.load(total), shift)
                    pointer = builder.bitcast(builder.gep(data, [place]), result.type.as_pointer())
                    builder.store(result, pointer, align=targets.dtype.bitwidth // 8)
            return context.get_dummy_value()

        return types.none(addresses, weights, ends, bounds, types.int64, targets, types.int64), build

    return apply


def pixels_at_once(weights):
    raise NotImplementedError


@overload(pixels_at_once)
def _pixels_at_once(weights):
    pixels = VECTOR_BYTES * 8 // weights.dtype.bitwidth
    return lambda weights: pixels


def _filler(rows, by_rows):
    add_blocks, add_block = _adder(ACCUMULATORS, rows, by_rows), _adder(1, rows, by_rows)

    @kernel
    def fill(addresses, weights, ends, bounds, shift, targets):
        count = targets.shape[1]
        pixels = pixels_at_once(weights)
        x = 0
        while x + ACCUMULATORS * pixels <= count:
            add_blocks(addresses, weights, ends, bounds, shift, targets, x)
            x += ACCUMULATORS * pixels
        while x + pixels <= count:
            add_block(addresses, weights, ends, bounds, shift, targets, x)
            x += pixels
        if x < count:  # overlap the previous vector instead of a scalar tail
            add_block(addresses, weights, ends, bounds, shift, targets, count - pixels)

    return fill


def _adders(by_rows):
    """The functions `add_taps` and `add_taps_to_rows`."""
    fill_one, fill_two, fill_most = (_filler(rows, by_rows) for rows in (1, 2, MOST_ROWS))
    single = _adder(1, 1, by_rows, single=True)

    @kernel
    def add_taps(addresses, weights, ends, shift, targets):
        bounds = np.array([0, len(addresses)])
        if targets.shape[1] >= pixels_at_once(weights):
            fill_one(addresses, weights, ends, bounds, shift, targets)
            return
        for x in range(targets.shape[1]):
            single(addresses, weights, ends, bounds, shift, targets, x)

    @kernel
    def add_taps_to_rows(addresses, weights, ends, bounds, shift, targets):
        if len(targets) == 2:
            fill_two(addresses, weights, ends, bounds, shift, targets)
        else:
            fill_most(addresses, weights, ends, bounds, shift, targets)

    return add_taps, add_taps_to_rows


# `add_taps` sets ``targets[0, x]`` to the sum of ``weights[:, 0]`` times the values ``x`` elements after each of
# ``addresses``, added in this order, from zero on.
#
# Floating-point weights: the values have the same type. int32 weights and values are pairs of 16-bit numbers, whose
# products are added; the sum is divided by ``2 ** shift``. An integer target is rounded half to even and saturated.
#
# `add_taps_to_rows` does the same for 2 or `MOST_ROWS` rows, at least a vector long, which share the values. Row ``i``
# has ``weights[:, i]``. The rows, or pairs of rows where weights are pairs, begin and end in turn: the first uses the
# taps from ``bounds[0]`` on, the second those from ``bounds[1]`` on, ...; after the taps common to all, the first ends,
# then the second, ..., and the last one at the last of ``bounds``.
add_taps, add_taps_to_rows = _adders(by_rows=False)

# The same for floating-point weights, with a separate sum for each row of weights, then the sum of these: it is more
# precise. The row of a tap ends before ``ends[tap]``.
add_rows_of_taps, add_rows_of_taps_to_rows = _adders(by_rows=True)
