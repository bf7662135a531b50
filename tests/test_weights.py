"""Weighted sums: a weight of zero touches nothing."""

import numpy as np
import pytest

import gpuimg
from tests.conftest import assert_same
from tests.oracles import NUMPY_MODES

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
PIXELS = pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
BAD = pytest.mark.parametrize("bad", [np.nan, np.inf])


@FLOATS
@BAD
def test_a_sample_without_weight_does_not_touch_a_resized_image(dtype, bad, backend):
    image = np.array([[0, 1, bad, 3, 4]], dtype)
    for turned in (False, True):
        for channels in (None, 3):
            row = image if channels is None else np.repeat(image[..., None], channels, axis=2)
            found = gpuimg.resize(
                row.swapaxes(0, 1) if turned else row, (15, 1) if turned else (1, 15), backend=backend
            )
            found = found.ravel()[:: channels or 1]
            assert_same(found[[4, 10]], np.array([1, 3], dtype))
            assert_same(found[7], np.array(bad, dtype)[()])
            assert np.isfinite(found[:5]).all()
    wide = np.tile(image, (3, 40))
    found = gpuimg.resize(wide, (9, 600), backend=backend)
    assert_same(found[1::3, 1::3], wide)


def test_samples_are_halved_exactly():
    image = np.random.default_rng(0).normal(size=(7, 11))
    assert_same(gpuimg.resize(image, (21, 33), backend="single")[1::3, 1::3], image)


@FLOATS
@BAD
def test_truncated_weights_of_zero(dtype, bad, backend):
    image = np.ones((1, 101), dtype)
    image[0, 0] = bad
    reach = 15 if dtype == "float32" else 39  # standard deviations at which the weights vanish
    near = gpuimg.gaussian(image, (0, 1), truncate=100, mode="nearest", backend=backend)
    far = gpuimg.gaussian(image, (0, 1), truncate=8, mode="nearest", backend=backend)
    assert not np.isfinite(near[0, :8]).any()
    assert np.isfinite(near[0, reach:]).all()
    np.testing.assert_allclose(near[0, reach:], far[0, reach:], rtol=1e-6)


@FLOATS
@BAD
def test_images_without_weight(dtype, bad, backend):
    image, other = np.full((6, 9), 3, dtype), np.full((6, 9), 5, dtype)
    spoilt = image.copy()
    spoilt[2, 3] = bad
    assert_same(gpuimg.blend(image, spoilt, 0, backend=backend), image)
    assert_same(gpuimg.blend(spoilt, other, 1, backend=backend), other)
    assert_same(gpuimg.unsharp_mask(spoilt, amount=0, backend=backend), spoilt)


@FLOATS
@BAD
def test_channels_without_weight(dtype, bad, backend):
    image = np.full((6, 9, 3), 0.5, dtype)
    for channel in range(3):
        spoilt = image.copy()
        spoilt[..., channel] = bad
        weights = np.full(3, 0.5)
        weights[channel] = 0
        assert_same(gpuimg.rgb2gray(spoilt, weights, backend=backend), image[..., 0])


@FLOATS
def test_a_corner_response_without_trace(dtype, backend):
    image = np.zeros((15, 15), dtype)
    image[:, 7:] = 1e15 if dtype == "float32" else 1e100  # the fourth power overflows
    assert_same(gpuimg.corner_harris(image, k=0, mode="nearest", backend=backend), np.zeros_like(image))


@FLOATS
@BAD
def test_an_edge_beside_what_is_not_a_number(dtype, bad, backend):
    """The gradient is vertical: its neighbours on both sides have no weight."""
    image = np.zeros((20, 30), dtype)
    image[9, :] = 0.6
    image[10:, :] = 1
    image[:, 20] = bad
    found = gpuimg.canny(image, 0, 0.5, 1, mode="nearest", backend=backend)
    image[:, 20] = image[:, 19]
    expected = gpuimg.canny(image, 0, 0.5, 1, mode="nearest", backend="single")
    assert expected[:, 18].any()
    assert_same(found[:, 1:19], expected[:, 1:19])


CONSTANTS = (1.0, 1 / 3, -0.1, 1.7e-30, 3e25)


@FLOATS
@pytest.mark.parametrize("mode", ["reflect", "wrap"])
@pytest.mark.parametrize("sigma", [0.5, 1, 3, (2, 12)])
def test_gaussians_of_a_constant(dtype, mode, sigma, backend):
    for value in CONSTANTS:
        for shape in ((23, 19), (9, 70, 3)):
            image = np.full(shape, value, dtype)
            assert_same(gpuimg.gaussian(image, sigma, mode=mode, backend=backend), image)


@FLOATS
@pytest.mark.parametrize("size", [2, 3, 5, 15, (3, 40)])
def test_means_of_a_constant(dtype, size, backend):
    for value in CONSTANTS:
        image = np.full((23, 47), value, dtype)
        assert_same(gpuimg.uniform(image, size, backend=backend), image)


@FLOATS
def test_a_gaussian_is_constant_where_the_image_is(dtype, backend):
    image = np.full((40, 50), 1 / 3, dtype)
    image[:5, :6] = np.linspace(0, 1, 30).reshape(5, 6)
    found = gpuimg.gaussian(image, 1.5, backend=backend)
    assert_same(found[11:], image[11:])
    assert_same(found[:, 12:], image[:, 12:])
    assert (found[:5, :6] != image[:5, :6]).all()


@FLOATS
@pytest.mark.parametrize("shape", [(3, 3), (17, 60), (30, 29), (80, 70)])
@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("order", [3, "lanczos"])
def test_resized_constants_stay(dtype, shape, smooth, order, backend):
    """Although there are negative weights."""
    for value in CONSTANTS:
        found = gpuimg.resize(np.full((31, 43), value, dtype), shape, order, smooth, backend=backend)
        assert_same(found, np.full(shape, value, dtype))


@FLOATS
@BAD
@pytest.mark.parametrize("order", [3, "lanczos"])
def test_a_sample_on_which_a_kernel_is_zero(dtype, bad, order, backend):
    """Every third sample of the result lies on one of the image, every other's kernel begins and ends between two."""
    image = np.random.default_rng(1).random((11, 43)).astype(dtype)
    image[4, 20] = bad
    found = gpuimg.resize(image, (33, 129), order, backend=backend)
    assert_same(found[1::3, 1::3], image)
    reach = 2 if order == 3 else 3
    away = np.ones(found.shape, bool)
    away[13 - 3 * reach + 1 : 13 + 3 * reach, 61 - 3 * reach + 1 : 61 + 3 * reach] = False
    assert_same(np.isfinite(found) | ~away, np.ones(found.shape, bool))
    assert not np.isfinite(found[12:15, 60:63]).any()


@pytest.mark.parametrize("order", [3, "lanczos"])
def test_what_overshoots(order, backend):
    """Beside an edge floats do, and integers saturate."""
    image = np.zeros((20, 40))
    image[:, 20:] = 255
    found = gpuimg.resize(image, (40, 80), order, backend=backend)
    assert found.min() < -5
    assert found.max() > 260
    for dtype in ("uint8", "uint16", "int16"):
        low, high = (0, 255) if dtype == "uint8" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        scaled = image / 255 * (high - low) + low
        whole = gpuimg.resize(scaled.astype(dtype), (40, 80), order, backend=backend)
        expected = np.clip(found / 255 * (high - low) + low, low, high)
        assert np.abs(whole - expected).max() <= 1
        assert (whole.min(), whole.max()) == (low, high)


@FLOATS
@pytest.mark.parametrize("shape", [(3, 3), (17, 60), (30, 29), (80, 70)])
@pytest.mark.parametrize("smooth", [True, False])
def test_resized_images_stay_in_their_range(dtype, shape, smooth, backend):
    for value in CONSTANTS:
        found = gpuimg.resize(np.full((31, 43), value, dtype), shape, anti_aliasing=smooth, backend=backend)
        assert_same(found, np.full(shape, value, dtype))
    rng = np.random.default_rng(0)
    for few in (0.02, 0.1):
        image = np.where(rng.random((31, 43, 3)) < few, rng.random((31, 43, 3)), 1).astype(dtype)
        found = gpuimg.resize(image, shape, anti_aliasing=smooth, backend=backend)
        assert image.min() <= found.min() <= found.max() <= 1


@FLOATS
def test_the_range_of_a_resized_image_may_be_infinite(dtype, backend):
    image = np.ones((30, 30), dtype)
    image[4, 4], image[9], image[20, 3] = np.nan, np.inf, -np.inf
    found = gpuimg.resize(image, (30, 45), backend=backend)
    assert np.isnan(found).sum() >= 1
    assert (found[9] == np.inf).all()
    assert found[20].min() == -np.inf
    assert_same(found[25:], np.ones((5, 45), dtype))


@PIXELS
def test_rows_smoothed_together_are_those_smoothed_alone(dtype, backend):
    """Many rows at a time stand side by side, a single one does not."""
    random = np.random.default_rng(7)
    for shape in ((40, 333), (67, 41, 3)):
        image = (random.random(shape) * 250).astype(dtype)
        found = gpuimg.gaussian(image, (0, 5), backend=backend)
        for row in (0, 17, 31, 32, 39):
            assert_same(found[row : row + 1], gpuimg.gaussian(image[row : row + 1], (0, 5), backend=backend))


@PIXELS
@pytest.mark.parametrize("mode", ["reflect", "nearest", "mirror", "wrap"])
@pytest.mark.parametrize("sigma", [(8, 2), (8, 5)])
def test_strips_of_wide_images(dtype, mode, sigma):
    random = np.random.default_rng(7)
    rows, reach = 40, 20
    for step, cols in ((1, 9601), (3, 3201)):
        image = (random.random((rows, cols, step)) * 250).astype(dtype)
        found = gpuimg.gaussian(image, sigma, mode=mode, backend="single")
        padded = np.pad(image, ((0, 0), (reach, reach), (0, 0)), NUMPY_MODES[mode])
        for first in range(0, cols, 260):
            part = padded[:, first : first + 260 + 2 * reach]
            expected = gpuimg.gaussian(np.ascontiguousarray(part), sigma, mode=mode, backend="single")
            assert_same(found[:, first : first + 260], expected[:, reach:-reach])


@PIXELS
def test_strips_beside_a_constant(dtype):
    image = (np.random.default_rng(7).random((40, 9601)) * 250).astype(dtype)
    options = {"sigma": (8, 5), "mode": "constant", "cval": 7, "backend": "single"}
    found = gpuimg.gaussian(image, **options)
    assert_same(found[:, :300], gpuimg.gaussian(np.ascontiguousarray(image[:, :320]), **options)[:, :300])
    assert_same(found[:, -300:], gpuimg.gaussian(np.ascontiguousarray(image[:, -320:]), **options)[:, -300:])
