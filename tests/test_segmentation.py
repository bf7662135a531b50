"""The watershed: against scikit-image where neighbours do not tie, and in cases that can be told by hand."""

import numpy as np
import pytest
from skimage import segmentation

import gpuimg
from gpuimg import stopping
from gpuimg.backend.compiled import DONE, prepare
from gpuimg.filters import segmentation as ours
from gpuimg.images import DTYPES
from tests.conftest import assert_same
from tests.oracles import flooded, neighbours


def scene(rng, shape, count, values, dtype):
    """Heights, ``values`` of them or, with None, all different; some markers, of which several may have one label."""
    size = shape[0] * shape[1]
    heights = rng.permutation(size) if values is None else rng.integers(0, values, size)
    markers = np.zeros(size, np.int32)
    markers[rng.integers(0, size, count)] = rng.integers(-3, 9, count)
    return heights.reshape(shape).astype(dtype), markers.reshape(shape)


def open_ties(image, markers, connectivity, mask):
    """Where the order among neighbours of one level and one length may matter: for a pixel, or one it comes from."""
    labels, levels, lengths = flooded(image, markers, connectivity, mask)
    sources = {}
    for place in np.ndindex(image.shape):
        if np.isfinite(lengths[place]) and not markers[place]:
            near = [other for other in neighbours(place, connectivity) if min(other) >= 0]
            near = [other for other in near if other[0] < image.shape[0] and other[1] < image.shape[1]]
            least = min((levels[other], lengths[other]) for other in near)
            sources[place] = [other for other in near if (levels[other], lengths[other]) == least]
    tied = np.zeros(image.shape, bool)
    for place, found in sources.items():
        tied[place] = len({labels[other] for other in found}) > 1
    before = None
    while before is None or (tied != before).any():
        before = tied.copy()
        for place, found in sources.items():
            tied[place] |= any(tied[other] for other in found)
    return tied


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_images_without_equal_values_as_scikit_image(masked, connectivity):
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (1, 30), (30, 1), *rng.integers(2, 40, (20, 2)).tolist()]:
        image, markers = scene(rng, shape, 1 + shape[0] * shape[1] // 50, None, np.float32)
        mask = rng.random(shape) < 0.8 if masked else np.ones(shape, bool)
        assert not open_ties(image, markers, connectivity, mask).any()
        expected = segmentation.watershed(image, markers, connectivity, mask=mask)
        given = mask.astype(np.uint8) * 200 if masked else None
        found = gpuimg.watershed(image, markers, connectivity, given, backend="single")
        assert_same(found, expected)


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("values", [1, 2, 3, 8, 60])
def test_equal_values_as_scikit_image_but_after_ties(values, connectivity):
    rng = np.random.default_rng(values)
    compared = 0
    for shape in rng.integers(2, 30, (20, 2)).tolist():
        image, markers = scene(rng, shape, 4, values, np.uint8)
        mask = rng.random(shape) < 0.9
        found = gpuimg.watershed(image, markers, connectivity, mask, backend="single")
        expected = segmentation.watershed(image, markers, connectivity, mask=mask)
        clear = ~open_ties(image, markers, connectivity, mask)
        np.testing.assert_array_equal(found[clear], expected[clear])
        compared += clear.mean() / 20
    assert compared > 0.3


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("connectivity", [1, 2])
def test_every_order_of_work_has_one_result(dtype, connectivity, backend):
    """Plateaus, basins without markers, ways that wind through several tiles of a device, infinities and NaN."""
    rng = np.random.default_rng(3)
    for values, shape in ((1, (70, 66)), (3, (45, 40)), (200, (37, 70))):
        image, markers = scene(rng, shape, 12, values, dtype)
        image[1::4, 1:], image[3::4, :-1] = 120, 120  # walls
        if dtype.kind == "f":
            image[rng.random(shape) < 0.05] = np.nan
            image[rng.random(shape) < 0.05] = np.inf
            image[rng.random(shape) < 0.05] = -np.inf
        mask = rng.random(shape) < 0.97
        expected = flooded(image, markers, connectivity, mask)[0]
        found = gpuimg.watershed(image, markers, connectivity, mask, backend=backend)
        assert_same(found, expected)


def test_ties_go_to_the_smaller_label(backend):
    flat = np.zeros((1, 7), np.uint8)
    for left, right in ((5, 2), (2, 5), (-4, 3)):
        markers = np.array([[left, 0, 0, 0, 0, 0, right]])
        low = min(left, right)
        expected = np.array([[left, left, left, low, right, right, right]], np.int32)
        assert_same(gpuimg.watershed(flat, markers, backend=backend), expected)


def test_ways_are_counted_within_a_level_only(backend):
    """The left marker's water comes up a long slope, the right one's through a basin without a marker."""
    heights = np.array([[1, 2, 3, 4, 5, 6, 6, 6, 1, 1, 6, 6, 6]], np.uint8)
    markers = np.array([[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]])
    expected = np.array([[1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]], np.int32)
    assert_same(gpuimg.watershed(heights, markers, backend=backend), expected)
    np.testing.assert_array_equal(segmentation.watershed(heights, markers), expected)


def test_extreme_labels_and_no_markers(backend):
    image = np.full((3, 40), 7, np.uint8)
    image[:, 20] = 255
    markers = np.zeros(image.shape, np.int64)
    assert_same(gpuimg.watershed(image, markers, backend=backend), markers.astype(np.int32))
    markers[0, 0], markers[0, 39] = 2**31 - 1, 1 - 2**31
    expected = np.where(np.arange(40) < 20, 2**31 - 1, 1 - 2**31) + np.zeros((3, 1), np.int64)
    expected[:, 20] = 1 - 2**31
    assert_same(gpuimg.watershed(image, markers, backend=backend), expected.astype(np.int32))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "int64", ">i4"])
def test_markers_of_any_integers(dtype):
    image = np.array([[1, 2, 3, 2, 1]], np.uint8)
    markers = np.array([[1, 0, 0, 0, 1]]).astype(dtype)
    assert_same(gpuimg.watershed(image, markers), np.ones((1, 5), np.int32))


def test_images_of_which_lengths_do_not_fit(monkeypatch):
    monkeypatch.setattr(ours, "LARGEST", 5)
    gpuimg.watershed(np.zeros((1, 5), np.uint8), np.zeros((1, 5), int))
    with pytest.raises(ValueError, match=r"image must have at most 2\*\*30 values, got the shape \(2, 3\)"):
        gpuimg.watershed(np.zeros((2, 3), np.uint8), np.zeros((2, 3), int))


def test_a_flood_looks_at_the_stop_flag():
    image = np.zeros((8, 20), np.uint8)
    markers = np.zeros(image.shape, np.int32)
    markers[3, 5] = 7
    labels, lengths = np.empty_like(markers), np.empty_like(markers)
    args = markers, 1, 1, np.empty_like(image), lengths, np.ones((1, 1), np.int64)
    watch = stopping.Watch(1)
    with stopping.watched(watch):
        code, packed = prepare("watershed", image, labels, args)
        watch.stop()
        assert code.call(packed.address, 0, 1) == DONE
    np.testing.assert_array_equal(labels, markers)
    with stopping.watched(None):
        code, packed = prepare("watershed", image, labels, args)
        assert code.call(packed.address, 0, 1) == DONE
    np.testing.assert_array_equal(labels, 7)
