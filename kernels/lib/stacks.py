"""Small arrays on the stack: the reference counts of NumPy's arrays would be atomic additions in every call."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


@intrinsic(prefer_literal=True)
def stack_array(_context, dtype, length):
    """An array of ``length`` numbers, a constant, valid until the kernel returns."""
    kind = types.Array(dtype.dtype, 1, "C")

    def build(context, builder, signature, arguments):
        element = context.get_data_type(kind.dtype)
        size, count = context.get_constant(types.intp, context.get_abi_sizeof(element)), length.literal_value
        array = context.make_array(kind)(context, builder)
        data = cgutils.alloca_once(builder, element, size=ir.Constant(size.type, count))
        shape = cgutils.pack_array(builder, [ir.Constant(size.type, count)])
        strides = cgutils.pack_array(builder, [size])
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()

    return kind(dtype, length), build


@intrinsic
def prefetch(_context, array, index):
    """Prefetch the cache line of an element, which need not exist."""

    def build(context, builder, signature, arguments):
        base = context.make_array(array)(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(base, [arguments[1]]), cgutils.voidptr_t)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [place, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.none(array, types.int64), build
