"""Vector operations that LLVM does not find by itself, as Numba intrinsics: comparator networks on vectors of
neighbouring pixels, and sums of sixteen histogram bins at once."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.lib.target import HAS_AVX512

# LLVM splits explicit vectors where the machine has shorter ones; too long a vector costs registers.
VECTOR_BYTES = 64 if HAS_AVX512 else 32
BINS = 16
BYTES = 64  # that `equal_bytes` compares


def _address(context, builder, kind, array, index):
    base = context.make_array(kind)(context, builder, array).data
    return builder.gep(base, [index])


def _load(builder, address, vector, align):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=align)


def _store(builder, value, address, align):
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=align)


def _splat(builder, scalar, count):
    """Broadcast a scalar to a vector."""
    empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    order = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(builder.insert_element(empty, scalar, ir.IntType(32)(0)), empty, order)


def _whole(vector, value):
    """A vector constant whose elements are all equal."""
    return ir.Constant(vector, [value] * vector.count)


def _rounded(builder, values, kind):
    """Round vectors of floats to integers of at most 16 bits, as `lib.numbers.stored` does."""
    vector = values.type
    bits = "f64" if vector.element == ir.DoubleType() else "f32"
    rint = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector]), f"llvm.rint.v{vector.count}{bits}"
    )
    values = builder.call(rint, [values])
    for sign, end in (("<", kind.minval), (">", kind.maxval)):
        bound = _whole(vector, float(end))
        values = builder.select(builder.fcmp_ordered(sign, values, bound), bound, values)
    whole = builder.fptosi(values, ir.VectorType(ir.IntType(32), vector.count))
    return builder.trunc(whole, ir.VectorType(ir.IntType(kind.bitwidth), vector.count))


def _compare(builder, dtype, a, b):
    """Elementwise minimum and maximum of two vectors; both are arbitrary with NaN."""
    if isinstance(dtype, types.Float):
        return builder.select(builder.fcmp_ordered("<", a, b), a, b), builder.select(
            builder.fcmp_ordered(">", a, b), a, b
        )
    compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
    less = compare("<", a, b)
    return builder.select(less, a, b), builder.select(less, b, a)


def network(wires, comparators, results):
    """An intrinsic that sorts or selects neighbouring values by a comparator network, for a vector of pixels at once.

    Parameters
    ----------
    wires : (row, pixel) of each input, relative to the vector's first element
    comparators : pairs of wires (a, b): the minimum goes to a, the maximum to b
    results : the wires to store, each as a row of the target

    Returns
    -------
    ``apply(source, stride, step, at, target, target_stride, to)``: in the 1-D ``source``, ``stride`` is the distance of
    rows and ``step`` that of pixels; the vector's first element is ``source[at]``, its first result ``target[to]``.
    """

    @intrinsic
    def apply(_context, source, stride, step, at, target, target_stride, to):
        def build(context, builder, signature, arguments):
            values, stride, step, at, kept, target_stride, to = arguments
            size = context.get_abi_sizeof(context.get_data_type(source.dtype))
            vector = ir.VectorType(context.get_data_type(source.dtype), VECTOR_BYTES // size)

            def offset(row, pixel):
                down = builder.mul(stride, ir.Constant(stride.type, row))
                return builder.add(builder.add(at, down), builder.mul(step, ir.Constant(step.type, pixel)))

            held = [
                _load(builder, _address(context, builder, source, values, offset(*wire)), vector, size)
                for wire in wires
            ]
            for a, b in comparators:
                held[a], held[b] = _compare(builder, source.dtype, held[a], held[b])
            for row, wire in enumerate(results):
                index = builder.add(to, builder.mul(target_stride, ir.Constant(target_stride.type, row)))
                _store(builder, held[wire], _address(context, builder, target, kept, index), size)
            return context.get_dummy_value()

        signature = types.none(source, types.int64, types.int64, types.int64, target, types.int64, types.int64)
        return signature, build

    return apply


@intrinsic
def lanes(_context, array):
    """The number of pixels that a network processes at once."""

    def build(context, builder, signature, arguments):
        size = context.get_abi_sizeof(context.get_data_type(array.dtype))
        return ir.Constant(ir.IntType(64), VECTOR_BYTES // size)

    return types.int64(array), build


@intrinsic
def add_bins(_context, bins, at, more, plus, less, minus):
    """``bins[at : at + 16] += more[plus : plus + 16] - less[minus : minus + 16]``; ``bins`` may have a wider type."""

    def build(context, builder, signature, arguments):
        counts, at, added, plus, removed, minus = arguments
        wide = ir.VectorType(context.get_data_type(bins.dtype), BINS)

        def loaded(kind, array, index):
            vector = ir.VectorType(context.get_data_type(kind.dtype), BINS)
            held = _load(builder, _address(context, builder, kind, array, index), vector, kind.dtype.bitwidth // 8)
            return builder.zext(held, wide) if vector != wide else held

        total = builder.add(loaded(bins, counts, at), loaded(more, added, plus))
        total = builder.sub(total, loaded(less, removed, minus))
        _store(builder, total, _address(context, builder, bins, counts, at), bins.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(bins, types.int64, more, types.int64, less, types.int64), build


@intrinsic
def bins_within(_context, bins, at, limit):
    """The number of ``bins[at : at + 16]`` that are at most ``limit``."""

    def build(context, builder, signature, arguments):
        counts, at, limit = arguments
        element = context.get_data_type(bins.dtype)
        size = context.get_abi_sizeof(element)
        vector = ir.VectorType(element, BINS)
        held = _load(builder, _address(context, builder, bins, counts, at), vector, size)
        mask = builder.bitcast(builder.icmp_unsigned("<=", held, _splat(builder, limit, BINS)), ir.IntType(BINS))
        return builder.zext(builder.ctpop(mask), ir.IntType(64))

    return types.int64(bins, types.int64, bins.dtype), build


@intrinsic
def equal_bytes(_context, values, at, value):
    """The number of the 64 bytes from ``at`` on that equal ``value``, up to the first that differs."""

    def build(context, builder, signature, arguments):
        array, at, value = arguments
        vector = ir.VectorType(ir.IntType(8), BYTES)
        held = _load(builder, _address(context, builder, values, array, at), vector, 1)
        wanted = _splat(builder, builder.trunc(value, vector.element), BYTES)
        differ = builder.bitcast(builder.icmp_unsigned("!=", held, wanted), ir.IntType(BYTES))
        return builder.cttz(differ, ir.IntType(1)(0))

    return types.int64(values, types.int64, types.int64), build


@intrinsic
def within_window(_context, rows, cols, at, row, col, n0, n1):
    """A bit for each of 64 places from ``at`` on: whether it is in the window of ``n0`` by ``n1`` pixels that begins at
    ``row`` and ``col``. ``rows`` and ``cols`` are the places' coordinates, in bytes."""

    def build(context, builder, signature, arguments):
        byte, vector = ir.IntType(8), ir.VectorType(ir.IntType(8), 64)
        at = arguments[2]

        def inside(kind, array, first, size):
            held = _load(builder, _address(context, builder, kind, array, at), vector, 1)
            away = builder.sub(held, _splat(builder, builder.trunc(first, byte), 64))
            return builder.icmp_unsigned("<", away, _splat(builder, builder.trunc(size, byte), 64))

        by_row = inside(rows, arguments[0], arguments[3], arguments[5])
        by_col = inside(cols, arguments[1], arguments[4], arguments[6])
        return builder.bitcast(builder.and_(by_row, by_col), ir.IntType(64))

    return types.uint64(rows, cols, *[types.int64] * 5), build
