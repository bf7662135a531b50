"""Thinning: every small neighbourhood, odd shapes, seams between tiles, and how many iterations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

import gpuimg
from gpuimg.filters import skeleton
from tests.conftest import assert_same
from tests.oracles import ORACLES

METHODS = ("skeletonize", "thin")
# 1xN, Nx1, empty; words and tiles that are full, and one pixel more and less.
SHAPES = [(0, 0), (0, 7), (7, 0), (1, 1), (1, 130), (130, 1), (2, 63), (64, 64), (63, 65), (129, 128), (65, 1025)]
MASKS = st.tuples(st.integers(0, 40), st.integers(0, 140)).flatmap(lambda shape: arrays.arrays(bool, shape))


def blobs(shape, sigma, seed=0):
    return ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma) > 0


def squares():
    """All squares of 4x4 pixels, apart."""
    bits = np.arange(1 << 16)[:, None] >> np.arange(16) & 1
    apart = np.pad(bits.reshape(256, 256, 4, 4).astype(bool), ((0, 0), (0, 0), (1, 0), (1, 0)))
    return apart.swapaxes(1, 2).reshape(256 * 5, 256 * 5)


@pytest.mark.parametrize("name", METHODS)
def test_all_squares_of_four_pixels(name):
    image = squares()
    assert_same(gpuimg.FILTERS[name].function(image, backend="single"), ORACLES[name](image))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_odd_shapes(backend, name, shape):
    apply = gpuimg.FILTERS[name].function
    rng = np.random.default_rng(shape[1])
    for image in (np.ones(shape, bool), np.zeros(shape, bool), *[rng.random(shape) < share for share in (0.4, 0.8)]):
        assert_same(apply(image, backend=backend), ORACLES[name](image))


@pytest.mark.parametrize("name", METHODS)
@given(mask=MASKS)
def test_any_mask(name, mask):
    assert_same(gpuimg.FILTERS[name].function(mask, backend="single"), ORACLES[name](mask))


@pytest.mark.parametrize("name", METHODS)
def test_seams_between_tiles(backend, name):
    """Regions that span several tiles of rows and columns, which settle after different numbers of rounds."""
    image = blobs((300, 1200), 12)
    image[:, 900:] &= blobs((300, 300), 2)
    image[150:, :200] = True
    assert_same(gpuimg.FILTERS[name].function(image, backend=backend), ORACLES[name](image))


def test_channels_do_not_touch(backend):
    for cols in (63, 64, 65):
        image = np.ones((20, cols, 3), np.uint8) * np.array([255, 0, 1], np.uint8)
        assert_same(gpuimg.skeletonize(image, backend=backend), ORACLES["skeletonize"](image))


@pytest.mark.parametrize("most", [1, 2, 7, 8, 9, 16, 17, 100])
def test_iterations(backend, most):
    image = blobs((150, 200), 9)
    assert_same(gpuimg.thin(image, most, backend=backend), ORACLES["thin"](image, most))


def test_skeletons_are_connected_as_the_regions_are():
    image = ndimage.binary_dilation(blobs((200, 300), 6), iterations=2)
    assert ndimage.label(gpuimg.skeletonize(image), np.ones((3, 3)))[1] == ndimage.label(image, np.ones((3, 3)))[1]


@pytest.mark.parametrize("table", [skeleton.ZHANG_SUEN, skeleton.GUO_HALL])
def test_pixels_with_four_neighbours_at_their_edges_stay(table):
    """What the kernels take for granted."""
    inner = sum(1 << skeleton.IN_RASTER_ORDER.index(name) for name in "NESW")
    assert not table[(np.arange(256) & inner) == inner].any()
    assert table.any()
