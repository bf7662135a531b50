"""Sums of all pixels above and to the left. The parts are slabs of rows; row ``s`` of ``src`` has the column sums
of all rows above slab ``s``.

Floats are summed in one order, however the slabs are distributed: rows in blocks of `LANES`, slabs of a fixed height.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import _address, _load, _splat, _store

LANES = 8
BYTES = 32  # that `add_bytes` sums at once: four vectors of 64-bit sums


@kernel
def fill(src, dst, top, bottom, image, step, height):
    rows, width = image.shape
    zeros = np.zeros(width, src.dtype)
    start = np.empty(width, src.dtype)
    for slab in range(top, bottom):
        add_sums(src[slab], zeros, start, step)
        above = start
        for row in range(slab * height, min((slab + 1) * height, rows)):
            add_sums(image[row], above, dst[row], step)
            above = dst[row]


@kernel
def add_sums(line, above, out, step):
    """``above`` plus the prefix sums of ``line``, by channel."""
    number = out.dtype.type
    if step > 1:
        for channel in range(step):
            total = number(0)
            for x in range(channel, out.size, step):
                total = number(total + number(line[x]))
                out[x] = number(above[x] + total)
        return
    total = number(0)
    done = add_blocks_of_bytes(line, above, out)
    if done:
        total = number(out[done - 1] - above[done - 1])
    zero = number(step - 1)  # hidden from LLVM, which shifts in constant zeros by a slow instruction
    whole = out.size // LANES * LANES
    for x in range(done, whole, LANES):
        total = add_block(line, above, out, x, total, zero)
    for x in range(whole, out.size):
        total = number(total + number(line[x]))
        out[x] = number(above[x] + total)


def add_blocks_of_bytes(line, above, out):
    """Apply `add_sums` to all whole blocks of bytes; returns where they end."""
    raise NotImplementedError


@overload(add_blocks_of_bytes)
def _add_blocks_of_bytes(line, above, out):
    if line.dtype != types.uint8 or isinstance(out.dtype, types.Float):
        return lambda line, above, out: 0

    def add_blocks(line, above, out):
        whole = out.size // BYTES * BYTES
        total = out.dtype.type(0)
        for x in range(0, whole, BYTES):
            total = add_bytes(line, above, out, x, total)
        return whole

    return add_blocks


@intrinsic
def add_bytes(_context, line, above, out, at, total):
    """Apply `add_sums` to `BYTES` elements, with the sum ``total`` before them; returns the new sum.

    Sums of `LANES` neighbours fit 16 bits.
    """

    def build(context, builder, signature, arguments):
        values, held_above, held_out, at, total = arguments
        short = ir.VectorType(ir.IntType(16), BYTES)
        vector = ir.VectorType(context.get_data_type(out.dtype), LANES)

        def shuffled(one, other, order):
            return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))

        bytes_ = ir.VectorType(ir.IntType(8), BYTES)
        sums = builder.zext(_load(builder, _address(context, builder, line, values, at), bytes_, 1), short)
        for shift in (1, 2, 4):
            order = [lane - shift if lane % LANES >= shift else BYTES for lane in range(BYTES)]
            sums = builder.add(sums, shuffled(sums, ir.Constant(short, [0] * BYTES), order))
        before = _splat(builder, total, LANES)
        align = out.dtype.bitwidth // 8
        for group in range(0, BYTES, LANES):
            part = builder.zext(shuffled(sums, sums, list(range(group, group + LANES))), vector)
            start = builder.add(at, at.type(group))
            held = _load(builder, _address(context, builder, out, held_above, start), vector, align)
            made = builder.add(held, builder.add(part, before))
            _store(builder, made, _address(context, builder, out, held_out, start), align)
            before = builder.add(before, shuffled(part, part, [LANES - 1] * LANES))
        return builder.extract_element(before, ir.IntType(32)(0))

    return out.dtype(line, above, out, types.int64, out.dtype), build


@intrinsic
def add_block(_context, line, above, out, at, total, zero):
    """Apply `add_sums` to `LANES` elements, with the sum ``total`` before them; returns the new sum."""

    def build(context, builder, signature, arguments):
        values, held_above, held_out, at, total, zero = arguments
        floating = isinstance(out.dtype, types.Float)
        add = builder.fadd if floating else builder.add
        vector = ir.VectorType(context.get_data_type(out.dtype), LANES)
        zeros = builder.insert_element(ir.Constant(vector, ir.Undefined), zero, ir.IntType(32)(0))

        def address(kind, array):
            element = context.get_data_type(kind.dtype)
            place = builder.gep(context.make_array(kind)(context, builder, array).data, [at])
            return builder.bitcast(place, ir.VectorType(element, LANES).as_pointer()), kind.dtype.bitwidth // 8

        def shuffled(one, other, order):
            return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))

        zeros = shuffled(zeros, zeros, [0] * LANES)

        def load(kind, array):
            place, align = address(kind, array)
            return builder.load(place, align=align)

        sums = load(line, values)
        if line.dtype != out.dtype:
            widen = builder.fpext if floating else builder.sext if line.dtype.signed else builder.zext
            sums = widen(sums, vector)
        for shift in (1, 2, 4):
            moved = shuffled(sums, zeros, [LANES] * shift + list(range(LANES - shift)))
            sums = add(sums, moved)
        before = builder.insert_element(ir.Constant(vector, ir.Undefined), total, ir.IntType(32)(0))
        before = shuffled(before, zeros, [0] * LANES)
        place, align = address(out, held_out)
        builder.store(add(load(above, held_above), add(sums, before)), place, align=align)
        return add(total, builder.extract_element(sums, ir.IntType(32)(LANES - 1)))

    return out.dtype(line, above, out, types.int64, out.dtype, out.dtype), build
