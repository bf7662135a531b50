"""Weighted sums of samples from tables, for vectors of pixels: what `resample` is made of.

The samples of sixteen (or eight) neighbouring output pixels lie close together. AVX-512 picks them out of a few vectors
by an instruction or two; machines without it take them one by one.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import _address, _load, _splat, _store
from gpuimg.kernels.lib.pixels import times_alpha

ROW_PIXELS = 64  # that `weigh_rows` sums at once
HALVED = (0, 64, 32, 16, 16)  # pixels that a `halver` makes at once, by their channels
REAL_BYTES = 256  # that `weigh_real_block` makes at once

INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


def _whole(vector, value):
    return ir.Constant(vector, [value] * vector.count)


@intrinsic
def weigh_rows(_context, src, rows, weights, bits, x, line):
    """``line[x : x + 64]`` becomes the sum of ``weights[k] * src[rows[k], x : x + 64]``, with so many bits of a
    fraction: in a 16-bit line minus `bias`, in a 32-bit one as it is. The weights are 16384ths, int32."""

    def build(context, builder, signature, arguments):
        image, rows_, weights_, bits, x, line_ = arguments
        wide = ir.VectorType(INT32, ROW_PIXELS)
        pixels = context.make_array(src)(context, builder, image)
        pitch = cgutils.unpack_tuple(builder, pixels.strides)[0]
        count = cgutils.unpack_tuple(builder, context.make_array(rows)(context, builder, rows_).shape)[0]
        bits = builder.trunc(bits, INT32)
        places = builder.sub(INT32(14), bits)
        half = builder.shl(INT32(1), builder.sub(places, INT32(1)))
        total = cgutils.alloca_once_value(builder, _splat(builder, half, ROW_PIXELS))
        with cgutils.for_range(builder, count) as loop:
            row = builder.load(_address(context, builder, rows, rows_, loop.index))
            weight = builder.load(_address(context, builder, weights, weights_, loop.index))
            at = builder.gep(pixels.data, [builder.add(builder.mul(row, pitch), x)])
            values = builder.zext(_load(builder, at, ir.VectorType(ir.IntType(8), ROW_PIXELS), 1), wide)
            # Weights fit into 16 bits: so known, a multiplication is one instruction.
            known = builder.sext(builder.trunc(weight, INT16), INT32)
            product = builder.mul(values, _splat(builder, known, ROW_PIXELS))
            builder.store(builder.add(builder.load(total), product), total)
        result = builder.ashr(builder.load(total), _splat(builder, places, ROW_PIXELS))
        if line.dtype == types.int16:
            shift = builder.shl(INT32(1), builder.add(bits, INT32(7)))
            result = builder.sub(result, _splat(builder, shift, ROW_PIXELS))
            result = builder.trunc(result, ir.VectorType(INT16, ROW_PIXELS))
        _store(builder, result, _address(context, builder, line, line_, x), line.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(src, rows, weights, types.int64, types.int64, line), build


def halver(step):
    """An intrinsic: some pixels of uint8 with so many channels, from element ``x`` on, become the means of two by
    two neighbours in two rows, of which halves are rounded upwards."""

    @intrinsic
    def halve(_context, upper, lower, x, target):
        def build(context, builder, signature, arguments):
            upper_, lower_, x, target_ = arguments
            count = HALVED[step] * step
            sums = ir.VectorType(INT16, count)
            held = [
                _load(builder, _address(context, builder, kind, line, builder.shl(x, INT64(1))), each, 1)
                for kind, line in ((upper, upper_), (lower, lower_))
                for each in [sums if step == 1 else ir.VectorType(ir.IntType(8), 2 * count)]
            ]
            total = _whole(sums, 2)
            if step == 1:  # both neighbours in one number of 16 bits
                for pairs in held:
                    total = builder.add(total, builder.and_(pairs, _whole(sums, 255)))
                    total = builder.add(total, builder.lshr(pairs, _whole(sums, 8)))
            else:
                wide = ir.VectorType(INT16, 2 * count)
                both = builder.add(builder.zext(held[0], wide), builder.zext(held[1], wide))
                for neighbour in range(2):
                    order = [(lane // step * 2 + neighbour) * step + lane % step for lane in range(count)]
                    mask = ir.Constant(ir.VectorType(INT32, count), order)
                    total = builder.add(total, builder.shuffle_vector(both, ir.Constant(wide, ir.Undefined), mask))
            means = builder.trunc(builder.lshr(total, _whole(sums, 2)), ir.VectorType(ir.IntType(8), count))
            _store(builder, means, _address(context, builder, target, target_, x), 1)
            return context.get_dummy_value()

        return types.none(upper, lower, types.int64, target), build

    return halve


halve_1, halve_2, halve_3, halve_4 = map(halver, (1, 2, 3, 4))


class _Mean:
    """A weighted mean of vectors, summed one after the other. Of floats it is kept in the range of its samples, which
    rounding may leave; the range is widened on both sides by ``overshoot`` times its length."""

    def __init__(self, builder, weight, sample, of):
        self.builder = builder
        self.total = cgutils.alloca_once_value(builder, builder.fmul(weight, sample))
        self.range = (
            [cgutils.alloca_once_value(builder, sample) for _ in range(2)] if isinstance(of, types.Float) else []
        )

    def add(self, weight, sample):
        builder = self.builder
        builder.store(builder.fadd(builder.load(self.total), builder.fmul(weight, sample)), self.total)
        for sign, held in zip("<>", self.range, strict=False):
            known = builder.load(held)
            builder.store(builder.select(builder.fcmp_ordered(sign, sample, known), sample, known), held)

    def value(self, overshoot):
        builder, value = self.builder, self.builder.load(self.total)
        if not self.range:
            return value
        low, high = map(builder.load, self.range)
        number = value.type.element
        share = builder.fptrunc(overshoot, number) if number == ir.FloatType() else overshoot
        share = _splat(builder, share, value.type.count)
        beyond = builder.fsub(builder.fmul(share, high), builder.fmul(share, low))
        for sign, end in (("<", builder.fsub(low, beyond)), (">", builder.fadd(high, beyond))):
            value = builder.select(builder.fcmp_ordered(sign, value, end), end, value)
        return value


def block_weigher(step):
    """An intrinsic: `REAL_BYTES` of a float line, from ``x`` on, become the mean of ``src[rows[k], x:]`` by
    ``weights[k]``. With a ``step``, colours of bytes count times alpha, the last of so many channels."""

    @intrinsic
    def weigh_block(_context, src, rows, weights, overshoot, x, line):
        def build(context, builder, signature, arguments):
            image, rows_, weights_, overshoot, x, line_ = arguments
            number = context.get_data_type(line.dtype)
            count = REAL_BYTES * 8 // line.dtype.bitwidth
            wide, stored = ir.VectorType(number, count), ir.VectorType(context.get_data_type(src.dtype), count)
            pixels = context.make_array(src)(context, builder, image)
            pitch = cgutils.unpack_tuple(builder, pixels.strides)[0]
            taps = cgutils.unpack_tuple(builder, context.make_array(rows)(context, builder, rows_).shape)[0]
            origin = builder.ptrtoint(pixels.data, INT64)

            def tap(index):
                row = builder.load(_address(context, builder, rows, rows_, index))
                weight = builder.load(_address(context, builder, weights, weights_, index))
                weight = builder.fptrunc(weight, number) if line.dtype.bitwidth == 32 else weight
                at = builder.inttoptr(builder.add(origin, builder.mul(row, pitch)), stored.element.as_pointer())
                values = _load(builder, builder.gep(at, [x]), stored, src.dtype.bitwidth // 8)
                if not isinstance(src.dtype, types.Float):
                    values = (builder.sitofp if src.dtype.signed else builder.uitofp)(values, wide)
                if step:
                    values = times_alpha(builder, values, step)
                return _splat(builder, weight, count), values

            mean = _Mean(builder, *tap(INT64(0)), src.dtype)
            with cgutils.for_range_slice(builder, INT64(1), taps, INT64(1), inc=True) as (index, _):
                mean.add(*tap(index))
            _store(builder, mean.value(overshoot), _address(context, builder, line, line_, x), line.dtype.bitwidth // 8)
            return context.get_dummy_value()

        return types.none(src, rows, weights, types.float64, types.int64, line), build

    return weigh_block


weigh_real_block, weigh_colors_of_2, weigh_colors_of_4 = map(block_weigher, (0, 2, 4))


def _per_group(context, builder, kind, table, bases_kind, bases, lanes):
    """How many vectors a table holds for each group of pixels."""
    elements = cgutils.unpack_tuple(builder, context.make_array(kind)(context, builder, table).shape)[0]
    groups = cgutils.unpack_tuple(builder, context.make_array(bases_kind)(context, builder, bases).shape)[0]
    return builder.udiv(elements, builder.mul(groups, INT64(lanes)))


def _pick(builder, name, sources, index):
    """The elements that ``index`` names of four vectors."""
    vector = index.type
    kind = ir.FunctionType(sources[0].type, [sources[0].type, vector, sources[0].type])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.avx512.vpermi2var.{name}.512")
    near = builder.call(function, [sources[0], index, sources[1]])
    far = builder.call(function, [sources[2], index, sources[3]])
    beyond = builder.icmp_signed(">=", index, _whole(vector, 2 * vector.count))
    return builder.select(beyond, far, near)


def _load_all(builder, context, line, values, base, vector, size):
    """Four vectors in a row."""
    at = [builder.add(base, INT64(part * vector.count)) for part in range(4)]
    return [_load(builder, _address(context, builder, line, values, index), vector, size) for index in at]


@intrinsic
def weigh_picked_pairs(_context, line, bits, bases, places, weights, group, out, to):
    """Sixteen uint8 pixels, from ``out[to]`` on, as sums along a biased 16-bit line. For each group of pixels there is
    where its samples begin, ``bases``, and vectors of where pairs of them stand, ``places``, and of their weights."""

    def build(context, builder, signature, arguments):
        line_, bits, bases_, places_, weights_, group, out_, to = arguments
        pairs = ir.VectorType(INT16, 32)
        sums = ir.VectorType(INT32, 16)
        base = builder.load(_address(context, builder, bases, bases_, group))
        sources = _load_all(builder, context, line, line_, base, pairs, 2)
        rounds = _per_group(context, builder, places, places_, bases, bases_, 32)
        bits = builder.trunc(bits, INT32)
        shift = builder.add(bits, INT32(14))
        bias = builder.shl(INT32(1 << 21), bits)
        half = builder.shl(INT32(1), builder.sub(shift, INT32(1)))
        total = cgutils.alloca_once_value(builder, _splat(builder, builder.add(bias, half), 16))
        madd = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(sums, [pairs, pairs]), "llvm.x86.avx512.pmaddw.d.512"
        )
        with cgutils.for_range(builder, rounds) as loop:
            at = builder.mul(builder.add(builder.mul(group, rounds), loop.index), INT64(32))
            index = _load(builder, _address(context, builder, places, places_, at), pairs, 2)
            weight = _load(builder, _address(context, builder, weights, weights_, at), pairs, 2)
            product = builder.call(madd, [_pick(builder, "hi", sources, index), weight])
            builder.store(builder.add(builder.load(total), product), total)
        result = builder.ashr(builder.load(total), _splat(builder, shift, 16))
        for sign, end in (("<", _whole(sums, 0)), (">", _whole(sums, 255))):
            result = builder.select(builder.icmp_signed(sign, result, end), end, result)
        result = builder.trunc(result, ir.VectorType(ir.IntType(8), 16))
        _store(builder, result, _address(context, builder, out, out_, to), 1)
        return context.get_dummy_value()

    return types.none(line, types.int64, bases, places, weights, types.int64, out, types.int64), build


@intrinsic
def weigh_picked(_context, line, bases, places, weights, overshoot, group, out, to, target):
    """The same for float lines, one sample after the other: as many pixels as fit into a vector, which
    become values of the target's type."""

    def build(context, builder, signature, arguments):
        line_, bases_, places_, weights_, overshoot, group, out_, to, _ = arguments
        size = line.dtype.bitwidth // 8
        lanes = 64 // size
        values = ir.VectorType(context.get_data_type(line.dtype), lanes)
        indices = ir.VectorType(ir.IntType(8 * size), lanes)
        name = "ps" if size == 4 else "pd"
        base = builder.load(_address(context, builder, bases, bases_, group))
        sources = _load_all(builder, context, line, line_, base, values, size)
        taps = _per_group(context, builder, places, places_, bases, bases_, lanes)

        def tap(number):
            at = builder.mul(builder.add(builder.mul(group, taps), number), INT64(lanes))
            index = _load(builder, _address(context, builder, places, places_, at), indices, size)
            weight = _load(builder, _address(context, builder, weights, weights_, at), values, size)
            return weight, _pick(builder, name, sources, index)

        mean = _Mean(builder, *tap(INT64(0)), target.dtype)
        with cgutils.for_range_slice(builder, INT64(1), taps, INT64(1), inc=True) as (number, _):
            mean.add(*tap(number))
        _store(builder, mean.value(overshoot), _address(context, builder, out, out_, to), size)
        return context.get_dummy_value()

    kinds = (line, bases, places, weights, types.float64, types.int64, out, types.int64, target)
    return types.none(*kinds), build


@kernel
def plan_picks(step, index, weights, lanes, reach, at_once, bases, places, heavy):
    """Fill the tables of `weigh_picked` (``at_once`` 1) or `weigh_picked_pairs` (2) for groups of ``lanes`` pixels, of
    which the last overlaps the one before. False where some group's samples do not lie within ``reach`` elements."""
    count, taps = len(index) * step, index.shape[1]
    rounds = (taps + at_once - 1) // at_once
    for slot in range(places.size):
        places[slot], heavy[slot] = 0, 0
    for group in range(len(bases)):
        begin = min(group * lanes, count - lanes)
        first, last = index[begin // step, 0], index[begin // step, 0]
        for col in range(begin // step, (begin + lanes - 1) // step + 1):
            for tap in range(taps):
                first, last = min(first, index[col, tap]), max(last, index[col, tap])
        if (last - first + 1) * step > reach:
            return False
        bases[group] = first * step
        for lane in range(lanes):
            col, channel = (begin + lane) // step, (begin + lane) % step
            for tap in range(taps):
                slot = ((group * rounds + tap // at_once) * lanes + lane) * at_once + tap % at_once
                places[slot] = (index[col, tap] - first) * step + channel
                heavy[slot] = weights[col, tap]
    return True


@kernel
def bias(bits):
    """What brings grey levels with so many bits of a fraction into a signed 16-bit number."""
    return 1 << bits + 7


@kernel
def fit_16_bits(weights, bits):
    """Whether sums with so many bits of a fraction do: with 8 no weight is negative, with 7 at most half of them is."""
    least = 0
    for row in range(weights.shape[0]):
        negative = 0
        for tap in range(weights.shape[1]):
            negative += min(0, weights[row, tap])
        least = min(least, negative)
    return least >= (0 if bits == 8 else -(1 << 13))


def copier(size):
    """An intrinsic that copies ``size`` bytes between two arrays of one type."""

    @intrinsic
    def copy(_context, source, begin, target, to):
        def build(context, builder, signature, arguments):
            source_, begin, target_, to = arguments
            chunk = ir.VectorType(ir.IntType(8), size)
            held = _load(builder, _address(context, builder, source, source_, begin), chunk, 1)
            _store(builder, held, _address(context, builder, target, target_, to), 1)
            return context.get_dummy_value()

        return types.none(source, types.int64, target, types.int64), build

    return copy


copy_4, copy_16 = copier(4), copier(16)
