"""Local thresholds: constants, values on a pedestal, extreme magnitudes and exact sums."""

import numpy as np
import pytest

import gpuimg
from gpuimg.filters.local_thresholds import LARGEST_WINDOW
from tests.conftest import assert_same, noise
from tests.oracles import ORACLES

NAMES = ["threshold_niblack", "threshold_sauvola"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_a_constant_has_no_deviation(dtype, backend):
    value = {"uint8": 251, "uint16": 65521, "int16": -32749}.get(dtype, 0.1)
    image = np.full((11, 14), value, dtype)
    for size in (7, 15, 201):
        found = gpuimg.threshold_niblack(image, size, k=1e6, backend=backend)
        assert_same(found, image.astype(found.dtype))
    for method in ("gaussian", "mean", "median"):
        found = gpuimg.threshold_local(image, 7, method, backend=backend)
        assert_same(found, image.astype(found.dtype))


@pytest.mark.parametrize(("dtype", "pedestal"), [("uint16", 65500), ("int16", -32768), ("float64", 1e9)])
def test_a_pedestal_does_not_hide_deviations(dtype, pedestal, backend):
    small = noise((20, 30), np.uint8) % 7
    image = (small.astype(np.float64) + pedestal).astype(dtype)
    above = small.astype(np.float64)
    for size in (3, 15, 45):
        found = gpuimg.threshold_niblack(image, size, k=1000.0, backend=backend)
        deviations = ORACLES["threshold_niblack"](above, size, k=1000.0)
        np.testing.assert_allclose(found.astype(np.float64), deviations + pedestal, rtol=2e-7)


@pytest.mark.parametrize("exponent", [-1000, -600, 600, 1000])
def test_squares_neither_overflow_nor_vanish(exponent, backend):
    image = noise((20, 30), np.float64)
    scaled = image * 2.0**exponent
    found = gpuimg.threshold_niblack(scaled, 5, backend=backend)
    assert_same(found, gpuimg.threshold_niblack(image, 5, backend=backend) * 2.0**exponent)


def test_squares_of_float32_neither_overflow_nor_vanish(backend):
    image = noise((20, 30), np.float32)
    for exponent in (-100, 100):
        found = gpuimg.threshold_niblack(image * np.float32(2.0**exponent), 5, backend=backend)
        assert_same(found, gpuimg.threshold_niblack(image, 5, backend=backend) * np.float32(2.0**exponent))


@pytest.mark.parametrize("name", NAMES)
def test_the_largest_window_is_exact(name):
    image = np.full((16, 16), 65535, np.uint16)
    image[::2] = 65534
    image[0, 0] = 0
    actual = getattr(gpuimg, name)(image, LARGEST_WINDOW, k=100.0, backend="single")
    np.testing.assert_allclose(actual, ORACLES[name](image, LARGEST_WINDOW, k=100.0), rtol=3e-7)


def test_means_of_16_bits_are_exact_on_every_backend(backend):
    image = noise((50, 60), np.uint16)
    for size in (5, 41):
        found = gpuimg.threshold_local(image, size, "mean", backend=backend)
        assert_same(found, ORACLES["uniform"](image.astype(np.float64), size).astype(np.float32))


def test_thresholds_separate_writing_from_paper(backend):
    paper = np.linspace(120, 240, 64)[None] * np.ones((48, 1))
    written = np.zeros(paper.shape, bool)
    written[20:23, 5:60] = written[8:40, 30:33] = True
    image = np.where(written, paper - 60, paper).astype(np.uint8)
    found = image < gpuimg.threshold_sauvola(image, 25, backend=backend)
    assert_same(found, written)
