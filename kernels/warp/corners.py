"""Bilinear interpolation of a vector of pixels, from the four pixels around each sample."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.lib.lanes import _address, _load, _store

VECTOR_BYTES = 64  # of the sums
INT32 = ir.IntType(32)


def _chosen(builder, one, other, places):
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(INT32, len(places)), places))


def _loaded(builder, places, element, count):
    """``count`` neighbouring elements from each place as one vector."""
    size = _bytes(element)
    if count * size <= 8:
        word = ir.IntType(8 * count * size)
        held = ir.Constant(ir.VectorType(word, len(places)), ir.Undefined)
        for number, place in enumerate(places):
            one = builder.load(builder.bitcast(place, word.as_pointer()), align=size)
            held = builder.insert_element(held, one, INT32(number))
        return builder.bitcast(held, ir.VectorType(element, len(places) * count))
    parts = [_load(builder, place, ir.VectorType(element, count), size) for place in places]
    while len(parts) > 1:
        every = range(2 * parts[0].type.count)
        parts = [_chosen(builder, *both, list(every)) for both in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _bytes(element):
    return {"float": 4, "double": 8}.get(str(element)) or element.width // 8


def interpolator(channels):
    """An intrinsic that interpolates a vector of pixels of 1 to 4 channels: ``VECTOR_BYTES`` of sums, in which pixels
    of three channels take the room of four. Of these, one element more is read than the pixels have.

    ``interpolate(src, at, x_share, y_share, first, target, to)``: ``at[first]`` is where the upper left pixel of the
    first sample begins, ``to`` where its result does.
    """
    room = 4 if channels == 3 else channels

    @intrinsic
    def interpolate(_context, src, at, x_share, y_share, first, target, to):
        kind, real_kind = src.dtype, x_share.dtype

        def build(context, builder, signature, arguments):
            image, at_, x_share_, y_share_, first, target_, to = arguments
            element, real = context.get_data_type(kind), context.get_data_type(real_kind)
            size = _bytes(real)
            sums = ir.VectorType(real, VECTOR_BYTES // size)
            pixels = sums.count // room
            held = context.make_array(src)(context, builder, image)
            down = cgutils.unpack_tuple(builder, held.shape)[1]
            begins = []
            for number in range(pixels):
                index = builder.add(first, ir.Constant(first.type, number))
                begins.append(builder.load(_address(context, builder, at, at_, index)))

            def row(offset, count):
                places = [builder.gep(held.data, [builder.add(begin, offset)]) for begin in begins]
                return _loaded(builder, places, element, count)

            def wide(vector):
                if isinstance(kind, types.Float):
                    return vector
                whole = ir.VectorType(INT32, vector.type.count)
                extended = builder.sext(vector, whole) if kind.signed else builder.zext(vector, whole)
                return builder.sitofp(extended, sums)

            def both(offset):
                """The pixels to the left and to the right of the samples."""
                if channels == 1:
                    pair = row(offset, 2)
                    undefined = ir.Constant(pair.type, ir.Undefined)
                    return [_chosen(builder, pair, undefined, list(range(k, 2 * pixels, 2))) for k in range(2)]
                return [row(builder.add(offset, ir.Constant(offset.type, more)), room) for more in (0, channels)]

            def weighed(vector, weight):
                product = builder.fmul(vector, weight)
                if not isinstance(kind, types.Float):
                    return product
                zero = ir.Constant(sums, [0.0] * sums.count)
                return builder.select(builder.fcmp_unordered("!=", weight, zero), product, weight)

            def weights(array, value):
                share = _load(
                    builder, _address(context, builder, array, value, first), ir.VectorType(real, pixels), size
                )
                share = _chosen(builder, share, share, [number // room for number in range(sums.count)])
                return builder.fsub(ir.Constant(sums, [1.0] * sums.count), share), share

            (left, right), (up, under) = weights(x_share, x_share_), weights(y_share, y_share_)
            lines = []
            for offset in (ir.Constant(down.type, 0), down):
                a, b = map(wide, both(offset))
                lines.append(builder.fadd(weighed(a, left), weighed(b, right)))
            total = builder.fadd(weighed(lines[0], up), weighed(lines[1], under))
            if not isinstance(kind, types.Float):
                name = f"llvm.rint.v{sums.count}f{8 * size}"
                rint = cgutils.get_or_insert_function(builder.module, ir.FunctionType(sums, [sums]), name)
                whole = builder.fptosi(builder.call(rint, [total]), ir.VectorType(INT32, sums.count))
                total = builder.trunc(whole, ir.VectorType(element, sums.count))
            if room != channels:
                kept = [number for number in range(sums.count) if number % room < channels]
                total = _chosen(builder, total, total, kept)
            _store(builder, total, _address(context, builder, target, target_, to), _bytes(element))
            return context.get_dummy_value()

        integer = types.int64
        return types.none(src, at, x_share, y_share, integer, target, integer), build

    return interpolate


interpolate_1, interpolate_2, interpolate_3, interpolate_4 = map(interpolator, (1, 2, 3, 4))
