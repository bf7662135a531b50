"""Memory, arrays and compiled entries by their addresses."""

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array

WORD = ir.IntType(64)
LINE_BYTES = 64  # of a cache line


@intrinsic
def load_word(_context, address):
    def build(_context, builder, _signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], WORD.as_pointer()))

    return types.int64(types.int64), build


@intrinsic
def store_word(_context, address, word):
    def build(context, builder, _signature, arguments):
        builder.store(arguments[1], builder.inttoptr(arguments[0], WORD.as_pointer()))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), build


@intrinsic(prefer_literal=True)
def words_on_stack(_context, count):
    """The address of ``count`` words on the stack, a constant, valid until the function returns."""

    def build(_context, builder, _signature, _arguments):
        return builder.ptrtoint(cgutils.alloca_once(builder, WORD, size=WORD(count.literal_value)), WORD)

    return types.int64(count), build


@intrinsic
def call_with(_context, function, argument):
    """Call a C function that takes one word, or ignores it, and returns a word."""

    def build(_context, builder, _signature, arguments):
        function = ir.FunctionType(WORD, [WORD]).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], function), arguments[1:])

    return types.int64(types.int64, types.int64), build


@intrinsic
def is_set(_context, flag):
    """Whether the word at an address is nonzero; reloaded each time, as another thread may set it."""

    def build(_context, builder, _signature, arguments):
        place = builder.inttoptr(arguments[0], WORD.as_pointer())
        return builder.icmp_unsigned("!=", builder.load_atomic(place, "monotonic", 8), WORD(0))

    return types.boolean(types.int64), build


@intrinsic
def joined_rows(_context, image, top, bottom):
    """Rows [top, bottom) of a contiguous image as one row: a loop over them has one start and one end."""
    kind = types.Array(image.dtype, 1, "C")

    def build(context, builder, signature, arguments):
        held, top, bottom = arguments
        array = context.make_array(image)(context, builder, held)
        width = cgutils.unpack_tuple(builder, array.shape)[1]
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(image.dtype)))
        made = context.make_array(kind)(context, builder)
        populate_array(
            made,
            data=builder.gep(array.data, [builder.mul(top, width)]),
            shape=cgutils.pack_array(builder, [builder.mul(builder.sub(bottom, top), width)]),
            strides=cgutils.pack_array(builder, [size]),
            itemsize=size,
            meminfo=None,
        )
        return made._getvalue()

    return kind(image, types.int64, types.int64), build


@intrinsic
def before_line(_context, row):
    """The number of a row's first elements that end a cache line; at most all of them."""

    def build(context, builder, signature, arguments):
        array = context.make_array(row)(context, builder, arguments[0])
        size = context.get_abi_sizeof(context.get_data_type(row.dtype))
        skew = builder.and_(builder.neg(builder.ptrtoint(array.data, WORD)), WORD(LINE_BYTES - 1))
        count, length = builder.udiv(skew, WORD(size)), cgutils.unpack_tuple(builder, array.shape)[0]
        return builder.select(builder.icmp_unsigned("<", count, length), count, length)

    return types.uint64(row), build


@intrinsic
def copy_elements(_context, source, target):
    """Copy ``target.size`` elements by the C library's memcpy, which aligns its stores; a loop does not. Both arrays
    are contiguous and do not overlap."""

    def build(context, builder, signature, arguments):
        arrays = zip(kinds, arguments, strict=True)
        read, written = (context.make_array(kind)(context, builder, array) for kind, array in arrays)
        size = context.get_abi_sizeof(context.get_data_type(target.dtype))
        cgutils.raw_memcpy(builder, written.data, read.data, written.nitems, size)
        return context.get_dummy_value()

    kinds = source, target
    if source.dtype != target.dtype:
        raise TypeError(f"elements of one type are copied, not {source.dtype} to {target.dtype}")
    return types.none(source, target), build


@intrinsic
def copy_run(_context, source, begin, target, to, count):
    """Copy ``count`` elements between offsets in two contiguous arrays by the C library's memcpy, without slices."""

    def build(context, builder, signature, arguments):
        source_, begin, target_, to, count = arguments
        read, written = (
            builder.gep(context.make_array(kind)(context, builder, array).data, [offset])
            for kind, array, offset in ((source, source_, begin), (target, target_, to))
        )
        cgutils.raw_memcpy(builder, written, read, count, context.get_abi_sizeof(context.get_data_type(target.dtype)))
        return context.get_dummy_value()

    if source.dtype != target.dtype:
        raise TypeError(f"elements of one type are copied, not {source.dtype} to {target.dtype}")
    return types.none(source, types.int64, target, types.int64, types.int64), build


@intrinsic
def call_entry(_context, entry, slots, top, bottom):
    """Fill rows by a compiled kernel; returns 1, or 0 if it ran out of memory."""

    def build(_context, builder, _signature, arguments):
        function = ir.FunctionType(WORD, [WORD] * 3).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], function), arguments[1:])

    return types.int64(types.int64, types.int64, types.int64, types.int64), build


def joined(parts):
    """Arguments, with arrays rebuilt from pointers and shapes."""
    raise NotImplementedError


@overload(joined)
def _joined(parts):
    if len(parts) == 0:
        return lambda parts: ()
    if isinstance(parts[0], types.BaseTuple):
        return lambda parts: (numba.carray(parts[0][0], parts[0][1]), *joined(parts[1:]))
    return lambda parts: (parts[0], *joined(parts[1:]))
