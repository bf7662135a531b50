"""Channels of interleaved pixels, some vectors of whole pixels at a time."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES, _address, _load, _store

INT32 = ir.IntType(32)


def _lanes(kind):
    return VECTOR_BYTES * 8 // kind.dtype.bitwidth


def _mask(lanes):
    return ir.Constant(ir.VectorType(INT32, len(lanes)), lanes)


def last_taker(step):
    """An intrinsic that writes a vector of pixels at ``x``: all channels of one row but the last, which is another's."""

    @intrinsic
    def take_last(_context, source, other, x, target):
        def build(context, builder, signature, arguments):
            source_, other_, x, target_ = arguments
            count, size = _lanes(source), source.dtype.bitwidth // 8
            vector = ir.VectorType(context.get_data_type(source.dtype), count)
            one = _load(builder, _address(context, builder, source, source_, x), vector, size)
            two = _load(builder, _address(context, builder, other, other_, x), vector, size)
            picked = [lane + count if lane % step == step - 1 else lane for lane in range(count)]
            made = builder.shuffle_vector(one, two, _mask(picked))
            _store(builder, made, _address(context, builder, target, target_, x), size)
            return context.get_dummy_value()

        return types.none(source, other, types.int64, target), build

    return take_last


take_last_of_2, take_last_of_4 = last_taker(2), last_taker(4)


@intrinsic
def drop_last_of_4(_context, source, x, target, to):
    """Write a vector of pixels without the last of their four channels."""

    def build(context, builder, signature, arguments):
        source_, x, target_, to = arguments
        count, size = _lanes(source), source.dtype.bitwidth // 8
        vector = ir.VectorType(context.get_data_type(source.dtype), count)
        held = _load(builder, _address(context, builder, source, source_, x), vector, size)
        picked = [lane for lane in range(count) if lane % 4 < 3]
        made = builder.shuffle_vector(held, ir.Constant(vector, ir.Undefined), _mask(picked))
        _store(builder, made, _address(context, builder, target, target_, to), size)
        return context.get_dummy_value()

    return types.none(source, types.int64, target, types.int64), build


@intrinsic
def append_last_of_4(_context, source, x, other, to, target):
    """Write a vector of pixels: the three channels of one row and the last of the four of another."""

    def build(context, builder, signature, arguments):
        source_, x, other_, to, target_ = arguments
        count, size = _lanes(target), target.dtype.bitwidth // 8
        element = context.get_data_type(target.dtype)
        short, vector = ir.VectorType(element, count // 4 * 3), ir.VectorType(element, count)
        three = _load(builder, _address(context, builder, source, source_, x), short, size)
        four = _load(builder, _address(context, builder, other, other_, to), vector, size)
        spread = [min(lane // 4 * 3 + lane % 4, short.count - 1) for lane in range(count)]
        wide = builder.shuffle_vector(three, ir.Constant(short, ir.Undefined), _mask(spread))
        picked = [lane + count if lane % 4 == 3 else lane for lane in range(count)]
        made = builder.shuffle_vector(wide, four, _mask(picked))
        _store(builder, made, _address(context, builder, target, target_, to), size)
        return context.get_dummy_value()

    return types.none(source, types.int64, other, types.int64, target), build


@kernel
def vector_elements(row):
    """How many elements a vector holds."""
    return VECTOR_BYTES // row.itemsize
