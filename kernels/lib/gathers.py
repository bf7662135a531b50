"""Weighted sums of samples given by tables, for vectors of pixels: the building blocks of `resample`.

The samples of sixteen (or eight) neighbouring output pixels are close together. AVX-512 picks them from a few vectors
in an instruction or two; machines without it load them one by one.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import _address, _load, _rounded, _splat, _store, _whole
from gpuimg.kernels.lib.pixels import times_alpha

ROW_PIXELS = 64  # that `weigh_rows` sums at once
HALVED = (0, 64, 32, 16, 16)  # pixels that a `halver` computes at once, by number of channels
REAL_BYTES = 256  # that `weigh_real_block` computes at once
LINES = 4  # whose pixels are picked at once, by the same tables

INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


# Elements of two vectors of 32 words in pairs, from the lower and the upper half of each 128-bit lane, as packing does.
INTERLEAVED = [
    [8 * (lane // 8) + 4 * upper + lane % 8 // 2 + 32 * (lane % 2) for lane in range(32)] for upper in range(2)
]


class _Taps:
    """The rows of a uint8 image that contribute to a sum, from column ``x`` on, and their weights."""

    def __init__(self, context, builder, image, rows, weights, x):
        kind, array = image
        self.builder, self.x = builder, x
        self.row, self.weight = (
            lambda tap, table=table: builder.load(_address(context, builder, *table, tap)) for table in (rows, weights)
        )
        self.image = context.make_array(kind)(context, builder, array)
        self.pitch = cgutils.unpack_tuple(builder, self.image.strides)[0]
        self.count = cgutils.unpack_tuple(builder, context.make_array(rows[0])(context, builder, rows[1]).shape)[0]

    def pixels(self, tap):
        """The address of the first pixel of a row."""
        start = self.builder.mul(self.row(tap), self.pitch)
        return self.builder.gep(self.image.data, [self.builder.add(start, self.x)])


@intrinsic
def weigh_rows(_context, src, rows, weights, bits, x, line):
    """Set ``line[x : x + 64]`` to the sum of ``weights[k] * src[rows[k], x : x + 64]``, with ``bits`` fractional bits;
    minus `bias` in a 16-bit line, unbiased in a 32-bit one. The weights are 16384ths, int32."""

    def build(context, builder, signature, arguments):
        image, rows_, weights_, bits, x, line_ = arguments
        wide = ir.VectorType(INT32, ROW_PIXELS)
        tapped = _Taps(context, builder, (src, image), (rows, rows_), (weights, weights_), x)
        bits = builder.trunc(bits, INT32)
        places = builder.sub(INT32(14), bits)
        half = builder.shl(INT32(1), builder.sub(places, INT32(1)))
        total = cgutils.alloca_once_value(builder, _splat(builder, half, ROW_PIXELS))
        with cgutils.for_range(builder, tapped.count) as loop:
            at = tapped.pixels(loop.index)
            values = builder.zext(_load(builder, at, ir.VectorType(ir.IntType(8), ROW_PIXELS), 1), wide)
            # Weights fit 16 bits: once the compiler knows, a multiplication is one instruction.
            known = builder.sext(builder.trunc(tapped.weight(loop.index), INT16), INT32)
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


@intrinsic
def weigh_row_pairs(_context, src, rows, weights, bits, x, line):
    """`weigh_rows` into a 16-bit line, two rows per multiplication."""

    def build(context, builder, signature, arguments):
        image, rows_, weights_, bits, x, line_ = arguments
        words, sums = ir.VectorType(INT16, 32), ir.VectorType(INT32, 16)
        tapped = _Taps(context, builder, (src, image), (rows, rows_), (weights, weights_), x)
        bits = builder.trunc(bits, INT32)
        places = builder.sub(INT32(14), bits)
        half = builder.shl(INT32(1), builder.sub(places, INT32(1)))
        totals = [cgutils.alloca_once_value(builder, _splat(builder, half, 16)) for _ in range(4)]
        madd = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(sums, [words, words]), "llvm.x86.avx512.pmaddw.d.512"
        )

        def loaded(tap):
            at = tapped.pixels(tap)
            starts = at, builder.gep(at, [INT64(32)])
            return [builder.zext(_load(builder, start, ir.VectorType(ir.IntType(8), 32), 1), words) for start in starts]

        def add(one, other, first, second):
            """Add the products of two rows; the second weight may be 0."""
            low = builder.and_(first, INT32(0xFFFF))
            both = builder.or_(low, builder.shl(second, INT32(16)))
            weight = builder.bitcast(_splat(builder, both, 16), words)
            for part, (left, right) in enumerate(zip(one, other, strict=True)):
                for upper in range(2):
                    pairs = builder.shuffle_vector(left, right, ir.Constant(sums_of_32, INTERLEAVED[upper]))
                    held = totals[2 * part + upper]
                    builder.store(builder.add(builder.load(held), builder.call(madd, [pairs, weight])), held)

        sums_of_32 = ir.VectorType(INT32, 32)
        pairs = builder.udiv(tapped.count, INT64(2))
        with cgutils.for_range(builder, pairs) as loop:
            tap = builder.mul(loop.index, INT64(2))
            after = builder.add(tap, INT64(1))
            add(loaded(tap), loaded(after), tapped.weight(tap), tapped.weight(after))
        with builder.if_then(builder.trunc(tapped.count, ir.IntType(1))):
            end = builder.sub(tapped.count, INT64(1))
            last = loaded(end)
            add(last, last, tapped.weight(end), INT32(0))
        shift = builder.shl(INT32(1), builder.add(bits, INT32(7)))
        for part in range(2):
            halves = []
            for upper in range(2):
                result = builder.ashr(builder.load(totals[2 * part + upper]), _splat(builder, places, 16))
                halves.append(builder.sub(result, _splat(builder, shift, 16)))
            packed = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(words, [sums, sums]), "llvm.x86.avx512.packssdw.512"
            )
            at = builder.add(x, INT64(32 * part))
            _store(builder, builder.call(packed, halves), _address(context, builder, line, line_, at), 2)
        return context.get_dummy_value()

    return types.none(src, rows, weights, types.int64, types.int64, line), build


def halver(step):
    """An intrinsic that computes uint8 pixels of ``step`` channels, from element ``x`` on, as means of 2 x 2 neighbours
    in two rows, halves rounded up."""

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
            if step == 1:  # both neighbours in one 16-bit number
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
    """A weighted mean of vectors, summed sequentially. A mean of floats is clipped to the range of its samples, which
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
        with builder.if_then(builder.fcmp_unordered("!=", overshoot, overshoot.type(0))):
            share = builder.fptrunc(overshoot, number) if number == ir.FloatType() else overshoot
            share = _splat(builder, share, value.type.count)
            beyond = builder.fsub(builder.fmul(share, high), builder.fmul(share, low))
            builder.store(builder.fsub(low, beyond), self.range[0])
            builder.store(builder.fadd(high, beyond), self.range[1])
        for sign, held in zip("<>", self.range, strict=True):
            end = builder.load(held)
            value = builder.select(builder.fcmp_ordered(sign, value, end), end, value)
        return value


def block_weigher(step):
    """An intrinsic that sets `REAL_BYTES` of a float line, from ``x`` on, to the mean of ``src[rows[k], x:]`` weighted
    by ``weights[k]``. With a ``step``, uint8 colours are multiplied by alpha, the last of ``step`` channels."""

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


@intrinsic
def weigh_shared_block(_context, src, rows, weights, x, lines):
    """Set `REAL_BYTES` of each of `LINES` float lines, from ``x`` on, to the sums of ``src[rows[line, k], x:]``,
    integers, weighted by ``weights[line, k]``. The rows of a line are consecutive; each is converted once for all."""

    def build(context, builder, signature, arguments):
        image, rows_, weights_, x, lines_ = arguments
        size = lines.dtype.bitwidth // 8
        count = REAL_BYTES // size
        wide = ir.VectorType(context.get_data_type(lines.dtype), count)
        stored = ir.VectorType(context.get_data_type(src.dtype), count)
        convert = builder.sitofp if src.dtype.signed else builder.uitofp
        pixels = context.make_array(src)(context, builder, image)
        pitch = cgutils.unpack_tuple(builder, pixels.strides)[0]
        taps = cgutils.unpack_tuple(builder, context.make_array(rows)(context, builder, rows_).shape)[1]
        origin = builder.ptrtoint(pixels.data, INT64)
        firsts = [_element(context, builder, rows, rows_, INT64(line), INT64(0)) for line in range(LINES)]
        # -0 plus the first addend is the addend, including the sign of a zero.
        totals = [cgutils.alloca_once_value(builder, _whole(wide, -0.0)) for _ in firsts]
        end = builder.add(firsts[-1], taps)
        with cgutils.for_range_slice(builder, firsts[0], end, INT64(1), inc=True) as (row, _):
            at = builder.inttoptr(builder.add(origin, builder.mul(row, pitch)), stored.element.as_pointer())
            values = convert(_load(builder, builder.gep(at, [x]), stored, src.dtype.bitwidth // 8), wide)
            for line, (first, total) in enumerate(zip(firsts, totals, strict=True)):
                tap = builder.sub(row, first)
                with builder.if_then(builder.icmp_unsigned("<", tap, taps)):
                    weight = _element(context, builder, weights, weights_, INT64(line), tap)
                    product = builder.fmul(_splat(builder, weight, count), values)
                    builder.store(builder.fadd(builder.load(total), product), total)
        array = context.make_array(lines)(context, builder, lines_)
        length = cgutils.unpack_tuple(builder, array.shape)[1]
        for line, total in enumerate(totals):
            at = builder.add(builder.mul(INT64(line), length), x)
            _store(builder, builder.load(total), builder.gep(array.data, [at]), size)
        return context.get_dummy_value()

    return types.none(src, rows, weights, types.int64, lines), build


def _element(context, builder, kind, array, row, place):
    """An element of a contiguous array."""
    made = context.make_array(kind)(context, builder, array)
    length = cgutils.unpack_tuple(builder, made.shape)[1]
    return builder.load(builder.gep(made.data, [builder.add(builder.mul(row, length), place)]))


def _per_group(context, builder, kind, table, bases_kind, bases, lanes):
    """The number of vectors that a table holds for each group of pixels."""
    elements = cgutils.unpack_tuple(builder, context.make_array(kind)(context, builder, table).shape)[0]
    groups = cgutils.unpack_tuple(builder, context.make_array(bases_kind)(context, builder, bases).shape)[0]
    return builder.udiv(elements, builder.mul(groups, INT64(lanes)))


def _pick(builder, name, sources, index):
    """Gather the elements named by ``index`` from at most four vectors."""
    vector, values = index.type, sources[0].type

    def call(intrinsic, *arguments):
        kind = ir.FunctionType(values, [argument.type for argument in arguments])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, intrinsic), arguments)

    def picked(of):
        if len(of) == 1:
            short = {"ps": "sf", "pd": "df"}.get(name, name)
            return call(f"llvm.x86.avx512.permvar.{short}.512", *of, index)
        return call(f"llvm.x86.avx512.vpermi2var.{name}.512", of[0], index, of[1])

    halves = [picked(sources[part : part + 2]) for part in range(0, len(sources), 2)]
    if len(halves) == 1:
        return halves[0]
    beyond = builder.icmp_signed(">=", index, _whole(vector, 2 * vector.count))
    return builder.select(beyond, halves[1], halves[0])


class _Lines:
    """The `LINES` rows that a group of pixels is picked from and written to; from ``held`` on they repeat the last."""

    def __init__(self, context, builder, lines, out, row, held):
        self.builder = builder
        self.source, self.target = (context.make_array(kind)(context, builder, array) for kind, array in (lines, out))
        last = builder.sub(held, INT64(1))
        self.numbers = [
            builder.select(builder.icmp_signed("<", INT64(number), held), INT64(number), last)
            for number in range(LINES)
        ]
        self.rows = [builder.add(row, number) for number in self.numbers]

    def _at(self, array, row, place):
        start = self.builder.mul(row, cgutils.unpack_tuple(self.builder, array.shape)[1])
        return self.builder.gep(array.data, [self.builder.add(start, place)])

    def load(self, base, vector, parts, size):
        """Load ``parts`` consecutive vectors of each line."""
        places = [self.builder.add(base, INT64(part * vector.count)) for part in range(parts)]
        return [
            [_load(self.builder, self._at(self.source, number, place), vector, size) for place in places]
            for number in self.numbers
        ]

    def store(self, results, to, size):
        for row, result in zip(self.rows, results, strict=True):
            _store(self.builder, result, self._at(self.target, row, to), size)


def pair_picker(parts):
    """An intrinsic that computes sixteen uint8 pixels of up to `LINES` rows, from ``out[row, to]`` on, as sums along
    biased 16-bit lines. Each group of pixels has the start of its samples, ``bases``, vectors of the positions of
    pairs of samples, ``places``, and of their weights. Samples are picked from ``parts`` vectors."""

    @intrinsic
    def weigh_pairs(_context, lines, held, bits, bases, places, weights, group, out, row, to):
        def build(context, builder, signature, arguments):
            lines_, held, bits, bases_, places_, weights_, group, out_, row, to = arguments
            pairs = ir.VectorType(INT16, 32)
            sums = ir.VectorType(INT32, 16)
            rows = _Lines(context, builder, (lines, lines_), (out, out_), row, held)
            base = builder.load(_address(context, builder, bases, bases_, group))
            sources = rows.load(base, pairs, parts, 2)
            rounds = _per_group(context, builder, places, places_, bases, bases_, 32)
            bits = builder.trunc(bits, INT32)
            shift = builder.add(bits, INT32(14))
            bias = builder.shl(INT32(1 << 21), bits)
            half = builder.shl(INT32(1), builder.sub(shift, INT32(1)))
            start = _splat(builder, builder.add(bias, half), 16)
            totals = [cgutils.alloca_once_value(builder, start) for _ in sources]
            madd = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(sums, [pairs, pairs]), "llvm.x86.avx512.pmaddw.d.512"
            )
            with cgutils.for_range(builder, rounds) as loop:
                at = builder.mul(builder.add(builder.mul(group, rounds), loop.index), INT64(32))
                index = _load(builder, _address(context, builder, places, places_, at), pairs, 2)
                weight = _load(builder, _address(context, builder, weights, weights_, at), pairs, 2)
                for total, source in zip(totals, sources, strict=True):
                    product = builder.call(madd, [_pick(builder, "hi", source, index), weight])
                    builder.store(builder.add(builder.load(total), product), total)
            places_of = _splat(builder, shift, 16)
            results = []
            for total in totals:
                result = builder.ashr(builder.load(total), places_of)
                for sign, end in (("<", _whole(sums, 0)), (">", _whole(sums, 255))):
                    result = builder.select(builder.icmp_signed(sign, result, end), end, result)
                results.append(builder.trunc(result, ir.VectorType(ir.IntType(8), 16)))
            rows.store(results, to, 1)
            return context.get_dummy_value()

        number = types.int64
        return types.none(lines, number, number, bases, places, weights, number, out, number, number), build

    return weigh_pairs


def picker(parts):
    """The same for float lines, one sample at a time: a vector of pixels, rounded and saturated for integers."""

    @intrinsic
    def weigh(_context, lines, held, bases, places, weights, overshoot, group, out, row, to):
        def build(context, builder, signature, arguments):
            lines_, held, bases_, places_, weights_, overshoot, group, out_, row, to = arguments
            size = lines.dtype.bitwidth // 8
            lanes = 64 // size
            values = ir.VectorType(context.get_data_type(lines.dtype), lanes)
            indices = ir.VectorType(ir.IntType(8 * size), lanes)
            name = "ps" if size == 4 else "pd"
            rows = _Lines(context, builder, (lines, lines_), (out, out_), row, held)
            base = builder.load(_address(context, builder, bases, bases_, group))
            sources = rows.load(base, values, parts, size)
            taps = _per_group(context, builder, places, places_, bases, bases_, lanes)

            def tap(number):
                at = builder.mul(builder.add(builder.mul(group, taps), number), INT64(lanes))
                index = _load(builder, _address(context, builder, places, places_, at), indices, size)
                weight = _load(builder, _address(context, builder, weights, weights_, at), values, size)
                return [(weight, _pick(builder, name, source, index)) for source in sources]

            means = [_Mean(builder, *first, out.dtype) for first in tap(INT64(0))]
            with cgutils.for_range_slice(builder, INT64(1), taps, INT64(1), inc=True) as (number, _):
                for mean, next_one in zip(means, tap(number), strict=True):
                    mean.add(*next_one)
            results = [mean.value(overshoot) for mean in means]
            if isinstance(out.dtype, types.Integer):
                results = [_rounded(builder, result, out.dtype) for result in results]
            rows.store(results, to, out.dtype.bitwidth // 8)
            return context.get_dummy_value()

        number = types.int64
        kinds = (lines, number, bases, places, weights, types.float64, number, out, number, number)
        return types.none(*kinds), build

    return weigh


weigh_pairs_of_1, weigh_pairs_of_2, weigh_pairs_of_4 = map(pair_picker, (1, 2, 4))
weigh_picked_of_1, weigh_picked_of_2, weigh_picked_of_3, weigh_picked_of_4 = map(picker, (1, 2, 3, 4))


@kernel
def plan_picks(step, index, weights, lanes, reach, at_once, bases, places, heavy):
    """Fill the tables of a `picker` (``at_once`` 1) or a `pair_picker` (2) for groups of ``lanes`` pixels; the last
    group overlaps the one before. Returns the extent of a group's samples in elements; 0 if it exceeds ``reach``."""
    count, taps = len(index) * step, index.shape[1]
    rounds = (taps + at_once - 1) // at_once
    widest = 0
    for slot in range(places.size):
        places[slot], heavy[slot] = 0, 0
    for group in range(len(bases)):
        begin = min(group * lanes, count - lanes)
        first, last = index[begin // step, 0], index[begin // step, 0]
        for col in range(begin // step, (begin + lanes - 1) // step + 1):
            for tap in range(taps):
                first, last = min(first, index[col, tap]), max(last, index[col, tap])
        widest = max(widest, (last - first + 1) * step)
        if widest > reach:
            return 0
        bases[group] = first * step
        for lane in range(lanes):
            col, channel = (begin + lane) // step, (begin + lane) % step
            for tap in range(taps):
                slot = ((group * rounds + tap // at_once) * lanes + lane) * at_once + tap % at_once
                places[slot] = (index[col, tap] - first) * step + channel
                heavy[slot] = weights[col, tap]
    return widest


@kernel
def bias(bits):
    """The offset that brings grey levels with ``bits`` fractional bits into the range of int16."""
    return 1 << bits + 7


@kernel
def fit_16_bits(weights, bits):
    """Whether sums with ``bits`` fractional bits fit 16 bits: with 8 no weight is negative, with 7 at most half is."""
    minimum = 0
    for row in range(weights.shape[0]):
        negative = 0
        for tap in range(weights.shape[1]):
            negative += min(0, weights[row, tap])
        minimum = min(minimum, negative)
    return minimum >= (0 if bits == 8 else -(1 << 13))


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
