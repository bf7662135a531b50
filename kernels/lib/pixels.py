"""Channels of interleaved pixels, by vectors of whole pixels."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES, _address, _load, _rounded, _splat, _store, _whole

INT32 = ir.IntType(32)


def _lanes(kind):
    return VECTOR_BYTES * 8 // kind.dtype.bitwidth


def _mask(lanes):
    return ir.Constant(ir.VectorType(INT32, len(lanes)), lanes)


def last_taker(step):
    """Write a vector of pixels at ``x``: all channels but the last from one row, the last from another."""

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
    """Write a vector of four-channel pixels without their last channel."""

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
    """Write a vector of pixels: three channels of one row, then the last of four channels of another."""

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
    """The number of elements in a vector."""
    return VECTOR_BYTES // row.itemsize


def _alphas(builder, vector, step):
    """Broadcast each pixel's alpha to all its channels, in a vector of pixels."""
    places = _mask([lane // step * step + step - 1 for lane in range(vector.type.count)])
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), places)


def _colors(builder, condition, step):
    """A condition for each element of a vector of pixels, false for alpha's."""
    is_color = [int(lane % step < step - 1) for lane in range(condition.type.count)]
    return builder.and_(condition, ir.Constant(condition.type, is_color))


def times_alpha(builder, values, step):
    """A vector of pixels: colours times alpha, and alpha."""
    is_color = _colors(builder, _whole(ir.VectorType(ir.IntType(1), values.type.count), 1), step)
    weights = builder.select(is_color, _alphas(builder, values, step), _whole(values.type, 1.0))
    return builder.fmul(values, weights)


def premultiplier(step):
    """An intrinsic that writes integer pixels as a vector of floats: colours times alpha, and alpha."""

    @intrinsic
    def premultiply(_context, source, x, target):
        def build(context, builder, signature, arguments):
            source_, x, target_ = arguments
            count, size = _lanes(target), target.dtype.bitwidth // 8
            stored = ir.VectorType(context.get_data_type(source.dtype), count)
            wide = ir.VectorType(context.get_data_type(target.dtype), count)
            held = _load(builder, _address(context, builder, source, source_, x), stored, source.dtype.bitwidth // 8)
            values = (builder.sitofp if source.dtype.signed else builder.uitofp)(held, wide)
            _store(builder, times_alpha(builder, values, step), _address(context, builder, target, target_, x), size)
            return context.get_dummy_value()

        return types.none(source, types.int64, target), build

    return premultiply


def unpremultiplier(step):
    """An intrinsic that divides the colours of a vector of floats by alpha and rounds them to integers, where alpha is
    above 0 and below ``limit``; everything else is copied from ``plain``."""

    @intrinsic
    def unpremultiply(_context, source, plain, limit, x, target):
        def build(context, builder, signature, arguments):
            source_, plain_, limit, x, target_ = arguments
            count, size = _lanes(source), source.dtype.bitwidth // 8
            real = ir.VectorType(context.get_data_type(source.dtype), count)
            stored = ir.VectorType(context.get_data_type(target.dtype), count)
            small = target.dtype.bitwidth // 8
            values = _load(builder, _address(context, builder, source, source_, x), real, size)
            others = _load(builder, _address(context, builder, plain, plain_, x), stored, small)
            alphas, ones = _alphas(builder, values, step), _whole(real, 1.0)
            limits = _splat(builder, limit, count)
            is_mixed = builder.and_(
                builder.fcmp_ordered(">", alphas, _whole(real, 0.0)), builder.fcmp_ordered("<", alphas, limits)
            )
            is_weighed = _colors(builder, is_mixed, step)
            quotients = builder.fdiv(values, builder.select(is_weighed, alphas, ones))
            made = _rounded(builder, quotients, target.dtype)
            made = builder.select(is_weighed, made, others)
            _store(builder, made, _address(context, builder, target, target_, x), small)
            return context.get_dummy_value()

        return types.none(source, plain, source.dtype, types.int64, target), build

    return unpremultiply


premultiply_2, premultiply_4 = premultiplier(2), premultiplier(4)
unpremultiply_2, unpremultiply_4 = unpremultiplier(2), unpremultiplier(4)
