"""Padding, cropping, choosing by a condition, and footprints by their names."""

import numpy as np
import pytest
from skimage import morphology, util

import gpuimg
from gpuimg.jobs.texts import read_step
from tests.conftest import assert_same, noise
from tests.oracles import NUMPY_MODES


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 10])
def test_footprints_are_those_of_scikit_image(radius):
    assert_same(gpuimg.disk(radius), morphology.disk(radius))
    assert_same(gpuimg.diamond(radius), morphology.diamond(radius))
    assert_same(gpuimg.square(radius + 1), morphology.footprint_rectangle((radius + 1, radius + 1)))


@pytest.mark.parametrize("name", ["disk", "diamond", "square"])
def test_footprints_refuse_other_sizes(name):
    function = getattr(gpuimg, name)
    with pytest.raises(ValueError, match=r"(radius|width) must be (at least 0|positive), got -1"):
        function(-1)
    for size in (1.5, "3", None, True):
        with pytest.raises(TypeError, match=r"(radius|width) must be a whole number, got"):
            function(size)


def test_a_footprint_by_its_name_is_the_array(backend):
    image = noise((30, 41), np.uint8)
    expected = gpuimg.erosion(image, gpuimg.disk(3), backend=backend)
    _, params = read_step("erosion:disk(3)")
    assert_same(gpuimg.erosion(image, **params, backend=backend), expected)


@pytest.mark.parametrize(
    "width", [4, (1, 2), [3, 0], np.array([2, 5]), ((1, 2), (3, 4)), [[0, 0], [1, 1]], np.array(((5, 0), (0, 5)))]
)
def test_widths_as_numpy_and_scikit_image_take_them(width):
    image = noise((20, 30), np.uint16)
    assert_same(gpuimg.pad(image, width), np.pad(image, width))
    assert_same(gpuimg.crop(image, width), util.crop(image, np.asarray(width).tolist()))


@pytest.mark.parametrize("name", ["pad", "crop"])
@pytest.mark.parametrize(
    ("width", "error", "message"),
    [
        (-1, ValueError, "_width must be at least 0, got -1"),
        (1.5, TypeError, "_width must be a whole number, got 1.5"),
        ("3", TypeError, "_width must be a whole number, got '3'"),
        ((1, 2, 3), ValueError, "_width must be one number, (before, after) or"),
        ((1, (2, 3)), ValueError, "_width must be one number, (before, after) or"),
        (((1, 2), (2, 3), (0, 0)), ValueError, "_width must be one number, (before, after) or"),
        ((True, 1), TypeError, "_width must be a whole number, got True"),
        (1 << 40, ValueError, "_width must be at most 2147483648"),
    ],
)
def test_other_widths_are_refused(name, width, error, message):
    with pytest.raises(error) as caught:
        getattr(gpuimg, name)(np.zeros((9, 9), np.uint8), width)
    assert message in str(caught.value)


def test_widths_broadcast():
    image = noise((9, 8), np.uint8)
    for width in (2, (2,), [[2]], np.array([2, 2]), ((2, 1),), ((1,), (2,))):
        rows, cols = np.broadcast_to(np.array(width), (2, 2)).tolist()
        inside = image[rows[0] : 9 - rows[1], cols[0] : 8 - cols[1]]
        assert_same(gpuimg.crop(image, width), inside, str(width))
        assert_same(gpuimg.pad(image, width, mode="constant"), np.pad(image, width), str(width))


def test_a_crop_leaves_something():
    image = noise((4, 9), np.uint8)
    assert gpuimg.crop(image, ((1, 2), (8, 0))).shape == (1, 1)
    for width in (2, ((4, 0), (0, 0)), ((0, 0), (5, 9))):
        with pytest.raises(ValueError, match="crop_width must leave at least one row and column of the shape"):
            gpuimg.crop(image, width)


def test_a_crop_is_a_copy(backend):
    image = noise((9, 8), np.uint8)
    result = gpuimg.crop(image, 0, backend=backend)
    assert not np.may_share_memory(result, image)
    out = np.empty((5, 12), np.uint8)[:, ::3]
    assert gpuimg.crop(image, 2, backend=backend, out=out) is out
    assert_same(out, image[2:-2, 2:-2])


@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_wide_borders_beside_wide_images(mode, backend):
    """Rows of more than one run of border columns, and chunks that begin and end anywhere."""
    for shape, dtype in (((3, 7), np.uint8), ((2, 2500, 3), np.uint16), ((4, 33), np.float64)):
        image = noise(shape, dtype)
        beside = ((0, 0),) * (image.ndim - 2)
        for width in (((1, 2), (2001, 1030)), ((0, 9), (1, 0))):
            expected = np.pad(image, (*width, *beside), NUMPY_MODES[mode])
            assert_same(gpuimg.pad(image, width, mode, backend=backend), expected)


def test_constants_of_every_dtype(backend):
    for dtype, value in (("int8", -128), ("uint64", 1 << 63), ("int64", -5), ("float16", 0.1), ("complex64", -2.5)):
        image = np.ones((2, 3), dtype)
        expected = np.pad(image, 2, constant_values=value)
        assert_same(gpuimg.pad(image, 2, cval=value, backend=backend), expected)
    assert np.isnan(gpuimg.pad(np.ones((1, 1), np.float32), 1, cval=np.nan, backend=backend)).sum() == 8
    with pytest.raises(ValueError, match="cval must be a whole number from 0 to 255"):
        gpuimg.pad(np.ones((2, 2), np.uint8), 1, cval=256)
    with pytest.raises(ValueError, match=r"symmetric is called 'reflect' here"):
        gpuimg.pad(np.ones((2, 2), np.uint8), 1, mode="symmetric")


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_grey_condition_chooses_pixels(channels, backend):
    for shape in ((1, 1), (7, 19), (5, 100)):
        mask = noise(shape, bool)
        a, b = noise((*shape, channels), np.uint16, 1), noise((*shape, channels), np.uint16, 2)
        assert_same(gpuimg.where(mask, a, b, backend=backend), np.where(mask[..., None], a, b))
        assert_same(gpuimg.where(mask[..., None], a, 3, backend=backend), np.where(mask[..., None], a, np.uint16(3)))
        assert_same(gpuimg.where(mask, 3, b, backend=backend), np.where(mask[..., None], np.uint16(3), b))


def test_numbers_fit_the_dtype_of_the_images(backend):
    mask = np.array([[True, False]])
    for dtype, number, expected in (
        ("uint8", 300, 255),
        ("uint8", -0.6, 0),
        ("int16", 2.5, 2),
        ("uint8", np.nan, 0),
        ("int64", (1 << 63) - 1, (1 << 63) - 1),
        ("uint64", 1e30, (1 << 64) - 1),
        ("float32", 1e300, np.inf),
        ("bool", 7, True),
    ):
        image = np.zeros((1, 2), dtype)
        assert_same(gpuimg.where(mask, number, image, backend=backend), np.array([[expected, 0]], dtype))


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [((255, 0), "uint8"), ((256, 0.0), "uint16"), ((-1, 0), "int16"), ((-1, 40000), "float32"), ((0.5, 0), "float32")],
)
def test_the_dtype_of_two_numbers(numbers, dtype):
    assert_same(gpuimg.where(np.array([[True, False]]), *numbers), np.array([numbers], dtype))


def test_what_cannot_be_chosen_is_refused():
    mask, image = np.ones((3, 4), bool), np.ones((3, 4), np.uint8)
    with pytest.raises(TypeError, match="a must be an image or a number, got 'x'"):
        gpuimg.where(mask, "x", 1)
    with pytest.raises(
        ValueError, match=r"b must have the condition's shape \(3, 4\), or one that broadcasts to it, got \(4, 3\)"
    ):
        gpuimg.where(mask, image, image.T)
    with pytest.raises(ValueError, match=r"b must have the shape and dtype of a, \(3, 4\) uint8, got \(3, 4\) uint16"):
        gpuimg.where(mask, image, image.astype(np.uint16))
    with pytest.raises(ValueError, match=r"b must have the shape and dtype of a"):
        gpuimg.where(mask, image, np.ones((3, 4, 3), np.uint8))
    with pytest.raises(TypeError, match="dtype must be None for int64 images, got uint8"):
        gpuimg.where(mask, image.astype(np.int64), 0, "uint8")
    with pytest.raises(TypeError, match="condition must have one of the dtypes bool"):
        gpuimg.where(image.astype(np.complex64), image, 0)
