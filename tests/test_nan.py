"""NaN left out of windows: everywhere, nowhere, beyond borders, beside infinity."""

from typing import get_args

import numpy as np
import pytest

import gpuimg
from gpuimg import typing
from tests.conftest import assert_close, assert_same, noise
from tests.oracles import ORACLES

DTYPES = ["float32", "float64"]
CALLS = [
    ("gaussian", {"sigma": 1.2}),
    ("gaussian", {"sigma": (0, 2), "truncate": 2.5}),
    ("uniform", {"size": 3}),
    ("uniform", {"size": (4, 11)}),
    ("median", {"size": 3}),
    ("median", {"size": (9, 1)}),
    ("median", {"size": (9, 7)}),
    ("percentile", {"size": (1, 5), "percentile": 100}),
    ("percentile", {"size": 9, "percentile": 30}),
    ("percentile", {"size": (5, 3), "percentile": -70}),
]


def with_holes(shape, dtype, seed=3):
    image = noise(shape, dtype)
    image[np.random.default_rng(seed).random(shape) < 0.3] = np.nan
    image[5:17, 8:25] = np.nan
    return image


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "given"), CALLS, ids=str)
def test_numbers_alone_count(name, given, dtype, backend):
    for shape in ((40, 51), (30, 41, 3)):
        image = with_holes(shape, dtype)
        for mode in get_args(typing.Mode):
            edge = {"mode": mode, "cval": 0.75}
            found = getattr(gpuimg, name)(image, **given, **edge, nan="omit", backend=backend)
            assert np.isnan(found).any()
            assert_close(found, ORACLES[name](image, **given, **edge, nan="omit"), np.nan_to_num(image), mode)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "given"), CALLS, ids=str)
def test_nothing_beyond_the_border(name, given, dtype, backend):
    image = with_holes((40, 51), dtype)
    padded = np.pad(image, 40, constant_values=np.nan)
    found = getattr(gpuimg, name)(image, **given, mode="constant", cval=np.nan, nan="omit", backend=backend)
    expected = ORACLES[name](padded, **given, nan="omit")[40:-40, 40:-40]
    assert_close(found, expected, np.nan_to_num(image))


@pytest.mark.parametrize(("name", "given"), CALLS, ids=str)
def test_images_without_nan_are_filtered_as_ever(name, given, backend):
    for dtype in ("uint8", "int16", *DTYPES):
        image = noise((33, 20), dtype)
        plain = getattr(gpuimg, name)(image, **given, backend=backend)
        assert_same(getattr(gpuimg, name)(image, **given, nan="omit", backend=backend), plain)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "given"), CALLS, ids=str)
def test_constants_stay(name, given, dtype, backend):
    image = with_holes((40, 51), dtype)
    image[~np.isnan(image)] = 0.1
    found = getattr(gpuimg, name)(image, **given, nan="omit", backend=backend)
    numbers = ~np.isnan(image)
    assert_same(found[numbers], image[numbers])
    np.testing.assert_allclose(found[~np.isnan(found)], image.dtype.type(0.1), rtol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("name", "given"), CALLS, ids=str)
def test_nothing_but_nan(name, given, backend):
    image = np.full((9, 12), np.nan, np.float32)
    assert_same(getattr(gpuimg, name)(image, **given, nan="omit", backend=backend), image)


def test_infinity_is_a_number(backend):
    image = np.ones((9, 9), np.float32)
    image[4, 4], image[0, 0] = np.inf, np.nan
    found = gpuimg.uniform(image, 3, nan="omit", backend=backend)
    assert_same(np.isinf(found), np.pad(np.ones((3, 3), bool), 3))
    assert_same(found[~np.isinf(found)], np.ones(72, np.float32))


def test_floats_with_alpha_have_another_meaning_of_weights():
    image = noise((6, 6, 4), np.float32)
    with pytest.raises(ValueError, match="nan must be 'propagate' for floats with an alpha channel"):
        gpuimg.gaussian(image, nan="omit", alpha=True)
    colors = noise((6, 6, 4), np.uint8)
    plain = gpuimg.uniform(colors, alpha=True)
    assert_same(gpuimg.uniform(colors, nan="omit", alpha=True), plain)
