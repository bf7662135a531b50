"""Sums over areas, connected components and distances: what is theirs alone."""

import shutil

import numpy as np
import pytest
from scipy import ndimage

import gpuimg
from gpuimg import images
from gpuimg.filters import measure
from tests.conftest import assert_same, noise
from tests.cuda_emulator.emulator import emulated
from tests.oracles import ORACLES
from tests.test_filters import in_bands_of

SLABS = measure.SUMMED_ROWS
SIZES = [(1, 4099), (4099, 1), (SLABS, 9), (SLABS + 1, 8), (SLABS - 1, 7), (3 * SLABS + 5, 17), (2 * SLABS, 5, 3)]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16"])
def test_sums_of_many_slabs(dtype, shape):
    image = noise(shape, dtype)
    expected = ORACLES["integral_image"](image)
    for backend in ("single", "multicore"):
        assert_same(gpuimg.integral_image(image, backend=backend), expected)
    with in_bands_of(1):
        assert_same(gpuimg.integral_image(image, backend="single"), expected)


def test_sums_do_not_wrap_round():
    image = np.full((700, 7000), 65535, np.uint16)
    assert gpuimg.integral_image(image)[-1, -1] == image.size * 65535
    image = np.full((200, 300), -32768, np.int16)
    assert gpuimg.integral_image(image)[-1, -1] == image.size * -32768


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_floats_are_the_same_for_any_number_of_threads(dtype):
    image = noise((5 * SLABS + 3, 1000), dtype)
    expected = gpuimg.integral_image(image, backend="single")
    np.testing.assert_allclose(expected, ORACLES["integral_image"](image), rtol=0, atol=1e-9)
    assert_same(gpuimg.integral_image(image, backend="multicore"), expected)
    with in_bands_of(1):
        assert_same(gpuimg.integral_image(image, backend="single"), expected)


def test_nan_is_in_every_sum_below_and_to_the_right():
    image = noise((3 * SLABS, 40), np.float32)
    image[SLABS + 7, 11] = np.nan
    there = np.zeros(image.shape, bool)
    there[SLABS + 7 :, 11:] = True
    assert_same(np.isnan(gpuimg.integral_image(image)), there)


def test_masks_are_counted():
    mask = noise((33, 70), bool)
    assert gpuimg.integral_image(mask)[-1, -1] == mask.sum()


def spiral(side):
    """A line one pixel wide from the middle outwards, with one between its turns."""
    image = np.zeros((side, side), np.uint8)
    row, col, length = side // 2, side // 2, 2
    down, right = 0, 1
    while length < side:
        for _ in range(2):
            for _ in range(length):
                if 0 <= row < side and 0 <= col < side:
                    image[row, col] = 1
                row, col = row + down, col + right
            down, right = right, -down
        length += 2
    return image


def comb(rows, cols, upwards):
    """Teeth that are connected by the last row, or by the first one, only."""
    image = np.zeros((rows, cols), np.uint8)
    image[:, ::2] = 1
    image[0 if upwards else -1] = 1
    return image


def figures():
    rng = np.random.default_rng(5)
    row, col = np.ogrid[:83, :131]
    yield "spiral", spiral(97)
    yield "mirrored spiral", spiral(90)[:, ::-1]
    yield "comb", comb(70, 131, upwards=False)
    yield "comb upside down", comb(70, 131, upwards=True)
    yield "two combs", np.vstack([comb(37, 131, upwards=False), np.zeros((1, 131), np.uint8), comb(37, 131, True)])
    yield "lying comb", comb(131, 70, upwards=False).T
    yield "checkerboard", ((row + col) % 2).astype(np.uint8)
    yield "checkerboard of two values", (1 + (row + col) % 2).astype(np.uint8)
    yield "dots", ((row % 2) & (col % 2)).astype(np.uint8)
    yield "diagonals", ((row + col) % 5 == 0).astype(np.uint8)
    yield "rings", (np.hypot(row - 40, col - 66) // 3 % 2).astype(np.uint8)
    yield "one value", np.full((83, 131), 3, np.uint8)
    yield "nothing", np.zeros((83, 131), np.uint8)
    yield "signed", rng.integers(-2, 3, (83, 131)).astype(np.int16)
    yield "many values", rng.integers(0, 65536, (83, 131), np.uint16)
    yield "row", rng.integers(0, 2, (1, 3001), np.uint8)
    yield "column", rng.integers(0, 2, (3001, 1), np.uint8)
    yield "channels", rng.integers(0, 2, (83, 70, 3), np.uint8)
    for density in (0.01, 0.3, 0.4073, 0.5, 0.5927, 0.7, 0.99):  # two of them are where the largest region appears
        yield f"noise of {density}", rng.random((150, 203)) < density


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize(("name", "image"), list(figures()), ids=lambda value: value if isinstance(value, str) else "")
def test_labels_for_any_height_of_slabs(name, image, connectivity, constants):
    expected = ORACLES["label"](image, connectivity)
    for height, group in ((1, 2), (2, 3), (3, 8), (7, 2), (64, 8), (1000, 8)):
        constants(measure, LABELLED_ROWS=height, GROUP=group)
        for backend in ("single", "multicore"):
            found = gpuimg.label(image, connectivity, backend=backend)
            assert_same(found, expected, f"{name}, slabs of {height} rows on {backend}")


@pytest.mark.skipif(shutil.which("g++") is None, reason="the emulator needs g++")
@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize(("height", "group", "order"), [(1, 2, 0), (7, 2, 1), (64, 8, 7)])
def test_labels_on_an_emulated_device(height, group, order, connectivity, constants):
    constants(measure, LABELLED_ROWS=height, GROUP=group)
    with emulated(order=order, offset=order):
        for name, image in figures():
            found = gpuimg.label(image, connectivity, backend="cuda")
            assert_same(found, ORACLES["label"](image, connectivity), name)


def test_labels_of_rows_of_every_length():
    rng = np.random.default_rng(6)
    for cols in (*range(1, 20), *range(62, 68), *range(126, 132)):
        for dtype in ("bool", "uint8", "uint16", "int16"):
            image = rng.integers(0, 2, (5, cols)).astype(dtype)
            assert_same(gpuimg.label(image), ORACLES["label"](image), f"{cols} {dtype}")


def test_labels_of_a_large_image():
    image = ndimage.uniform_filter(np.random.default_rng(7).random((1500, 1700)), 5) > 0.5
    assert_same(gpuimg.label(image), ORACLES["label"](image))


def test_kernels_and_filter_agree_on_the_header():
    from gpuimg.kernels.lib import runs

    assert measure.HEADER == runs.HEADER


def test_too_many_pixels_for_labels():
    image = np.broadcast_to(np.zeros((1, 1), bool), (1 << 16, 1 << 15))
    source = images.Source(image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "accept", lambda *_, **__: source)
        with pytest.raises(
            ValueError, match=r"image must have fewer than 2\*\*31 pixels, got the shape \(65536, 32768\)"
        ):
            gpuimg.label(image)


def distant(shape, zeros, dtype=np.uint8):
    """An image of ones with some zeros."""
    image = np.ones(shape, dtype)
    places = np.random.default_rng(8).integers(0, image.size, zeros)
    image.reshape(-1)[places] = 0
    return image


@pytest.mark.parametrize("zeros", [1, 3, 40, 2000])
@pytest.mark.parametrize("shape", [(1, 700), (700, 1), (130, 257), (257, 130), (300, 64), (90, 80, 3)], ids=str)
def test_distances_near_and_far(shape, zeros):
    image = distant(shape, zeros)
    expected = ORACLES["distance_transform_edt"](image)
    for backend in ("single", "multicore"):
        assert_same(gpuimg.distance_transform_edt(image, backend=backend), expected)
    with in_bands_of(1):
        assert_same(gpuimg.distance_transform_edt(image, backend="single"), expected)


@pytest.mark.parametrize("height", [1, 2, 31, 254])
def test_distances_for_any_height_of_slabs(height, constants):
    constants(measure, DISTANCE_ROWS=height)
    for zeros in (1, 30, 9000):
        image = distant((301, 203), zeros, np.int16)
        assert_same(gpuimg.distance_transform_edt(image), ORACLES["distance_transform_edt"](image), str(zeros))


def test_distances_in_objects_of_many_forms():
    row, col = np.ogrid[:400, :500]
    rng = np.random.default_rng(9)
    images = [
        np.hypot(row - 200, col - 250) < 190,  # far from its edge, and many parabolas
        np.hypot(row - 200, col - 250) > 20,
        (row + 2 * col) % 301 > 0,
        (row * 3 - col) % 170 > 0,
        row > 3,
        col < 496,
        ndimage.uniform_filter(rng.random((400, 500)), 25) > 0.49,
    ]
    for image in images:
        assert_same(gpuimg.distance_transform_edt(image), ORACLES["distance_transform_edt"](image))


def test_distances_of_long_rows_are_the_nearest_floats():
    for shape in ((1, 50000), (50000, 1), (3, 40000)):
        image = np.ones(shape, bool)
        image[0, 0] = False
        row, col = np.indices(shape)
        expected = np.sqrt((row**2 + col**2).astype(np.longdouble)).astype(np.float32)
        assert_same(gpuimg.distance_transform_edt(image), expected)


def test_distances_without_any_zero_are_infinite():
    image = np.ones((40, 150, 2), np.uint8)
    image[3, 4, 1] = 0
    found = gpuimg.distance_transform_edt(image)
    assert np.isinf(found[..., 0]).all()
    assert_same(found, ORACLES["distance_transform_edt"](image))


def test_distances_of_too_long_an_image():
    with pytest.raises(ValueError, match=r"image must have at most 1048576 rows and columns, got the shape"):
        gpuimg.distance_transform_edt(np.zeros((1, (1 << 20) + 1), np.uint8))
