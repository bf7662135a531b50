"""Elementwise minimum or maximum of several rows of pixels, as vector operations; the number of rows is known only at
run time."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES

ACCUMULATORS = 4  # vectors of results held at once: enough to hide a comparison's latency


def elements_at_once(target):
    raise NotImplementedError


@overload(elements_at_once)
def _elements_at_once(target):
    elements = VECTOR_BYTES * 8 // target.dtype.bitwidth
    return lambda target: elements


def _better(builder, dtype, one, other, maximum, ordered):
    """Elementwise minimum (maximum) of two vectors; NaN where either is NaN, unless all are known to be ordered."""
    sign = ">" if maximum else "<"
    if not isinstance(dtype, types.Float):
        compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
        return builder.select(compare(sign, one, other), one, other)
    first = builder.fcmp_ordered(sign, one, other)
    if not ordered:
        first = builder.or_(first, builder.fcmp_unordered("uno", one, one))
    return builder.select(first, one, other)


def _chooser(blocks, maximum, ordered, single=False):
    """An intrinsic that computes ``blocks`` vectors of extremes, or a single value; see `extremes`."""

    @intrinsic
    def apply(_context, addresses, at, target):
        def build(context, builder, signature, arguments):
            held_addresses, at, held_target = arguments
            dtype, places = target.dtype, context.make_array(addresses)(context, builder, held_addresses)
            pixels = 1 if single else VECTOR_BYTES * 8 // dtype.bitwidth
            element = context.get_data_type(dtype)
            vector = ir.VectorType(element, pixels)
            word = ir.IntType(64)

            def vectors(base):
                for block in range(blocks):
                    yield builder.bitcast(
                        builder.gep(base, [builder.add(at, word(block * pixels))]), vector.as_pointer()
                    )

            def values(place):
                base = builder.inttoptr(builder.load(builder.gep(places.data, [place])), element.as_pointer())
                return [builder.load(each, align=dtype.bitwidth // 8) for each in vectors(base)]

            best = [cgutils.alloca_once_value(builder, value) for value in values(word(0))]
            count = builder.extract_value(places.shape, 0)
            with cgutils.for_range(builder, count, start=word(1)) as loop:
                for value, held in zip(values(loop.index), best, strict=True):
                    builder.store(_better(builder, dtype, value, builder.load(held), maximum, ordered), held)
            data = context.make_array(target)(context, builder, held_target).data
            for held, to in zip(best, vectors(data), strict=True):
                builder.store(builder.load(held), to, align=dtype.bitwidth // 8)
            return context.get_dummy_value()

        return types.none(addresses, types.int64, target), build

    return apply


def _extremes(maximum, ordered):
    blocks = _chooser(ACCUMULATORS, maximum, ordered)
    block = _chooser(1, maximum, ordered)
    element = _chooser(1, maximum, ordered, single=True)

    @kernel
    def choose(addresses, target):
        count, pixels = target.size, elements_at_once(target)
        x = 0
        while x + ACCUMULATORS * pixels <= count:
            blocks(addresses, x, target)
            x += ACCUMULATORS * pixels
        if x + pixels < count and x > 0:  # one call rather than several, each as long as its comparisons' latency
            blocks(addresses, count - ACCUMULATORS * pixels, target)
            return
        while x + pixels <= count:
            block(addresses, x, target)
            x += pixels
        if x < count and count >= pixels:  # overlap the previous vector instead of a scalar tail
            block(addresses, count - pixels, target)
            x = count
        while x < count:
            element(addresses, x, target)
            x += 1

    return choose


_minimum, _maximum = (_extremes(maximum, ordered=False) for maximum in (False, True))
_minimum_ordered, _maximum_ordered = (_extremes(maximum, ordered=True) for maximum in (False, True))


def extremes(addresses, target, maximum, ordered):
    """``target[x]``: the minimum (maximum) of the values ``x`` elements after each address, of the target's dtype.

    NaN where any value is NaN, unless ``ordered``, which asserts that only the first address may hold NaN. Only the
    first address may be the target's.
    """
    raise NotImplementedError


@overload(extremes)
def _overloaded_extremes(addresses, target, maximum, ordered):
    if isinstance(target.dtype, types.Float):

        def choose(addresses, target, maximum, ordered):
            if ordered and maximum:
                _maximum_ordered(addresses, target)
            elif ordered:
                _minimum_ordered(addresses, target)
            elif maximum:
                _maximum(addresses, target)
            else:
                _minimum(addresses, target)
    else:

        def choose(addresses, target, maximum, ordered):
            if maximum:
                _maximum(addresses, target)
            else:
                _minimum(addresses, target)

    return choose


def is_ordered(line):
    """Whether a row holds no NaN."""
    raise NotImplementedError


@overload(is_ordered)
def _is_ordered(line):
    if not isinstance(line.dtype, types.Float):
        return lambda line: True
    kind, infinity = (np.int32, 0x7F800000) if line.dtype == types.float32 else (np.int64, 0x7FF0000000000000)
    magnitude = np.iinfo(kind).max

    def ordered(line):
        bits = line.view(kind)
        most = kind(0)
        for x in range(bits.size):
            most = max(most, kind(bits[x] & kind(magnitude)))
        return most <= infinity

    return ordered


@intrinsic
def row_extremes(_context, line):
    """The minimum and maximum of a row's leading whole vectors, the number of these values, and whether none is NaN;
    with a NaN the extremes are arbitrary."""
    dtype = line.dtype
    pixels = VECTOR_BYTES * 8 // dtype.bitwidth
    result = types.Tuple((dtype, dtype, types.int64, types.boolean))

    def build(context, builder, _signature, arguments):
        array = context.make_array(line)(context, builder, arguments[0])
        element = context.get_data_type(dtype)
        vector, word = ir.VectorType(element, pixels), ir.IntType(64)
        blocks = builder.udiv(builder.extract_value(array.shape, 0), word(ACCUMULATORS * pixels))
        filled = builder.icmp_unsigned(">", blocks, word(0))
        start = ir.Constant(vector, [0] * pixels)
        low, high = ([cgutils.alloca_once(builder, vector) for _ in range(ACCUMULATORS)] for _ in range(2))
        bad = cgutils.alloca_once_value(builder, ir.Constant(ir.VectorType(ir.IntType(1), pixels), [0] * pixels))

        def values(block):
            for number in range(ACCUMULATORS):
                at = builder.add(builder.mul(block, word(ACCUMULATORS * pixels)), word(number * pixels))
                address = builder.bitcast(builder.gep(array.data, [at]), vector.as_pointer())
                yield builder.load(address, align=dtype.bitwidth // 8)

        for held in (*low, *high):
            builder.store(start, held)
        with builder.if_then(filled):
            for value, minimum, most in zip(values(word(0)), low, high, strict=True):
                builder.store(value, minimum)
                builder.store(value, most)
        with cgutils.for_range(builder, blocks) as loop:
            for value, minimum, most in zip(values(loop.index), low, high, strict=True):
                builder.store(_better(builder, dtype, value, builder.load(minimum), False, True), minimum)
                builder.store(_better(builder, dtype, value, builder.load(most), True, True), most)
                if isinstance(dtype, types.Float):
                    builder.store(builder.or_(builder.load(bad), builder.fcmp_unordered("uno", value, value)), bad)
        extremes = []
        for maximum, held in ((False, low), (True, high)):
            best = builder.load(held[0])
            for other in held[1:]:
                best = _better(builder, dtype, builder.load(other), best, maximum, True)
            extremes.append(_folded(builder, best, lambda a, b, top=maximum: _better(builder, dtype, a, b, top, True)))
        found = _folded(builder, builder.load(bad), builder.or_)
        count = builder.mul(blocks, word(ACCUMULATORS * pixels))
        return context.make_tuple(builder, result, [*extremes, count, builder.not_(found)])

    return result(line), build


def _folded(builder, vector, combine):
    """Reduce a vector to one value, by halves."""
    none = ir.Constant(vector.type, ir.Undefined)
    half = vector.type.count // 2
    while half:
        order = [half + place if place < half else 0 for place in range(vector.type.count)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
        vector = combine(vector, builder.shuffle_vector(vector, none, mask))
        half //= 2
    return builder.extract_element(vector, ir.IntType(32)(0))
