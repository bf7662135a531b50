"""Kinds of image in and out, and where results go."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image

import gpuimg
from gpuimg.images import MODES
from gpuimg.typing import Mode, MorphologyMode
from tests.conftest import example

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (20, 31), np.uint8)
COLOR = RNG.integers(0, 256, (20, 31, 3), np.uint8)


@pytest.mark.parametrize(
    ("mode", "array"),
    [
        ("1", GREY > 100),
        ("L", GREY),
        ("RGB", COLOR),
        ("I;16", GREY.astype(np.uint16) * 250),
        ("F", GREY.astype(np.float32)),
    ],
)
def test_pil_in_pil_out(mode, array):
    image = Image.fromarray(array)
    assert image.mode == mode
    result = gpuimg.invert(image)
    assert isinstance(result, Image.Image)
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), gpuimg.invert(array))


def test_pil_results_of_other_dtypes():
    image = Image.fromarray(GREY)
    assert gpuimg.sobel(image).mode == "F"
    assert gpuimg.threshold(image, 10).mode == "1"
    assert gpuimg.rgb2gray(Image.fromarray(COLOR)).mode == "L"
    counts, _ = gpuimg.histogram(image)
    assert counts.sum() == GREY.size
    assert gpuimg.threshold_otsu(image) == gpuimg.threshold_otsu(GREY)


def test_pil_modes_without_a_meaning_are_refused_with_a_remedy():
    with pytest.raises(TypeError, match=r"mode.*got 'P'.*convert"):
        gpuimg.invert(Image.fromarray(COLOR).quantize())
    with pytest.raises(TypeError, match=r"no mode for a result .*numpy.asarray"):
        gpuimg.sobel(Image.fromarray(COLOR))


def test_torch_in_torch_out():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor = torch.from_numpy(GREY.copy())
    result = gpuimg.gaussian(tensor, sigma=1)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), gpuimg.gaussian(GREY, sigma=1))
    assert gpuimg.threshold(tensor, 100).dtype == torch.bool
    transposed = tensor.T
    np.testing.assert_array_equal(gpuimg.median(transposed).numpy(), gpuimg.median(GREY.T))


class Exchanged:
    """An array of another library, as far as DLPack goes."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __array_namespace__(self):
        return self

    @staticmethod
    def from_dlpack(array):
        return Exchanged(np.from_dlpack(array))


def test_dlpack_in_and_back():
    result = gpuimg.uniform(Exchanged(COLOR), 5)
    assert isinstance(result, Exchanged)
    np.testing.assert_array_equal(result.array, gpuimg.uniform(COLOR, 5))


def test_array_interface():
    class Foreign:
        __array_interface__ = GREY.__array_interface__

    np.testing.assert_array_equal(gpuimg.median(Foreign()), gpuimg.median(GREY))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([[1, 2], [3, 4]], "got list"),
        (None, "got NoneType"),
        ("photo.png", "got str"),
        (np.ma.masked_array(GREY, GREY > 3), "masked"),
        (np.ones((1, 1)).view(np.matrix), "numpy.matrix"),
    ],
    ids=["list", "None", "str", "masked", "matrix"],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(TypeError, match=message):
        gpuimg.median(image)


def test_subclasses_are_read_as_plain_arrays():
    class Tagged(np.ndarray):
        pass

    result = gpuimg.median(GREY.view(Tagged))
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, gpuimg.median(GREY))


@pytest.mark.parametrize("backend", ["single", "multicore", "processes"])
def test_out_is_filled_and_returned(backend):
    expected = gpuimg.median(GREY, 5)
    out = np.zeros_like(GREY)
    assert gpuimg.median(GREY, 5, out=out, backend=backend) is out
    np.testing.assert_array_equal(out, expected)
    wide = np.zeros((20, 62), np.uint8)
    assert gpuimg.median(GREY, 5, out=wide[:, ::2], backend=backend).base is wide
    np.testing.assert_array_equal(wide[:, ::2], expected)
    np.testing.assert_array_equal(wide[:, 1::2], 0)


@pytest.mark.parametrize("backend", ["single", "multicore", "processes"])
def test_out_may_overlap_the_image(backend):
    for shift in (0, 1, 3):
        memory = np.zeros((24, 31), np.uint8)
        image, out = memory[shift : shift + 20], memory[:20]
        image[:] = GREY
        np.testing.assert_array_equal(gpuimg.median(image, 3, out=out, backend=backend), gpuimg.median(GREY, 3))


def test_the_image_is_never_written_to():
    for name, found in gpuimg.FILTERS.items():
        image, given = example(name)
        before = image.copy()
        found.function(image, **given)
        np.testing.assert_array_equal(image, before, err_msg=name)


def test_every_border_mode_of_the_signatures_is_in_the_table():
    assert get_args(Mode) == tuple(MODES)
    assert get_args(MorphologyMode) == (*MODES, "ignore")
