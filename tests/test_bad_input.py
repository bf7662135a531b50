"""Wrong arguments: right, or an error naming argument, rule and value; never a crash or a wrong image."""

import inspect
import re

import numpy as np
import pytest

import gpuimg
from gpuimg.registry import arguments
from tests.conftest import SCALAR, example, parts

GREY = np.random.default_rng(1).integers(0, 256, (12, 17), np.uint8)
COLOR = np.random.default_rng(2).integers(0, 256, (12, 17, 3), np.uint8)
NAN, INF = float("nan"), float("inf")

# filter, arguments, kind of error, what its message says
WRONG = [
    # sizes
    ("median", {"size": 4}, ValueError, "size must be odd and positive, got 4"),
    ("median", {"size": (3, 6)}, ValueError, "size must be odd and positive, got (3, 6)"),
    ("median", {"size": 0}, ValueError, "size must be positive, got 0"),
    ("median", {"size": -3}, ValueError, "size must be positive, got -3"),
    ("median", {"size": 3.0}, TypeError, "size must be a whole number, got 3.0"),
    ("median", {"size": "3"}, TypeError, "size must be a whole number, got '3'"),
    ("median", {"size": True}, TypeError, "size must be a whole number, got True"),
    ("median", {"size": None}, TypeError, "size must be a whole number, got None"),
    ("median", {"size": (3, 3, 3)}, ValueError, "size must be one number or two (rows, columns), got (3, 3, 3)"),
    ("uniform", {"size": 1 << 40}, ValueError, "size must be at most"),
    ("minimum", {"size": []}, ValueError, "size must be one number or two"),
    ("maximum", {"size": NAN}, TypeError, "size must be a whole number, got nan"),
    # sigma
    ("gaussian", {"sigma": -1}, ValueError, "sigma must be at least 0, got -1"),
    ("gaussian", {"sigma": NAN}, ValueError, "sigma must be finite, got nan"),
    ("gaussian", {"sigma": (1, INF)}, ValueError, "sigma must be finite, got inf"),
    ("gaussian", {"sigma": "2"}, TypeError, "sigma must be a number, got '2'"),
    ("gaussian", {"sigma": 1j}, TypeError, "sigma must be"),
    ("gaussian", {"sigma": (1, 2, 3)}, ValueError, "sigma must be one number or two"),
    ("gaussian", {"sigma": 1e12}, ValueError, "sigma times truncate must be at most"),
    ("gaussian", {"truncate": -1}, ValueError, "truncate must be at least 0, got -1"),
    ("gaussian", {"truncate": NAN}, ValueError, "truncate must be finite, got nan"),
    # gamma
    ("adjust_gamma", {"gamma": -1}, ValueError, "gamma must be at least 0, got -1"),
    ("adjust_gamma", {"gain": NAN}, ValueError, "gain must be finite, got nan"),
    # channels
    ("rgb2lab", {}, ValueError, "image must have the shape (H, W, 3), got (12, 17)"),
    ("rgb2hsv", {}, ValueError, "image must have the shape (H, W, 3), got (12, 17)"),
    ("hsv2rgb", {}, TypeError, "image must have one of the dtypes float32, float64, got uint8"),
    # border modes
    ("gaussian", {"mode": "mirrored"}, ValueError, "mode must be one of reflect, nearest, mirror, wrap, constant, got"),
    *[
        (name, {"mode": "ignore"}, ValueError, "mode must be one of reflect, nearest, mirror, wrap, constant, got 'ign")
        for name in ("gaussian", "median", "uniform", "sobel", "canny")
    ],
    ("erosion", {"mode": "max"}, ValueError, "reflect, nearest, mirror, wrap, constant, ignore, got 'max'"),
    ("gaussian", {"nan": "raise"}, ValueError, "nan must be one of propagate, omit, got 'raise'"),
    ("median", {"nan": "drop"}, ValueError, "nan must be one of propagate, omit, got 'drop'"),
    ("uniform", {"nan": None}, ValueError, "nan must be one of propagate, omit, got None"),
    ("gaussian", {"mode": "symmetric"}, ValueError, "symmetric is called 'reflect' here"),
    ("gaussian", {"mode": "edge"}, ValueError, "edge is called 'nearest' here"),
    ("gaussian", {"mode": "BORDER_REFLECT_101"}, ValueError, "BORDER_REFLECT_101 is called 'mirror' here"),
    ("gaussian", {"mode": 1}, ValueError, "mode must be one of"),
    ("gaussian", {"mode": ["wrap"]}, ValueError, "mode must be one of"),
    ("median", {"mode": "constant", "cval": 300}, ValueError, "cval must be a whole number from 0 to 255 for uint8"),
    ("median", {"mode": "constant", "cval": -1}, ValueError, "cval must be a whole number from 0 to 255"),
    ("median", {"mode": "constant", "cval": 0.5}, ValueError, "cval must be a whole number from 0 to 255"),
    ("median", {"mode": "constant", "cval": NAN}, ValueError, "cval must be a whole number from 0 to 255"),
    ("median", {"mode": "constant", "cval": "0"}, TypeError, "cval must be a number, got '0'"),
    # percentiles
    ("percentile", {"percentile": 101}, ValueError, "percentile must be at most 100, got 101"),
    ("percentile", {"percentile": -100.5}, ValueError, "percentile must be at least -100, got -100.5"),
    ("percentile", {"percentile": NAN}, ValueError, "percentile must be finite, got nan"),
    ("percentile", {"percentile": "50"}, TypeError, "percentile must be a number, got '50'"),
    ("percentile", {"percentile": 10, "size": 4}, ValueError, "size must be odd and positive, got 4"),
    # standard deviations that are not 0 either
    ("bilateral", {"sigma_color": 0, "sigma_spatial": 1}, ValueError, "sigma_color must be positive, got 0"),
    ("bilateral", {"sigma_color": 1, "sigma_spatial": -1}, ValueError, "sigma_spatial must be at least 0, got -1"),
    ("bilateral", {"sigma_color": NAN, "sigma_spatial": 1}, ValueError, "sigma_color must be finite, got nan"),
    (
        "bilateral",
        {"sigma_color": 1, "sigma_spatial": 86},
        ValueError,
        "window must be given for sigma_spatial above 85, got 86",
    ),
    *[
        ("bilateral", {"sigma_color": 1, "sigma_spatial": 1, "window": window}, ValueError, f"window must be {rule}")
        for window, rule in ((4, "odd and positive, got 4"), (0, "positive, got 0"), (513, "at most 511, got 513"))
    ],
    # patches
    ("denoise_nl_means", {"h": 0}, ValueError, "h must be positive, got 0"),
    ("denoise_nl_means", {"h": NAN}, ValueError, "h must be finite, got nan"),
    ("denoise_nl_means", {"sigma": -1}, ValueError, "sigma must be at least 0, got -1"),
    ("denoise_nl_means", {"patch_size": 1}, ValueError, "patch_size must be at least 2, got 1"),
    ("denoise_nl_means", {"patch_size": 128}, ValueError, "patch_size must be at most 127, got 128"),
    ("denoise_nl_means", {"patch_size": 7.5}, TypeError, "patch_size must be a whole number, got 7.5"),
    ("denoise_nl_means", {"patch_distance": -1}, ValueError, "patch_distance must be at least 0, got -1"),
    ("denoise_nl_means", {"patch_distance": 65}, ValueError, "patch_distance must be at most 64, got 65"),
    ("denoise_nl_means", {"fast_mode": False}, ValueError, "fast_mode must be True: patches weighted by a Gaussian"),
    ("denoise_nl_means", {"fast_mode": 1}, TypeError, "fast_mode must be True, got 1"),
    # weights
    (
        "convolve",
        {"weights": [1, 2, 1]},
        ValueError,
        "weights must be a non-empty two-dimensional array, got sh",
    ),
    ("convolve", {"weights": 3}, ValueError, "weights must be a non-empty two-dimensional array, got shape ()"),
    (
        "convolve",
        {"weights": np.zeros((0, 3))},
        ValueError,
        "weights must be a non-empty two-dimensional array",
    ),
    ("convolve", {"weights": [[1, NAN]]}, ValueError, "weights must be finite"),
    ("convolve", {"weights": [[1, np.inf]]}, ValueError, "weights must be finite"),
    ("convolve", {"weights": [[1e300, 1e300]]}, ValueError, "weights must be at most 1e+300 in total"),
    ("convolve", {"weights": [["a"]]}, TypeError, "weights must be real numbers"),
    ("convolve", {"weights": [[1j]]}, TypeError, "weights must be real numbers, got complex128"),
    ("convolve", {"weights": np.ones((257, 256))}, ValueError, "weights must be at most 65536 numbers, got shape"),
    # footprints
    ("erosion", {"footprint": 0}, ValueError, "footprint must be positive, got 0"),
    ("erosion", {"footprint": 2.5}, TypeError, "footprint must be a whole number, got 2.5"),
    ("erosion", {"footprint": np.zeros((3, 3))}, ValueError, "footprint must hold at least one 1"),
    ("erosion", {"footprint": np.zeros((0, 3))}, ValueError, "footprint must hold at least one 1"),
    ("erosion", {"footprint": np.full((3, 3), 2)}, ValueError, "footprint must hold zeros and ones only"),
    ("erosion", {"footprint": np.ones((3, 3, 3))}, ValueError, "footprint must be a size or a two-dimensional array"),
    ("dilation", {"footprint": "disk"}, TypeError, "footprint must be a whole number, got 'disk'"),
    ("dilation", {"footprint": [["a"]]}, ValueError, "footprint must hold zeros and ones only"),
    (
        "reconstruction",
        {"mask": GREY, "method": "opening"},
        ValueError,
        "method must be 'dilation' or 'erosion', got 'o",
    ),
    ("reconstruction", {"mask": GREY, "connectivity": 3}, ValueError, "connectivity must be at most 2, got 3"),
    ("reconstruction", {"mask": GREY.tolist()}, TypeError, "mask must be"),
    ("label2rgb", {"image": GREY[1:]}, ValueError, "image must have the label's shape (12, 17), or 3 channels, got"),
    ("label2rgb", {"image": None, "kind": "avg"}, ValueError, 'image must be given for kind="avg"'),
    ("label2rgb", {"kind": "mean"}, ValueError, "kind must be one of overlay, avg, got 'mean'"),
    ("label2rgb", {"alpha": 1.5}, ValueError, "alpha must be at most 1, got 1.5"),
    ("label2rgb", {"saturation": -1}, ValueError, "saturation must be at least 0, got -1"),
    ("label2rgb", {"colors": []}, ValueError, "colors must hold at least one colour, got none"),
    ("label2rgb", {"colors": "red"}, TypeError, "colors must be a sequence of colours, got 'red'"),
    ("label2rgb", {"colors": 5}, TypeError, "colors must be a sequence of colours, got 5"),
    ("label2rgb", {"bg_color": "reddish"}, ValueError, "bg_color must be a colour's name or three numbers from 0 to 1"),
    ("label2rgb", {"bg_color": (0, 1)}, ValueError, "bg_color must be a colour's name or three numbers from 0 to 1"),
    ("label2rgb", {"bg_color": (0, 1, 255)}, ValueError, "bg_color must be at most 1, got 255"),
    ("label2rgb", {"bg_label": 0.5}, TypeError, "bg_label must be a whole number, got 0.5"),
    ("label2rgb", {"axes": "CYX"}, ValueError, "axes must have a letter for each axis of label"),
    ("watershed", {"markers": None}, TypeError, "markers must be an array of labels of the image's shape, got None"),
    ("watershed", {"markers": 5}, TypeError, "markers must be an array of labels of the image's shape, got 5"),
    ("watershed", {"markers": GREY.astype(float)}, TypeError, "markers must have one of the dtypes int32, got float64"),
    ("watershed", {"markers": GREY[1:]}, ValueError, "markers must have the image's shape"),
    ("watershed", {"markers": GREY.astype(np.int64) << 31}, ValueError, "markers must be greater than -2"),
    ("watershed", {"markers": np.full(GREY.shape, -(2**31), np.int32)}, ValueError, "markers must be greater than -2"),
    ("watershed", {"markers": np.full(GREY.shape, -(2**31), ">i4")}, ValueError, "markers must be greater than -2"),
    (
        "watershed",
        {"markers": GREY, "mask": GREY.astype(float)},
        TypeError,
        "mask must have one of the dtypes bool, uint8",
    ),
    ("watershed", {"markers": GREY, "connectivity": 3}, ValueError, "connectivity must be at most 2, got 3"),
    ("fill_holes", {"connectivity": 0}, ValueError, "connectivity must be positive, got 0"),
    ("skeletonize", {"method": "lee"}, ValueError, "method must be 'zhang', the only method available, got 'lee'"),
    ("thin", {"max_num_iter": 0}, ValueError, "max_num_iter must be positive, got 0"),
    ("thin", {"max_num_iter": 1.5}, TypeError, "max_num_iter must be a whole number, got 1.5"),
    ("skeletonize", {"method": 1}, ValueError, "method must be 'zhang', the only method available, got 1"),
    # the rest
    ("sobel", {"axis": 2}, ValueError, "axis must be at most 1, got 2"),
    ("sobel", {"axis": "x"}, TypeError, "axis must be a whole number, got 'x'"),
    ("scharr", {"axis": -3}, ValueError, "axis must be at least -2, got -3"),
    ("opening", {"footprint": np.zeros((3, 3))}, ValueError, "footprint must hold at least one 1"),
    ("white_tophat", {"mode": "edge"}, ValueError, "edge is called 'nearest' here"),
    ("unsharp_mask", {"radius": -1}, ValueError, "radius must be at least 0, got -1"),
    ("unsharp_mask", {"amount": NAN}, ValueError, "amount must be finite, got nan"),
    (
        "difference_of_gaussians",
        {"low_sigma": 2, "high_sigma": 1},
        ValueError,
        "high_sigma must be at least low_sigma, 2",
    ),
    ("difference_of_gaussians", {"low_sigma": -2}, ValueError, "low_sigma must be at least 0, got -2"),
    (
        "rescale_intensity",
        {"in_range": "uint7"},
        ValueError,
        "in_range must be 'image', 'dtype', a dtype or two",
    ),
    ("rescale_intensity", {"out_range": dict}, ValueError, "a dtype or two numbers, got <class 'dict'>"),
    ("rescale_intensity", {"out_range": (0, NAN)}, ValueError, "out_range must be finite, got nan"),
    ("flip", {"axis": 2}, ValueError, "axis must be at most 1, got 2"),
    ("flip", {"axis": (0, 0)}, ValueError, "axis must be 0, 1 or (0, 1), got (0, 0)"),
    ("flip", {"axis": (-1, 1)}, ValueError, "axis must be 0, 1 or (0, 1), got (-1, 1)"),
    ("flip", {"axis": -3}, ValueError, "axis must be at least -2, got -3"),
    ("flip", {"axis": None}, TypeError, "axis must be a whole number, got None"),
    (
        "astype",
        {"dtype": "float16"},
        TypeError,
        "dtype must be one of bool, uint8, uint16, int16, float32, float64, int32",
    ),
    ("astype", {"dtype": "byte string"}, TypeError, "dtype must be one of bool, uint8"),
    ("astype", {"dtype": None}, TypeError, "float64, int32, got None"),
    ("astype", {"dtype": np.dtype(">u2")}, TypeError, "float64, int32, got dtype('>u2')"),
    ("astype", {"dtype": "uint8", "scale": 2}, TypeError, "scale must be True or False, got 2"),
    ("minimum", {"mode": "constant", "cval": 1 << 31}, ValueError, "cval must be a whole number from 0 to 255"),
    ("rot90", {"k": 0.5}, TypeError, "k must be a whole number, got 0.5"),
    ("threshold", {"value": "100"}, TypeError, "value must be an image or a number, got '100'"),
    ("threshold", {"value": None}, TypeError, "value must be an image or a number, got None"),
    ("threshold", {"value": GREY[1:]}, ValueError, "value must have the image's shape"),
    (
        "threshold",
        {"value": GREY.astype("uint16")},
        TypeError,
        "value must have one of the dtypes uint8, float32, float64",
    ),
    ("threshold", {"value": [1, 2]}, TypeError, "value must be"),
    ("gaussian_laplace", {"sigma": 0}, ValueError, "sigma must be positive, got 0"),
    ("gaussian_laplace", {"sigma": 8200}, ValueError, "sigma times truncate must be at most 32767, got 8200 times 4.0"),
    ("threshold_local", {"block_size": 4}, ValueError, "block_size must be odd and positive, got 4"),
    ("threshold_local", {"method": "generic"}, ValueError, "method must be one of gaussian, mean, median, got 'gen"),
    ("threshold_local", {"method": "mean", "param": 1}, ValueError, "param must be None for the method 'mean', got 1"),
    ("threshold_local", {"param": -1}, ValueError, "param must be at least 0, got -1"),
    ("threshold_local", {"offset": NAN}, ValueError, "offset must be finite, got nan"),
    *[
        (name, given, ValueError, message)
        for name in ("threshold_niblack", "threshold_sauvola")
        for given, message in [
            ({"window_size": (3, 2)}, r"window_size must be odd and positive, got (3, 2)"),
            ({"window_size": 1025}, "window_size must be at most 1023, got 1025"),
            ({"k": NAN}, "k must be finite, got nan"),
        ]
    ],
    ("threshold_sauvola", {"r": 0}, ValueError, "r must be positive, got 0"),
    ("clip", {"min": NAN}, ValueError, "min must not be NaN"),
    (
        "clip",
        {"min": 9, "max": 8},
        ValueError,
        "min must be at most max, with a value of uint8 between them, got 9 and 8",
    ),
    ("clip", {"min": 8.2, "max": 8.7}, ValueError, "with a value of uint8 between them, got 8.2 and 8.7"),
    ("clip", {"min": "1"}, TypeError, "min must be a number, got '1'"),
    ("histogram", {"bins": 0}, ValueError, "bins must be positive, got 0"),
    ("histogram", {"bins": 2.5}, TypeError, "bins must be a whole number, got 2.5"),
    (
        "lut",
        {"table": np.zeros(255, np.uint8)},
        ValueError,
        "table must have the shape (256,) for uint8 images, got (255,)",
    ),
    ("lut", {"table": np.zeros((256, 3), np.uint8)}, ValueError, "table must have the shape (256,)"),
    ("lut", {"table": np.zeros(256, np.complex64)}, TypeError, "table must have one of the dtypes"),
    ("lut", {"table": ["a"] * 256}, TypeError, "table must have one of the dtypes"),
    ("rescale", {"scale": 0}, ValueError, "scale must be positive, got 0"),
    ("rescale", {"scale": (1, -2.5)}, ValueError, "scale must be positive, got (1, -2.5)"),
    ("rescale", {"scale": 1e300}, ValueError, "scale must give at most 2147483648 rows and columns, got 1e+300"),
    ("rescale", {"scale": (1, 2, 3)}, ValueError, "scale must be one number or two (rows, columns), got (1, 2, 3)"),
    ("warp", {"matrix": np.eye(2)}, ValueError, "matrix must have the shape (3, 3), got (2, 2)"),
    ("warp", {"matrix": np.full((3, 3), np.nan)}, ValueError, "matrix must be finite"),
    ("warp", {"matrix": "abc"}, TypeError, "matrix must hold numbers, got 'abc'"),
    ("warp", {"matrix": np.eye(3), "order": 2}, ValueError, "order must be 0 or 1 or 3, got 2"),
    ("warp", {"matrix": np.eye(3), "output_shape": (0, 5)}, ValueError, "output_shape must be positive, got 0"),
    ("rotate", {"angle": float("nan")}, ValueError, "angle must be finite"),
    ("rotate", {"angle": 5, "resize": 1}, TypeError, "resize must be True or False, got 1"),
    ("rotate", {"angle": 5, "center": 3}, ValueError, "center must be (column, row), got 3"),
    ("remap", {"rows": np.zeros((2, 3)), "cols": np.zeros((3, 2))}, ValueError, "rows and cols must have the same"),
    ("remap", {"rows": np.zeros((0, 3)), "cols": np.zeros((0, 3))}, ValueError, "rows and cols must not be empty"),
    ("remap", {"rows": np.zeros((2, 3, 1)), "cols": np.zeros((2, 3))}, ValueError, "rows must have the shape"),
    ("resize", {"output_shape": 5}, TypeError, "output_shape must be (rows, columns), got 5"),
    ("resize", {"output_shape": (0, 5)}, ValueError, "output_shape must be positive, got 0"),
    ("resize", {"output_shape": (5, -5)}, ValueError, "output_shape must be positive, got -5"),
    ("resize", {"output_shape": (5.5, 5)}, TypeError, "output_shape must be a whole number, got 5.5"),
    ("resize", {"output_shape": (5, 5, 3)}, ValueError, "output_shape must be (rows, columns), got (5, 5, 3)"),
    ("resize", {"output_shape": (5, 5), "order": 2}, ValueError, "order must be 0 or 1 or 3 or 'lanczos', got 2"),
    ("rescale", {"scale": 2, "order": "cubic"}, ValueError, "order must be 0 or 1 or 3 or 'lanczos', got 'cubic'"),
    ("resize", {"output_shape": (5, 5), "order": None}, TypeError, "order must be a whole number, got None"),
    ("pyramid_reduce", {"downscale": 1}, ValueError, "downscale must be above 1, got 1"),
    ("pyramid_expand", {"upscale": 0.5}, ValueError, "upscale must be above 1, got 0.5"),
    (
        "pyramid_expand",
        {"upscale": 1e9, "sigma": 1},
        ValueError,
        "upscale must give at most 2147483648 rows and columns, got 1000000000.0",
    ),
    ("pyramid_expand", {"upscale": "2"}, TypeError, "upscale must be a number, got '2'"),
    (
        "resize",
        {"output_shape": (5, 5), "anti_aliasing": "yes"},
        TypeError,
        "anti_aliasing must be True, False or None",
    ),
    ("corner_harris", {"k": NAN}, ValueError, "k must be finite, got nan"),
    ("corner_harris", {"sigma": -1}, ValueError, "sigma must be at least 0, got -1"),
    ("corner_harris", {"mode": "edge"}, ValueError, "edge is called 'nearest' here"),
    ("apply_hysteresis_threshold", {"low": NAN, "high": 180}, ValueError, "low must be at most high, 180, got nan"),
    ("apply_hysteresis_threshold", {"low": 60, "high": NAN}, ValueError, "high must not be NaN, got nan"),
    ("apply_hysteresis_threshold", {"low": 181, "high": 180}, ValueError, "low must be at most high, 180, got 181"),
    ("apply_hysteresis_threshold", {"low": 60, "high": "1"}, TypeError, "high must be a number, got '1'"),
    ("canny", {"sigma": INF}, ValueError, "sigma must be finite, got inf"),
    ("canny", {"low_threshold": -1}, ValueError, "low_threshold must be at least 0, got -1"),
    ("canny", {"high_threshold": NAN}, ValueError, "high_threshold must be finite, got nan"),
    ("canny", {"high_threshold": "1"}, TypeError, "high_threshold must be a number, got '1'"),
    ("canny", {"low_threshold": 60}, ValueError, "low_threshold must be at most high_threshold, 51, got 60"),
    ("canny", {"cval": 300}, ValueError, "cval must be a whole number from 0 to 255 for uint8"),
    ("label", {"connectivity": 3}, ValueError, "connectivity must be at most 2, got 3"),
    ("label", {"connectivity": 0}, ValueError, "connectivity must be positive, got 0"),
    ("label", {"connectivity": None}, TypeError, "connectivity must be a whole number, got None"),
    ("rgb2gray", {}, ValueError, "image must have the shape (H, W, 3) or (H, W, 4), got (12, 17)"),
    ("threshold_otsu", {"out": GREY}, TypeError, "out must be None"),
    ("threshold_yen", {"nbins": 0}, ValueError, "nbins must be positive, got 0"),
    ("threshold_triangle", {"nbins": 1 << 30}, ValueError, "nbins must be at most 1048576, got 1073741824"),
    ("threshold_multiotsu", {"classes": 1}, ValueError, "classes must be at least 2, got 1"),
    ("threshold_multiotsu", {"classes": 2.5}, TypeError, "classes must be a whole number, got 2.5"),
    ("threshold_li", {"tolerance": -1}, ValueError, "tolerance must be at least 0, got -1"),
    ("threshold_li", {"initial_guess": 999}, ValueError, "initial_guess must lie between "),
    ("threshold_li", {"initial_guess": np.mean}, TypeError, "initial_guess must be a number, got"),
    ("peak_local_max", {"out": GREY}, TypeError, "out must be None"),
    ("peak_local_max", {"min_distance": 0}, ValueError, "min_distance must be positive, got 0"),
    ("peak_local_max", {"num_peaks": 0}, ValueError, "num_peaks must be positive, got 0"),
    ("peak_local_max", {"num_peaks": 2.5}, TypeError, "num_peaks must be a whole number, got 2.5"),
    ("peak_local_max", {"threshold_abs": NAN}, ValueError, "threshold_abs must not be NaN, got nan"),
    ("peak_local_max", {"threshold_rel": INF}, ValueError, "threshold_rel must be finite, got inf"),
    ("peak_local_max", {"exclude_border": -1}, ValueError, "exclude_border must be at least 0, got -1"),
    ("peak_local_max", {"exclude_border": (1, 2, 3)}, ValueError, "exclude_border must be one number or two"),
    ("local_maxima", {"connectivity": 3}, ValueError, "connectivity must be at most 2, got 3"),
    ("local_maxima", {"allow_borders": 1}, TypeError, "allow_borders must be True or False, got 1"),
    ("clear_border", {"buffer_size": -1}, ValueError, "buffer_size must be at least 0, got -1"),
    ("clear_border", {"buffer_size": 1000}, ValueError, "buffer_size must be less than the rows and the columns"),
    ("clear_border", {"bgval": 256}, ValueError, "bgval must be at most 255, got 256"),
    (
        "invert",
        {"backend": "gpu"},
        ValueError,
        "backend must be one of auto, single, multicore, processes, cuda, got 'gpu'",
    ),
    ("invert", {"backend": 3}, ValueError, "backend must be one of"),
]


def brief(value):
    """A test's name for a value, without addresses, which differ between processes."""
    return re.sub(" at 0x[0-9a-f]+", "", str(value))[:40]


@pytest.mark.parametrize(("name", "given", "kind", "message"), WRONG, ids=brief)
def test_the_error_names_argument_rule_and_value(name, given, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        gpuimg.FILTERS[name].function(GREY, **given)


@pytest.mark.parametrize("weights", ["rec2020", (1, 2), (1, 2, 3, 4), (1, NAN, 0), (INF, 0, 0), ("a", "b", "c"), 3])
def test_weights_of_luminance(weights):
    with pytest.raises((ValueError, TypeError), match=r"weights must be .*, got "):
        gpuimg.rgb2gray(COLOR, weights)


def first_name(name):
    """What a filter calls its image."""
    return next(iter(inspect.signature(gpuimg.FILTERS[name].function).parameters))


@pytest.mark.parametrize(
    "dtype", ["int8", "uint32", "int32", "int64", "float16", "complex64", "bool", "object", "U1", "M8[s]"]
)
@pytest.mark.parametrize("name", gpuimg.FILTERS)
def test_dtypes(name, dtype):
    good, given = example(name)
    image = good.astype(dtype)
    if image.dtype in gpuimg.FILTERS[name].dtypes:
        gpuimg.FILTERS[name].function(image, **arguments(gpuimg.FILTERS[name].examples[0], image))
        return
    message = f"{first_name(name)} must have one of the dtypes .*got {re.escape(str(image.dtype))}"
    with pytest.raises(TypeError, match=message):
        gpuimg.FILTERS[name].function(image, **given)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5)])
@pytest.mark.parametrize("name", gpuimg.FILTERS)
def test_dimensions(name, shape):
    good, given = example(name)
    message = rf"{first_name(name)} must have the shape \(H, W.*got {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=message):
        gpuimg.FILTERS[name].function(np.zeros(shape, good.dtype), **given)


OUTS = {
    "a list": (lambda like: like.tolist(), TypeError, "out must be a numpy.ndarray, got list"),
    "another shape": (lambda like: like[..., None], ValueError, "out must have the shape {like.shape}, got"),
    "another dtype": (
        lambda like: np.empty(like.shape, "u4"),
        TypeError,
        "out must have the dtype {like.dtype}, got uint32",
    ),
    "another byte order": (
        lambda like: np.empty(like.shape, ">u2"),
        TypeError,
        "out must have the dtype {like.dtype}, got >u2",
    ),
    "read-only": (lambda like: np.broadcast_to(like[:1], like.shape), ValueError, "out must be writable"),
}


@pytest.mark.parametrize("kind", OUTS)
@pytest.mark.parametrize("name", sorted(set(gpuimg.FILTERS) - SCALAR))
def test_out(name, kind):
    function = gpuimg.FILTERS[name].function
    image, given = example(name)
    result = function(image, **given)
    make, error, message = OUTS[kind]
    for place, like in enumerate(parts(result)):
        outs = [np.empty_like(each) for each in parts(result)]
        outs[place] = make(like)
        with pytest.raises(error, match=re.escape(message.format(like=like))):
            function(image, out=tuple(outs) if isinstance(result, tuple) else outs[0], **given)
    outs = tuple([np.empty_like(each) for each in parts(result)])
    returned = function(image, out=outs if isinstance(result, tuple) else outs[0], **given)
    for out, like, each in zip(outs, parts(result), parts(returned), strict=True):
        assert each is out
        np.testing.assert_array_equal(out, like)


def test_out_of_several_results():
    like = np.empty(GREY.shape, np.float32)
    for wrong in (like, [like, like], (like,), (like, like, like)):
        with pytest.raises(TypeError, match=f"out must be a tuple of 2 arrays, got {type(wrong).__name__}"):
            gpuimg.gradient(GREY, out=wrong)
    both = np.empty((2 * GREY.shape[0], GREY.shape[1]), np.float32)
    with pytest.raises(ValueError, match="got two that overlap"):
        gpuimg.gradient(GREY, out=(both[: GREY.shape[0]], both[1 : GREY.shape[0] + 1]))


def test_out_of_a_histogram():
    with pytest.raises(ValueError, match=re.escape("out must have the shape (8,), got (9,)")):
        gpuimg.histogram(GREY, bins=8, out=np.zeros(9, np.int64))
    counts = np.zeros(8, np.int64)
    assert gpuimg.histogram(GREY, bins=8, out=counts)[0] is counts
    assert counts.sum() == GREY.size


def test_out_of_another_kind_of_image():
    from PIL import Image

    with pytest.raises(TypeError, match="out works with NumPy and CuPy images only"):
        gpuimg.invert(Image.fromarray(GREY), out=np.zeros_like(GREY))


@pytest.mark.parametrize("dtype", [bool, np.int32])
@pytest.mark.parametrize(
    "name", ["gaussian", "uniform", "unsharp_mask", "difference_of_gaussians", "resize", "rescale_intensity"]
)
def test_smoothing_masks_and_labels_needs_another_dtype(name, dtype):
    image = GREY.astype(dtype)
    with pytest.raises(TypeError, match=r"got (bool|int32): convert it first, for example gpuimg\.astype\(image, 'fl"):
        gpuimg.FILTERS[name].function(image, **gpuimg.FILTERS[name].examples[0])
    gpuimg.FILTERS[name].function(gpuimg.astype(image, "float32"), **gpuimg.FILTERS[name].examples[0])


@pytest.mark.parametrize("dtype", ["bool", "int32", "int8", "float16", "complex64"])
def test_nearest_neighbours_that_would_be_smoothed(dtype):
    with pytest.raises(TypeError, match=f"anti_aliasing must be False for {dtype} images"):
        gpuimg.resize(GREY.astype(dtype), (6, 6), order=0, anti_aliasing=True)
    with pytest.raises(TypeError, match=f"image must have one of the dtypes .*got {dtype}"):
        gpuimg.resize(GREY.astype(dtype), (6, 6), order=1)


def test_scaling_labels():
    for image, dtype in ((GREY.astype(np.int32), "uint8"), (GREY, "int32"), (GREY.astype(np.int32), "int32")):
        with pytest.raises(TypeError, match=r"scale must be False from .*int32 holds labels or counts"):
            gpuimg.astype(image, dtype, scale=True)


def test_unknown_arguments_are_refused():
    for name, found in gpuimg.FILTERS.items():
        image, given = example(name)
        with pytest.raises(TypeError, match="unexpected keyword"):
            found.function(image, **given, threads=2)


@pytest.mark.parametrize("mode", ["reflect", "nearest", "mirror", "wrap", "constant"])
def test_kernels_larger_than_the_image_are_right(mode):
    from tests.oracles import ORACLES

    for shape in ((1, 1), (2, 3), (1, 9)):
        image = GREY[: shape[0], : shape[1]]
        for name, given in (
            ("median", {"size": 41}),
            ("uniform", {"size": 64}),
            ("minimum", {"size": (99, 3)}),
            ("erosion", {"footprint": np.eye(21, dtype=np.uint8)}),
        ):
            actual = gpuimg.FILTERS[name].function(image, mode=mode, cval=5, **given)
            expected = ORACLES[name](image, mode=mode, cval=5, **given)
            np.testing.assert_array_equal(actual, expected, err_msg=f"{name} {shape}")
        smooth = gpuimg.gaussian(image, 30, mode=mode, cval=5).astype(int)
        assert np.abs(smooth - ORACLES["gaussian"](image, 30, mode=mode, cval=5)).max() <= 1


def test_extreme_shapes():
    for shape in ((1, 20000), (20000, 1), (3, 1, 50)):
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        for backend in ("single", "multicore"):
            axes = "YXC"[: len(shape)]  # of more channels than are taken for such without being asked
            np.testing.assert_array_equal(gpuimg.invert(image, axes=axes, backend=backend), 255 - image)
            assert gpuimg.median(image, 5, axes=axes, backend=backend).shape == shape


def test_names_of_tests_hold_no_addresses(request):
    """Not only here: they must be the same in all processes that share the tests."""
    assert [item.nodeid for item in request.session.items if " at 0x" in item.nodeid] == []
