"""Grey values: powers over the whole range of floats, and what must not be raised to one."""

from fractions import Fraction

import numpy as np
import pytest
from skimage import data, exposure

import gpuimg
from gpuimg.backend.compiled import DONE, prepare
from tests.conftest import assert_same, noise
from tests.oracles import ORACLES


@pytest.mark.parametrize("gamma", [0, 0.1, 0.4545, 1, 1.7, 2.2, 30])
def test_powers_of_floats_are_right_but_for_the_last_bit(gamma):
    values = np.concatenate([np.geomspace(1e-45, 3e38, 20001), np.linspace(0, 2, 20001), [0, 1, np.inf]])
    image = values.astype(np.float32)[None]
    found = gpuimg.adjust_gamma(image, gamma, 1.5)
    with np.errstate(over="ignore"):
        expected = 1.5 * image.astype(np.float64) ** gamma
        ends = np.nextafter(expected.astype(np.float32), -np.inf), np.nextafter(expected.astype(np.float32), np.inf)
    assert ((found >= ends[0]) & (found <= ends[1])).all()


def test_powers_of_nan():
    image = np.array([[np.nan, 2]], np.float32)
    assert_same(gpuimg.adjust_gamma(image, 2), np.array([[np.nan, 4]], np.float32))
    assert_same(gpuimg.adjust_gamma(image, 0), np.ones((1, 2), np.float32))  # as in NumPy


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_there_are_no_powers_of_negative_values(dtype, backend):
    image = np.ones((40, 30), dtype)
    image[39, 29] = -3
    with pytest.raises(ValueError, match="image must not have negative values, the minimum is -3"):
        gpuimg.adjust_gamma(image, 2, backend=backend)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_the_ends_of_the_range_stay(dtype):
    top = np.iinfo(dtype).max
    image = np.array([[0, top]], dtype)
    for gamma in (0.3, 1, 5):
        assert_same(gpuimg.adjust_gamma(image, gamma), image)
    assert_same(gpuimg.adjust_gamma(image, 1, 3), image)  # saturated, where scikit-image wraps round


def test_a_named_range_is_that_of_the_result(backend):
    image = np.array([[0, 64, 128, 255]], np.uint8)
    found = gpuimg.rescale_intensity(image, out_range="uint16", backend=backend)
    assert_same(found, np.array([[0, 16448, 32896, 65535]], np.uint16))
    found = gpuimg.rescale_intensity(image, out_range="float64", backend=backend)
    assert_same(found.round(15), (image / 255).round(15))
    for bits in (10, 12, 14):
        name, deep = f"uint{bits}", np.array([[0, 1, 2 ** (bits - 1), 2**bits - 1]], np.uint16)
        found = gpuimg.rescale_intensity(image, out_range=name, backend=backend)
        assert_same(found, np.round(image / 255 * (2**bits - 1)).astype(np.uint16), name)
        assert_same(gpuimg.rescale_intensity(deep, out_range=name, backend=backend), deep, name)
        found = gpuimg.rescale_intensity(deep, in_range=name, out_range="float64", backend=backend)
        assert_same(found.round(15), (deep / (2**bits - 1)).round(15), name)
    found = gpuimg.rescale_intensity(image.astype(np.float64), in_range="uint8", out_range="uint8", backend=backend)
    assert_same(found, image)
    for given in (np.uint16, np.dtype("uint16")):
        assert_same(gpuimg.rescale_intensity(image, out_range=given, backend=backend), image.astype(np.uint16) * 257)


@pytest.mark.parametrize(
    "value",
    [*map(np.float32, (65537, 1e20, -1e38)), 1e20, -1e300, *(sign * np.finfo(np.float64).max for sign in (1, -1))],
    ids=repr,
)
def test_constants_far_from_zero_have_bins(value, backend):
    image = np.full((5, 6), value)
    found = gpuimg.threshold_otsu(image, backend=backend)
    assert found == value
    assert found.dtype == image.dtype
    counts, edges = gpuimg.histogram(image, backend=backend)
    assert counts.max() == 30
    place = counts.argmax()
    assert edges[place] <= value <= edges[place + 1]
    assert np.ptp(gpuimg.equalize_hist(image, backend=backend)) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", [1, -1, 3e30, 1e-30])
@pytest.mark.parametrize("steps", [1, 2, 84, 255, 256, 257])
def test_two_values_close_together(dtype, start, steps, backend):
    low = np.array(start, dtype)
    high = low + steps * np.abs(np.spacing(low))
    image = np.tile(np.array([low, high]), (4, 5))
    level = gpuimg.threshold_otsu(image, backend=backend)
    assert_same(gpuimg.threshold(image, level, backend=backend), image > low)
    counts, edges = gpuimg.histogram(image, backend=backend)
    assert_same(counts, np.histogram(image.astype(np.float64), edges.astype(np.float64))[0])
    assert sorted(counts[counts > 0]) == [20, 20]
    even = gpuimg.equalize_hist(image, backend=backend)
    assert (even[:, ::2] < even[:, 1::2]).all()


def test_a_threshold_for_each_pixel(backend):
    """RGBA and stacks; alpha has none."""
    image, values = noise((2, 9, 31, 4), np.uint8), noise((2, 9, 31, 4), np.uint8, 1)
    assert_same(gpuimg.threshold(image, values, axes="NYXC", backend=backend), image > values)
    turned, limits = (np.moveaxis(each, 3, 1) for each in (image, values))
    assert_same(gpuimg.threshold(turned, limits, axes="NCYX", backend=backend), turned > limits)
    found = gpuimg.threshold(image[0], values[0], alpha=True, backend=backend)
    assert_same(found, (image > values)[0, ..., :3])
    holes = np.array([[1, np.nan, np.inf, 1]], np.float32)
    found = gpuimg.threshold(holes, np.array([[np.nan, 1, 1, 1]], np.float32), backend=backend)
    assert_same(found, np.array([[False, False, True, False]]))
    for number in (np.array(100), np.float32(99.5), Fraction(199, 2)):
        assert_same(gpuimg.threshold(image[0], number, backend=backend), image[0] >= 100 + (number == 100))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_thresholds_may_be_floats(dtype, kind, backend):
    image = noise((9, 31), dtype)
    limits = np.roll(image, 1, axis=1).astype(kind)
    limits[::2] += 0.5
    assert_same(gpuimg.threshold(image, limits, backend=backend), image > limits)
    local = gpuimg.threshold_local(image, 5, backend=backend)
    assert_same(gpuimg.threshold(image, local, backend=backend), image > local)


@pytest.mark.parametrize("bins", [256, 1 << 16, (1 << 16) + 1])  # where neighbours are counted apart, and where not
def test_many_bins_are_counted_as_few(bins, backend):
    image = np.random.default_rng(3).normal(size=(90, 71)).astype(np.float32)
    counts, edges = gpuimg.histogram(image, bins, backend=backend)
    expected, where = np.histogram(image, bins)
    assert_same(counts, expected)
    assert_same(edges, where)


def test_bins_of_bytes_are_those_of_numpy_each_time():
    random = np.random.default_rng(6)
    for bins in (1, 2, 7, 100, 255, 256, 257, 1000):
        for low, high in ((0, 255), (17, 17), (3, 4), (0, 200), (90, 255)):
            image = random.integers(low, high + 1, (5, 9), dtype=np.uint8)
            for _ in range(2):
                counts, edges = gpuimg.histogram(image, bins, backend="single")
                expected, where = np.histogram(image, bins)
                assert_same(counts, expected)
                assert_same(edges, where)
                edges[:] = 0  # the caller's own


def test_histograms_are_matched_with_a_picture_of_another_size(backend):
    rng = np.random.default_rng(0)
    dark, bright = rng.integers(0, 90, (50, 61, 3), np.uint8), rng.integers(150, 250, (33, 20, 3), np.uint8)
    found = gpuimg.match_histograms(dark, bright, backend=backend)
    assert found.shape == dark.shape
    np.testing.assert_allclose(found.mean(axis=(0, 1)), bright.mean(axis=(0, 1)), atol=1.5)
    assert_same(gpuimg.match_histograms(dark, dark, backend=backend), dark)
    for axes in ("CYX", "YXC"):
        turned = dark.transpose([("YXC").index(letter) for letter in axes])
        other = bright.transpose([("YXC").index(letter) for letter in axes])
        made = gpuimg.match_histograms(turned, other, axes=axes, backend=backend)
        assert_same(made, found.transpose([("YXC").index(letter) for letter in axes]))
    stack = np.stack((dark[..., 0], dark[..., 1]))
    one = gpuimg.match_histograms(stack, bright[..., 0], axes="NYX", backend=backend)
    assert_same(one[1], gpuimg.match_histograms(dark[..., 1], bright[..., 0]))
    each = gpuimg.match_histograms(stack, np.stack((bright[..., 1], bright[..., 2])), axes="NYX", backend=backend)
    assert_same(each[1], gpuimg.match_histograms(dark[..., 1], bright[..., 2]))


def test_references_that_do_not_fit():
    image, colors = np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="reference must have the image's number of channels, 1, got 3"):
        gpuimg.match_histograms(image, colors)
    with pytest.raises(ValueError, match="reference must not be empty"):
        gpuimg.match_histograms(image, image[:0])
    with pytest.raises(TypeError, match="reference must have one of the dtypes uint8"):
        gpuimg.match_histograms(image, image.astype(np.uint16))
    with pytest.raises(TypeError, match="image must have one of the dtypes"):
        gpuimg.match_histograms(image.astype(np.float32), image.astype(np.float32))


def test_alpha_has_no_part_in_matching():
    rng = np.random.default_rng(1)
    image, reference = rng.integers(0, 256, (20, 30, 4), np.uint8), rng.integers(0, 99, (9, 8, 4), np.uint8)
    plain = gpuimg.match_histograms(image[..., :3].copy(), reference[..., :3].copy())
    for given in (reference, reference[..., :3].copy()):
        found = gpuimg.match_histograms(image, given, alpha=True)
        assert_same(found[..., :3], plain)
        assert_same(found[..., 3], image[..., 3])


PICTURE = data.camera()[::2, 1::2]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize(
    "given", [{}, {"kernel_size": (100, 31), "clip_limit": 0.03}, {"clip_limit": 0.002}, {"kernel_size": 9}], ids=str
)
def test_adaptive_equalising_is_scikit_images(given, dtype):
    low, high = (0, 1) if np.dtype(dtype).kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    image = (PICTURE.astype(float) * (64 if high > 1 else 1 / 255)).astype(dtype) if high != 255 else PICTURE
    found = gpuimg.equalize_adapthist(image, **given)
    assert found.dtype == image.dtype
    assert found.min() == low
    assert found.max() == pytest.approx(high, abs=1e-6)
    expected = exposure.equalize_adapthist(image, **given)
    shares = (found.astype(float) - low) / (float(high) - low)
    rounding = 0 if high == 1 else 0.5 / (float(high) - low)
    assert np.abs(shares - expected).max() < 0.0005 + rounding
    assert np.abs(shares - expected).mean() < 0.0001 + rounding


def test_adaptive_equalising_of_what_is_constant_or_tiny(backend):
    for image in (np.full((9, 8), 7, np.uint8), np.full((9, 8), 0.3), np.array([[5]], np.int16), np.zeros((1, 9, 3))):
        top = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
        assert_same(gpuimg.equalize_adapthist(image, backend=backend), np.full_like(image, top))


@pytest.mark.parametrize(("scale", "start"), [(2.0**-149, 0), (1e-30, -99), (2.6e36, -128)], ids=str)
def test_adaptive_equalising_of_floats_of_any_range(scale, start, backend):
    levels = PICTURE[:50, :40].astype(np.float64)
    expected = gpuimg.equalize_adapthist(levels, backend=backend)
    found = gpuimg.equalize_adapthist(((levels + start) * scale).astype(np.float32), backend=backend)
    assert np.isfinite(found).all()
    assert np.abs(found - expected).mean() < 0.001


def test_tiles_of_adaptive_equalising_are_of_the_image_at_most(backend):
    image = PICTURE[:40, :50]
    expected = gpuimg.equalize_adapthist(image, (40, 50), backend=backend)
    assert_same(gpuimg.equalize_adapthist(image, 1 << 30, backend=backend), expected)
    assert_same(gpuimg.equalize_adapthist(image, (400, 50), backend=backend), expected)


def test_tiles_of_adaptive_equalising_are_not_too_many():
    with pytest.raises(
        ValueError, match=r"kernel_size must be larger for an image of shape \(300, 400\): \(1, 1\) makes"
    ):
        gpuimg.equalize_adapthist(np.zeros((300, 400), np.uint8), 1)
    for wrong in (0, (3, 0), (1, 2, 3)):
        with pytest.raises(ValueError, match="kernel_size"):
            gpuimg.equalize_adapthist(PICTURE, wrong)
    for limit in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="clip_limit"):
            gpuimg.equalize_adapthist(PICTURE, clip_limit=limit)


def test_adaptive_equalising_filters_each_channel(backend):
    image = np.dstack([PICTURE[:60, :70], PICTURE[60:120, 70:140], PICTURE[:60, 90:160]])
    found = gpuimg.equalize_adapthist(image, backend=backend)
    for channel in range(3):
        assert_same(found[..., channel], gpuimg.equalize_adapthist(image[..., channel], backend=backend))


@pytest.mark.parametrize("cols", [63, 64, 65])
def test_tables_are_blended_alike_in_narrow_and_wide_tiles(cols, backend):
    image = np.random.default_rng(1).integers(0, 256, (70, 150), np.uint8)
    for limit in (0, 0.003, 0.02):
        expected = ORACLES["equalize_adapthist"](image, (20, cols), limit)
        assert_same(gpuimg.equalize_adapthist(image, (20, cols), limit, backend=backend), expected)


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
@pytest.mark.parametrize("bins", [1, 2, 7, 256, 1000, 70000])
def test_bins_of_wide_integers_are_numpys(dtype, bins):
    rng = np.random.default_rng(bins)
    info = np.iinfo(dtype)
    for low, high, count in ((info.min, info.max, 5000), (-300 if info.min else 0, 700, 900), (5, 5, 3), (17, 19, 8)):
        image = rng.integers(low, high, (1, count), dtype, endpoint=True)
        counts, edges = gpuimg.histogram(image, bins)
        expected, expected_edges = np.histogram(image, bins)
        np.testing.assert_array_equal(counts, expected)
        np.testing.assert_array_equal(edges, expected_edges)


@pytest.mark.parametrize("source", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("result", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize(
    ("low", "high", "factor", "least"),
    [
        (10, 200, 1.3, 0.0),
        (0, 255, 1.0, 0.5),
        (3, 90, -0.7, 200.0),
        (7, 7, 0.0, 5.0),
        (10.5, 200.25, 1.3, 0.0),  # not integers
        (-40000, 70000, 0.01, 1.0),  # beyond the image's dtype
        (10, 200, 900.0, -100.0),  # beyond the result's
    ],
)
def test_integers_are_spread_as_floats_are(source, result, low, high, factor, least):
    limits = np.iinfo(source)
    image = np.random.default_rng(0).integers(limits.min, limits.max, (9, 77), source, endpoint=True)
    image[0, :70] = np.arange(70)
    numbers = np.float32([low, high, factor, least])
    exact = (np.clip(image.astype(np.float32), *numbers[:2]) - numbers[0]) * numbers[2] + numbers[3]
    expected = np.clip(np.rint(exact), np.iinfo(result).min, np.iinfo(result).max).astype(result)
    made = np.empty(image.shape, result)
    code, packed = prepare("rescale", image, made, (float(low), float(high), 1.0, factor, least))
    assert code.call(packed.address, 0, len(image)) == DONE
    np.testing.assert_array_equal(made, expected)
