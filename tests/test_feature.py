"""Corners and thin edges: what is theirs alone."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import feature as theirs

import gpuimg
from gpuimg.demo import photo
from gpuimg.filters import feature
from gpuimg.images import BOOL, Source
from gpuimg.plans.nodes import point
from gpuimg.run import run
from tests.conftest import assert_close, assert_same, noise
from tests.oracles import ORACLES
from tests.test_filters import in_bands_of
from tests.test_measure import comb, spiral


def test_corners_of_a_square_are_scikit_images():
    image = np.zeros((40, 50), np.uint8)
    image[10:30, 10:40] = 255
    found = gpuimg.corner_harris(image)
    expected = theirs.corner_harris(image) * 255.0**4
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    strongest = np.argsort(found, axis=None)[-4:]
    assert set(strongest) == {row * 50 + col for row in (10, 29) for col in (10, 39)}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_corners_for_bands_and_kernels_of_any_height(dtype):
    image = noise((61, 83), dtype)
    for sigma in (0, 0.3, (3, 0), (0, 3), 6, 25):
        for mode in ("reflect", "wrap", "constant"):
            expected = gpuimg.corner_harris(image, sigma=sigma, mode=mode, backend="single")
            assert_close(expected, ORACLES["corner_harris"](image, sigma=sigma, mode=mode), image, f"{sigma} {mode}")
            for rows in (1, 5):
                with in_bands_of(rows):
                    found = gpuimg.corner_harris(image, sigma=sigma, mode=mode, backend="single")
                assert_same(found, expected, f"{sigma} {mode}")


def test_an_even_image_has_no_corners_but_at_its_border():
    image = np.full((30, 30), 200, np.uint8)
    assert not gpuimg.corner_harris(image, mode="nearest").any()
    assert not gpuimg.corner_harris(image)[6:-6, 6:-6].any()
    assert gpuimg.corner_harris(image)[0, 0] > 0


def linked(levels):
    """The definition: of what is connected, all is kept where something is strong."""
    if levels.ndim == 3:
        return np.stack([linked(levels[..., channel]) for channel in range(levels.shape[2])], axis=-1)
    labels, count = ndimage.label(levels, np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[labels[levels == 1]] = True
    kept[0] = False
    return kept[labels]


def maps():
    """Images of 0 and 1 with a border of 0."""
    rng = np.random.default_rng(3)
    winding = np.pad(comb(60, 131, upwards=False), 1)
    for col in range(3, 131, 4):  # one line, up and down
        winding[-2, col - 2 : col + 1], winding[1, col - 2 : col + 1] = [1, 0, 1], [1, 1, 1]
    yield "spiral", np.pad(spiral(97), 2)
    yield "winding line", winding
    yield "lying winding line", winding.T
    yield "comb", np.pad(comb(70, 131, upwards=False), 1)
    yield "comb upside down", np.pad(comb(70, 131, upwards=True), 1)
    yield "all", np.pad(np.ones((150, 131), np.uint8), 1)
    for cols in (1, 62, 63, 64, 126, 127, 200):
        yield f"noise of {cols} columns", np.pad((rng.random((100, cols)) < 0.45).astype(np.uint8), 1)
    for density in (0.2, 0.35, 0.4073, 0.6):
        yield f"noise of {density}", np.pad((rng.random((201, 301)) < density).astype(np.uint8), 1)
    yield "channels", np.pad((rng.random((90, 70, 3)) < 0.35).astype(np.uint8), ((1, 1), (1, 1), (0, 0)))


@pytest.mark.parametrize(("name", "levels"), list(maps()), ids=lambda value: value if isinstance(value, str) else "")
def test_linking_for_any_height_of_slabs(name, levels, monkeypatch):
    rng = np.random.default_rng(4)
    for seeds in (0, 1, 20):
        seeded = (2 * levels).copy()
        places = rng.permutation(np.flatnonzero(seeded))[:seeds]
        seeded.reshape(-1)[places] = 1
        expected = linked(seeded)
        for height, group in ((1, 2), (2, 3), (7, 2), (64, 8), (1000, 8)):
            monkeypatch.setattr(feature, "LINKED_ROWS", height)
            monkeypatch.setattr(feature, "GROUP", group)
            source = Source(seeded)

            def plan(image):
                return feature._linked(point("convert", image, dtype=BOOL))

            for backend in ("single", "multicore"):
                found = run(plan, source, backend=backend)
                assert_same(found, expected, f"{name}, {seeds} seeds, slabs of {height} on {backend}")


@pytest.mark.parametrize("sigma", [0.5, 1, 2, 4])
def test_edges_of_a_photo_are_scikit_images(sigma):
    """But where rounding decides: of a hundred thousand pixels two at most."""
    image = photo(0.5)
    for given in ({}, {"mode": "nearest"}, {"low_threshold": 5, "high_threshold": 60}):
        found = gpuimg.canny(image, sigma, **given)
        expected = theirs.canny(image, sigma, **given)
        assert expected.any()
        assert (found != expected).mean() < 2e-5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_edges_for_bands_of_any_height(dtype):
    image = noise((150, 90), dtype)
    for mode in ("constant", "wrap"):
        expected = gpuimg.canny(image, 1.5, mode=mode, backend="single")
        assert_same(expected, ORACLES["canny"](image, 1.5, mode=mode))
        for rows in (1, 2, 3, 70):
            with in_bands_of(rows):
                assert_same(gpuimg.canny(image, 1.5, mode=mode, backend="single"), expected)


def test_edges_are_inside_of_the_image_and_none_in_an_even_one():
    edges = gpuimg.canny(noise((50, 60), np.uint8), 0, 0, 0)
    assert edges.any()
    assert not np.delete(edges, np.s_[1:-1], axis=0).any()
    assert not np.delete(edges, np.s_[1:-1], axis=1).any()
    assert not gpuimg.canny(np.full((50, 60), 255, np.uint8), mode="nearest").any()
    assert not gpuimg.canny(np.full((50, 60), 255, np.uint8)).any()


def test_a_higher_threshold_keeps_fewer_edges():
    image = photo(0.2)
    some, fewer = (gpuimg.canny(image, 1, 20, high) for high in (40, 120))
    assert fewer.any()
    assert (some & ~fewer).any()
    assert not (fewer & ~some).any()
