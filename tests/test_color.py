"""Colour conversions: accuracy by the scale of each channel, there and back, the corners of the cube."""

import itertools

import numpy as np
import pytest

import gpuimg
from tests.conftest import noise
from tests.oracles import ORACLES

SCALES = {"hsv": (1, 1, 1), "ycbcr": (235, 240, 240), "lab": (100, 200, 200)}
CUBE = np.array(list(itertools.product((0, 1, 2, 10, 64, 127, 128, 200, 254, 255), repeat=3)), np.uint8)[None]


@pytest.mark.parametrize("space", SCALES)
def test_within_a_millionth_of_the_channels_range(space):
    rng = np.random.default_rng(0)
    for image in (CUBE, rng.integers(0, 65536, (60, 70, 3), np.uint16), rng.random((60, 70, 3), np.float32)):
        found = gpuimg.FILTERS[f"rgb2{space}"].function(image).astype(np.float64)
        error = np.abs(found - ORACLES[f"rgb2{space}"](image.astype("f8") if image.dtype.kind == "f" else image))
        if space == "hsv":  # red lies at both ends
            error[..., 0] = np.minimum(error[..., 0], 1 - error[..., 0])
        assert (error.reshape(-1, 3).max(axis=0) <= 1e-6 * np.array(SCALES[space])).all(), error.max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("space", SCALES)
def test_there_and_back(space, dtype):
    image = np.random.default_rng(1).random((50, 61, 3)).astype(dtype)
    there = gpuimg.FILTERS[f"rgb2{space}"].function(image)
    back = gpuimg.FILTERS[f"{space}2rgb"].function(there)
    assert there.dtype == back.dtype == dtype
    # scikit-image's constants for the bend in L* fit each other to some 1e-6 only.
    tolerance = 3e-5 if space == "lab" else 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(back, image, rtol=0, atol=tolerance)


def test_known_colours():
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]]], np.uint8)
    hue, saturation, value = np.moveaxis(gpuimg.rgb2hsv(primaries)[0], -1, 0)
    np.testing.assert_allclose(hue, [0, 1 / 3, 2 / 3, 0, 0], atol=1e-7)
    np.testing.assert_array_equal(saturation, [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(value, [1, 1, 1, 1, 0])
    lightness = gpuimg.rgb2lab(primaries)[0, :, 0]
    np.testing.assert_allclose(lightness, [53.2406, 87.7351, 32.2957, 100, 0], atol=2e-4)  # Lindbloom's figures
    luma = gpuimg.rgb2ycbcr(primaries)[0, :, 0]
    np.testing.assert_allclose(luma, [81.481, 144.553, 40.966, 235, 16], atol=1e-3)


def test_greys_have_no_colour():
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert (gpuimg.rgb2hsv(greys)[..., :2] == 0).all()
    assert np.abs(gpuimg.rgb2lab(greys)[..., 1:]).max() < 0.01  # the white point's digits
    assert np.abs(gpuimg.rgb2ycbcr(greys)[..., 1:] - 128).max() < 1e-4


def test_colours_beyond_the_cube_are_cut_off():
    lab = noise((40, 50, 3), "float32") * np.float32(100)
    rgb = gpuimg.lab2rgb(lab)
    assert rgb.min() == 0
    assert rgb.max() == 1
    assert np.isfinite(rgb).all()


def test_the_least_value_of_a_signed_dtype_is_minus_one():
    image = np.full((1, 1, 3), -32768, np.int16)
    np.testing.assert_allclose(gpuimg.rgb2hsv(image)[..., 2], -1)


def test_nan_stays_in_its_pixel():
    image = np.random.default_rng(2).random((3, 40, 3)).astype(np.float32)
    image[1, 17] = np.nan
    for name in ("rgb2ycbcr", "ycbcr2rgb", "rgb2lab"):
        found = np.isnan(gpuimg.FILTERS[name].function(image)).any(axis=2)
        np.testing.assert_array_equal(np.argwhere(found), [[1, 17]])
