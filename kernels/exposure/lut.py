"""``dst = table[src]``, with one table for all channels or one for each."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.target import HAS_BYTE_PICKS

LANES = 64


def entry(value):
    """The index of a value in a table: negative ones are in the second half."""


@overload(entry, inline="always")
def _entry(value):
    if value == types.int16:
        return lambda value: np.uintp(np.uint16(value))
    return lambda value: np.uintp(value)  # for a signed index, Numba tests whether it counts from the end


@kernel
def fill(src, dst, top, bottom, step, table):
    for row in range(top, bottom):
        if table.shape[0] == 1:
            look_up(src[row], dst[row], table[0])
        else:
            for channel in range(step):
                pick(src[row], dst[row], table[channel], channel, step)


def look_up(source, target, values):
    """Look up one row in one table."""


@overload(look_up)
def _look_up(source, target, values):
    if HAS_BYTE_PICKS and source.dtype == types.uint8 and values.dtype == target.dtype == types.uint8:
        return look_up_bytes
    return look_up_singly


def look_up_singly(source, target, values):
    for x in range(source.size):
        target[x] = values[entry(source[x])]


def look_up_bytes(source, target, values):
    whole = source.size // LANES
    pick_bytes(source, target, values, whole)
    pick(source, target, values, whole * LANES, 1)


@kernel
def pick(source, target, values, start, step):
    for x in range(start, source.size, step):
        target[x] = values[entry(source[x])]


@intrinsic
def pick_bytes(_context, source, target, values, count):
    """Look up ``count`` times 64 bytes: AVX-512 picks from a table of 128 in one instruction."""

    def build(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(8), LANES)
        kinds_and_arrays = zip((source, target, values), arguments[:3], strict=True)
        data = [context.make_array(kind)(context, builder, array).data for kind, array in kinds_and_arrays]
        source_, target_, values_ = (builder.bitcast(address, vector.as_pointer()) for address in data)
        table = [builder.load(builder.gep(values_, [ir.IntType(64)(part)]), align=1) for part in range(4)]
        pick = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), "llvm.x86.avx512.vpermi2var.qi.512"
        )
        with cgutils.for_range(builder, arguments[3]) as loop:
            index = builder.load(builder.gep(source_, [loop.index]), align=1)
            low, high = builder.call(pick, [table[0], index, table[1]]), builder.call(pick, [table[2], index, table[3]])
            dark = builder.icmp_signed(">=", index, ir.Constant(vector, None))  # below 128
            builder.store(builder.select(dark, low, high), builder.gep(target_, [loop.index]), align=1)
        return context.get_dummy_value()

    return types.none(source, target, values, types.int64), build
