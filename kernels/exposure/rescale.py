"""Linear rescaling of the range between two limits to another."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from gpuimg.kernels.exposure.lut import look_up
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import VECTOR_BYTES, _address, _load, _splat, _store, _whole
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.target import HAS_BYTE_PICKS

SHORTS = VECTOR_BYTES // 2  # 16-bit integers in a vector
ROUNDING = np.float32(1.5 * 2**23)  # plus a float32 below 2**22: the last bits are the float rounded half to even


@kernel
def fill(src, dst, top, bottom, low, high, unit, factor, minimum):
    """``(clip(src, low, high) * unit - low * unit) * factor + minimum``; ``unit`` is a power of two."""
    number = wider(src, dst)
    spread_rows(src, dst, top, bottom, number(low), number(high), number(unit), number(factor), number(minimum))


def wider(src, dst):
    """The type to compute in: float64 if either image has it, else float32."""
    raise NotImplementedError


@overload(wider)
def _wider(src, dst):
    if types.float64 in (src.dtype, dst.dtype):
        return lambda src, dst: np.float64
    return lambda src, dst: np.float32


def spread_rows(src, dst, top, bottom, low, high, unit, factor, minimum):
    raise NotImplementedError


@overload(spread_rows)
def _spread_rows(src, dst, top, bottom, low, high, unit, factor, minimum):
    if HAS_BYTE_PICKS and src.dtype == dst.dtype == types.uint8:
        return by_table
    if all(isinstance(each, types.Integer) and each.bitwidth <= 16 for each in (src.dtype, dst.dtype)):
        return of_integers
    return directly


def by_table(src, dst, top, bottom, low, high, unit, factor, minimum):
    values, table = np.arange(256).astype(np.uint8), np.empty(256, np.uint8)
    spread(values, table, low, high, unit, factor, minimum)
    for row in range(top, bottom):
        look_up(src[row], dst[row], table)


def of_integers(src, dst, top, bottom, low, high, unit, factor, minimum):
    plain = unit == 1 and is_integer(low, src) and is_integer(high, src) and low <= high
    # All operations are monotonic: if the results of both limits are in range, so are all others.
    plain = plain and is_within(minimum, dst) and is_within((high - low) * factor + minimum, dst)
    for row in range(top, bottom):
        if plain:
            spread_integers(src[row], dst[row], low, high, factor, minimum)
        else:
            spread(src[row], dst[row], low, high, unit, factor, minimum)


@kernel
def is_integer(value, like):
    """Whether the integer dtype of ``like`` can represent a float."""
    return np.rint(value) == value and is_within(value, like)


def is_within(value, like):
    """Whether a float, rounded, is in the range of the dtype of ``like``."""
    raise NotImplementedError


@overload(is_within)
def _is_within(value, like):
    minimum, maximum = like.dtype.minval, like.dtype.maxval
    return lambda value, like: minimum <= np.rint(value) <= maximum


@kernel
def spread_integers(source, out, low, high, factor, minimum):
    """`spread` where differences are exact and no result needs clipping."""
    number, unsigned, kind = wider(source, out), np.uint16, out.dtype.type
    first, most = source.dtype.type(low), unsigned(high - low)
    for x in range(spread_vectors(source, out, first, most, factor, minimum), out.size):
        above = min(unsigned(max(source[x], first) - first), most)
        value = number(np.int32(above)) * factor + minimum
        out[x] = kind(np.float32(value + ROUNDING).view(np.int32))


def spread_vectors(source, out, first, most, factor, minimum):
    """`spread_integers` for whole vectors of 16-bit integers; returns the number of elements."""
    raise NotImplementedError


@overload(spread_vectors)
def _spread_vectors(source, out, first, most, factor, minimum):
    if source.dtype.bitwidth != 16 or out.dtype.bitwidth != 16:
        return lambda source, out, first, most, factor, minimum: 0

    def spread(source, out, first, most, factor, minimum):
        count = out.size // SHORTS * SHORTS
        for x in range(0, count, SHORTS):
            spread_vector(source, out, x, first, most, factor, minimum)
        return count

    return spread


@intrinsic
def spread_vector(_context, source, out, at, first, most, factor, minimum):
    """Rescale a vector of 16-bit integers, even and odd elements apart: no element moves within the vector."""
    signed = source.dtype.signed

    def build(context, builder, _signature, arguments):
        held, target, at, first, most, factor, minimum = arguments
        shorts = ir.VectorType(ir.IntType(16), SHORTS)
        words, floats = (ir.VectorType(each, SHORTS // 2) for each in (ir.IntType(32), ir.FloatType()))
        values = _load(builder, _address(context, builder, source, held, at), shorts, 2)
        first, most = _splat(builder, first, SHORTS), _splat(builder, most, SHORTS)
        compare = builder.icmp_signed if signed else builder.icmp_unsigned
        above = builder.sub(builder.select(compare(">", values, first), values, first), first)
        above = builder.select(builder.icmp_unsigned("<", above, most), above, most)
        pairs, half, low = builder.bitcast(above, words), _whole(words, 16), _whole(words, 0xFFFF)
        factor, minimum = (_splat(builder, each, SHORTS // 2) for each in (factor, minimum))
        parts = []
        for part in (builder.and_(pairs, low), builder.lshr(pairs, half)):
            value = builder.fadd(builder.fmul(builder.sitofp(part, floats), factor), minimum)
            parts.append(builder.bitcast(builder.fadd(value, _whole(floats, float(ROUNDING))), words))
        pairs = builder.or_(builder.and_(parts[0], low), builder.shl(parts[1], half))
        _store(builder, builder.bitcast(pairs, shorts), _address(context, builder, out, target, at), 2)
        return context.get_dummy_value()

    number = types.float32
    return types.none(source, out, types.int64, source.dtype, types.uint16, number, number), build


def directly(src, dst, top, bottom, low, high, unit, factor, minimum):
    for row in range(top, bottom):
        if unit == 1:
            spread(src[row], dst[row], low, high, type(unit)(1), factor, minimum)  # LLVM drops the factor
        else:
            spread(src[row], dst[row], low, high, unit, factor, minimum)


@kernel
def spread(source, out, low, high, unit, factor, minimum):
    number, begin = wider(source, out), low * unit
    for x in range(out.size):
        value = number(source[x])
        clipped = high if value > high else value  # in this order LLVM finds a minimum
        clipped = low if value < low else clipped
        out[x] = stored((clipped * unit - begin) * factor + minimum, out)
