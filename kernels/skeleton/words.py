"""Pixels as bits of words: the lowest bit is the leftmost of 64 pixels. A row has the words of the first channel, then
those of the next; each channel's last word has at least one padding bit, so that channels do not touch."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuimg.kernels.lib.runs import WORD

ONE = np.uint64(1)
LAST = np.uint64(WORD - 1)


@intrinsic
def nonzero_bits(_context, line, at):
    """A bit for each of `WORD` integers from ``at`` on: whether it is nonzero."""

    def build(context, builder, signature, arguments):
        values, at = arguments
        vector = ir.VectorType(context.get_data_type(line.dtype), WORD)
        place = builder.gep(context.make_array(line)(context, builder, values).data, [at])
        found = builder.load(builder.bitcast(place, vector.as_pointer()), align=line.dtype.bitwidth // 8)
        return builder.bitcast(builder.icmp_unsigned("!=", found, ir.Constant(vector, [0] * WORD)), ir.IntType(WORD))

    return types.uint64(line, types.int64), build


@intrinsic
def store_bits(_context, bits, line, at):
    """Write each of `WORD` bits as a byte, from ``at`` on."""

    def build(context, builder, signature, arguments):
        bits, held, at = arguments
        place = builder.gep(context.make_array(line)(context, builder, held).data, [at])
        vector = ir.VectorType(ir.IntType(8), WORD)
        made = builder.zext(builder.bitcast(bits, ir.VectorType(ir.IntType(1), WORD)), vector)
        builder.store(made, builder.bitcast(place, vector.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.none(types.uint64, line, types.int64), build
