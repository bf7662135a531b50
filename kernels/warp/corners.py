"""Interpolation of a vector of pixels from the four or sixteen pixels around each sample."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.lib.lanes import _address, _load, _store

VECTOR_BYTES = 64  # of the sums
OVERSHOOT = 0.5  # more than the sum of the negative weights along an axis
INT32 = ir.IntType(32)


def _chosen(builder, one, other, places):
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(INT32, len(places)), places))


def _loaded(builder, places, element, count):
    """Load ``count`` adjacent elements from each place into one vector."""
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


def _cubic(builder, share, rest, number):
    """The weights `sampling.weights_of` of four pixels, by the same operations; ``rest`` is 1 minus the share."""

    def outer(one, other):
        return builder.fmul(builder.fmul(number(-0.5), one), builder.fmul(other, other))

    def inner(distance):
        slope = builder.fsub(builder.fmul(number(1.5), distance), number(2.5))
        return builder.fadd(number(1.0), builder.fmul(builder.fmul(distance, distance), slope))

    return [outer(share, rest), inner(share), inner(rest), outer(rest, share)]


def interpolator(channels, taps):
    """An intrinsic that interpolates a vector of pixels of 1 to 4 channels: ``VECTOR_BYTES`` of sums, in which pixels
    of three channels are padded to four. For these, one element past the pixels is read.

    ``interpolate(src, at, x_share, y_share, first, target, to)``: ``at[first]`` is the offset of the pixel before the
    first sample, ``to`` that of its result. ``taps`` is 2 (bilinear, 2 x 2 pixels) or 4 (cubic, 4 x 4).
    """
    room = 4 if channels == 3 else channels
    before = taps // 2 - 1  # taps to the left of the pixel before the sample

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

            def line(offset):
                """The taps of the samples in a row, from left to right."""
                begin = builder.sub(offset, ir.Constant(offset.type, before * channels))
                if channels == 1:
                    found = row(begin, taps)
                    undefined = ir.Constant(found.type, ir.Undefined)
                    return [
                        _chosen(builder, found, undefined, list(range(k, taps * pixels, taps))) for k in range(taps)
                    ]
                steps = [ir.Constant(begin.type, tap * channels) for tap in range(taps)]
                return [row(builder.add(begin, step), room) for step in steps]

            def number(value):
                return ir.Constant(sums, [value] * sums.count)

            def smaller(one, other):
                return builder.select(builder.fcmp_ordered("<", one, other), one, other)

            def greater(one, other):
                return builder.select(builder.fcmp_ordered(">", one, other), one, other)

            def weighed(vector, weight):
                product = builder.fmul(vector, weight)
                if not isinstance(kind, types.Float):
                    return product
                return builder.select(builder.fcmp_unordered("!=", weight, number(0.0)), product, weight)

            def mean(values, heavy):
                """The sum of `sampling.mean`, by the same operations."""
                total = weighed(values[0], heavy[0])
                for value, weight in zip(values[1:], heavy[1:], strict=True):
                    total = builder.fadd(total, weighed(value, weight))
                if taps == 2 or not isinstance(kind, types.Float):
                    return total
                low, high = number(float("inf")), number(float("-inf"))
                for value in values:
                    low, high = smaller(value, low), greater(value, high)
                half = number(OVERSHOOT)
                beyond = builder.fsub(builder.fmul(half, high), builder.fmul(half, low))
                minimum, maximum = builder.fsub(low, beyond), builder.fadd(high, beyond)
                total = builder.select(builder.fcmp_ordered("<", total, minimum), minimum, total)
                return builder.select(builder.fcmp_ordered(">", total, maximum), maximum, total)

            def weights(array, value):
                share = _load(
                    builder, _address(context, builder, array, value, first), ir.VectorType(real, pixels), size
                )
                share = _chosen(builder, share, share, [number // room for number in range(sums.count)])
                rest = builder.fsub(number(1.0), share)
                return [rest, share] if taps == 2 else _cubic(builder, share, rest, number)

            along, across = weights(x_share, x_share_), weights(y_share, y_share_)
            lines = []
            for tap in range(-before, taps - before):
                pixels_of_line = line(builder.mul(down, ir.Constant(down.type, tap)))
                lines.append(mean([wide(vector) for vector in pixels_of_line], along))
            total = mean(lines, across)
            if not isinstance(kind, types.Float):
                if taps > 2:
                    total = smaller(greater(total, number(float(kind.minval))), number(float(kind.maxval)))
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


# By the number of taps along an axis, for 1 to 4 channels.
INTERPOLATORS = {taps: [interpolator(channels, taps) for channels in (1, 2, 3, 4)] for taps in (2, 4)}
