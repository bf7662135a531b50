"""Pointwise kernels and reductions on the emulated device, against NumPy: bands of rows, any alignment, any width.

Runs under the sanitizers too, see `test_cuda_sanitizers`: nothing here may import Numba or SciPy.
"""

import functools
import itertools
import shutil

import numpy as np
import pytest

from gpuimg.images import DTYPES, MODES
from gpuimg.kernels.lib import rows_launch, unions_launch
from gpuimg.kernels.morphology import minimum_launch
from gpuimg.kernels.smooth import uniform_launch
from tests.cuda_emulator.emulator import EmulatedGpu, EmulationError

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulator needs g++")

INTEGERS = [dtype for dtype in DTYPES if dtype.kind in "iu"]
FLOATS = [dtype for dtype in DTYPES if dtype.kind == "f"]
# Chunks of 16 bytes begin and end within, at and beyond a row's and an array's ends.
SHAPES = [(1, 1), (1, 17), (17, 1), (3, 16), (5, 64), (7, 33), (2, 515), (4, 1024)]
# How many elements image and result lie off the alignment: both the same, either alone, and each its own.
DEVICES = [{"order": 0}, {"order": 1, "offset": 1}, {"order": 7, "offset": 3, "fill": 0}]
IMAGE_OFFSETS = {0: (0, 7), 1: (1, 0), 3: (3, 6)}


@pytest.fixture(params=DEVICES, ids=lambda options: f"order{options['order']}")
def gpu(request):
    return EmulatedGpu(**request.param)


def noise(shape, dtype):
    rng = np.random.default_rng(shape[-1])
    if dtype.kind == "f":
        image = rng.normal(0, 1, shape).astype(dtype)
        image.flat[image.size // 2] = np.nan
        return image
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def swept(gpu, stem, image, args, dtype=None, cols=None):
    """A pointwise kernel over a band of rows; the rows outside of it must stay as they were."""
    offset = gpu.offset
    sources = []
    for gpu.offset in IMAGE_OFFSETS[offset]:
        sources.append(gpu.put(image))
    gpu.offset = offset
    first, second = (
        fill_band(gpu, stem, source, args, dtype or image.dtype, cols or image.shape[1]) for source in sources
    )
    np.testing.assert_array_equal(first, second)
    return first, image[image.shape[0] // 4 : image.shape[0] - image.shape[0] // 5]


def fill_band(gpu, stem, source, args, dtype, cols):
    image = gpu.get(source)
    rows = image.shape[0]
    top, bottom = rows // 4, rows - rows // 5
    target = gpu.empty((rows, cols), dtype)
    before = gpu.get(target)
    on_device = [gpu.put(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
    gpu.launch(stem, source, target, top, bottom, *on_device)
    after = gpu.get(target)
    for outside in (slice(0, top), slice(bottom, rows)):
        np.testing.assert_array_equal(after[outside], before[outside])
    return after[top:bottom]


def reduced(gpu, stem, image, args, size, dtype, slabs=1):
    parts = gpu.empty((slabs, size), dtype)
    on_device = [gpu.put(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
    gpu.launch(stem, gpu.put(image), parts, 0, slabs, *on_device)
    return gpu.get(parts)


def slabs_of(image, slabs):
    rows = len(image)
    return [image[slab * rows // slabs : (slab + 1) * rows // slabs] for slab in range(slabs)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_threshold(gpu, dtype, shape):
    value = 100 if dtype.kind in "iu" else float(dtype.type(0.3))
    found, image = swept(gpu, "threshold", noise(shape, dtype), (value, 0), np.uint8)
    np.testing.assert_array_equal(found, image > value)
    found, image = swept(gpu, "threshold", noise(shape, dtype), (value, 1), np.uint8)
    np.testing.assert_array_equal(found, np.ones_like(found))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_threshold_image(gpu, dtype, shape):
    values, limits = noise(shape, dtype), noise(shape[::-1], dtype).reshape(shape)
    found, image = swept(gpu, "threshold_image", values, (limits,), np.uint8)
    band = limits[shape[0] // 4 : shape[0] - shape[0] // 5]
    np.testing.assert_array_equal(found, image > band)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_invert(gpu, dtype, shape):
    found, image = swept(gpu, "invert", noise(shape, dtype), (0,))
    if dtype.kind == "f":
        expected = dtype.type(1) - image
    else:
        expected = (int(np.iinfo(dtype).max) + int(np.iinfo(dtype).min) - image.astype(int)).astype(dtype)
    np.testing.assert_array_equal(found, expected)


def test_invert_of_bool(gpu):
    found, image = swept(gpu, "invert", noise((5, 37), np.dtype("uint8")) % 2, (1,))
    np.testing.assert_array_equal(found, 1 - image)


WITH_INT32 = [*DTYPES, np.dtype("int32")]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("wanted", WITH_INT32, ids=str)
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_convert(gpu, dtype, wanted, shape):
    values = noise(shape, dtype)
    if dtype.kind == "f":
        values *= dtype.type(1e5)
    found, image = swept(gpu, "convert", values, (), wanted)
    if wanted.kind == "f":
        np.testing.assert_array_equal(found, image.astype(wanted))
        return
    info = np.iinfo(wanted)
    plain = np.rint(np.where(image == image, image, 0).astype(np.float64))
    np.testing.assert_array_equal(found, np.clip(plain, info.min, info.max).astype(wanted))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("wanted", DTYPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_convert_range(gpu, dtype, wanted, shape):
    found, image = swept(gpu, "convert_range", noise(shape, dtype), (), wanted)
    image = np.where(image == image, image, 0).astype(dtype) if wanted.kind != "f" else image
    np.testing.assert_array_equal(found, ranged(image, wanted))


def ranged(image, wanted):
    dtype = image.dtype
    if wanted.kind == "f":
        if dtype.kind == "f":
            return image.astype(wanted)
        return np.maximum(image.astype(wanted) * wanted.type(1 / np.iinfo(dtype).max), wanted.type(-1))
    low, high = int(np.iinfo(wanted).min), int(np.iinfo(wanted).max)
    if dtype.kind != "f":
        return np.rint(np.maximum(image.astype(np.float64), 0) * high / np.iinfo(dtype).max).astype(wanted)
    shares = image * dtype.type((high - low) / 2) - dtype.type(0.5) if low < 0 else image * dtype.type(high)
    return np.clip(np.rint(shares), low, high).astype(wanted)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_nonzero(gpu, dtype, shape):
    values = noise(shape, dtype)
    values[..., ::3] = 0
    found, image = swept(gpu, "nonzero", values, (), np.uint8)
    np.testing.assert_array_equal(found, image != 0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (8, 37), (35, 300)], ids=str)
def test_pick(gpu, shape, step, dtype):
    rows, cols = shape
    image = noise((9, 11 * step), np.dtype(dtype))
    rng = np.random.default_rng(1)
    down, along = rng.integers(0, 9, (rows, 1)), rng.integers(0, 11, (cols, 1))
    target = gpu.empty((rows, cols * step), dtype)
    gpu.launch("pick", gpu.put(image), target, 0, rows, step, gpu.put(down), gpu.put(along))
    pixels = image.reshape(9, 11, step)
    np.testing.assert_array_equal(gpu.get(target), pixels[down, along[:, 0]].reshape(rows, -1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (8, 37), (35, 300)], ids=str)
@pytest.mark.parametrize("overshoot", [0.0, 0.5])
@pytest.mark.parametrize("reach", [290, 100_000], ids=["tiles", "scratch"])
def test_resample(gpu, reach, overshoot, shape, step, dtype):
    """Sums of rows and then of columns, in the order of the taps."""
    rng = np.random.default_rng(2)
    image = noise((9, 290 * step), dtype)
    tables = [
        (rng.integers(0, size, (count, 3)), rng.dirichlet((1, 1, 1), count) * (1 + overshoot) - overshoot / 3)
        for size, count in zip((9, 290), shape, strict=True)
    ]
    args = [part for index, weights in tables for part in (index, weights, np.rint(weights * 16384).astype(np.int32))]
    target = gpu.empty((shape[0], shape[1] * step), dtype)
    gpu.launch("resample", gpu.put(image), target, 0, shape[0], step, overshoot, reach, *map(gpu.put, args))
    (down, heavy_down), (along, heavy_along) = tables
    fixed, bits = dtype == np.uint8, 7 if overshoot else 8
    wide = np.dtype("int64" if fixed else "float64" if dtype == np.float64 else "float32")
    if fixed:
        heavy_down, heavy_along = args[2], args[5]
    pixels = image.reshape(9, 290, step).astype(wide)
    held = sum_of_taps(heavy_down.astype(wide)[:, :, None, None] * pixels[down])
    if fixed:
        held = (held + (1 << 13 - bits)) >> 14 - bits
    total = sum_of_taps(np.moveaxis(heavy_along.astype(wide)[:, :, None] * held[:, along], 2, 1))
    if fixed:
        total = np.clip((total + (1 << 13 + bits)) >> 14 + bits, 0, 255)
    elif dtype.kind != "f":
        total = np.clip(np.rint(total), np.iinfo(dtype).min, np.iinfo(dtype).max)
    np.testing.assert_array_equal(gpu.get(target), total.reshape(shape[0], -1).astype(dtype))


def sum_of_taps(addends):
    """The sum along the second axis, in its order."""
    total = addends[:, 0]
    for tap in range(1, addends.shape[1]):
        total = total + addends[:, tap]
    return total


# Tiles and chunks end within, at and beyond an image's edges.
MOVED = [(1, 1), (5, 31), (140, 129), (9, 260), (131, 300), (263, 50)]


@pytest.mark.parametrize("shape", MOVED, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_flip(gpu, step, dtype, shape):
    rows, cols = shape
    image = noise((rows, cols * step), np.dtype(dtype))
    pixels = image.reshape(rows, cols, step)
    for vertical, horizontal in ((1, 0), (0, 1), (1, 1), (0, 0)):
        found, _ = swept(gpu, "flip", image, (step, vertical, horizontal))
        turned = pixels[:: -1 if vertical else 1, :: -1 if horizontal else 1]
        np.testing.assert_array_equal(found, turned[rows // 4 : rows - rows // 5].reshape(found.shape))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("widths", [(0, 0), (3, 9), (50, 7), (400, 210)], ids=str)
def test_pad(gpu, widths, step, dtype):
    """Rows and columns beyond the edges, near the image and further away than it is wide; a part of an image."""
    image = noise((23, 47 * step), np.dtype(dtype))
    pixels = image.reshape(23, 47, step)
    before, after = widths
    for mode in MODES:
        options = {"constant_values": 7} if mode == "constant" else {}
        for first, width in ((-before, before + 47 + after), (5, 40)):
            target = gpu.empty((19, width * step), image.dtype)
            gpu.launch("pad", gpu.put(image), target, 0, 19, step, -4, first, MODES[mode].code, 7)
            grown = np.pad(pixels, ((4, 0), (before, after), (0, 0)), MODES[mode].numpy, **options)
            expected = grown[:19, first + before : first + before + width]
            np.testing.assert_array_equal(gpu.get(target), expected.reshape(19, -1))


@pytest.mark.parametrize("shape", MOVED, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_transpose(gpu, step, dtype, shape):
    rows, cols = shape
    image = noise((rows, cols * step), np.dtype(dtype))
    pixels = image.reshape(rows, cols, step)
    top, bottom = cols // 4, cols - cols // 5
    for turned_rows, turned_cols in ((0, 0), (1, 0), (0, 1)):
        target = gpu.empty((cols, rows * step), dtype)
        before = gpu.get(target)
        gpu.launch("transpose", gpu.put(image), target, top, bottom, step, turned_rows, turned_cols)
        turned = pixels[:: -1 if turned_rows else 1, :: -1 if turned_cols else 1].swapaxes(0, 1)
        before[top:bottom] = turned[top:bottom].reshape(bottom - top, rows * step)
        np.testing.assert_array_equal(gpu.get(target), before)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_difference(gpu, dtype, shape):
    values, other = noise(shape, dtype), noise(shape[::-1], dtype).reshape(shape)
    for turned in (0, 1):
        found, image = swept(gpu, "difference", values, (other, turned))
        band = other[shape[0] // 4 : shape[0] - shape[0] // 5]
        first, second = (band, image) if turned else (image, band)
        if dtype.kind == "f":
            np.testing.assert_array_equal(found, first - second)
        else:
            info = np.iinfo(dtype)
            exact = np.clip(first.astype(np.int64) - second, info.min, info.max)
            np.testing.assert_array_equal(found, exact.astype(dtype))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("wanted", DTYPES, ids=str)
def test_weighted_sum(gpu, wanted, shape):
    wide = np.dtype("float64" if wanted == np.float64 else "float32")
    for dtype in {wanted, *([np.dtype("float32")] if wanted.kind != "f" else [])}:
        values, other = abs(noise(shape, dtype)), noise(shape[::-1], wanted).reshape(shape)
        found, image = swept(gpu, "weighted_sum", values, (other, 0.75, -0.4), wanted)
        band = other[shape[0] // 4 : shape[0] - shape[0] // 5]
        total = image.astype(wide) * wide.type(0.75) + band.astype(wide) * wide.type(-0.4)
        if wanted.kind != "f":
            total = np.clip(np.rint(np.nan_to_num(total)), np.iinfo(wanted).min, np.iinfo(wanted).max).astype(wanted)
        np.testing.assert_array_equal(found, total)


@pytest.mark.parametrize("kind", [*DTYPES, np.dtype("int64")], ids=str)
@pytest.mark.parametrize("dtype", INTEGERS[:2], ids=str)
@pytest.mark.parametrize("step", [1, 3])
def test_lut(gpu, step, dtype, kind):
    values = 1 << 8 * dtype.itemsize
    for tables in {1, step}:
        table = np.random.default_rng(4).integers(0, 128, (tables, values)).astype(kind)
        for cols in (1, 11, 32, 77):
            found, image = swept(gpu, "lut", noise((6, cols * step), dtype), (step, table), kind)
            channel = np.arange(cols * step) % step if tables > 1 else 0
            np.testing.assert_array_equal(found, table[channel, image])


@pytest.mark.parametrize("weights", [(0.2125, 0.7154, 0.0721), (300.0, -2.5, 600.25)], ids=["usual", "large"])
@pytest.mark.parametrize("step", [3, 4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rgb2gray(gpu, dtype, step, weights):
    fixed = [round(weight * 65536) for weight in weights]
    for cols in (1, 5, 16, 67):
        color = noise((5, cols * step), dtype)
        found, image = swept(gpu, "rgb2gray", color, (step, *fixed, *weights), cols=cols)
        red, green, blue = (image[:, channel::step] for channel in range(3))
        np.testing.assert_array_equal(found, weighed(red, green, blue, fixed, weights))


def weighed(red, green, blue, fixed, weights):
    dtype = red.dtype
    if dtype == np.uint8:
        total = sum(q * part.astype(np.int64) for q, part in zip(fixed, (red, green, blue), strict=True))
        return np.clip((total + 32768) >> 16, 0, 255).astype(dtype)
    wide = np.dtype("float64") if dtype == np.float64 else np.dtype("float32")
    w0, w1, w2 = (wide.type(weight) for weight in weights)
    total = (red.astype(wide) * w0 + green.astype(wide) * w1) + blue.astype(wide) * w2
    if dtype.kind == "f":
        return total
    return np.clip(np.rint(total), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("pixels", [1, 5, 67, 400, 1100])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_color_matrix(gpu, dtype, pixels):
    """Warps' results are stored together where all of them lie inside."""
    wide = np.dtype("float64" if dtype == np.float64 else "float32")
    matrix = np.random.default_rng(5).normal(0, 1, (3, 3))
    before, after = np.array([0.5, -1, 2]), np.array([0, 3, 0.25])
    found, image = swept(gpu, "color_matrix", noise((5, pixels * 3), dtype), (before, matrix, after), wide)
    w, added = matrix.astype(wide), before.astype(wide)
    one, two, three = (ranged(image[:, channel::3], wide) + added[channel] for channel in range(3))
    for channel in range(3):
        weight = w[channel]
        total = (one * weight[0] + two * weight[1]) + three * weight[2] + wide.type(after[channel])
        np.testing.assert_array_equal(found[:, channel::3], total)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_power(gpu, dtype, shape):
    found, image = swept(gpu, "power", abs(noise(shape, dtype)), (2.2, 1.5))
    expected = image.astype(np.float64) ** 2.2 * 1.5
    np.testing.assert_allclose(found, expected, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_interpolate(gpu, dtype, step):
    knots = 9
    low, high = np.linspace(-1, -0.5, step), np.linspace(1, 2, step)
    table = np.sort(np.random.default_rng(0).random((step, knots)), axis=1)
    for cols in (1, 7, 40):
        values = noise((4, cols * step), dtype)
        values[1, 0] = np.nextafter(high[0], low[0], dtype=dtype)  # divided by the range it rounds to 1
        found, image = swept(gpu, "interpolate", values, (step, low, high, table))
        expected = np.empty_like(found)
        for channel in range(step):
            centers = np.linspace(low[channel], high[channel], knots)
            plane = image[:, channel::step].astype(np.float64)
            expected[:, channel::step] = np.interp(plane, centers, table[channel])
        np.testing.assert_allclose(found, expected, rtol=0, atol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [*SHAPES, (64, 300)], ids=str)
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("step", [1, 3])
def test_histogram(gpu, step, dtype, shape):
    rows, cols = shape
    image = noise((rows, cols * step), dtype)
    image[rows // 2 :] = image[0, 0]  # a flat area, where all threads want one bin
    low = int(np.iinfo(dtype).min)
    values = 1 << 8 * dtype.itemsize
    for slabs in {1, min(rows, 3)}:
        found = reduced(gpu, "histogram", image, (step, low), step * values, np.int64, slabs)
        for part, slab in zip(found.reshape(slabs, step, values), slabs_of(image, slabs), strict=True):
            for channel in range(step):
                expected = np.bincount(slab[:, channel::step].astype(int).ravel() - low, minlength=values)
                np.testing.assert_array_equal(part[channel], expected)


@pytest.mark.parametrize("bins", [1, 16, 256, 9000])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_bincount(gpu, dtype, bins):
    for shape in SHAPES:
        image = noise(shape, dtype)
        finite = image[np.isfinite(image)]
        if finite.size == 0:
            continue
        edges = np.histogram_bin_edges(finite, bins)
        found = reduced(gpu, "bincount", image, (edges.astype(np.float64),), bins, np.int64)
        np.testing.assert_array_equal(found[0], np.histogram(finite, bins)[0])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_double_threshold(gpu, dtype, shape):
    low, high = (60, 150) if dtype.kind in "iu" else (-0.5, float(dtype.type(0.3)))
    for rest in (0, 2):
        found, image = swept(gpu, "double_threshold", noise(shape, dtype), (low, high, rest), np.uint8)
        np.testing.assert_array_equal(found, np.where(image > high, 1, np.where(image > low, 2, rest)))


def linked(levels, step, reach):
    """Weak pixels that are connected with strong ones, grown pixel by pixel."""
    strong = levels == 1
    while True:
        grown = np.pad(strong, ((1, 1), (step, step)))
        rows = grown[:-2] | grown[1:-1] | grown[2:]
        middle = grown[1:-1]
        side = rows if reach else middle
        more = (levels != 0) & (rows[:, step:-step] | side[:, : -2 * step] | side[:, 2 * step :])
        if (more == strong).all():
            return strong
        strong = more


@pytest.mark.parametrize("most_nodes", [1 << 32, 1])
@pytest.mark.parametrize("reach", [0, 1])
@pytest.mark.parametrize("step", [1, 3])
def test_hysteresis(gpu, monkeypatch, step, reach, most_nodes):
    """Slabs of four rows, then groups of two and of all of them; nodes of 32 and of 64 bits."""
    monkeypatch.setattr(unions_launch, "MOST_NODES", most_nodes)
    rng = np.random.default_rng(8)
    for rows, cols in ((1, 1), (3, 40), (4, 32), (17, 33), (29, 70), (65, 97), (3, 1100), (290, 3)):
        levels = rng.choice(np.array([0, 1, 2], np.uint8), (rows, cols * step), p=(0.4, 0.02, 0.58))
        image = gpu.put(levels)
        slabs = -(-rows // 4)
        gpu.launch("edge_links", image, image, 0, slabs, step, 4, reach)
        gpu.launch("edge_seams", image, image, 0, -(-slabs // 2), step, 4, 1, 2, reach)
        gpu.launch("edge_seams", image, image, 0, 1, step, 4, 2, slabs, reach)
        gpu.launch("edge_strong", image, image, 0, rows)
        np.testing.assert_array_equal(gpu.get(image), linked(levels, step, reach))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_minmax(gpu, dtype):
    for shape in (*SHAPES, (70, 300)):
        image = noise(shape, dtype)
        slabs = min(shape[0], 4)
        found = reduced(gpu, "minmax", image, (), 2, np.float64, slabs)
        for part, slab in zip(found, slabs_of(image, slabs), strict=True):
            np.testing.assert_array_equal(part, (slab.min(), slab.max()))


def test_launch_code_refuses_wrong_arguments(gpu):
    image = gpu.put(np.zeros((4, 4), np.float32))
    mask = gpu.empty((4, 4), np.uint8)
    with pytest.raises(TypeError, match="must be double, got long long"):
        gpu.launch("threshold", image, mask, 0, 4, 1, 0)
    with pytest.raises(TypeError, match="takes 10 arguments"):
        gpu.launch("threshold", image, mask, 0, 4, 1.0)
    with pytest.raises(EmulationError, match="does not lie on the device"):
        gpu.launch("threshold", np.zeros((4, 4), np.float32), mask, 0, 4, 1.0, 0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_negate(gpu, dtype, shape):
    found, image = swept(gpu, "negate", noise(shape, dtype), ())
    np.testing.assert_array_equal(found, 0 - image)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("step", [1, 2])
def test_outermost(gpu, dtype, shape, step):
    image = noise((shape[0], shape[1] * step), dtype)
    expected = image.copy()
    expected[1:-1, step:-step] = 3
    found, _ = swept(gpu, "outermost", image, (step, 3.0))
    np.testing.assert_array_equal(found, expected[shape[0] // 4 : shape[0] - shape[0] // 5])


@pytest.mark.parametrize("slabs", [1, 3, 7])
def test_sum(gpu, slabs):
    for shape in ((7, 1), (9, 300), (2500, 1)):
        counts = np.random.default_rng(8).integers(0, 1 << 40, shape)
        found = reduced(gpu, "sum", counts, (), 1, np.int64, slabs)
        np.testing.assert_array_equal(found[:, 0], [slab.sum() for slab in slabs_of(counts, slabs)])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reconstruction_rows(gpu, dtype, shape):
    seed, mask = noise(shape, dtype), noise(shape[::-1], dtype).reshape(shape)
    limited, counts = gpu.empty(shape, dtype), gpu.empty((shape[0], 1), np.int64)
    gpu.launch("reconstruction_rows", gpu.put(seed), limited, 0, shape[0], gpu.put(mask), 1, counts)
    np.testing.assert_array_equal(gpu.get(limited), np.minimum(seed, mask))
    np.testing.assert_array_equal(gpu.get(counts)[:, 0], (seed > mask).sum(1))


def raised(seed, mask, step, connectivity):
    """Dilate under the mask until nothing changes; NaN neither rises nor raises."""
    blocked = np.isnan(seed) | np.isnan(mask)
    lowest = np.iinfo(seed.dtype).min if seed.dtype.kind in "iu" else -np.inf
    held = np.where(blocked, lowest, seed).astype(seed.dtype)
    limit = np.where(blocked, lowest, mask).astype(seed.dtype)
    rows, cols = seed.shape
    while True:
        beyond = np.pad(held, ((1, 1), (step, step)), constant_values=lowest)
        best = held
        for down in range(3):
            for along in range(3):
                if connectivity == 2 or 1 in (down, along):
                    best = np.maximum(best, beyond[down : down + rows, along * step : along * step + cols])
        best = np.minimum(best, limit)
        if (best == held).all():
            return np.where(blocked, seed, held).astype(seed.dtype)
        held = best


def seeds(rng, mask):
    """Seeds below a mask: some of its values, its outermost ones only, any, and none above the mask's minimum."""
    low = mask.min()
    yield np.where(rng.random(mask.shape) < 0.02, mask, low)
    outermost = np.full_like(mask, np.iinfo(mask.dtype).min if mask.dtype.kind in "iu" else -np.inf)
    outermost[[0, -1]], outermost[:, [0, -1]] = mask[[0, -1]], mask[:, [0, -1]]
    yield outermost
    yield np.minimum(noise(mask.shape, mask.dtype), mask)
    yield np.full_like(mask, low)


@pytest.mark.parametrize("values", [1, 2, 3, 200])
@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reconstruction(gpu, monkeypatch, dtype, connectivity, values):
    """Masks of one, two and more values: the second kind is answered by components."""
    monkeypatch.setattr(unions_launch, "MOST_NODES", 1 << 32 if connectivity == 1 else 1)
    rng = np.random.default_rng(values)
    for rows, cols, step in ((1, 1, 1), (1, 31, 1), (37, 129, 1), (70, 33, 2), (33, 1, 3)):
        mask = rng.integers(0, values, (rows, cols * step)).astype(dtype) + dtype.type(3)
        for seed in seeds(rng, mask):
            if dtype.kind == "f" and values == 3:
                seed[rows // 2, cols // 2] = np.nan
            image = gpu.put(seed)
            gpu.launch("reconstruction", image, image, 0, 1, gpu.put(mask), step, connectivity, 64, 1)
            gpu.launch("reconstruction", image, image, 0, 1, gpu.put(mask), step, connectivity, 512, 64)
            np.testing.assert_array_equal(gpu.get(image), raised(seed, mask, step, connectivity))


# Words and strips begin and end within, at and beyond a row's ends; the widths are in pixels.
WINDOWED = [(1, 1), (3, 31), (9, 129), (64, 487), (5, 1100)]
# Windows as rows above and below, columns left and right of the pixel.
WINDOWS = [
    (0, 0, 0, 0),
    (1, 1, 1, 1),
    (1, 0, 0, 2),
    (2, 2, 2, 2),
    (3, 2, 0, 3),
    (7, 7, 7, 7),
    (4, 5, 16, 15),
    (15, 14, 1, 0),
    (16, 16, 3, 3),
]


def windowed(image, step, mode, cval, window):
    """The pixels of each window in the last axis."""
    above, below, left, right = window
    pixels = image.reshape(len(image), -1, step)
    options = {"constant_values": cval} if mode == "constant" else {}
    padded = np.pad(pixels, ((above, below), (left, right), (0, 0)), MODES[mode].numpy, **options)
    shape = above + below + 1, left + right + 1
    views = np.lib.stride_tricks.sliding_window_view(padded, shape, (0, 1))
    return views.reshape(*image.shape, -1)


@pytest.mark.parametrize("shape", WINDOWED, ids=str)
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_minimum(gpu, dtype, shape):
    image = noise((shape[0], 3 * shape[1]), dtype)
    for turn, window in enumerate(WINDOWS):
        step = (1, 3)[turn % 2]
        mode = list(MODES)[turn % len(MODES)]
        values = image if step == 3 else np.ascontiguousarray(image[:, : shape[1]])
        expected = windowed(values, step, mode, 7, window)
        for flip, least in enumerate((expected.min(-1), expected.max(-1))):
            found, _ = swept(gpu, "minimum", values, (step, MODES[mode].code, 7.0, *window, flip))
            np.testing.assert_array_equal(found, least[shape[0] // 4 : shape[0] - shape[0] // 5])


CONVOLVED = [(1, 17), (17, 1), (2, 3), (5, 4), (1, 1), (41, 3), (9, 11), (1, 70), (3, 3), (5, 5), (7, 7), (320, 2)]


@pytest.mark.parametrize("shape", CONVOLVED, ids=str)
@pytest.mark.parametrize("types", ["uint8 int32", "uint16 float32", "float32 float32", "float64 float64"])
def test_convolve(gpu, types, shape):
    """In tiles inside an image and at its edges, in rows of aligned words and others; a weight of zero is no tap. Of
    many float32 weights of 16-bit pixels, each row has a sum of its own."""
    dtype, wide = map(np.dtype, types.split())
    rng = np.random.default_rng(4)
    given = rng.integers(-3000, 9000, shape).astype(wide) if wide.kind == "i" else rng.normal(size=shape).astype(wide)
    shift = int(given.sum()).bit_length() if wide.kind == "i" else 0
    some = slice(2, -2, 3)
    for step, mode, cols, zero in ((1, "wrap", 396, some), (1, "mirror", 396, slice(0)), (3, "constant", 390, some)):
        weights = given.copy()
        weights.flat[zero] = 0
        image = noise((110, cols), dtype)
        high, side = shape
        window = ((high - 1) // 2, high // 2, (side - 1) // 2, side // 2)
        values = windowed(image, step, mode, 7, window).astype(wide)
        total = np.zeros(image.shape, wide)
        by_rows = dtype == np.uint16 and weights.size > 64
        for taps in np.split(np.arange(weights.size), high if by_rows else 1):
            part = np.zeros(image.shape, wide)
            for tap in taps[weights.flat[taps] != 0]:
                part += weights.flat[tap] * values[..., tap]
            total += part
        if wide.kind == "i":
            half = (1 << shift >> 1) - 1 + (total >> shift & 1)
            total = (total + half) >> shift
        if dtype.kind != "f":
            total = np.clip(np.rint(total), np.iinfo(dtype).min, np.iinfo(dtype).max)
        found, _ = swept(gpu, "convolve", image, (step, MODES[mode].code, 7.0, weights, shift))
        np.testing.assert_array_equal(found, total[27:88].astype(dtype))


# Kernels of the Gaussian: within one tile, a halo of several, and more distances than are in shared memory at a time.
RADII = [(0, 3), (4, 6), (19, 12), (45, 90)]


@pytest.mark.parametrize("radii", RADII, ids=str)
@pytest.mark.parametrize("step", [1, 3, 9])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gaussian(gpu, dtype, step, radii):
    rng = np.random.default_rng(5)
    halves = [rng.random(radius + 1) for radius in radii]
    weights = [half / (half[0] + 2 * half[1:].sum()) for half in halves]
    fixed = [np.floor(part * 65536).clip(0, 65535).astype(np.uint16) for part in weights]
    fixed = [part if len(part) <= 33 else np.zeros(1, np.uint16) for part in fixed]
    kinds = [dtype, np.dtype("uint16")] if dtype == np.uint8 and max(radii) <= 32 else [dtype]
    cases = zip(((1, 1), (40, 45), (9, 131), (70, 33), (3, 20)), MODES.values(), strict=True)
    for (rows, pixels), mode in cases:
        image = noise((rows, pixels * step), dtype)
        for kind in kinds:
            args = (step, mode.code, 7.0, *radii, *weights, *fixed, 2, 3)
            found, band = swept(gpu, "gaussian", image, args, kind)
            expected = smoothed(image, step, mode.numpy, 7, weights, fixed, (2, 3), kind)
            np.testing.assert_array_equal(found, expected[rows // 4 :][: len(band)])


@pytest.mark.parametrize(
    ("dtype", "radii"),
    [
        *(("uint8", radii) for radii in ((4, 4), (5, 3), (6, 10), (1, 32), (32, 0))),
        *(("float32", radii) for radii in ((4, 3), (0, 8), (12, 5))),
        *((name, radii) for name in ("int16", "uint16") for radii in ((4, 4), (6, 8), (3, 12))),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_gaussian_of_wide_rows(gpu, dtype, step, radii):
    """Several tiles across, whose ends lie anywhere in the words of the image, and stores of several pixels."""
    rng = np.random.default_rng(6)
    halves = [rng.random(radius + 1) for radius in radii]
    weights = [half / (half[0] + 2 * half[1:].sum()) for half in halves]
    fixed = [np.floor(part * 65536).clip(0, 65535).astype(np.uint16) for part in weights]
    if dtype != "uint8":
        fixed = [np.zeros(1, np.uint16)] * 2
    kinds = ["uint8", "uint16"] if dtype == "uint8" else [dtype]
    for turn, pixels in enumerate((1000, 1041, 500)):
        mode = list(MODES.values())[(turn + step + radii[0]) % len(MODES)]
        image = noise((27, pixels * step), np.dtype(dtype))
        for kind in map(np.dtype, kinds):
            args = (step, mode.code, 7.0, *radii, *weights, *fixed, 2, 3)
            found, band = swept(gpu, "gaussian", image, args, kind)
            expected = smoothed(image, step, mode.numpy, 7, weights, fixed, (2, 3), kind)
            np.testing.assert_array_equal(found, expected[27 // 4 :][: len(band)])


def smoothed(image, step, mode, cval, weights, fixed, offsets, kind):
    """Down the columns, then along the rows; bytes with short kernels in 256ths, of which uint16 keeps all."""
    rows = len(image)
    if image.dtype == np.uint8 and list(map(len, fixed)) == list(map(len, weights)):
        values, outside = image.astype(np.int64) << 8, cval << 8
        parts = [(part.astype(np.int64), offset) for part, offset in zip(fixed, offsets, strict=True)]
    else:
        wide = np.dtype("float64" if image.dtype == np.float64 else "float32")
        values, outside = image.astype(wide), wide.type(cval)
        parts = [(part.astype(wide), None) for part in weights]
    sums = weighed_down(values, mode, outside, *parts[0])
    columns = sums.reshape(rows, -1, step).swapaxes(0, 1)
    total = weighed_down(columns, mode, outside, *parts[1]).swapaxes(0, 1).reshape(rows, -1)
    if parts[0][1] is not None:
        return ((total + 128) >> 8 if kind == np.uint8 else total).astype(kind)
    if image.dtype.kind == "f":
        return total
    info = np.iinfo(image.dtype)
    return np.clip(np.rint(total), info.min, info.max).astype(image.dtype)


def weighed_down(values, mode, outside, weights, offset):
    """Sums along the first axis, from the centre outwards."""
    length, radius = len(values), len(weights) - 1
    border = [(radius, radius)] + [(0, 0)] * (values.ndim - 1)
    padded = np.pad(values, border, mode, **({"constant_values": outside} if mode == "constant" else {}))
    at = {k: padded[radius + k : radius + k + length] for k in range(-radius, radius + 1)}
    if offset is not None:
        return (offset + sum((at[k] * weights[abs(k)]) >> 16 for k in at)) & 65535
    total = weights[0] * at[0]
    for k in range(1, radius + 1):
        total = total + weights[k] * (at[-k] + at[k])
    # A constant stays.
    tolerance = total.dtype.type((3 + 2 * np.sqrt(radius)) * np.finfo(total.dtype).eps)
    return np.where(np.abs(total - at[0]) <= tolerance * np.abs(at[0]), at[0], total)


@pytest.mark.parametrize(("dtype", "step"), [("uint16", 30), ("float32", 32), ("uint8", 57), ("uint8", 64)])
def test_gaussian_of_many_channels(gpu, dtype, step):
    """A tile in shared memory would have no results."""
    weights = [np.array([0.5, 0.25])] * 2
    fixed = [np.array([32768, 16384], np.uint16)] * 2
    image = noise((9, 11 * step), np.dtype(dtype))
    args = (step, MODES["reflect"].code, 7.0, 1, 1, *weights, *fixed, 2, 3)
    found, band = swept(gpu, "gaussian", image, args)
    expected = smoothed(image, step, MODES["reflect"].numpy, 7, weights, fixed, (2, 3), image.dtype)
    np.testing.assert_array_equal(found, expected[9 // 4 :][: len(band)])


@pytest.mark.parametrize("shape", WINDOWED, ids=str)
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_footprint(gpu, dtype, shape):
    image = noise((shape[0], 3 * shape[1]), dtype)
    for turn, (height, width) in enumerate([(1, 2), (3, 3), (7, 7), (4, 17), (15, 9), (33, 2)]):
        under = np.random.default_rng(turn).random((height, width)) < 0.8
        under[height // 2] = True
        step = (1, 3)[turn % 2]
        mode = list(MODES)[turn % len(MODES)]
        values = image if step == 3 else np.ascontiguousarray(image[:, : shape[1]])
        window = height // 2, height - height // 2 - 1, width // 2, width - width // 2 - 1
        expected = windowed(values, step, mode, 7, window)[..., under.ravel()]
        for flip, least in enumerate((expected.min(-1), expected.max(-1))):
            args = (step, MODES[mode].code, 7.0, under.astype(np.uint8), flip)
            found, _ = swept(gpu, "footprint", values, args)
            np.testing.assert_array_equal(found, least[shape[0] // 4 : shape[0] - shape[0] // 5])


# Rows and columns of the windows of every kernel and instance, up to their limits and beyond.
MEDIANS = [(3, 3), (5, 5), (7, 7), (15, 15), (1, 13), (3, 17), (31, 1), (17, 31), (31, 31), (33, 5)]


def ranked(image, step, mode, cval, size, rank):
    """The values of a rank in windows; the first NaN of those that have any."""
    n0, n1 = size
    windows = windowed(image, step, mode, cval, (n0 // 2, n0 // 2, n1 // 2, n1 // 2))
    if image.dtype.kind != "f":
        return np.partition(windows, rank, -1)[..., rank]
    holes = np.isnan(windows)
    first = np.take_along_axis(windows, holes.argmax(-1)[..., None], -1)[..., 0]
    return np.where(holes.any(-1), first, np.sort(windows, -1)[..., rank])


def special(shape, dtype, kind):
    """Noise with one NaN, ties, the extreme values alone, or NaNs that differ."""
    image = noise(shape, dtype)
    if kind == "ties":
        return (np.nan_to_num(image) * 3 if dtype.kind == "f" else image % 3).round().astype(dtype)
    if kind == "extremes":
        info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        values = [info.min, info.max, 0] + ([-0.0, np.inf, -np.inf, info.tiny] if dtype.kind == "f" else [])
        return np.random.default_rng(3).choice(np.array(values, dtype), shape)
    if kind == "nan" and dtype.kind == "f":
        bits = image.view(f"i{dtype.itemsize}")
        holes = np.random.default_rng(4).random(shape) < 0.02
        bits[holes] = np.array(np.nan, dtype).view(bits.dtype) + np.arange(holes.sum())
    return image


@functools.cache
def ranked_case(shape, dtype, kind, step, mode, cval, size, rank):
    image = special(shape, dtype, kind)
    return image, ranked(image, step, mode, cval, size, rank)


def check_median(gpu, shape, dtype, kind, step, mode, cval, size, rank=None):
    middle = size[0] * size[1] // 2
    rank = middle if rank is None else rank
    image, expected = ranked_case(shape, dtype, kind, step, mode, cval, size, rank)
    expected = expected[shape[0] // 4 : shape[0] - shape[0] // 5]
    found, _ = swept(gpu, "median", image, (step, MODES[mode].code, float(cval), *size, rank))
    np.testing.assert_array_equal(found, expected)
    if dtype.kind == "f" and (size, rank, dtype.itemsize) != ((5, 5), 12, 8):  # this network returns any of the NaNs
        holes, bits = np.isnan(found), f"i{dtype.itemsize}"
        np.testing.assert_array_equal(found[holes].view(bits), expected[holes].view(bits))


@pytest.mark.parametrize("size", MEDIANS, ids=str)
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_median(gpu, dtype, size):
    kinds = ["noise", "ties", "extremes", "nan"]
    for turn, (rows, cols) in enumerate([(1, 1), (9, 31), (42, 33)]):
        step = (1, 3)[turn % 2]
        # All borders and kinds of values meet somewhere, not in every window.
        turn += MEDIANS.index(size)
        mode = list(MODES)[turn % len(MODES)]
        check_median(gpu, (rows, cols * step), dtype, kinds[turn % 4], step, mode, 7, size)


@pytest.mark.parametrize("size", [(3, 3), (5, 5), (1, 13), (17, 31), (33, 5)], ids=str)
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_other_ranks_than_the_median(gpu, dtype, size):
    count = size[0] * size[1]
    for turn, rank in enumerate((0, 1, count // 3, count - 2, count - 1)):
        kind, mode = ("noise", "ties", "extremes", "nan")[turn % 4], list(MODES)[turn % len(MODES)]
        check_median(gpu, (19, 33 * (1 + turn % 2)), dtype, kind, 1 + turn % 2, mode, 7, size, rank)


@pytest.mark.parametrize("size", [(3, 3), (5, 5)], ids=str)
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_all_ranks_by_networks(gpu, dtype, size):
    for rank in range(size[0] * size[1]):
        kind, step = ("noise", "ties", "extremes", "nan")[rank % 4], (1, 3, 4)[rank % 3]
        check_median(gpu, (21, (30 + rank) * step), dtype, kind, step, list(MODES)[rank % len(MODES)], 7, size, rank)


@pytest.mark.parametrize("kind", ["noise", "nan"])
@pytest.mark.parametrize("dtype", WITH_INT32, ids=str)
def test_median_of_several_tiles(gpu, dtype, kind):
    check_median(gpu, (70, 290), dtype, kind, 1, "mirror", 0, (9, 9))
    check_median(gpu, (70, 290), dtype, kind, 2, "mirror", 0, (3, 21))
    check_median(gpu, (70, 1090), dtype, kind, 1, "mirror", 0, (3, 3), 2)


@pytest.mark.parametrize("shape", WINDOWED, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_uniform(gpu, dtype, shape):
    image = noise((shape[0], 3 * shape[1]), dtype)
    for turn, (above, below, left, right) in enumerate(WINDOWS):
        n0, n1 = above + below + 1, left + right + 1
        step = (3, 1)[turn % 2]
        mode = list(MODES)[turn % len(MODES)]
        values = image if step == 3 else np.ascontiguousarray(image[:, : shape[1]])
        window = n0 // 2, n0 - n0 // 2 - 1, n1 // 2, n1 - n1 // 2 - 1
        totals = windowed(values, step, mode, 7, window).sum(-1, dtype=np.float64)
        expected = (totals / (n0 * n1))[shape[0] // 4 : shape[0] - shape[0] // 5]
        found, _ = swept(gpu, "uniform", values, (step, MODES[mode].code, 7.0, n0, n1))
        if dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=0, atol=64 * np.finfo(dtype).eps)
        else:
            np.testing.assert_array_equal(found, np.rint(expected))


@pytest.mark.parametrize("size", [3, 5, 7, 9, 11, 13])
@pytest.mark.parametrize("step", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_uniform_of_small_windows_of_integers(gpu, dtype, step, size):
    """Several strips across and down; rows of whole words and others."""
    for turn, pixels in enumerate((4, 301, 500)):
        mode = list(MODES)[(turn + step + size) % len(MODES)]
        image = noise((43, pixels * step), np.dtype(dtype))
        window = (size // 2,) * 4
        expected = np.rint(windowed(image, step, mode, 7, window).mean(-1))[43 // 4 : 43 - 43 // 5]
        found, _ = swept(gpu, "uniform", image, (step, MODES[mode].code, 7.0, size, size))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", ["lowest", "highest"])
@pytest.mark.parametrize("size", [3, 13])
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_uniform_of_extreme_integers(gpu, dtype, size, value):
    dtype = np.dtype(dtype)
    image = np.full((20, 40), np.iinfo(dtype).min if value == "lowest" else np.iinfo(dtype).max, dtype)
    found, band = swept(gpu, "uniform", image, (1, MODES["reflect"].code, 0.0, size, size))
    np.testing.assert_array_equal(found, image[: len(band)])


@pytest.mark.parametrize("step", [1, 3, 4])
@pytest.mark.parametrize(
    ("dtype", "size"), [*(("float32", size) for size in (3, 4, 5, 7, 9, 11, 13, 15)), ("float64", 3), ("float64", 5)]
)
def test_uniform_of_floats_has_one_order(gpu, dtype, step, size):
    """Bit for bit: sums of 1, then 2 or 3, ... values, divided as IEEE has it, constants kept."""
    dtype = np.dtype(dtype)
    image = noise((29, 300 * step), dtype)
    image[:, 40 * step : 80 * step] = dtype.type(0.1)
    image[:, 120 * step : 160 * step] *= np.finfo(dtype).smallest_subnormal * 1000
    image[:, 200 * step : 220 * step] = 0
    image[12, 250 * step], image[20, 270 * step] = np.inf, -np.inf
    padded = np.pad(image.reshape(29, 300, step), [(size // 2, size - size // 2 - 1)] * 2 + [(0, 0)], "symmetric")
    down = ordered_sum([padded[k : k + 29] for k in range(size)])
    with np.errstate(invalid="ignore"):
        sums = ordered_sum([down[:, k : k + 300] for k in range(size)]).reshape(image.shape)
        means = sums / dtype.type(size * size)
        tolerance = dtype.type((4 * (size.bit_length() - 1) + 1) * np.finfo(dtype).eps)
        expected = np.where(abs(means - image) <= tolerance * abs(image), image, means)
    found, band = swept(gpu, "uniform", image, (step, MODES["reflect"].code, 0.0, size, size))
    np.testing.assert_array_equal(found, expected[29 // 4 :][: len(band)])


def ordered_sum(parts):
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    with np.errstate(invalid="ignore"):
        total = ordered_sum(parts[:half]) + ordered_sum(parts[half : 2 * half])
        return total + parts[-1] if len(parts) % 2 else total


GAUSSIAN_BANDS = [("uint8", (1, 3)), ("uint8", (5, 0)), *((name, (1, 2)) for name in ("float32", "uint16", "float64"))]
GAUSSIAN_BANDS += [("float32", (0, 8)), ("int16", (5, 12)), ("float32", (12, 1))]
OTHER_BANDS = {
    "uniform": [*itertools.product(DTYPES, [(3, 3), (5, 5), (4, 3), (7, 1)])],
    "median": [*itertools.product(DTYPES, [(3, 3), (5, 5), (7, 7)])],
    "convolve": [("uint8", (5, 3)), ("float32", (4, 1)), ("float64", (1, 7))],
}


@pytest.mark.parametrize("rows", [(0, 19), (11, 30), (30, 33), (17, 50)], ids=str)
@pytest.mark.parametrize("stem", ["gaussian", *OTHER_BANDS])
def test_bands_read_no_rows_but_their_halo(gpu, stem, rows):
    """Wide enough that there are tiles inside the image; that others are not read AddressSanitizer tells."""
    for dtype, size in GAUSSIAN_BANDS if stem == "gaussian" else OTHER_BANDS[stem]:
        image = noise((50, 700), np.dtype(dtype))
        args, reach = (1, MODES["mirror"].code, 7.0), size[0] // 2
        if stem == "gaussian":
            weights = [np.full(radius + 1, 1 / (2 * radius + 1)) for radius in size]
            fixed = [np.floor(part * 65536).astype(np.uint16) for part in weights]
            args, reach = (*args, *size, *weights, *fixed, 2, 3), size[0]
        elif stem == "convolve":
            args = (*args, np.ones(size, np.int32 if dtype == "uint8" else dtype), 0)
        else:
            args = (*args, *size, *[size[0] * size[1] // 2] * (stem == "median"))
        args = [gpu.put(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        whole, band = (gpu.empty(image.shape, dtype) for _ in range(2))
        gpu.launch(stem, gpu.put(image), whole, *rows, *args)
        top, bottom = max(rows[0] - reach, 0), min(rows[1] + reach, 50)
        gpu.launch(stem, gpu.rows(gpu.put(image[top:bottom]), top, 50), band, *rows, *args)
        np.testing.assert_array_equal(gpu.get(band)[slice(*rows)], gpu.get(whole)[slice(*rows)])


def test_mean_of_bytes():
    """The quotients of the kernel for bytes, of all sums of all areas."""
    for area in range(2, 257):
        totals = np.arange(255 * area + 1, dtype=np.uint64)
        reciprocal = np.uint64(0xFFFFFF // area + 1)
        rounded = totals + np.uint64(area // 2)
        assert rounded[-1] < 1 << 16
        assert rounded[-1] * reciprocal < 1 << 32
        up, down = (((rounded - np.uint64(less)) * reciprocal >> np.uint64(24)) for less in (0, 1))
        found = up if area % 2 else down + ((up - down) & down)
        np.testing.assert_array_equal(found, np.rint(totals / area))


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_masks_as_bits(gpu, dtype, step):
    for rows, cols in ((1, 1), (9, 63), (5, 64), (17, 65), (3, 2100)):
        image = noise((rows, cols * step), dtype) % dtype.type(2)
        words = cols // 64 + 1
        bits, mask = gpu.empty((rows, words * step), np.uint64), gpu.empty(image.shape, np.uint8)
        gpu.launch("pack_mask", gpu.put(image), bits, 0, rows, step)
        padded = np.zeros((rows, step, words * 64), np.uint8)
        padded[:, :, :cols] = (image != 0).reshape(rows, cols, step).swapaxes(1, 2)
        expected = np.packbits(padded.reshape(rows, -1), axis=1, bitorder="little").view(np.uint64)
        np.testing.assert_array_equal(gpu.get(bits), expected)
        gpu.launch("unpack_mask", bits, mask, 0, rows, step)
        np.testing.assert_array_equal(gpu.get(mask), image != 0)


def peeled(mask, turns):
    """Remove pixels that have fewer than four neighbours at their edges, all at once."""
    for _ in range(turns):
        padded = np.pad(mask, 1)
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


@pytest.mark.parametrize("rounds", [3, 8, 11])
def test_thinning(gpu, rounds):
    """By a table that removes all it may, in tiles of 16 rows and 64 columns: layer by layer."""
    for rows, words in ((1, 1), (40, 3), (70, 1)):
        mask = np.random.default_rng(words).random((rows, words * 64)) < 0.995
        bits = gpu.put(np.packbits(mask, axis=1, bitorder="little").view(np.uint64))
        tiles = -(-rows // 16) * words
        changed, before = (gpu.put(np.zeros((tiles, 1), np.int64)) for _ in range(2))
        table = gpu.put(np.full(256, 3, np.uint8))
        for first in (1, 0, 0):
            source, bits = bits, gpu.empty((rows, words), np.uint64)
            before, changed = changed, before
            gpu.launch("thinning", source, bits, 0, tiles, before, first, rounds, table, 16, 1, changed)
        found = np.unpackbits(gpu.get(bits).view(np.uint8), axis=1, bitorder="little")
        np.testing.assert_array_equal(found, peeled(mask, 2 * rounds))
        assert (gpu.get(changed) == 0).all()


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32", "float64"])
def test_peak_places(gpu, kind):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 99, (43, 301)).astype(kind)
    image[::3] -= 50
    image[4] *= -0.0 if image.dtype.kind == "f" else 0
    peaks = (rng.random(image.shape) < 0.4).astype(np.uint8)
    bits = image.view(f"u{image.dtype.itemsize}")
    for mask in (peaks, np.zeros_like(peaks)):
        places, found = gpu.empty((1, image.size), np.int32), gpu.empty((1, 1), np.int64)
        gpu.launch("peak_places", gpu.put(bits), places, 0, 1, gpu.put(mask), found, "uif".index(image.dtype.kind))
        expected = np.flatnonzero(mask)
        expected = expected[np.argsort(-image.flat[expected].astype(np.float64), kind="stable")]
        np.testing.assert_array_equal(gpu.get(places)[0, : gpu.get(found)[0, 0]], expected)


def spaced(peaks, step, distance):
    kept = peaks.copy()
    for row, x in np.argwhere(peaks):
        first = max(row - distance + 1, 0)
        near = kept[first : row + 1, x % step :: step]
        col = x // step
        near = near[:, max(col - distance + 1, 0) : col + distance]
        kept[row, x] = near[:-1].sum() == 0 and near[-1, : min(col, distance - 1)].sum() == 0
    return kept


@pytest.mark.parametrize(("step", "distance"), [(1, 2), (1, 5), (3, 3), (1, 1000), (40, 2)])
def test_peak_spacing(gpu, step, distance):
    peaks = (np.random.default_rng(step).random((45, 240)) < 0.1).astype(np.uint8)
    peaks[10:40, 60:170] = 1
    there = gpu.put(peaks)
    gpu.launch("peak_spacing", there, there, 0, 1, step, distance)
    np.testing.assert_array_equal(gpu.get(there), spaced(peaks, step, distance))


@pytest.mark.parametrize("regions", [1, 2, 300, 8192, 8193])
def test_region_areas(gpu, regions):
    labels = np.random.default_rng(regions).integers(-3, regions + 3, (67, 141)).astype(np.int32)
    table = gpu.empty((regions, 1), np.uint64)
    gpu.zero(table)
    gpu.launch("region_areas", table, table, 0, 2, gpu.put(labels), 64)
    counts = np.bincount(labels[labels > 0], minlength=regions)[:regions]
    np.testing.assert_array_equal(gpu.get(table)[:, 0], counts)


# Few blocks, far rows ----------------------------------------------------------------------------------------------

# Windows that the kernels of strips take, and larger ones, which go down the columns and then along the rows.
LARGE_AND_SMALL = [
    ("minimum", (1, 1, 1, 1, 0)),
    ("minimum", (22, 22, 3, 2, 0)),
    ("minimum", (22, 22, 3, 2, 1)),
    ("uniform", (3, 3)),
    ("uniform", (7, 9)),
    ("uniform", (45, 6)),
]
DTYPES_OF_THESE = [np.dtype(name) for name in ("uint8", "float32")]


@pytest.mark.parametrize(("stem", "window"), LARGE_AND_SMALL, ids=str)
@pytest.mark.parametrize("dtype", DTYPES_OF_THESE, ids=str)
def test_fewer_blocks_than_rows(gpu, monkeypatch, dtype, stem, window):
    image = np.nan_to_num(noise((190, 70), dtype))
    args = (1, MODES["reflect"].code, 0.0, *window)
    expected = fill_band(gpu, stem, gpu.put(image), args, dtype, 70)
    for launch in (rows_launch, minimum_launch, uniform_launch):
        monkeypatch.setattr(launch, "MAX_GRID", 2)
    np.testing.assert_array_equal(fill_band(gpu, stem, gpu.put(image), args, dtype, 70), expected)


@pytest.mark.parametrize(("stem", "window"), LARGE_AND_SMALL, ids=str)
@pytest.mark.parametrize("dtype", DTYPES_OF_THESE, ids=str)
def test_rows_behind_two_thousand_million_elements(gpu, dtype, stem, window):
    image = np.nan_to_num(noise((190, 70), dtype))
    args = (1, MODES["reflect"].code, 0.0, *window)
    rows = 90 * ((1 << 31) // (90 * 70) + 1)  # sums down the columns begin anew at multiples of a window's rows
    expected = gpu.empty((190, 70), dtype)
    gpu.launch(stem, gpu.put(image), expected, 90, 135, *args)
    found = gpu.empty((190, 70), dtype)
    source, target = (gpu.rows(held, rows, 2 * rows) for held in (gpu.put(image), found))
    gpu.launch(stem, source, target, rows + 90, rows + 135, *args)
    np.testing.assert_array_equal(gpu.get(found)[90:135], gpu.get(expected)[90:135])
