"""Maxima and minima in which NaN loses, of single values and of words of adjacent pixels."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.runs import WORD


def _greater(builder, dtype, a, b):
    """Whether a is greater; false if either is NaN."""
    if isinstance(dtype, types.Float):
        return builder.fcmp_ordered(">", a, b)
    return (builder.icmp_signed if dtype.signed else builder.icmp_unsigned)(">", a, b)


def _highest(builder, dtype, a, b):
    return builder.select(_greater(builder, dtype, a, b), a, b)


def _limited(builder, dtype, value, limit):
    return builder.select(_greater(builder, dtype, value, limit), limit, value)


@intrinsic
def higher(_context, a, b):
    """The maximum of two values of one type; b if either is NaN."""
    if a != b:
        raise TypeError(f"values of one type are compared, not {a} and {b}")
    return a(a, b), lambda _context, builder, _signature, arguments: _highest(builder, a, *arguments)


@intrinsic
def limited(_context, value, limit):
    """The minimum of two values of one type; ``value`` if either is NaN."""
    if value != limit:
        raise TypeError(f"values of one type are compared, not {value} and {limit}")
    return value(value, limit), lambda _context, builder, _signature, arguments: _limited(builder, value, *arguments)


def unsigned_zero(value):
    """The value, with 0.0 in place of -0.0: the result must not depend on which of two equal values is found first."""


@overload(unsigned_zero, inline="always")
def _unsigned_zero(value):
    if isinstance(value, types.Float):
        return lambda value: value + type(value)(0)
    return lambda value: value


def _raiser(corners):
    @intrinsic
    def raise_word(_context, line, adjacent, mask, at, step):
        """Raise `WORD` elements of ``line`` from ``at`` on to the maximum of their neighbours in another row, limited
        by the mask. Returns a bit for each raised element. NaN is neither raised nor propagated."""

        def build(context, builder, signature, arguments):
            held, held_adjacent, held_mask, at, step = arguments
            dtype, element = line.dtype, context.get_data_type(line.dtype)
            vector = ir.VectorType(element, WORD)

            def place(kind, array, index):
                base = context.make_array(kind)(context, builder, array).data
                return builder.bitcast(builder.gep(base, [index]), vector.as_pointer())

            def load(kind, array, index):
                return builder.load(place(kind, array, index), align=dtype.bitwidth // 8)

            before = best = load(line, held, at)
            places = [builder.sub(at, step), at, builder.add(at, step)] if corners else [at]
            for index in places:
                best = _highest(builder, dtype, load(adjacent, held_adjacent, index), best)
            limit = load(mask, held_mask, at)
            if isinstance(dtype, types.Float):
                limit = builder.fadd(limit, ir.Constant(vector, [0.0] * WORD))
            best = _limited(builder, dtype, best, limit)
            raised = _greater(builder, dtype, best, before)
            best = builder.select(raised, best, before)
            builder.store(best, place(line, held, at), align=dtype.bitwidth // 8)
            return builder.bitcast(raised, ir.IntType(WORD))

        return types.uint64(line, adjacent, mask, types.int64, types.int64), build

    return raise_word


raise_word_by_corners, raise_word_by_sides = _raiser(True), _raiser(False)
