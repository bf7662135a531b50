"""Thresholds chosen by histograms: those of scikit-image on photos, the best there are, and ranges of every size."""

from itertools import combinations

import numpy as np
import pytest
from skimage import data, filters

import gpuimg
from tests.conftest import LEVELS, assert_same
from tests.oracles import ORACLES

PHOTOS = ("camera", "coins", "moon", "page", "text", "clock")
SINGLE = sorted(LEVELS - {"threshold_multiotsu"})


def photo(name, dtype):
    """One with more values than 256, except as bytes."""
    image = getattr(data, name)()
    dtype = np.dtype(dtype)
    if dtype == np.uint8:
        return image
    fine = image + np.random.default_rng(0).random(image.shape)
    return (fine * 16).astype(dtype) if dtype.kind in "ui" else (fine / 256).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("image", PHOTOS)
@pytest.mark.parametrize("name", ["threshold_li", "threshold_triangle", "threshold_yen"])
def test_thresholds_of_photos_are_scikit_images(name, image, dtype):
    image = photo(image, dtype)
    found, expected = gpuimg.FILTERS[name].function(image), getattr(filters, name)(image)
    if name == "threshold_li" and image.dtype.kind == "f":  # it rounds to 65536 levels
        assert abs(found - expected) < 4 * np.ptp(image) / 65536
    else:
        assert found == expected


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("image", PHOTOS)
def test_classes_of_photos_are_scikit_images(image, dtype, classes):
    image = photo(image, dtype)
    assert_same(gpuimg.threshold_multiotsu(image, classes), filters.threshold_multiotsu(image, classes).astype(dtype))


@pytest.mark.parametrize("name", PHOTOS)
def test_two_classes_are_otsus(name):
    for dtype in ("uint8", "uint16", "int16", "float32"):
        image = photo(name, dtype)
        assert_same(gpuimg.threshold_multiotsu(image, 2), np.array([gpuimg.threshold_otsu(image)]))


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 9])
def test_no_other_thresholds_divide_better(classes):
    """Of few values all divisions are tried, in whole numbers; of those that are as good, the first is found."""
    rng = np.random.default_rng(classes)
    for size in (classes, 9, 11, 14):
        values = np.sort(rng.choice(60, size, replace=False))
        image = np.repeat(values, rng.integers(1, 9, size)).astype(np.int16)[None]
        found = gpuimg.threshold_multiotsu(image, classes)
        best = max(combinations(values[:-1], classes - 1), key=lambda levels: between(image, levels))
        assert between(image, found) == pytest.approx(between(image, best), rel=1e-14)


def between(image, levels):
    """The variance between classes, but for constants."""
    place = np.digitize(image, levels, right=True)
    parts = [image[place == number].astype(float) for number in range(len(levels) + 1)]
    return sum(part.sum() ** 2 / part.size for part in parts)


def test_many_values_and_classes(backend):
    image = np.random.default_rng(1).normal(30000, 9000, (60, 50)).clip(0, 65535).astype(np.uint16)
    for classes in (3, 8):
        found = gpuimg.threshold_multiotsu(image, classes, backend=backend)
        assert_same(found, ORACLES["threshold_multiotsu"](image, classes))


def test_equal_divisions_give_the_first():
    assert_same(gpuimg.threshold_multiotsu(np.array([[0, 1, 2, 3]], np.uint8), 3), np.array([0, 1], np.uint8))
    assert_same(gpuimg.threshold_multiotsu(np.array([[0, 10, 20]], np.uint8), 2), np.array([0], np.uint8))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_fewer_values_than_classes(dtype, backend):
    image = np.array([[3, 3, 70, 70]], dtype)
    assert gpuimg.threshold_multiotsu(image, 2, backend=backend)[0] == pytest.approx(3, abs=0.2)
    with pytest.raises(ValueError, match="classes must be at most 2, the number of non-empty bins, got 3"):
        gpuimg.threshold_multiotsu(image, backend=backend)
    with pytest.raises(ValueError, match="classes must be at most 1"):
        gpuimg.threshold_multiotsu(image[:, :1], 2, backend=backend)


@pytest.mark.parametrize("value", [0, -7, 65537.5, -1e38, np.finfo(np.float64).max, 5e-324])
@pytest.mark.parametrize("name", SINGLE)
def test_a_constant_is_its_own_threshold(name, value, backend):
    for dtype in ("int16", "float32", "float64"):
        with np.errstate(over="ignore", invalid="ignore"):
            image = np.full((5, 6), value).astype(dtype)
        if np.isfinite(image).all():
            assert gpuimg.FILTERS[name].function(image, backend=backend) == image[0, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", [0, 1, -1, 3e30, -1e-30])
@pytest.mark.parametrize("steps", [1, 2, 255, 70000])
@pytest.mark.parametrize("name", ["threshold_li", "threshold_otsu", "threshold_yen"])
def test_two_values_are_told_apart(name, start, steps, dtype, backend):
    """However close together they are; a triangle between equal peaks has no bin below its line."""
    low = np.array(start, dtype)
    image = np.tile(np.array([low, low + steps * np.abs(np.spacing(low))]), (4, 5))
    level = gpuimg.FILTERS[name].function(image, backend=backend)
    assert level.dtype == dtype
    assert_same(gpuimg.threshold(image, level, backend=backend), image > low)


@pytest.mark.parametrize("scale", [1e-317, 1e-300, 1, 1e300, 1.7e308])
@pytest.mark.parametrize("name", sorted(LEVELS))
def test_thresholds_scale_with_the_image(name, scale, backend):
    image = np.random.default_rng(5).beta(2, 5, (40, 50))
    image = (image - image.min()) / np.ptp(image)
    found = gpuimg.FILTERS[name].function(image * scale, backend=backend)
    np.testing.assert_allclose(found, scale * gpuimg.FILTERS[name].function(image), rtol=0.02)


def test_the_whole_range_of_floats(backend):
    most = np.finfo(np.float64).max
    image = np.array([[-most, -most, most / 2, most]])
    for name in SINGLE:
        level = gpuimg.FILTERS[name].function(image, backend=backend)
        assert -most <= level < most


def test_the_first_guess_decides_between_minima(backend):
    image = np.repeat([10, 100, 246], [5000, 5000, 300])
    image = (image + np.random.default_rng(0).integers(0, 9, image.size)).astype(np.uint8).reshape(-1, 100)
    for kind in ("uint8", "int16", "float64"):
        guesses = [gpuimg.threshold_li(image.astype(kind), initial_guess=guess, backend=backend) for guess in (14, 200)]
        expected = [filters.threshold_li(image.astype(kind), initial_guess=guess) for guess in (14, 200)]
        np.testing.assert_allclose(guesses, expected, rtol=0, atol=0 if kind != "float64" else 0.01)
    assert guesses[0] != guesses[1]


def test_a_large_tolerance_ends_early():
    image = photo("camera", "uint8")
    for tolerance in (0.1, 2, 50, 1e9):
        found = gpuimg.threshold_li(image, tolerance=tolerance)
        assert found == filters.threshold_li(image, tolerance=tolerance)
    for tolerance in (0.01, 1e9):
        level = gpuimg.threshold_li(image / 255, tolerance=tolerance)
        assert level == pytest.approx(filters.threshold_li(image / 255, tolerance=tolerance), abs=1e-4)
    assert gpuimg.threshold_li(image / 1e300, tolerance=1e300) == pytest.approx(found / 1e300, rel=1e-4)


@pytest.mark.parametrize("name", sorted(LEVELS))
def test_stacks_and_alpha(name, backend):
    stack = np.random.default_rng(2).integers(0, 256, (3, 12, 15, 2), np.uint8)
    function = gpuimg.FILTERS[name].function
    assert_same(function(stack, axes="NYXC", backend=backend), np.array([function(image) for image in stack]))
    assert_same(function(stack[0], alpha=True, backend=backend), function(np.ascontiguousarray(stack[0, ..., 0])))


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
@pytest.mark.parametrize("levels", [2, 3, 40, 300])
def test_otsu_of_few_values_of_many(dtype, levels):
    rng = np.random.default_rng(levels)
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max, levels, dtype)
    image = rng.choice(values, (40, 50))
    counts = np.bincount(image.ravel().astype(np.int64) - image.min())
    found = np.flatnonzero(counts)
    variances = []
    for last in found[:-1]:
        dark, bright = counts[: last + 1], counts[last + 1 :]
        means = [
            (part * (np.arange(len(part)) + first)).sum() / part.sum()
            for part, first in ((dark, 0), (bright, last + 1))
        ]
        variances.append(float(dark.sum()) * float(bright.sum()) * (means[0] - means[1]) ** 2)
    assert gpuimg.threshold_otsu(image) == found[np.argmax(variances)] + image.min()
