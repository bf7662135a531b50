"""Corners and thin edges: what is theirs alone."""

import contextlib
import shutil

import numpy as np
import pytest
from scipy import ndimage
from skimage import feature as theirs
from skimage.filters import apply_hysteresis_threshold

import gpuimg
from gpuimg.demo import photo
from gpuimg.filters import feature
from gpuimg.filters.smooth import widths
from gpuimg.images import BOOL, MODES, Source
from gpuimg.plans.nodes import point
from gpuimg.run import run
from tests.conftest import assert_close, assert_same, noise
from tests.cuda_emulator.emulator import emulated
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


def linked(levels, structure=((1, 1, 1),) * 3):
    """The definition: of what is connected, all is kept where something is strong."""
    if levels.ndim == 3:
        return np.stack([linked(levels[..., channel], structure) for channel in range(levels.shape[2])], axis=-1)
    labels, count = ndimage.label(levels, structure)
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
def test_linking_for_any_height_of_slabs(name, levels, constants):
    rng = np.random.default_rng(4)
    for seeds in (0, 1, 20):
        seeded = (2 * levels).copy()
        places = rng.permutation(np.flatnonzero(seeded))[:seeds]
        seeded.reshape(-1)[places] = 1
        expected = linked(seeded)
        for height, group in ((1, 2), (2, 3), (7, 2), (64, 8), (1000, 8)):
            constants(feature, LINKED_ROWS=height, GROUP=group)
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


@contextlib.contextmanager
def on(backend):
    """A context in which a backend can run; "cuda" is emulated."""
    if backend == "cuda" and shutil.which("g++") is None:
        pytest.skip("the emulator needs g++")
    with emulated() if backend == "cuda" else contextlib.nullcontext():
        yield


def serpentine(rows, cols):
    """One line up and down the columns."""
    image = np.zeros((rows, cols), np.uint8)
    image[:, ::2] = 1
    image[-1, 1::4] = image[0, 3::4] = 1
    return image


def full_maps():
    """Images of 0 and 1 whose outermost pixels may be 1: lines that wind across the seams of slabs, and noise."""
    rng = np.random.default_rng(6)
    row, col = np.ogrid[:129, :70]
    yield "spiral", spiral(131)
    yield "diagonal lines", ((row + 2 * col) % 9 == 0).astype(np.uint8)
    yield "checkerboard", ((row + col) % 2).astype(np.uint8)
    for rows in (1, 2, 63, 64, 65, 127, 128, 129, 130, 193):
        yield f"serpentine of {rows} rows", serpentine(rows, 41)
        yield f"lying serpentine of {rows} columns", serpentine(41, rows).T
        yield f"comb of {rows} rows", comb(rows, 67, upwards=rows % 2 == 0)
        yield f"noise of {rows} rows", (rng.random((rows, 65)) < 0.55).astype(np.uint8)
    for cols in (1, 2, 31, 32, 33, 64, 96, 1024, 1025, 2100):
        yield f"noise of {cols} columns", (rng.random((70, cols)) < 0.6).astype(np.uint8)
        yield f"rows of {cols} columns", np.ones((3, cols), np.uint8)
    yield "channels", (rng.random((131, 40, 3)) < 0.6).astype(np.uint8)
    yield "many channels", (rng.random((70, 3, 37)) < 0.6).astype(np.uint8)


def thresholded(image, reach):
    """The plan of hysteresis with thresholds between 0 and 1 and between 1 and 2."""
    return feature._linked(point("double_threshold", image, dtype=BOOL, low=0, high=1, rest=0), reach=reach)


@pytest.mark.parametrize("backend", ["single", "multicore", "cuda"])
@pytest.mark.parametrize("name", [name for name, _ in full_maps()])
def test_hysteresis_for_four_and_eight_neighbours(name, backend):
    levels = dict(full_maps())[name]
    rng = np.random.default_rng(4)
    for reach, structure in enumerate((ndimage.generate_binary_structure(2, 1), np.ones((3, 3)))):
        for seeds in (0, 1, 20):
            image = levels.copy()
            image.reshape(-1)[rng.permutation(np.flatnonzero(levels))[:seeds]] = 2
            with on(backend):
                found = run(thresholded, Source(image), reach, backend=backend)
            expected = linked(np.array([0, 2, 1])[image], structure)
            assert_same(found, expected, f"{name}, {seeds} seeds, reach {reach} on {backend}")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_hysteresis_thresholds_are_scikit_images(dtype):
    image = np.random.default_rng(1).integers(-3 if dtype[0] != "u" else 0, 12, (67, 80)).astype(dtype)
    values = (-np.inf, -40000, -3, -0.5, 0, 3, 3.5, 7, 7.999, 8, 254, 255, 70000, 1e300, np.inf)
    with np.errstate(over="ignore"):
        for low in values:
            for high in values:
                if low <= high:
                    found = gpuimg.apply_hysteresis_threshold(image, low, high, backend="single")
                    assert_same(found, apply_hysteresis_threshold(image, low, high), f"{low} to {high}")


@pytest.mark.parametrize("low", [0.1, 0.3, 0.7])
def test_hysteresis_thresholds_between_two_numbers_of_float32(low):
    """scikit-image compares with the low threshold in float64, with the high one in float32."""
    image = (np.random.default_rng(2).integers(0, 11, (50, 60)) / 10).astype(np.float32)
    for high in (low, 0.7, 0.8, 0.9):
        found = gpuimg.apply_hysteresis_threshold(image, low, high, backend="single")
        assert_same(found, apply_hysteresis_threshold(image, low, high), f"{low} to {high}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hysteresis_does_not_cross_nan(dtype, backend):
    image = np.array([[9, 5, np.nan, 5, 5, 0, 5], [0, 0, 0, 0, 0, 9, 5]], dtype)
    found = gpuimg.apply_hysteresis_threshold(image, 3, 8, backend=backend)
    assert_same(found, np.array([[1, 1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 1]], bool))


@pytest.mark.parametrize("backend", ["single", "multicore", "cuda"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_edges_are_the_composition_of_their_steps(dtype, backend):
    """The kernel that fuses smoothing, gradient and suppression equals them one after the other, bit for bit."""

    def composed(*given):
        return feature._linked(feature.plan_edge_maxima(*given))

    for shape in ((1, 1), (1, 9), (9, 2), (3, 3), (61, 45), (20, 16, 3)):
        image = noise(shape, dtype)
        low, high = (0.05, 0.4) if image.dtype.kind == "f" else (90.0, 300.0)
        for mode, sigma in [*((mode, (0.7, 1.4)) for mode in MODES), ("constant", 0), ("constant", 6), ("wrap", 6)]:
            given = (widths(sigma), (MODES[mode].code, 7.0), 0.25, low, high)
            with on(backend):
                found = run(composed, Source(image), *given, backend=backend)
            expected = run(feature.plan_canny, Source(image), *given, backend="single")
            assert_same(found, expected, f"{shape} {mode} {sigma}")


def test_suppression_alone():
    """A ridge that runs down the image, one that is as high in two places, and one that is too low."""
    magnitude = np.tile(np.array([0, 2, 5, 2, 0, 4, 4, 0, 1, 0], np.float32), (5, 1))
    along = np.ones_like(magnitude)

    def plan(image, *derivatives):
        return feature.plan_suppressed(image, *derivatives, 1.5, 4.5)

    found = run(plan, Source(magnitude), others=(np.zeros_like(along), along), backend="single").view(np.uint8)
    expected = np.tile(np.array([0, 0, 1, 0, 0, 2, 2, 0, 0, 0], np.uint8), (5, 1))
    expected[[0, -1]] = 0
    assert_same(found, expected)


def test_nan_is_no_peak_and_hides_none(backend):
    image = np.zeros((7, 8), np.float32)
    image[3, 3], image[3, 4], image[5, 6] = np.nan, 2, 1
    assert_same(gpuimg.peak_local_max(image, threshold_abs=0, backend=backend), np.array([[3, 4], [5, 6]]))
    assert gpuimg.local_maxima(image, backend=backend)[3, 4]
    assert not gpuimg.local_maxima(image, backend=backend)[3, 3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_threshold_of_peaks_passes_over_nan(backend, dtype):
    """A flat background is no peak because there is NaN somewhere."""
    image = np.full((7, 8), -5, dtype)
    image[0, 0], image[6, 7] = np.nan, np.nan
    assert gpuimg.peak_local_max(image, exclude_border=False, backend=backend).shape == (0, 2)
    assert gpuimg.peak_local_max(image, threshold_abs=-9, exclude_border=False, backend=backend).shape == (0, 2)
    image[3, 3], image[3, 4], image[5, 6] = np.nan, -1, -3
    peaks = np.array([[3, 4], [5, 6]])
    assert_same(gpuimg.peak_local_max(image, backend=backend), peaks)
    assert_same(gpuimg.peak_local_max(image, threshold_rel=2, backend=backend), peaks[:1])
    image[0, 4] = -np.inf
    assert len(gpuimg.peak_local_max(image, exclude_border=False, backend=backend)) > 20
    nothing = np.full((3, 4), np.nan, dtype)
    assert gpuimg.peak_local_max(nothing, exclude_border=False, backend=backend).shape == (0, 2)
    assert gpuimg.peak_local_max(nothing[:1, :1], exclude_border=False, backend=backend).shape == (0, 2)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_constant_channels_have_no_maxima_whatever_is_in_the_others(dtype, backend):
    image = np.zeros((5, 6, 4), dtype)
    image[..., 1] = 7
    image[2, 3, 2], image[..., 3] = 9, -3
    expected = np.zeros(image.shape, bool)
    expected[2, 3, 2] = True
    assert_same(gpuimg.local_maxima(image, backend=backend), expected)
    assert_same(gpuimg.local_maxima(image, axes="YXC", backend=backend), expected)
    assert_same(gpuimg.local_maxima(image, alpha=True, backend=backend), expected[..., :3])


def test_peaks_of_a_stack_have_its_index_first(backend):
    stack = np.zeros((3, 7, 8), np.uint8)
    stack[0, 3, 4], stack[2, 2, 2], stack[2, 4, 5] = 9, 3, 5
    expected = np.array([[0, 3, 4], [2, 4, 5], [2, 2, 2]])
    assert_same(gpuimg.peak_local_max(stack, axes="TYX", backend=backend), expected)


def test_equal_peaks_are_spaced(backend):
    image = np.zeros((40, 170), np.uint8)
    image[10:30, 20:150] = 7
    for distance in (1, 2, 9):
        found = gpuimg.peak_local_max(image, distance, exclude_border=False, backend=backend)
        assert_same(found, ORACLES["peak_local_max"](image, distance, exclude_border=False))
