"""Weighted sum of the first three channels; for uint8 in integers, with weights in 65536ths."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored, weighed, widened
from gpuimg.kernels.lib.target import HAS_AVX512

ONE = 65536
HALF = 32768
LONGEST = 32767  # maximum weight in int16
PIXELS = 16  # processed at once in pairs of products


@kernel
def fill(src, dst, top, bottom, step, q0, q1, q2, w0, w1, w2):
    for row in range(top, bottom):
        if step == 3:
            weigh(src[row], dst[row], 3, q0, q1, q2, w0, w1, w2)
        else:
            weigh(src[row], dst[row], 4, q0, q1, q2, w0, w1, w2)


def weigh(source, target, step, q0, q1, q2, w0, w1, w2):
    """One row. Callers pass a constant ``step``, so that the loop is vectorised."""


@overload(weigh, inline="always")
def _weigh(source, target, step, q0, q1, q2, w0, w1, w2):
    if source.dtype == types.uint8:
        return weigh_fixed
    return weigh_wide


def weigh_fixed(source, target, step, q0, q1, q2, w0, w1, w2):
    if min(q0, q1, q2) >= 0 and q0 + q1 + q2 <= ONE:
        # All sums are integers below 2 ** 24: exact in float32, which multiplies faster than int32.
        a0, a1, a2 = np.float32(q0), np.float32(q1), np.float32(q2)
        for x in range(weigh_pairs(source, target, step, q0, q1, q2), target.size):
            red, green = np.float32(source[step * x]), np.float32(source[step * x + 1])
            total = a0 * red + a1 * green + a2 * np.float32(source[step * x + 2]) + np.float32(HALF)
            target[x] = np.uint8(np.uint32(total) >> np.uint32(16))
    else:
        for x in range(target.size):
            total = q0 * source[step * x] + q1 * source[step * x + 1] + q2 * source[step * x + 2] + HALF
            target[x] = np.uint8(min(max(total >> 16, 0), 255))


def weigh_wide(source, target, step, q0, q1, q2, w0, w1, w2):
    a0, a1, a2 = widened(w0, source), widened(w1, source), widened(w2, source)
    if a0 != 0 and a1 != 0 and a2 != 0:
        for x in range(target.size):
            red, green, blue = source[step * x], source[step * x + 1], source[step * x + 2]
            total = widened(red, source) * a0 + widened(green, source) * a1
            target[x] = stored(total + widened(blue, source) * a2, target)
        return
    for x in range(target.size):
        red, green, blue = source[step * x], source[step * x + 1], source[step * x + 2]
        total = weighed(widened(red, source), a0) + weighed(widened(green, source), a1)
        target[x] = stored(total + weighed(widened(blue, source), a2), target)


def weigh_pairs(source, target, step, q0, q1, q2):
    """Weigh the leading pixels of a row in pairs of products; returns the number of these pixels."""
    raise NotImplementedError


@overload(weigh_pairs)
def _weigh_pairs(source, target, step, q0, q1, q2):
    if not HAS_AVX512:
        return lambda source, target, step, q0, q1, q2: 0

    def weigh_in_blocks(source, target, step, q0, q1, q2):
        if max(q0, q2, q1 - q1 // 2) > LONGEST:
            return 0
        # A block is loaded as 64 bytes, whatever the step.
        blocks = max(0, (source.size - 4 * PIXELS) // (PIXELS * step) + 1)
        first = q0 + (q1 // 2 << 16)
        second = q1 - q1 // 2 + (q2 << 16)
        if step == 3:
            weigh_blocks_of_3(source, target, np.int32(first), np.int32(second), blocks)
        else:
            weigh_blocks_of_4(source, target, np.int32(first), np.int32(second), blocks)
        return blocks * PIXELS

    return weigh_in_blocks


def weigher(step):
    """An intrinsic that weighs blocks of pixels: red and half of green, then the rest of green and blue."""

    def paired(builder, values, channel):
        """Two adjacent channels of each pixel as 16-bit numbers."""
        zero = 4 * PIXELS
        order = [place for x in range(PIXELS) for place in (step * x + channel, zero, step * x + channel + 1, zero)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
        pairs = builder.shuffle_vector(values, ir.Constant(values.type, None), mask)
        return builder.bitcast(pairs, ir.VectorType(ir.IntType(16), 2 * PIXELS))

    def splat(builder, value):
        vector, places = ir.VectorType(value.type, PIXELS), ir.VectorType(ir.IntType(32), PIXELS)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
        return builder.shuffle_vector(first, first, ir.Constant(places, None))

    @intrinsic
    def apply(_context, source, target, first, second, blocks):
        def build(context, builder, signature, arguments):
            pairs = ir.VectorType(ir.IntType(16), 2 * PIXELS)
            sums = ir.VectorType(ir.IntType(32), PIXELS)
            bytes_in = ir.VectorType(ir.IntType(8), 4 * PIXELS)
            bytes_out = ir.VectorType(ir.IntType(8), PIXELS)
            source_, target_ = (
                context.make_array(kind)(context, builder, array).data
                for kind, array in zip((source, target), arguments[:2], strict=True)
            )
            weights = [builder.bitcast(splat(builder, weight), pairs) for weight in arguments[2:4]]
            add_products = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(sums, [pairs, pairs]), "llvm.x86.avx512.pmaddw.d.512"
            )
            half, places = ir.Constant(sums, [HALF] * PIXELS), ir.Constant(sums, [16] * PIXELS)
            with cgutils.for_range(builder, arguments[4]) as loop:
                at = builder.gep(source_, [builder.mul(loop.index, ir.IntType(64)(PIXELS * step))])
                values = builder.load(builder.bitcast(at, bytes_in.as_pointer()), align=1)
                total = half
                for channel, weight in enumerate(weights):
                    total = builder.add(total, builder.call(add_products, [paired(builder, values, channel), weight]))
                to = builder.gep(target_, [builder.mul(loop.index, ir.IntType(64)(PIXELS))])
                result = builder.trunc(builder.lshr(total, places), bytes_out)
                builder.store(result, builder.bitcast(to, bytes_out.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.none(source, target, types.int32, types.int32, types.int64), build

    return apply


weigh_blocks_of_3, weigh_blocks_of_4 = weigher(3), weigher(4)
