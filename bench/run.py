"""Race the filters against other libraries: ``python bench/run.py --out bench/results/NAME.json``.

Each pair is timed in turns within one run, on the same number of threads, after a warm-up, with a new result in each
call. Single-threaded libraries run on one thread, which the result records. A call that would take longer than
``--slow`` seconds is left out at that size, which the result records too.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

SIZES = ("512", "2", "50")  # megapixels; 512 stands for 512x512
DTYPES = ("uint8", "uint16", "float32")
TRIAL_MEGAPIXELS = 0.05
# Raced on masks, of uint8.
MASKS = (
    *("distance_transform_edt", "label", "fill_holes", "find_boundaries", "remove_small_holes"),
    *("skeletonize", "thin", "clear_border", "label2rgb"),
)
MARGIN = 24  # pixels at the edge excluded from comparisons, as border modes differ
UNSUPPORTED = "does not take this"


class Case(NamedTuple):
    """One race: a filter and the parameters of both sides.

    Attributes
    ----------
    tolerance : maximum mean difference between both results relative to the range, for the same filter; None if results
        cannot be compared
    """

    filter: str
    params: dict[str, Any] = {}  # noqa: RUF012 - never written to
    color: bool = False
    tolerance: float | None = 0.004

    def __str__(self) -> str:
        shown = {key: value for key, value in self.params.items() if not (key in ("mode", "table") or callable(value))}
        words = [f"{key}={brief(value)}" for key, value in shown.items()]
        return " ".join([self.filter, *words, *(["RGB"] if self.color else [])])


class Library(NamedTuple):
    """Another library.

    Attributes
    ----------
    calls : by filter, called with an image and the case's parameters
    prepare : converts an array to the library's kind of image; not timed
    finish : computes the pixels of a lazy result; timed
    threads : whether the number of threads can be set; otherwise one
    dtypes : that it takes
    """

    calls: dict[str, Callable[..., Any]]
    prepare: Callable[[Any], Any] = lambda image: image
    finish: Callable[[Any], Any] = lambda result: result
    threads: bool = False
    dtypes: tuple[str, ...] = DTYPES


LEVELS = ("threshold_otsu", "threshold_li", "threshold_triangle", "threshold_yen")


def brief(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{shape[0]}x{shape[1]}" if shape else str(value).replace(" ", "")


def kernel_of(side: int) -> Any:
    """Return a square kernel that is not separable."""
    import numpy as np

    weights = np.random.default_rng(0).random((side, side)) + 0.1
    return weights / weights.sum()


def markers_in(image: Any) -> Any:
    """Return labels at random places, at most a few thousand."""
    import numpy as np

    rng, count = np.random.default_rng(0), max(1, min(2000, image.size // 2000))
    markers = np.zeros(image.shape, np.int32)
    markers.flat[rng.choice(image.size, count, replace=False)] = np.arange(1, count + 1)
    return markers


def cases(dtype: str) -> list[Case]:
    """Return all races for images of a dtype; a parameter that is a function is called with the image."""
    import numpy as np

    level = {"uint8": 100, "uint16": 25700, "float32": 0.4}[dtype]
    thresholds = {"low": level, "high": {"uint8": 200, "uint16": 51400, "float32": 0.8}[dtype]}
    size = 65536 if dtype == "uint16" else 256
    converted = "float32" if dtype == "uint8" else "uint8"
    wanted_range = {"uint8": (10, 240), "uint16": (2570, 61680), "float32": (0.1, 0.9)}[dtype]
    table = np.arange(size)[::-1].astype(dtype)
    step, top = {"uint8": (40, 255), "uint16": (10280, 65535), "float32": (0.16, 1)}[dtype]
    alike = {"uint8": 30, "uint16": 7710, "float32": 0.12}[dtype]
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    rows, cols = np.ogrid[-3:4, -3:4]
    disk = (rows**2 + cols**2 <= 9).astype(np.uint8)
    return [
        Case("rgb2gray", {"weights": "rec601"}, color=True, tolerance=0.03),  # scikit-image has other weights
        # OpenCV has hues in degrees and full-range luma.
        *[Case(f"rgb2{space}", color=True, tolerance=None) for space in ("hsv", "ycbcr")],
        Case("rgb2lab", color=True),
        *[Case(f"{space}2rgb", color=True, tolerance=None) for space in ("hsv", "ycbcr") if dtype == "float32"],
        *[Case("lab2rgb", color=True) for _ in range(dtype == "float32")],
        Case("invert"),
        Case("astype", {"dtype": converted, "scale": True}),
        Case("lut", {"table": table}),
        Case("adjust_gamma", {"gamma": 2.2}),
        Case("blend", {"other": lambda image: np.ascontiguousarray(image[::-1]), "alpha": 0.3}),
        Case("where", {"a": lambda image: np.ascontiguousarray(image[::-1]), "b": np.ascontiguousarray}),
        Case("clip", {"min": level / 2, "max": 3 * level / 2}),
        Case("threshold", {"value": level}),
        Case("threshold", {"value": lambda image: np.ascontiguousarray(image[::-1])}),
        Case("gaussian", {"sigma": 1}, tolerance=0.01),  # pyvips has integer weights
        Case("gaussian", {"sigma": 3}, tolerance=0.006),  # SciPy truncates twice, others round
        Case("gaussian", {"sigma": 8}, tolerance=0.006),
        Case("gaussian", {"sigma": 1}, color=True, tolerance=0.01),
        Case("uniform", {"size": 3}),
        Case("uniform", {"size": 15}),
        *[Case("convolve", {"weights": kernel_of(side)}) for side in (3, 5, 9, 25)],
        Case("median", {"size": 3, "mode": "nearest"}),  # OpenCV's only mode
        Case("median", {"size": 5, "mode": "nearest"}),
        Case("median", {"size": 15, "mode": "nearest"}),
        *[
            Case("bilateral", {"sigma_color": alike, "sigma_spatial": 3, "window": side}, color=color, tolerance=0.01)
            for side, color in ((5, False), (9, False), (9, True))
        ],
        Case("denoise_nl_means", {"h": alike}, tolerance=None),  # OpenCV and scikit-image have other weights
        Case("percentile", {"percentile": 20, "size": 3}),
        Case("percentile", {"percentile": 20, "size": 15}),
        Case("minimum", {"size": 3}),
        Case("minimum", {"size": 15}),
        Case("maximum", {"size": 3}),
        Case("erosion", {"footprint": cross}),
        Case("dilation", {"footprint": disk}),
        Case("opening", {"footprint": 5}),
        Case("white_tophat", {"footprint": 15}),
        Case("morphological_gradient", {"footprint": 3}),
        Case("reconstruction", {"mask": lambda image: (np.minimum(image, top - step) + step).astype(dtype)}),
        Case("fill_holes"),
        Case("skeletonize"),
        Case("thin"),
        Case("watershed", {"markers": markers_in}, tolerance=None),  # ties
        Case("sobel"),
        Case("gradient", tolerance=None),  # OpenCV's angles go from 0 to 2 pi
        Case("scharr"),
        Case("laplace"),
        Case("unsharp_mask", {"radius": 1.5, "amount": 1}),
        Case("difference_of_gaussians", {"low_sigma": 1, "high_sigma": 1.6}),
        Case("gaussian_laplace", {"sigma": 2}),
        Case("threshold_local", {"block_size": 11, "method": "gaussian", "offset": level / 50}),
        Case("threshold_local", {"block_size": 11, "method": "mean", "offset": level / 50}),
        Case("threshold_local", {"block_size": 5, "method": "median"}),
        Case("threshold_niblack", {"window_size": 15}),
        Case("threshold_sauvola", {"window_size": 15}),
        Case("rescale_intensity", {"out_range": wanted_range}),  # the image already has the full range
        Case("flip", {"axis": 0}),
        Case("flip", {"axis": 1}),
        Case("rot90"),
        Case("pad", {"pad_width": 32, "mode": "reflect"}),
        Case("pad", {"pad_width": 32, "mode": "constant", "cval": 0}),
        Case("crop", {"crop_width": 16}),
        Case("histogram", tolerance=None),  # libraries place the bins differently
        *[Case(name, tolerance=0.02) for name in LEVELS],  # other bins for floats
        Case("threshold_multiotsu", tolerance=None),  # numbers
        Case("equalize_hist", tolerance=0.02),  # some libraries map the darkest value to 0
        Case("equalize_adapthist", tolerance=0.05),  # OpenCV redistributes clipped counts differently
        Case("resize", {"scale": 0.6, "anti_aliasing": False}),
        Case("resize", {"scale": 1.5, "anti_aliasing": False}),
        Case("resize", {"scale": 0.6, "order": 0, "anti_aliasing": False}),
        Case("resize", {"scale": 0.4, "anti_aliasing": True}),
        Case("resize", {"scale": 2, "order": 3, "anti_aliasing": False}, tolerance=None),  # OpenCV's kernel is sharper
        Case("resize", {"scale": 0.4, "order": 3, "anti_aliasing": True}),
        Case("resize", {"scale": 2, "order": "lanczos", "anti_aliasing": False}, tolerance=None),  # OpenCV has 4 lobes
        Case("resize", {"scale": 0.4, "order": "lanczos", "anti_aliasing": True}),
        Case("pyramid_reduce", tolerance=None),  # OpenCV's weights are binomial
        Case("pyramid_expand", tolerance=None),
        Case("warp", {"matrix": ((0.87, -0.5, 300), (0.5, 0.87, -300), (0, 0, 1))}),
        Case("warp", {"matrix": ((0.87, -0.5, 300), (0.5, 0.87, -300), (0, 0, 1))}, color=True),
        Case("warp", {"matrix": ((1, 0.1, 2), (0.05, 0.95, -1), (1e-5, 2e-5, 1))}),
        Case("warp", {"matrix": ((0.87, -0.5, 300), (0.5, 0.87, -300), (0, 0, 1)), "order": 3}, tolerance=None),
        Case("rotate", {"angle": 3}),
        Case("remap", {"rows": partial(turned, 0), "cols": partial(turned, 1)}),
        Case("integral_image"),
        Case("corner_harris", tolerance=None),  # OpenCV's window is a box
        Case("apply_hysteresis_threshold", thresholds),
        Case("canny", tolerance=0.1),  # OpenCV compares the nearest neighbours, without interpolation
        Case("local_maxima"),
        Case("peak_local_max", {"min_distance": 1}, tolerance=None),
        Case("clear_border"),
        Case("distance_transform_edt"),
        Case("label2rgb", {"image": lambda image: image * 200}, tolerance=None),  # scikit-image returns floats
        Case("label", tolerance=None),  # OpenCV orders labels differently
        Case("find_boundaries"),
        Case("remove_small_holes", {"area_threshold": 64}),
    ]


def turned(axis: int, image: Any) -> Any:
    """Return the coordinates of an image rotated by 30 degrees."""
    import numpy as np

    rows, cols = np.indices(image.shape[:2], np.float32)
    along = 0.87 * cols - 0.5 * rows + 300 if axis else 0.5 * cols + 0.87 * rows - 300
    return along.astype(np.float32)


def ours(case: Case, params: dict[str, Any], backend: str) -> Callable[[Any], Any]:
    """Return gpuimg's side of a race."""
    import gpuimg

    function = gpuimg.FILTERS[case.filter].function
    if case.filter in LEVELS:  # the other libraries threshold in the same call
        return lambda image: gpuimg.threshold(image, function(image, backend=backend), backend=backend)
    if case.filter == "resize":
        given = {key: value for key, value in params.items() if key != "scale"}
        scale = params["scale"]
        return lambda image: function(image, scaled(image.shape, scale), backend=backend, **given)
    return partial(function, backend=backend, **params)


def scaled(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    return round(shape[0] * scale), round(shape[1] * scale)


# ---------------------------------------------------------------- the other libraries


def opencv() -> Library:
    import cv2
    import numpy as np

    edge = {"borderType": cv2.BORDER_REFLECT}

    def gaussian(image: Any, sigma: float) -> Any:
        side = 2 * int(4 * sigma + 0.5) + 1
        return cv2.GaussianBlur(image, (side, side), sigma, **edge)

    def where(image: Any, a: Any, b: Any) -> Any:
        if image.dtype != np.uint8:
            raise NotImplementedError("OpenCV's masks are bytes")
        return cv2.copyTo(a, image, b.copy())

    def pad(image: Any, pad_width: int, mode: str, cval: float = 0) -> Any:
        border = cv2.BORDER_CONSTANT if mode == "constant" else cv2.BORDER_REFLECT
        return cv2.copyMakeBorder(image, *[pad_width] * 4, border, value=cval)

    def sobel(image: Any) -> Any:
        across, down = (
            cv2.Sobel(image, cv2.CV_32F, *axis, scale=0.25 / np.sqrt(2), **edge) for axis in ((1, 0), (0, 1))
        )
        return cv2.magnitude(across, down)

    def gradient(image: Any) -> Any:
        across, down = (
            cv2.Sobel(image, cv2.CV_32F, *axis, scale=0.25 / np.sqrt(2), **edge) for axis in ((1, 0), (0, 1))
        )
        return cv2.cartToPolar(across, down, angleInDegrees=False)

    def scharr(image: Any) -> Any:
        across, down = (
            cv2.Scharr(image, cv2.CV_32F, *axis, scale=1 / 16 / np.sqrt(2), **edge) for axis in ((1, 0), (0, 1))
        )
        return cv2.magnitude(across, down)

    def morphology(operation: int) -> Callable[..., Any]:
        return lambda image, footprint: cv2.morphologyEx(
            image, operation, np.ones((footprint, footprint), np.uint8), **edge
        )

    def unsharp_mask(image: Any, radius: float, amount: float) -> Any:
        return cv2.addWeighted(image, 1 + amount, gaussian(image, radius), -amount, 0)

    def difference_of_gaussians(image: Any, low_sigma: float, high_sigma: float) -> Any:
        image = image.astype(np.float32, copy=False)
        return cv2.subtract(gaussian(image, low_sigma), gaussian(image, high_sigma))

    def gaussian_laplace(image: Any, sigma: float) -> Any:
        reach = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
        smooth = np.exp(-0.5 * (reach / sigma) ** 2)
        smooth /= smooth.sum()
        second = smooth * (reach**2 / sigma**4 - 1 / sigma**2)
        down, along = (
            cv2.sepFilter2D(image, cv2.CV_32F, *kernels, **edge) for kernels in ((smooth, second), (second, smooth))
        )
        return cv2.add(down, along)

    def threshold_local(image: Any, block_size: int, method: str, offset: float = 0) -> Any:
        image = image.astype(np.float32, copy=False)
        if method == "gaussian":
            side = 2 * int(4 * (block_size - 1) / 6 + 0.5) + 1
            return cv2.subtract(cv2.GaussianBlur(image, (side, side), (block_size - 1) / 6, **edge), offset)
        if method == "mean":
            return cv2.subtract(cv2.blur(image, (block_size, block_size), **edge), offset)
        raise NotImplementedError("OpenCV has another border")

    def threshold_niblack(image: Any, window_size: int) -> Any:
        size = window_size, window_size
        mean, square = (box(image, cv2.CV_32F, size) for box in (cv2.boxFilter, cv2.sqrBoxFilter))
        variance = cv2.subtract(square, cv2.multiply(mean, mean))
        return cv2.addWeighted(mean, 1, cv2.sqrt(cv2.max(variance, 0)), -0.2, 0)

    def astype(image: Any, dtype: str, scale: bool) -> Any:
        if dtype == "float32":
            return cv2.multiply(image, 1 / 255, dtype=cv2.CV_32F)
        return cv2.convertScaleAbs(image, alpha=1 / 257 if image.dtype == np.uint16 else 255)

    def rescale_intensity(image: Any, out_range: tuple[float, float]) -> Any:
        return cv2.normalize(image, None, *out_range, cv2.NORM_MINMAX)

    def adjust_gamma(image: Any, gamma: float) -> Any:
        if image.dtype == np.float32:
            return cv2.pow(image, gamma)
        table = np.rint(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)
        return cv2.LUT(image, table)

    def resize(image: Any, scale: float, anti_aliasing: bool, order: int | str = 1) -> Any:
        if order not in (0, 1):
            if anti_aliasing:
                raise NotImplementedError("OpenCV does not widen kernels")
            how = cv2.INTER_CUBIC if order == 3 else cv2.INTER_LANCZOS4
            return cv2.resize(image, scaled(image.shape, scale)[::-1], interpolation=how)
        if anti_aliasing:
            image = cv2.GaussianBlur(image, (7, 7), (1 / scale - 1) / 2)  # 4 sigma of a scale of 0.4
        how = cv2.INTER_LINEAR if order else cv2.INTER_NEAREST_EXACT
        return cv2.resize(image, scaled(image.shape, scale)[::-1], interpolation=how)

    def warp(image: Any, matrix: Any, order: int = 1) -> Any:
        kind = cv2.INTER_CUBIC if order == 3 else cv2.INTER_LINEAR  # the cubic kernel is sharper
        size, how = image.shape[1::-1], kind | cv2.WARP_INVERSE_MAP
        known = np.array(matrix, np.float64)
        if matrix[2] == (0, 0, 1):
            return cv2.warpAffine(image, known[:2], size, flags=how)
        return cv2.warpPerspective(image, known, size, flags=how)

    def rotate(image: Any, angle: float) -> Any:
        rows, cols = image.shape[:2]
        known = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), angle, 1)
        return cv2.warpAffine(image, known, (cols, rows), flags=cv2.INTER_LINEAR)

    def corner_harris(image: Any) -> Any:
        return cv2.cornerHarris(image, 9, 3, 0.05)  # a box as wide as the Gaussian of sigma 1

    def canny(image: Any) -> Any:
        return cv2.Canny(gaussian(image, 1), 25.5, 51, L2gradient=True)

    def integral_image(image: Any) -> Any:
        # Sums of 8 bytes, as ours: OpenCV's default of 4 bytes takes half the memory and overflows.
        return cv2.integral(image, sdepth=cv2.CV_64F)[1:, 1:]

    def histogram(image: Any) -> Any:
        top = {"uint8": 256, "uint16": 65536, "float32": 1}[str(image.dtype)]
        return cv2.calcHist([image], [0], None, [256], [0, top])

    def convert(way: int, zero: float = 0, scale: tuple[float, float, float] = (1, 1, 1)) -> Callable[[Any], Any]:
        """Return a colour conversion, with bytes converted to floats first, as ours returns floats for them too."""
        return lambda image: cv2.cvtColor(
            image if image.dtype == np.float32 else cv2.multiply(image, (1 / 255,) * 4, dtype=cv2.CV_32F), way
        )

    return Library(
        {
            "rgb2hsv": convert(cv2.COLOR_RGB2HSV),
            "hsv2rgb": convert(cv2.COLOR_HSV2RGB),
            "rgb2ycbcr": convert(cv2.COLOR_RGB2YCrCb),
            "ycbcr2rgb": convert(cv2.COLOR_YCrCb2RGB),
            "rgb2lab": convert(cv2.COLOR_RGB2Lab),
            "lab2rgb": convert(cv2.COLOR_Lab2RGB),
            "rgb2gray": lambda image, weights: cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),
            "invert": lambda image: cv2.bitwise_not(image) if image.dtype.kind == "u" else cv2.subtract(1.0, image),
            "astype": astype,
            "lut": lambda image, table: cv2.LUT(image, table),
            "adjust_gamma": adjust_gamma,
            "blend": lambda image, other, alpha: cv2.addWeighted(image, 1 - alpha, other, alpha, 0),
            "clip": lambda image, min, max: cv2.min(cv2.max(image, min), max),
            "threshold": lambda image, value: (
                cv2.compare(image, value, cv2.CMP_GT)
                if isinstance(value, np.ndarray)
                else cv2.threshold(image, value, 1, cv2.THRESH_BINARY)[1]
            ),
            "gaussian": gaussian,
            "uniform": lambda image, size: cv2.blur(image, (size, size), **edge),
            "convolve": lambda image, weights: cv2.filter2D(
                image, -1, np.ascontiguousarray(weights[::-1, ::-1]), **edge
            ),
            # Its window is round, and it sums differences of channels.
            "bilateral": lambda image, sigma_color, sigma_spatial, window: cv2.bilateralFilter(
                image, window, sigma_color, sigma_spatial, borderType=edge["borderType"]
            ),
            "denoise_nl_means": lambda image, h: cv2.fastNlMeansDenoising(image, None, h, 7, 23),
            "median": lambda image, size, mode: cv2.medianBlur(image, size),
            "minimum": lambda image, size: cv2.erode(image, np.ones((size, size), np.uint8), **edge),
            "maximum": lambda image, size: cv2.dilate(image, np.ones((size, size), np.uint8), **edge),
            "erosion": lambda image, footprint: cv2.erode(image, footprint, **edge),
            "dilation": lambda image, footprint: cv2.dilate(image, footprint, **edge),
            "opening": morphology(cv2.MORPH_OPEN),
            "white_tophat": morphology(cv2.MORPH_TOPHAT),
            "morphological_gradient": morphology(cv2.MORPH_GRADIENT),
            "sobel": sobel,
            "gradient": gradient,
            "scharr": scharr,
            "laplace": lambda image: cv2.Laplacian(image, cv2.CV_32F, **edge),
            "unsharp_mask": unsharp_mask,
            "difference_of_gaussians": difference_of_gaussians,
            "gaussian_laplace": gaussian_laplace,
            "threshold_local": threshold_local,
            "threshold_niblack": threshold_niblack,
            "rescale_intensity": rescale_intensity,
            "where": where,
            "flip": lambda image, axis: cv2.flip(image, axis),
            "pad": pad,
            "rot90": lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
            "histogram": histogram,
            "threshold_otsu": lambda image: cv2.threshold(image, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1],
            "threshold_triangle": lambda image: cv2.threshold(image, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_TRIANGLE)[1],
            "equalize_hist": cv2.equalizeHist,
            "equalize_adapthist": cv2.createCLAHE(2.56, (8, 8)).apply,
            "resize": resize,
            "warp": warp,
            "rotate": rotate,
            "remap": lambda image, rows, cols: cv2.remap(image, cols, rows, cv2.INTER_LINEAR),
            "pyramid_reduce": cv2.pyrDown,
            "pyramid_expand": cv2.pyrUp,
            "integral_image": integral_image,
            "corner_harris": corner_harris,
            "canny": canny,
            "distance_transform_edt": lambda image: cv2.distanceTransform(image, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
            "label": lambda image: cv2.connectedComponents(image)[1],
        },
        threads=True,
    )


def scikit_image() -> Library:
    import numpy as np
    from skimage import (
        color,
        exposure,
        feature,
        filters,
        measure,
        morphology,
        restoration,
        segmentation,
        transform,
        util,
    )

    def resize(image: Any, scale: float, anti_aliasing: bool, order: int | str = 1) -> Any:
        if order not in (0, 1):
            raise NotImplementedError("scikit-image has splines")
        shape = scaled(image.shape, scale)
        return transform.resize(image, shape, order, anti_aliasing=anti_aliasing, preserve_range=True)

    def marked(level: Callable[[Any], Any], image: Any) -> Any:
        return image > level(image)

    def fill_holes(image: Any) -> Any:
        seed = image.copy()
        seed[1:-1, 1:-1] = image.max()
        return morphology.reconstruction(seed, image, "erosion", np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]))

    return Library(
        {
            "denoise_nl_means": lambda image, h: restoration.denoise_nl_means(image, h=h, preserve_range=True),
            "rgb2gray": lambda image, weights: color.rgb2gray(image),
            "invert": lambda image: util.invert(image),
            "astype": lambda image, dtype, scale: (
                util.img_as_float32(image) if dtype == "float32" else util.img_as_ubyte(image)
            ),
            "gaussian": lambda image, sigma: filters.gaussian(
                image, sigma, mode="reflect", preserve_range=True, channel_axis=-1 if image.ndim == 3 else None
            ),
            "median": lambda image, size, mode: filters.median(image, np.ones((size, size)), mode=mode),
            "erosion": lambda image, footprint: morphology.erosion(image, footprint),
            "dilation": lambda image, footprint: morphology.dilation(image, footprint),
            "sobel": lambda image: filters.sobel(image),
            "gradient": lambda image: (
                filters.sobel(image),
                np.arctan2(filters.sobel(image, axis=0), filters.sobel(image, axis=1)),
            ),
            "threshold_local": filters.threshold_local,
            "threshold_niblack": filters.threshold_niblack,
            "threshold_sauvola": filters.threshold_sauvola,
            "histogram": lambda image: exposure.histogram(image, 256),
            **{name: partial(marked, getattr(filters, name)) for name in LEVELS},
            "threshold_multiotsu": filters.threshold_multiotsu,
            "equalize_hist": lambda image: exposure.equalize_hist(image),
            "equalize_adapthist": lambda image: exposure.equalize_adapthist(image),
            "resize": resize,
            "pyramid_reduce": partial(transform.pyramid_reduce, preserve_range=True),
            "pyramid_expand": partial(transform.pyramid_expand, preserve_range=True),
            "integral_image": transform.integral_image,
            "corner_harris": lambda image: feature.corner_harris(image),
            "apply_hysteresis_threshold": lambda image, low, high: filters.apply_hysteresis_threshold(image, low, high),
            "canny": lambda image: feature.canny(image),
            "clear_border": segmentation.clear_border,
            "label": measure.label,
            "find_boundaries": segmentation.find_boundaries,
            "label2rgb": color.label2rgb,
            "remove_small_holes": lambda image, area_threshold: morphology.remove_small_holes(
                image != 0, max_size=area_threshold - 1
            ),
            "local_maxima": morphology.local_maxima,
            "peak_local_max": feature.peak_local_max,
            "reconstruction": lambda image, mask: morphology.reconstruction(image, mask),
            "fill_holes": fill_holes,
            "skeletonize": morphology.skeletonize,
            "thin": morphology.thin,
            "crop": lambda image, crop_width: util.crop(image, crop_width, copy=True),
            "watershed": lambda image, markers: segmentation.watershed(image, markers),
        }
    )


def scipy() -> Library:
    import numpy as np
    from scipy import ndimage

    def sobel(image: Any) -> Any:
        plain = image.astype(np.float32)
        return np.hypot(ndimage.sobel(plain, 0), ndimage.sobel(plain, 1)) * np.float32(0.25 / np.sqrt(2))

    return Library(
        {
            "gaussian": lambda image, sigma: ndimage.gaussian_filter(image, sigma, axes=(0, 1)),
            "uniform": lambda image, size: ndimage.uniform_filter(image, size),
            "gaussian_laplace": lambda image, sigma: ndimage.gaussian_laplace(image, sigma, output=np.float32),
            "median": lambda image, size, mode: ndimage.median_filter(image, size, mode=mode),
            "convolve": lambda image, weights: ndimage.convolve(image, weights),
            "percentile": lambda image, percentile, size: ndimage.percentile_filter(image, percentile, size),
            "minimum": lambda image, size: ndimage.minimum_filter(image, size),
            "maximum": lambda image, size: ndimage.maximum_filter(image, size),
            "distance_transform_edt": ndimage.distance_transform_edt,
            "label": lambda image: ndimage.label(image, np.ones((3, 3)))[0],
            "fill_holes": ndimage.binary_fill_holes,
            "erosion": lambda image, footprint: ndimage.grey_erosion(image, footprint=footprint),
            "dilation": lambda image, footprint: ndimage.grey_dilation(image, footprint=footprint),
            "sobel": sobel,
        }
    )


def numpy() -> Library:
    import numpy as np

    def astype(image: Any, dtype: str, scale: bool) -> Any:
        if dtype == "float32":
            return image * np.float32(1 / 255)
        return np.rint(image * np.float32(1 / 257 if image.dtype == np.uint16 else 255)).astype(np.uint8)

    return Library(
        {
            "astype": astype,
            "lut": lambda image, table: table[image],
            "threshold": lambda image, value: image > value,
            "histogram": lambda image: np.histogram(image, 256),
            "where": np.where,
            "pad": lambda image, pad_width, mode, cval=0: np.pad(
                image, pad_width, "constant" if mode == "constant" else "symmetric"
            ),
        }
    )


def pillow() -> Library:
    from PIL import Image, ImageFilter, ImageOps

    def resize(image: Any, scale: float, anti_aliasing: bool, order: int | str = 1) -> Any:
        if order not in (0, 1):
            how = Image.Resampling.BICUBIC if order == 3 else Image.Resampling.LANCZOS
            return image.resize(scaled(image.size, scale), how)
        if order and (anti_aliasing or scale < 1):
            raise NotImplementedError("Pillow smooths by another kernel")
        how = Image.Resampling.BILINEAR if order else Image.Resampling.NEAREST
        return image.resize(scaled(image.size, scale), how)

    return Library(
        {
            "rgb2gray": lambda image, weights: image.convert("L"),
            "invert": lambda image: ImageOps.invert(image),
            "lut": lambda image, table: image.point(table.tolist()),
            "threshold": lambda image, value: image.point([0] * (value + 1) + [1] * (255 - value)),
            "uniform": lambda image, size: image.filter(ImageFilter.BoxBlur(size // 2)),
            "median": lambda image, size, mode: image.filter(ImageFilter.MedianFilter(size)),
            "percentile": lambda image, percentile, size: image.filter(
                ImageFilter.RankFilter(size, int(size * size * percentile / 100))
            ),
            "minimum": lambda image, size: image.filter(ImageFilter.MinFilter(size)),
            "maximum": lambda image, size: image.filter(ImageFilter.MaxFilter(size)),
            "histogram": lambda image: image.histogram(),
            "equalize_hist": lambda image: ImageOps.equalize(image),
            "resize": resize,
        },
        prepare=Image.fromarray,
        dtypes=("uint8",),
    )


def kornia_rs() -> Library:
    from kornia_rs import imgproc

    def gaussian(image: Any, sigma: float) -> Any:
        side = 2 * int(4 * sigma + 0.5) + 1
        return imgproc.gaussian_blur(image, (side, side), (float(sigma), float(sigma)))

    return Library(
        {
            "rgb2gray": lambda image, weights: imgproc.gray_from_rgb(image),
            "gaussian": gaussian,
            "uniform": lambda image, size: imgproc.box_blur(image, (size, size)),
            "median": lambda image, size, mode: imgproc.median_blur(image, size),
            "minimum": lambda image, size: imgproc.erode(image, "box", (size, size)),
            "maximum": lambda image, size: imgproc.dilate(image, "box", (size, size)),
            "histogram": lambda image: imgproc.compute_histogram(image, 256),
            "equalize_hist": imgproc.equalize_hist,
        },
        prepare=lambda image: image if image.ndim == 3 else image[..., None],
        threads=True,
        dtypes=("uint8",),
    )


def pyvips() -> Library:
    import numpy as np
    import pyvips as vips

    vips.cache_set_max(0)  # otherwise a repeated call returns the cached result
    image_of = vips.Image.new_from_array

    def resize(image: Any, scale: float, anti_aliasing: bool, order: int | str = 1) -> Any:
        if order not in (0, 1) or anti_aliasing or scale < 1:
            raise NotImplementedError("vips smooths by another kernel")
        rows, cols = scaled((image.height, image.width), scale)
        return image.resize(cols / image.width, vscale=rows / image.height, kernel="linear" if order else "nearest")

    return Library(
        {
            "rgb2gray": lambda image, weights: (
                image.recomb(image_of([[0.299, 0.587, 0.114]])).rint().cast(image.format)
            ),
            "invert": lambda image: image.invert(),
            "lut": lambda image, table: image.maplut(image_of(table.reshape(1, -1))),
            "threshold": lambda image, value: image > value,
            "gaussian": lambda image, sigma: image.gaussblur(sigma, min_ampl=0.001),
            "median": lambda image, size, mode: image.median(size),
            "percentile": lambda image, percentile, size: image.rank(size, size, int(size * size * percentile / 100)),
            "minimum": lambda image, size: image.rank(size, size, 0),
            "maximum": lambda image, size: image.rank(size, size, size * size - 1),
            "histogram": lambda image: image.hist_find(),
            "equalize_hist": lambda image: image.hist_equal(),
            "resize": resize,
        },
        prepare=lambda image: image_of(np.ascontiguousarray(image)),
        finish=lambda result: result.numpy(),
        threads=True,
        dtypes=("uint8", "uint16"),
    )


LIBRARIES = {
    "OpenCV": opencv,
    "scikit-image": scikit_image,
    "SciPy": scipy,
    "NumPy": numpy,
    "Pillow": pillow,
    "kornia-rs": kornia_rs,
    "pyvips": pyvips,
}


# ---------------------------------------------------------------- the races


class Race(NamedTuple):
    """One pair to time."""

    library: str
    case: Case
    dtype: str
    size: str

    def __str__(self) -> str:
        return f"{self.case} {self.dtype} {self.size} against {self.library}"


def limit_threads(threads: int) -> None:
    """Set the number of threads of every library; call this before they are imported."""
    for name in ("NUMBA_NUM_THREADS", "VIPS_CONCURRENCY", "RAYON_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)


def libraries(names: list[str], threads: int) -> dict[str, Library]:
    """Return the installed libraries, on this many threads."""
    found = {}
    for name in names:
        try:
            found[name] = LIBRARIES[name]()
        except ImportError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    if "OpenCV" in found:
        import cv2

        cv2.setNumThreads(threads)
    return found


def plan(known: dict[str, Library], options: argparse.Namespace) -> list[Race]:
    """Return all races, OpenCV's first, small images before large ones; other libraries with the first dtype only."""
    races = []
    for library in known:
        dtypes = options.dtypes if library == "OpenCV" or options.all_dtypes else options.dtypes[:1]
        for dtype in dtypes:
            if dtype not in known[library].dtypes:
                continue
            for size in options.sizes:
                chosen = [case for case in cases(dtype) if wanted(case, dtype, options.filters)]
                races += [Race(library, case, dtype, size) for case in chosen if case.filter in known[library].calls]
    return races


def wanted(case: Case, dtype: str, filters: list[str] | None) -> bool:
    if case.filter == "lut" and dtype == "float32":
        return False
    if case.filter in MASKS and dtype != "uint8":
        return False
    return filters is None or case.filter in filters


def megapixels(size: str) -> float:
    return 512 * 512 / 1e6 if size == "512" else float(size)


def image_for(case: Case, dtype: str, pixels: float) -> Any:
    """Return the image of a case, a mask for some filters; ``pixels`` in millions."""
    import measuring

    image = measuring.image_of(pixels, dtype, case.color)
    return (image > image.mean()).astype(image.dtype) if case.filter in MASKS else image


def difference(case: Case, mine: Any, theirs: Any) -> float | None:
    """Return the mean difference of two results inside the border, relative to the range of ours."""
    import numpy as np

    if case.tolerance is None:
        return None
    first = np.asarray(mine).astype(np.float64)
    second = np.asarray(theirs).astype(np.float64).reshape(first.shape)
    if (
        case.filter in ("rgb2gray", "equalize_hist", "equalize_adapthist") and second.max() <= 1 < first.max()
    ):  # scikit-image returns 0 to 1
        second = second * (255 if first.max() < 256 else 65535)
    if case.filter in ("canny", "threshold", *LEVELS):
        second = second > 0
    if case.filter == "sobel" and second.max() < 1 < first.max():
        second = second * (255 if first.max() < 256 else 65535)
    inner = (slice(MARGIN, -MARGIN),) * 2
    return float(np.abs(first - second)[inner].mean() / max(np.ptp(first[inner]), 1e-9))


class Runner:
    """Runs races, skipping at larger sizes what was too slow or not supported."""

    def __init__(self, known: dict[str, Library], options: argparse.Namespace) -> None:
        self.known = known
        self.options = options
        self.speeds: dict[tuple[str, str, str], float] = {}
        self.refused: dict[tuple[str, str, str], str] = {}
        self.differences: dict[tuple[str, str, str], float | None] = {}

    def run(self, race: Race) -> dict[str, Any]:
        """Return a result, or the reason why there is none."""
        key = (race.library, str(race.case), race.dtype)
        entry = {
            "filter": race.case.filter,
            "case": str(race.case),
            "dtype": race.dtype,
            "size": race.size,
            "megapixels": megapixels(race.size),
            "library": race.library,
            "library_threads": self.options.threads if self.known[race.library].threads else 1,
        }
        if key not in self.speeds and key not in self.refused:
            self._try(race, key)
        pixels = megapixels(race.size)
        if key in self.refused:
            return {**entry, "skipped": self.refused[key]}
        predicted = self.speeds[key] * pixels
        if predicted > self.options.slow:
            return {**entry, "skipped": f"too slow: a call would take {predicted:.1f} s"}
        mine, theirs = self._sides(race, pixels)
        first, second = measuring.race([mine, theirs], self.options.seconds)
        self.speeds[key] = second["median"] / pixels
        ratio = second["median"] / first["median"]
        return {**entry, "difference": self.differences[key], "ours": first, "theirs": second, "ratio": ratio}

    def _sides(self, race: Race, pixels: float) -> tuple[Callable[[], Any], Callable[[], Any]]:
        from gpuimg.registry import arguments

        image = image_for(race.case, race.dtype, pixels)
        library = self.known[race.library]
        params = arguments(race.case.params, image)
        held, call = library.prepare(image), library.calls[race.case.filter]
        mine = ours(race.case, params, self.options.backend)
        return lambda: mine(image), lambda: library.finish(call(held, **params))

    def _try(self, race: Race, key: tuple[str, str, str]) -> None:
        """Call both sides on a small image to check support, equal results and speed."""
        try:
            mine, theirs = self._sides(race, TRIAL_MEGAPIXELS)
            theirs()
            self.speeds[key] = measuring.seconds_of(theirs) / TRIAL_MEGAPIXELS
            found = difference(race.case, mine(), theirs())
        except Exception as error:  # libraries raise any exception for unsupported arguments
            self.speeds.pop(key, None)
            self.refused[key] = f"{UNSUPPORTED}: {str(error).strip().splitlines()[0][:120] or type(error).__name__}"
            return
        self.differences[key] = found
        if found is not None and found > race.case.tolerance:
            self.refused[key] = f"not the same filter: differs by {100 * found:.1f} % of the range on average"


def measured(runner: Runner, races: list[Race], minutes: float) -> Iterator[dict[str, Any]]:
    end = time.monotonic() + 60 * minutes
    for number, race in enumerate(races):
        if time.monotonic() > end:
            print(f"out of time: {len(races) - number} races left out", file=sys.stderr)
            yield {"skipped": "out of time", "races": [str(each) for each in races[number:]]}
            return
        entry = runner.run(race)
        said = (
            entry.get("skipped")
            or f"{entry['ratio']:8.2f} times as long as ours, {1e3 * entry['ours']['median']:.2f} ms"
        )
        print(f"[{number + 1}/{len(races)}] {race}: {said}", file=sys.stderr, flush=True)
        yield entry


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="the JSON file; without it, standard output")
    parser.add_argument("--filters", type=words, help="names, separated by commas; all by default")
    parser.add_argument("--sizes", type=words, default=list(SIZES), help="megapixels; 512 stands for 512x512")
    parser.add_argument("--dtypes", type=words, default=list(DTYPES), help="the first one is raced with all libraries")
    parser.add_argument("--libraries", type=words, default=list(LIBRARIES))
    parser.add_argument("--all-dtypes", action="store_true", help="race all libraries with all dtypes")
    parser.add_argument("--backend", default="multicore", help="ours")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=0.6, help="per pair, without warm-up")
    parser.add_argument("--slow", type=float, default=1.5, help="leave out calls that take longer, in seconds")
    parser.add_argument("--minutes", type=float, default=13, help="start no race after these")
    return parser.parse_args()


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def main() -> None:
    options = options_given()
    limit_threads(options.threads)
    global measuring
    import measuring

    known = libraries(options.libraries, options.threads)
    races = plan(known, options)
    start = time.perf_counter()
    results = list(measured(Runner(known, options), races, options.minutes))
    found = {
        "machine": measuring.machine(options.threads),
        "backend": options.backend,
        "seconds": round(time.perf_counter() - start),
        "results": results,
    }
    measuring.report(found, options.out)


if __name__ == "__main__":
    main()
