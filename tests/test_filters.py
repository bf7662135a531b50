"""Every filter on every backend against its oracle: dtypes, border modes, shapes, memory layouts, NaN.

Integers must be right exactly where the definition is exact, and within 1 and without bias where weights are fixed
point; floats within the tolerance of their dtype. All backends must agree with "single" bit for bit.
"""

import inspect
import math
import warnings
from contextlib import contextmanager
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import restoration, transform

import gpuimg
from gpuimg import typing
from gpuimg.backend import single
from gpuimg.filters import smooth
from gpuimg.images import DTYPES, KNOWN, MODES
from gpuimg.registry import arguments
from tests.conftest import LEVELS, PLANES, SCALAR, assert_angles_close, assert_close, assert_same, noise, parts
from tests.oracles import ORACLES

FILTERS = gpuimg.FILTERS
SHAPES = [(1, 1), (1, 17), (17, 1), (2, 2), (33, 47), (9, 64), (40, 128), (17, 19, 3), (5, 33, 2)]
FEW_SHAPES = [(1, 1), (1, 17), (17, 1), (19, 33), (6, 32), (7, 16, 3)]
# Fixed-point or float32 weights on integers.
WEIGHTED = {"adjust_gamma", "rgb2gray", "gaussian", "rescale", "resize", "unsharp_mask", "rescale_intensity", "blend"}
SAMPLED = {"warp", "rotate", "remap"}
PYRAMIDS = {"pyramid_reduce", "pyramid_expand"}
WEIGHTED |= {"convolve", "bilateral", "denoise_nl_means", "label2rgb", *SAMPLED, *PYRAMIDS}
# Although their results are floats, of which some may be infinite.
EXACT = {"distance_transform_edt", "flip", "rot90", "astype", "add", "subtract", "multiply", "divide"}
EXACT |= {"crop", "pad", "where", "minimum", "maximum", "erosion", "dilation", "opening", "closing"}
COMPOSED = {
    "corner_harris",
    "laplace",
    "unsharp_mask",
    "difference_of_gaussians",
    "opening",
    "closing",
    "white_tophat",
    "black_tophat",
    "morphological_gradient",
}
POINTWISE = {"invert", "lut", "clip", "threshold", "rgb2gray", "add", "subtract", "multiply", "divide", "where"}

# Beyond the filters' own examples: sizes that take other paths, and windows larger than the image.
MORE = {
    "gaussian": [{"sigma": 0}, {"sigma": (0, 1.2)}, {"sigma": 12}],
    "uniform": [{"size": 1}, {"size": (31, 2)}, {"size": 70}],
    "median": [{"size": 1}, {"size": 7}, {"size": 9}, {"size": (31, 3)}, {"size": (1, 51)}],
    "percentile": [
        {"percentile": 0, "size": (7, 3)},
        {"percentile": 100, "size": 5},
        {"percentile": 50},
        {"percentile": -1, "size": 1},
        {"percentile": 99, "size": 5},
        {"percentile": 30, "size": 7},
        {"percentile": 60, "size": (31, 3)},
        {"percentile": 95, "size": (1, 51)},
    ],
    "convolve": [
        {"weights": [[2.5]]},
        {"weights": np.zeros((3, 3), int)},
        {"weights": np.random.default_rng(0).normal(0, 0.1, (5, 4))},
        {"weights": [[-30000, 70000, 1]]},
        {"weights": np.outer(np.arange(1, 13), np.arange(9, 20)) / 11000},
        {"weights": np.full((1, 130), 1 / 130)},
        {"weights": np.full((70, 2), 1 / 140)},
    ],
    "bilateral": [
        {"sigma_color": 1e9, "sigma_spatial": 1e9, "window": 15},
        {"sigma_color": 1e-300, "sigma_spatial": 2},
        {"sigma_color": 9, "sigma_spatial": 1e-300},
        {"sigma_color": 20, "sigma_spatial": 8, "window": 33},
        {"sigma_color": 20, "sigma_spatial": 8, "window": 1},
    ],
    "threshold_local": [{"param": (0, 2.5)}, {"block_size": 21, "method": "mean"}, {"block_size": 1}],
    "threshold_niblack": [{"window_size": 1}, {"window_size": (1, 51)}, {"window_size": (27, 1)}, {"window_size": 185}],
    "threshold_sauvola": [{"window_size": 3, "k": 2, "r": 0.25}],
    "denoise_nl_means": [
        {"h": 0.5, "patch_size": 2, "patch_distance": 7},
        {"h": 0.7, "patch_size": 41, "patch_distance": 1},
        {"h": 20, "patch_distance": 0},
        {"h": 1e-300, "patch_distance": 1},
        {"h": 1e300, "patch_distance": 1},
    ],
    "minimum": [{"size": 1}, {"size": (40, 5)}, {"size": 150}],
    "maximum": [{"size": (5, 40)}],
    "erosion": [{"footprint": np.array([[1, 0, 0, 1, 1], [0, 0, 0, 0, 0]])}],
    "dilation": [{"footprint": np.array([[1, 0, 0, 1, 1], [0, 0, 0, 0, 0]])}, {"footprint": (4, 1)}],
    "opening": [{"footprint": np.array([[1, 1, 0, 0], [0, 1, 0, 0]])}],
    "closing": [{"footprint": np.array([[1, 1, 0, 0], [0, 1, 0, 0]])}],
    "local_maxima": [{}, {"connectivity": 2, "allow_borders": False}, {"connectivity": 1}],
    "peak_local_max": [
        {"min_distance": 2, "exclude_border": (0, 3), "threshold_abs": 1.5},
        {"min_distance": 60, "exclude_border": 0},
        {"threshold_abs": -1e9, "exclude_border": 1, "num_peaks": 3},
        {"min_distance": 2, "exclude_border": False},
    ],
    "clear_border": [{}, {"bgval": 1}],
    "clip": [{}, {"min": -1e9, "max": 1e9}, {"min": 1e9}, {"max": -1e9}, {"min": 7, "max": 7}, {"max": float("inf")}],
    "threshold": [{"value": -3}, {"value": 1e9}, {"value": 99.5}, {"value": float("nan")}],
    "resize": [
        {"output_shape": (1, 1)},
        {"output_shape": (7, 100)},
        {"output_shape": (20, 20), "order": 0, "anti_aliasing": True},
        {"output_shape": (3, 2), "order": 3},
        {"output_shape": (66, 4), "order": "lanczos"},
        {"output_shape": (11, 20), "order": "lanczos", "anti_aliasing": False},
    ],
    "pyramid_reduce": [{"downscale": 40}, {"downscale": 2, "order": 0}, {"downscale": 1.01, "order": "lanczos"}],
    "pyramid_expand": [{"upscale": 3, "sigma": 0, "order": 0}, {"upscale": 1.5, "order": "lanczos"}],
    "rescale": [{"scale": 0.01}, {"scale": (0.5, 2.5)}, {"scale": 0.5, "order": 0, "anti_aliasing": True}],
    "rgb2gray": [{"weights": (3, -1, 0.5)}, {"weights": (0, 0, 1)}],
    "histogram": [{"bins": 1}],
    "rescale_intensity": [
        {"out_range": "image"},
        {"in_range": (50, 50)},
        *[{"out_range": name} for name in ("uint8", "uint12", "uint16", "int16", "float32", "float64")],
        {"in_range": "uint10", "out_range": "image"},
    ],
    "pad": [{"pad_width": 0}, {"pad_width": ((0, 1), (0, 0))}, {"pad_width": [[2, 0], [1100, 90]]}],
    "rot90": [{"k": 3}, {"k": 4}],
    "astype": [
        *[{"dtype": dtype} for dtype in ("bool", "uint16", "int16", "int32", "float64")],
        *[
            {"dtype": dtype, "scale": lambda image: image.dtype != np.int32}
            for dtype in ("bool", "uint8", "uint16", "int16", "float32", "float64")
        ],
    ],
    "where": [
        {"a": True, "b": False},
        {"a": 300.5, "b": lambda image: image[::-1]},
        {"a": lambda image: image[::-1].astype(np.complex64), "b": float("inf")},
        {"a": lambda image: (image > 3).astype(np.float16), "b": lambda image: (image[::-1] < 0).astype(np.float16)},
        {"a": 1, "b": -1},
        {"a": lambda image: image[::-1], "b": lambda image: image, "dtype": "uint16"},
    ],
    "lut": [
        {"table": lambda image: np.linspace(-1, 1, values(image)).astype(np.float32)},
        {"table": lambda image: np.arange(values(image)) % 3 == 0},
    ],
}


def values(image):
    return 1 << 8 * min(image.dtype.itemsize, 2)


def params(name, image):
    entry = FILTERS[name]
    each = {"axes": "YXC"} if entry.grey and image.ndim == 3 else {}
    return [{**arguments(example, image), **each} for example in (*entry.examples, *MORE.get(name, []))]


def modes_of(name):
    """A filter's border modes."""
    parameters = inspect.signature(FILTERS[name].function).parameters
    return get_args(getattr(typing, parameters["mode"].annotation)) if "cval" in parameters else ()


def takes_border(name):
    return bool(modes_of(name))


def image_for(name, shape, dtype, seed=0):
    if FILTERS[name].color:
        shape = (*shape[:2], 4 if shape[1] % 2 and name == "rgb2gray" else 3)
    if name in PLANES:
        shape = shape[:2]
    if name == "threshold_multiotsu" and math.prod(shape) < 9:  # which has values for several classes
        shape = (3, 3)
    image = noise(shape, dtype, seed)
    return not_negative(image) if name == "adjust_gamma" else image


def not_negative(image):
    if image.dtype.kind not in "if":
        return image
    return np.where(image < 0, ~image if image.dtype.kind == "i" else -image, image)


def supported(name, dtype):
    return dtype in FILTERS[name].dtypes


def constant(dtype, wanted):
    """A constant beyond the edge that is a value of the dtype."""
    return min(wanted, 1) if dtype.kind == "b" else wanted


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def check(name, image, given, message):
    """One call on one thread against the oracle."""
    actual = FILTERS[name].function(image, backend="single", **given)
    expected = quiet(ORACLES[name], image, **given)
    if name == "histogram":
        assert_same(actual[0], expected[0].astype(np.int64), message)
        assert_same(actual[1], expected[1], message)
    elif name == "gradient":
        check_gradient(image, given, actual, expected, message)
    elif name in LEVELS:
        assert actual.dtype == (np.float64 if name == "threshold_li" and image.dtype.kind != "f" else image.dtype)
        levels = 2 * float(np.ptp(image)) / 65536 if name == "threshold_li" and image.dtype.kind == "f" else 0
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=levels, err_msg=message)
    elif np.asarray(expected).dtype.kind == "f" and name not in EXACT:
        assert_close(actual, expected, image, message)
    elif name in WEIGHTED:
        assert actual.dtype == expected.dtype, message
        assert actual.shape == expected.shape, message
        difference = actual.astype(np.int64) - expected
        assert np.abs(difference).max(initial=0) <= 1, message
    else:
        assert_same(actual, expected, message)


def check_gradient(image, given, actual, expected, message):
    magnitude, direction = actual
    assert_close(magnitude, expected[0], image, message)
    if image.dtype.kind == "f":
        assert_angles_close(direction, expected[1], uncertainty(image, given, expected[0]))
    else:  # differences of whole numbers are exact
        assert_angles_close(direction, expected[1])


def uncertainty(image, given, magnitude):
    """How far a direction may be off where differences of floats are rounded.

    A difference adds up eight values, which are at most ``largest`` in magnitude: its rounding errors are at most 10
    eps of that. Here and in the oracle both differences may have such an error, of a vector as long as
    ``4 * sqrt(2)`` times the magnitude.
    """
    reach = given | {"cval": abs(given["cval"])}
    largest = ORACLES["maximum"](np.abs(image), 3, **reach).astype(np.float64)
    error = 2 * math.sqrt(2) * 10 * np.finfo(image.dtype).eps * largest
    length = 4 * math.sqrt(2) * magnitude.astype(np.float64)
    return np.where(error < length, np.arcsin(np.minimum(error / np.maximum(length, 1e-300), 1)), np.pi)


def short(given):
    return {
        key: f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else value for key, value in given.items()
    }


@pytest.mark.parametrize("dtype", KNOWN, ids=str)
@pytest.mark.parametrize("name", FILTERS)
def test_against_the_oracle(name, dtype):
    if not supported(name, dtype):
        image = image_for(name, (3, 3), dtype)
        with pytest.raises(TypeError, match=r"(image|seed|condition|labels?) must have one of the dtypes"):
            FILTERS[name].function(image, **quiet(params, name, image)[0])
        return
    for number, shape in enumerate(SHAPES):
        image = image_for(name, shape, dtype, number)
        for given in params(name, image):
            for mode in modes_of(name) or [None]:
                edge = {} if mode is None else {"mode": mode, "cval": constant(dtype, 7)}
                check(name, image, {**given, **edge}, f"{name} {short(given)} {shape} {dtype} {mode}")


@pytest.mark.parametrize("dtype", KNOWN, ids=str)
@pytest.mark.parametrize("name", FILTERS)
def test_backends_agree_bit_for_bit(name, dtype, backend):
    """With one thread as in the oracle test; "single" itself is called with other bands here."""
    if not supported(name, dtype):
        return
    modes = modes_of(name)
    turn = 0
    for number, shape in enumerate(SHAPES if backend in ("single", "multicore") else FEW_SHAPES):
        image = image_for(name, shape, dtype, number)
        for given in params(name, image):
            turn += 1
            if backend == "processes" and turn % 3:
                continue
            edge = {"mode": modes[turn % len(modes)], "cval": constant(dtype, 3)} if modes else {}
            message = f"{name} {short(given)} {shape} {dtype} {edge} on {backend}"
            compare(name, image, {**given, **edge}, backend, message)


def compare(name, image, given, backend, message):
    function = FILTERS[name].function
    expected = function(image, backend="single", **given)
    if backend == "single":
        with in_bands_of(3):
            actual = function(image, backend=backend, **given)
    else:
        actual = function(image, backend=backend, **given)
    assert_alike(name, backend, image, actual, expected, message)


def assert_alike(name, backend, image, actual, expected, message):
    """Bit for bit, but where sums of floats are made in another order on a GPU, or powers by its own function."""
    if name in ("uniform", "threshold_local", "adjust_gamma") and backend == "cuda" and image.dtype.kind == "f":
        assert_close(actual, expected, image, message)
    else:
        np.testing.assert_equal(actual, expected, err_msg=message)


@contextmanager
def in_bands_of(rows):
    """Let the backend "single" fill an image a few rows at a time."""

    def few(total, _elements, _bands=1):
        yield from ((top, min(top + rows, total)) for top in range(0, total, rows))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single, "FIRST_PIECE_ELEMENTS", 0)
        patch.setattr(single, "pieces", few)
        yield


@pytest.mark.parametrize("name", FILTERS)
def test_memory_layouts(name, backend):
    """Views of every kind return what a plain copy returns."""
    for dtype in map(np.dtype, ("bool", "uint8", "uint16", "int32", "float64", "complex64")):
        if not supported(name, dtype):
            continue
        color = FILTERS[name].color
        whole = image_for(name if color or name == "adjust_gamma" else "invert", (22, 34, 4), dtype)
        view = whole if color else whole[..., 0]
        misaligned = np.frombuffer(b"?" + view.tobytes(), np.uint8)[1:].view(dtype).reshape(view.shape)
        read_only = view.copy()
        read_only.flags.writeable = False
        views = {
            "every other pixel": whole[::2, 1::2] if color else whole[::2, 1::2, 1],
            "upside down": view[::-1, ::-1],
            "transposed": view.swapaxes(0, 1),
            "Fortran order": np.asfortranarray(view),
            "byte-swapped": view.astype(dtype.newbyteorder()),
            "misaligned": misaligned,
            "read-only": read_only,
        }
        function = FILTERS[name].function
        for kind, image in views.items():
            plain = np.ascontiguousarray(image).astype(dtype)
            given = params(name, plain)[0]
            actual = function(image, backend=backend, **given)
            expected = function(plain, backend="single", **given)
            assert_alike(name, backend, plain, actual, expected, f"{name} of a view: {kind}, {dtype}")


@pytest.mark.parametrize("name", sorted(set(FILTERS) - SCALAR - PYRAMIDS - {"crop", "pad", "rescale", "resize"}))
def test_empty_images_stay_empty(name, backend):
    for shape in ((0, 5), (5, 0), (0, 0), (4, 5, 0), (0, 5, 3)):
        if FILTERS[name].color:
            shape = (*shape[:2], 3)
            if 0 not in shape:
                continue
        if name in PLANES and len(shape) == 3:
            continue
        image = np.empty(shape, np.uint8 if "u" in FILTERS[name].kinds else np.float32)
        result = FILTERS[name].function(image, backend=backend, **params(name, image)[0])
        expected = {"rgb2gray": shape[:2], "rot90": (shape[1], shape[0], *shape[2:]), "label2rgb": (*shape, 3)}
        for part in parts(result):
            assert part.shape == expected.get(name, shape)


@pytest.mark.parametrize("name", ["flip", "sobel", "scharr", "prewitt"])
def test_axes_may_be_counted_from_the_last(name, backend):
    image = noise((5, 7), np.uint8)
    for axis in (0, 1):
        found = FILTERS[name].function(image, axis=axis - 2, backend=backend)
        assert_same(found, FILTERS[name].function(image, axis=axis, backend=backend))


def test_empty_images_without_a_result_of_their_own():
    nothing = np.empty((0, 5), np.uint8)
    counts, edges = gpuimg.histogram(nothing, bins=4)
    assert_same(counts, np.zeros(4, np.int64))
    assert_same(edges, np.histogram(nothing, 4)[1])
    for name in LEVELS:
        with pytest.raises(ValueError, match="image must not be empty"):
            FILTERS[name].function(nothing)
    with pytest.raises(ValueError, match="image must not be empty"):
        gpuimg.resize(nothing, (3, 3))


def touched(name, image, given):
    """Where the neighbourhood of a pixel holds a NaN, by a filter of which SciPy knows that."""
    there = np.isnan(image).astype(np.uint8)
    if given.get("nan") == "omit":
        return np.isnan(ORACLES[name](image, **given))
    if name == "gaussian":
        return ORACLES["gaussian"](there.astype(np.float64), **given) > 0
    if name == "convolve":
        return ndimage.convolve(there, (np.asarray(given["weights"]) != 0).astype(np.uint8)) > 0
    if name in ("bilateral", "denoise_nl_means"):  # it has no weight
        return there.astype(bool)
    if name == "pad":
        return ORACLES["pad"](there, **given).astype(bool)
    if name in SAMPLED:
        return np.abs(ORACLES[name](there.astype(np.float64), **given)) > 1e-9
    if name in PYRAMIDS:
        return np.abs(ORACLES[name](there.astype(np.float64), **given)) > 1e-14
    if name == "canny":  # there are no edges
        return np.zeros(image.shape, bool)
    if name == "gaussian_laplace":  # weights are 0 where those of both derivatives are
        return np.abs(ORACLES[name](there.astype(np.float64), **given)) > 1e-12
    if name == "threshold_local":
        means = {"method": given.get("method", "gaussian").replace("median", "mean"), "offset": 0}
        return ORACLES[name](there.astype(np.float64), **{**given, **means}) > 1e-9
    if "niblack" in name or "sauvola" in name:
        return ORACLES["maximum"](there, given.get("window_size", 15), mode="mirror").astype(bool)
    if name in ("sobel", "scharr", "prewitt", "gradient"):
        return neighbours(there, **given)
    if name in COMPOSED:
        return np.isnan(ORACLES[name](image, **given))
    if "size" in given or name == "percentile":
        return ORACLES["maximum"](there, given.get("size", 3)).astype(bool)
    if name == "dilation":
        return ORACLES["dilation"](there, **given).astype(bool)
    return ~ORACLES["erosion"](1 - there, **given).astype(bool)


def neighbours(there, axis=None):
    """The neighbours with a weight: not the middle, and along an axis not its own line."""
    across = np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1]])
    under = {None: across | across.T, 0: across, 1: across.T}[axis]
    return ndimage.grey_dilation(there, footprint=under).astype(bool)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in FILTERS if takes_border(name)])
def test_nan_stays_nan_where_it_touches(name, dtype, backend):
    image = noise((23, 37), dtype)
    image[11, 18] = np.nan
    for given in params(name, image):
        actual = FILTERS[name].function(image, backend=backend, **given)
        for part in parts(actual):
            np.testing.assert_array_equal(np.isnan(part), touched(name, image, given), err_msg=f"{name} {short(given)}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_in_pointwise_filters(dtype, backend):
    image = noise((5, 9), dtype)
    image[2, 3] = np.nan
    assert np.isnan(gpuimg.invert(image, backend=backend)[2, 3])
    assert not gpuimg.threshold(image, -99, backend=backend)[2, 3]
    assert np.isnan(gpuimg.resize(image, (5, 9), backend=backend)[2, 3])
    with pytest.raises(ValueError, match="image must be finite"):
        gpuimg.histogram(image, backend=backend)
    for name in LEVELS:
        with pytest.raises(ValueError, match="image must be finite"):
            FILTERS[name].function(image, backend=backend)
    with pytest.raises(ValueError, match="image must be finite"):
        gpuimg.equalize_hist(image, backend=backend)
    with pytest.raises(ValueError, match="image must be finite"):
        gpuimg.equalize_adapthist(image, backend=backend)


@pytest.mark.parametrize("sigma", [0.5, 1, 1.5, 2, 3, 5, 8, 10])
def test_gaussian_has_no_bias(sigma):
    image = noise((300, 400), np.uint8)
    difference = gpuimg.gaussian(image, sigma, backend="single").astype(int) - ORACLES["gaussian"](image, sigma)
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.02


@pytest.mark.parametrize("given", [*FILTERS["resize"].examples, {"output_shape": (150, 111)}], ids=str)
def test_resize_has_no_bias(given):
    image = noise((300, 400), np.uint8)
    difference = gpuimg.resize(image, backend="single", **given).astype(int) - ORACLES["resize"](image, **given)
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.02


@pytest.mark.parametrize(("order", "kernel"), [(3, Image.Resampling.BICUBIC), ("lanczos", Image.Resampling.LANCZOS)])
@pytest.mark.parametrize("shape", [(90, 80), (63, 100), (21, 17)], ids=str)
def test_kernels_are_pillows(order, kernel, shape):
    """Away from the edges, which Pillow does not mirror."""
    image = noise((60, 70), np.float32)
    found = gpuimg.resize(image, shape, order, backend="single")
    expected = np.asarray(Image.fromarray(image).resize(shape[::-1], kernel))
    inner = tuple(slice(math.ceil(3 * max(1, new / old)), -math.ceil(3 * max(1, new / old)))
                  for old, new in zip(image.shape, shape, strict=True))  # fmt: skip
    assert found[inner].size
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5 * np.abs(image).max())


@pytest.mark.parametrize("order", [1, 3, "lanczos"])
def test_bytes_that_shrink_by_thousands(order):
    """Most weights are less than a 16384th."""
    image = np.random.default_rng(7).integers(0, 256, (1, 240_000), np.uint8)
    image[:, 100_000:] //= 4
    found = gpuimg.resize(image, (1, 12), order, backend="single")
    exact = gpuimg.resize(image.astype(np.float64), (1, 12), order, backend="single")
    assert np.abs(found - exact).max() < 2


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(6, 2), (4, 62), (10, 128), (8, 410)], ids=str)
def test_half_the_size_is_means_of_two_by_two(shape, channels, backend):
    rows, cols = shape
    image = np.random.default_rng(3).integers(0, 256, (rows, cols, channels), np.uint8)
    sums = image.reshape(rows // 2, 2, cols // 2, 2, channels).sum(axis=(1, 3))
    found = gpuimg.resize(image, (rows // 2, cols // 2), anti_aliasing=False, alpha=False, backend=backend)
    np.testing.assert_array_equal(found, (sums + 2) // 4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_levels_of_pyramids_are_filters_in_a_row(dtype, mode, backend):
    """Which are rounded once: within one unit, or as floats are rounded, of both steps in float64."""
    image = noise((31, 44, 3), dtype)
    plain, edge = image.astype(np.float64), {"mode": mode, "cval": 5}
    smooth = ORACLES["gaussian"](plain, 2 * 1.7 / 6, **edge)
    reduced = ORACLES["resize"](smooth, (19, 26), anti_aliasing=False)
    large = ORACLES["resize"](plain, (53, 75), 3)
    expanded = ORACLES["gaussian"](large, 2 * 1.7 / 6, **edge)
    within = {"f4": 1e-6, "f8": 1e-13}.get(np.dtype(dtype).str[1:])
    limits = None if within else np.iinfo(dtype)
    for found, exact in (
        (gpuimg.pyramid_reduce(image, 1.7, **edge, backend=backend), reduced),
        (gpuimg.pyramid_expand(image, 1.7, order=3, **edge, backend=backend), expanded),
    ):
        assert found.dtype == dtype
        if within:
            np.testing.assert_allclose(found, exact, rtol=within, atol=within * np.abs(plain).max())
        else:
            np.testing.assert_allclose(found, exact.clip(limits.min, limits.max), rtol=0, atol=1)


@pytest.mark.parametrize("name", sorted(PYRAMIDS))
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_levels_of_pyramids_are_rounded_once(name, dtype):
    """Most values are those of both steps in float64, which they are not where integers are rounded between them."""
    image = noise((300, 400), dtype)
    wrong = FILTERS[name].function(image, backend="single") != ORACLES[name](image)
    assert wrong.mean() < (0.03 if dtype == "uint8" else 0.01)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(PYRAMIDS))
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (5, 40)], ids=str)
def test_levels_of_pyramids_with_wide_kernels(shape, name, mode):
    """Which reach beyond both ends of an image, several times even."""
    image = noise(shape, np.float64)
    for sigma in (0, 1.5, (9, 0), 40):
        for order in (0, 1, 3, "lanczos"):
            given = {"sigma": sigma, "order": order, "mode": mode, "cval": 3}
            found = FILTERS[name].function(image, 2.5, **given, backend="single")
            expected = ORACLES[name](image, 2.5, **given)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(image).max(), err_msg=str(given))


@pytest.mark.parametrize("name", sorted(PYRAMIDS))
def test_a_constant_of_nan_or_infinity_around_pyramids(name, backend):
    image = noise((9, 14), np.float32)
    for cval in (np.nan, np.inf):
        found = FILTERS[name].function(image, mode="constant", cval=cval, backend=backend)
        assert_same(np.isfinite(found), np.isfinite(quiet(ORACLES[name], image, mode="constant", cval=cval)))


@pytest.mark.parametrize("factor", [2, 3, 1.4])
def test_pyramids_are_scikit_images(factor):
    image = noise((41, 50), np.float64)
    for name in PYRAMIDS:
        expected = getattr(transform, name)(image, factor, preserve_range=True)
        found = FILTERS[name].function(image, factor)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(image).max())


@pytest.mark.parametrize("shape", [(3, 3), (5, 5), (9, 9), (4, 25)], ids=str)
def test_convolve_has_no_bias(shape):
    weights = np.random.default_rng(1).random(shape)
    weights /= weights.sum()
    image = noise((300, 400), np.uint8)
    difference = gpuimg.convolve(image, weights, backend="single").astype(int) - ORACLES["convolve"](image, weights)
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.02


WHOLE = [[[1]], [[1, 2], [3, 4]], [[-1, 3, 200]], np.arange(-12, 13).reshape(5, 5), np.arange(-60, 70).reshape(10, 13)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("divisor", [1, 64])
@pytest.mark.parametrize("weights", WHOLE, ids=np.shape)
def test_convolving_with_whole_weights_is_exact(weights, divisor, dtype, backend):
    """Also with multiples of a power of two, whose sums lie half-way between two numbers now and then."""
    image, given = noise((31, 70), dtype), np.asarray(weights) / divisor
    for mode in MODES:
        expected = ndimage.convolve(image.astype(np.float64), given, mode=mode, cval=5)
        info = np.iinfo(dtype)
        expected = np.clip(np.rint(expected), info.min, info.max).astype(dtype)
        assert_same(gpuimg.convolve(image, given, mode=mode, cval=5, backend=backend), expected, mode)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (4, 1), (1, 6), (7, 4), (11, 12)], ids=str)
def test_convolve_is_scipys(shape, dtype):
    image, weights = noise((26, 37), np.dtype(dtype)), np.random.default_rng(2).normal(0, 0.2, shape)
    for mode in MODES:
        expected = ndimage.convolve(image.astype(np.float64), weights, mode=mode, cval=5)
        found = gpuimg.convolve(image, weights, mode=mode, cval=5, backend="single")
        if image.dtype.kind == "f":
            assert_close(found, expected.astype(dtype), image, mode)
        else:
            expected = np.clip(np.rint(expected), np.iinfo(dtype).min, np.iinfo(dtype).max)
            assert np.abs(found - expected).max() <= 1, mode


@pytest.mark.parametrize("side", [3, 5, 9, 25, 65])
def test_weights_of_bytes_are_whole_numbers(side):
    """Which is what makes them fast."""
    weights = np.random.default_rng(side).random((side, side)) + 0.1
    given = smooth._weights(weights / weights.sum())
    values, shift = smooth.computed_weights(given, np.dtype(np.uint8))
    assert values.dtype == np.int32
    assert np.abs(values).max() < 1 << 15
    assert abs(values.sum() / (1 << shift) - 1) < 1e-4


def test_separable_weights_in_two_passes():
    """Of floats; the constant beyond the edge is weighed by the first one, too."""
    rows, cols = np.random.default_rng(5).random(15), np.random.default_rng(6).random(12) - 0.3
    for image in (noise((40, 50), np.float32), noise((40, 50), np.float64)):
        for mode in MODES:
            found = gpuimg.convolve(image, np.outer(rows, cols) / 20, mode=mode, cval=0.5, backend="single")
            expected = ndimage.convolve(image.astype(np.float64), np.outer(rows, cols) / 20, mode=mode, cval=0.5)
            assert_close(found, expected.astype(image.dtype), image, mode)


def test_rgb2gray_has_no_bias():
    image = noise((300, 400, 3), np.uint8)
    difference = gpuimg.rgb2gray(image, backend="single").astype(int) - ORACLES["rgb2gray"](image)
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.02


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32"])
def test_nothing_wraps_round_at_the_ends_of_the_range(dtype, backend):
    info = np.iinfo(dtype)
    for value in (info.min, info.max):
        image = np.full((20, 37), value, dtype)
        for name in (
            "gaussian",
            "uniform",
            "median",
            "percentile",
            "minimum",
            "maximum",
            "erosion",
            "dilation",
            "resize",
        ):
            if not supported(name, image.dtype):
                continue
            for given in params(name, image):
                result = FILTERS[name].function(image, backend=backend, **given)
                assert (result == value).all(), f"{name} {short(given)} of {value}"


def test_masks(backend):
    mask = noise((19, 23), bool)
    assert_same(gpuimg.invert(mask, backend=backend), ~mask)
    assert gpuimg.threshold(noise((5, 5), np.uint8), 99, backend=backend).dtype == bool


CHOOSERS = [name for name in FILTERS if np.dtype(np.int32) in FILTERS[name].dtypes and takes_border(name)]


@pytest.mark.parametrize("name", CHOOSERS)
def test_what_compares_makes_masks_of_masks(name, backend):
    """Of bytes that are 0 or 1: any other would be neither True nor False."""
    mask = gpuimg.threshold(noise((19, 23, 3), np.uint8), 100, backend=backend)
    for given in params(name, mask):
        result = FILTERS[name].function(mask, backend=backend, **given)
        assert_same(result, ORACLES[name](mask, **given), f"{name} {short(given)}")
        assert result.view(np.uint8).max() <= 1
        out = np.empty_like(result)
        assert FILTERS[name].function(mask, backend=backend, out=out, **given) is out
        assert_same(out, result)


@pytest.mark.parametrize("name", CHOOSERS)
def test_labels_are_exact_over_the_whole_range(name, backend):
    """Values that float32 cannot tell apart, and the ends of the range."""
    info = np.iinfo(np.int32)
    labels = np.random.default_rng(3).integers(0, 90, (19, 23), np.int32) + np.int32(1 << 30)
    labels[:, 9:] -= info.max
    labels[3:5, 3:5], labels[8:10, 11:13] = info.max, info.min
    for given in params(name, labels):
        for cval in (info.min, info.max):
            edge = {"mode": "constant", "cval": cval}
            result = FILTERS[name].function(labels, backend=backend, **given, **edge)
            assert_same(result, ORACLES[name](labels, **given, **edge), f"{name} {short(given)} {cval}")


@pytest.mark.parametrize("dtype", KNOWN, ids=str)
def test_nearest_neighbours_of_every_dtype(dtype, backend):
    """Taken as they are: nothing is smoothed unless asked for."""
    for shape in ((1, 1), (19, 33), (7, 16, 3), (6, 5, 4), (40, 128)):
        image = noise(shape, dtype)
        for size in ((1, 1), (8, 20), (40, 33), (19, 70)):
            message = f"{shape} to {size}"
            result = gpuimg.resize(image, size, order=0, backend=backend)
            assert_same(result, ORACLES["resize"](image, size, order=0), message)
            out = np.empty_like(result)
            assert gpuimg.resize(image, size, 0, False, backend=backend, out=out) is out
            assert_same(out, result, message)


@pytest.mark.parametrize("dtype", KNOWN, ids=str)
def test_moving_pixels_into_an_array(dtype, backend):
    image = noise((7, 9, 3), dtype)
    for name, given in (("flip", {"axis": 0}), ("flip", {"axis": 1}), ("rot90", {}), ("rot90", {"k": 4})):
        expected = ORACLES[name](image, **given)
        out = np.empty(expected.shape, dtype)
        assert FILTERS[name].function(image, **given, backend=backend, out=out) is out
        assert_same(out, expected, name)


SPECIAL = (
    np.nan,
    np.inf,
    -np.inf,
    -0.5,
    0.5,
    1.5,
    2.5,
    -1.5,
    254.5,
    255.5,
    32767.5,
    -32768.5,
    65534.5,
    65536,
    2**31,
    -2e9,
)


@pytest.mark.parametrize("wanted", ["bool", "uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_astype_rounds_and_saturates(dtype, wanted, backend):
    image = np.array([SPECIAL, SPECIAL[::-1]], dtype)
    for scale in (False, wanted != "int32"):
        actual = gpuimg.astype(image, wanted, scale, backend=backend)
        assert_same(actual, quiet(ORACLES["astype"], image, wanted, scale))


@pytest.mark.parametrize("wanted", ["bool", "uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_astype_of_every_value(dtype, wanted, backend):
    info = np.iinfo(dtype)
    image = np.arange(info.min, info.max + 1).astype(dtype).reshape(16, -1)
    for scale in (False, True):
        actual = gpuimg.astype(image, wanted, scale, backend=backend)
        assert_same(actual, ORACLES["astype"](image, wanted, scale))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_quarter_turns_of_many_blocks(dtype):
    for shape in ((150, 83), (83, 150), (129, 64), (70, 90, 3), (70, 90, 2)):
        image = noise(shape, dtype)
        for k in range(4):
            for rows in (7, 50, 1000):
                with in_bands_of(rows):
                    assert_same(gpuimg.rot90(image, k, backend="single"), np.rot90(image, k), f"{shape} {k} {rows}")


@pytest.mark.parametrize("mode", ["reflect", "constant"])
@pytest.mark.parametrize("name", ["uniform", "minimum", "dilation"])
def test_windows_wider_than_a_gpus_shared_memory(name, mode, backend):
    image = noise((2, 3001, 3), np.uint8)
    (parameter,) = FILTERS[name].examples[0]
    given = {parameter: (2, 2802), "mode": mode, "cval": 77}
    result = FILTERS[name].function(image, backend=backend, **given)
    assert_same(result, ORACLES[name](image, **given), name)


PERCENTILES = [*range(-100, 101, 7), 0, 100, 50, 33.3, 1e-9, -1e-9, -1e-20, 11.2, 99.9]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("size", [1, 3, 5, 7, (3, 5), (9, 9)], ids=str)
def test_percentiles_are_scipys(size, dtype):
    image = noise((21, 34), dtype)
    for percentile in PERCENTILES:
        expected = ndimage.percentile_filter(image, percentile, size)
        for backend in ("single", "multicore"):
            found = gpuimg.percentile(image, percentile, size, backend=backend)
            assert_same(found, expected, f"{percentile} of {size} on {backend}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["erosion", "dilation", "minimum", "maximum", "median", "percentile"])
def test_oracles_of_windows_are_scipys(name, mode):
    """Where SciPy can be relied on: windows smaller than the image."""
    theirs = {"erosion": ndimage.grey_erosion, "dilation": ndimage.grey_dilation}
    image = noise((33, 47), np.uint8)
    for example in FILTERS[name].examples:
        given = {key: value for key, value in example.items() if key != "nan"}
        value = list(given.values())[-1]
        if name == "percentile":
            expected = ndimage.percentile_filter(image, **{"size": 3, **given}, mode=mode, cval=3)
        elif name in theirs:
            under = np.asarray(value) if np.ndim(value) == 2 else np.ones(np.broadcast_to(value, 2))
            expected = theirs[name](image, footprint=under, mode=mode, cval=3)
        else:
            expected = getattr(ndimage, f"{name}_filter")(image, value, mode=mode, cval=3)
        assert_same(ORACLES[name](image, mode=mode, cval=3, **given), expected, f"{name} {short(given)}")


def test_edges_of_colours_are_asked_for():
    image = noise((12, 17, 3), np.uint8)
    for given in (image, Image.fromarray(image), noise((12, 17, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"image must be grey.*gpuimg\.rgb2gray\(image\).*'YXC'"):
            gpuimg.canny(given)
    each = gpuimg.canny(image, axes="YXC")
    assert_same(each[..., 1], gpuimg.canny(image[..., 1]))
    assert gpuimg.canny(image[..., :1]).shape == (12, 17, 1)
    shaded = np.stack((image[..., 0], np.full((12, 17), 255, np.uint8)), axis=2)
    assert gpuimg.canny(shaded, alpha=True).shape == (12, 17)
    with pytest.raises(ValueError, match="image must be grey"):
        gpuimg.canny(shaded)


@pytest.mark.parametrize(("terms", "dtype", "error"), [(4, "f4", 1e-4), (6, "f4", 3e-7), (11, "f8", 1e-14)])
def test_powers_of_half(terms, dtype, error):
    coefficients = smooth.powers_of_half(terms, np.dtype(dtype))
    assert coefficients.shape == (terms,)
    assert coefficients.dtype == dtype
    x = np.linspace(-0.5, 0.5, 101)
    np.testing.assert_allclose(np.polynomial.Polynomial(coefficients)(x), 2.0**-x, rtol=error)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_bilateral_leaves_out_what_is_not_finite(channels, dtype, backend):
    image = noise((23, 37, channels), dtype)
    holes = [(3, 5, np.nan), (3, 6, np.inf), (11, 18, -np.inf), (12, 18, np.inf), (22, 0, np.nan)]
    for row, col, value in holes:
        image[row, col, channels - 1] = value
    given = {"sigma_color": 0.7, "sigma_spatial": 2}
    found = gpuimg.bilateral(image, **given, backend=backend)
    with np.errstate(invalid="ignore"):
        expected = ORACLES["bilateral"](image, **given)
    is_hole = ~np.isfinite(image).all(axis=-1)
    assert is_hole.sum() == len(holes)
    np.testing.assert_array_equal(found[is_hole], image[is_hole])
    assert_close(found[~is_hole], expected[~is_hole], image[~is_hole])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bilateral_keeps_constants_and_edges(dtype, backend):
    image = np.full((9, 40), 87, dtype)
    image[:, 20:] = 101
    for given in ({"sigma_color": 0.5, "sigma_spatial": 3}, {"sigma_color": 1e-3, "sigma_spatial": 0.5}):
        assert_same(gpuimg.bilateral(image, **given, backend=backend), image)
    for value in (87, 1):
        plain = np.full((9, 40), value, dtype)
        assert_same(gpuimg.bilateral(plain, 30, 4, backend=backend), plain)


def test_bilateral_sees_colours_as_a_whole(backend):
    """An edge in one channel is one in all; as planes, they would be smoothed one by one."""
    image = noise((12, 20, 3), np.uint8) // 16
    image[:, 10:, 0] += 200
    found = gpuimg.bilateral(image, 20, 2, backend=backend)
    planes = np.dstack([gpuimg.bilateral(image[..., channel], 20, 2, backend=backend) for channel in range(3)])
    assert (found[..., 1:] != planes[..., 1:]).any()
    assert_same(found[..., 0] >= 200, image[..., 0] >= 200)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_bilateral_has_no_bias(dtype):
    image = noise((200, 300), dtype)
    sigma = {"uint8": 40, "uint16": 10000, "int16": 10000}[dtype]
    difference = gpuimg.bilateral(image, sigma, 3, 9, backend="single").astype(int)
    difference -= ORACLES["bilateral"](image, sigma, 3, 9)
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.02
    assert (difference != 0).mean() < 0.02


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3])
def test_denoise_nl_means_leaves_out_what_is_not_finite(channels, dtype, backend):
    image = noise((23, 37, channels), dtype)
    for row, col, value in ((3, 5, np.nan), (3, 6, np.inf), (11, 18, -np.inf), (22, 0, np.nan)):
        image[row, col, channels - 1] = value
    given = {"patch_size": 5, "patch_distance": 4, "h": 0.7}
    found = gpuimg.denoise_nl_means(image, **given, backend=backend)
    expected = ORACLES["denoise_nl_means"](image, **given)
    is_finite = np.isfinite(image)
    np.testing.assert_array_equal(found[~is_finite], image[~is_finite])
    assert_close(found[is_finite], expected[is_finite], image[is_finite])
    assert_same(found[3, 5], image[3, 5])
    assert (found[15:, 10:] != image[15:, 10:]).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_denoise_nl_means_keeps_constants_and_edges(dtype, backend):
    image = np.full((9, 40), 87, dtype)
    image[:, 20:] = 101
    assert_same(gpuimg.denoise_nl_means(image, 3, 4, 0.5, backend=backend), image)
    plain = np.full((9, 40), 87, dtype)
    assert_same(gpuimg.denoise_nl_means(plain, 5, 3, 1000, sigma=10, backend=backend), plain)


@pytest.mark.parametrize("shape", [(60, 80), (30, 40, 3)])
def test_denoise_nl_means_is_scikit_images(shape):
    """But for its exponential function, which is off by some percent."""
    clean = np.add.outer(np.arange(shape[0]) // 20 * 40.0, np.arange(shape[1]) // 16 * 20)
    image = clean.reshape(*clean.shape, *[1] * (len(shape) - 2)) + np.random.default_rng(0).normal(0, 8, shape)
    axis = -1 if len(shape) == 3 else None
    for given in ({"h": 10}, {"h": 6, "sigma": 8, "patch_size": 4, "patch_distance": 5}):
        found = gpuimg.denoise_nl_means(image, **given, backend="single")
        expected = restoration.denoise_nl_means(image, **given, preserve_range=True, channel_axis=axis)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1)
        assert np.abs(found - expected).mean() < 0.1 * np.abs(found - image).mean()
