"""Image filters that run as CUDA kernels, on all cores or on one, and give the same pixels everywhere.

Importing gpuimg loads NumPy only; a filter's machinery is loaded when the filter is first named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "gpuimg.filters.color": (
        "hsv2rgb",
        "lab2rgb",
        "rgb2gray",
        "rgb2hsv",
        "rgb2lab",
        "rgb2ycbcr",
        "ycbcr2rgb",
    ),
    "gpuimg.filters.exposure": (
        "adjust_gamma",
        "blend",
        "equalize_hist",
        "histogram",
        "invert",
        "lut",
        "rescale_intensity",
        "threshold",
        "threshold_otsu",
    ),
    "gpuimg.filters.smooth": (
        "difference_of_gaussians",
        "gaussian",
        "median",
        "uniform",
        "unsharp_mask",
    ),
    "gpuimg.filters.morphology": (
        "black_tophat",
        "closing",
        "dilation",
        "erosion",
        "maximum",
        "minimum",
        "morphological_gradient",
        "opening",
        "white_tophat",
    ),
    "gpuimg.filters.edges": (
        "laplace",
        "prewitt",
        "scharr",
        "sobel",
    ),
    "gpuimg.filters.transform": ("flip", "resize", "rot90"),
    "gpuimg.filters.feature": ("canny", "corner_harris"),
    "gpuimg.filters.measure": ("distance_transform_edt", "integral_image", "label"),
    "gpuimg.dispatch": ("use_backend",),
    "gpuimg.advice": ("backends", "explain", "plan"),
    "gpuimg.tuning": ("calibrate",),
    "gpuimg.files": ("open_image", "save_image"),
    "gpuimg.errors": (
        "BackendFailed",
        "BackendUnavailable",
        "FallbackWarning",
        "GpuimgError",
        "ImageFileError",
        "UntestedVersionWarning",
    ),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__all__ = ["FILTERS", "__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from gpuimg.advice import backends as backends
    from gpuimg.advice import explain as explain
    from gpuimg.advice import plan as plan
    from gpuimg.dispatch import use_backend as use_backend
    from gpuimg.errors import BackendFailed as BackendFailed
    from gpuimg.errors import BackendUnavailable as BackendUnavailable
    from gpuimg.errors import FallbackWarning as FallbackWarning
    from gpuimg.errors import GpuimgError as GpuimgError
    from gpuimg.errors import ImageFileError as ImageFileError
    from gpuimg.errors import UntestedVersionWarning as UntestedVersionWarning
    from gpuimg.files import open_image as open_image
    from gpuimg.files import save_image as save_image
    from gpuimg.filters.color import hsv2rgb as hsv2rgb
    from gpuimg.filters.color import lab2rgb as lab2rgb
    from gpuimg.filters.color import rgb2gray as rgb2gray
    from gpuimg.filters.color import rgb2hsv as rgb2hsv
    from gpuimg.filters.color import rgb2lab as rgb2lab
    from gpuimg.filters.color import rgb2ycbcr as rgb2ycbcr
    from gpuimg.filters.color import ycbcr2rgb as ycbcr2rgb
    from gpuimg.filters.edges import laplace as laplace
    from gpuimg.filters.edges import prewitt as prewitt
    from gpuimg.filters.edges import scharr as scharr
    from gpuimg.filters.edges import sobel as sobel
    from gpuimg.filters.exposure import adjust_gamma as adjust_gamma
    from gpuimg.filters.exposure import blend as blend
    from gpuimg.filters.exposure import equalize_hist as equalize_hist
    from gpuimg.filters.exposure import histogram as histogram
    from gpuimg.filters.exposure import invert as invert
    from gpuimg.filters.exposure import lut as lut
    from gpuimg.filters.exposure import rescale_intensity as rescale_intensity
    from gpuimg.filters.exposure import threshold as threshold
    from gpuimg.filters.exposure import threshold_otsu as threshold_otsu
    from gpuimg.filters.feature import canny as canny
    from gpuimg.filters.feature import corner_harris as corner_harris
    from gpuimg.filters.measure import distance_transform_edt as distance_transform_edt
    from gpuimg.filters.measure import integral_image as integral_image
    from gpuimg.filters.measure import label as label
    from gpuimg.filters.morphology import black_tophat as black_tophat
    from gpuimg.filters.morphology import closing as closing
    from gpuimg.filters.morphology import dilation as dilation
    from gpuimg.filters.morphology import erosion as erosion
    from gpuimg.filters.morphology import maximum as maximum
    from gpuimg.filters.morphology import minimum as minimum
    from gpuimg.filters.morphology import morphological_gradient as morphological_gradient
    from gpuimg.filters.morphology import opening as opening
    from gpuimg.filters.morphology import white_tophat as white_tophat
    from gpuimg.filters.smooth import difference_of_gaussians as difference_of_gaussians
    from gpuimg.filters.smooth import gaussian as gaussian
    from gpuimg.filters.smooth import median as median
    from gpuimg.filters.smooth import uniform as uniform
    from gpuimg.filters.smooth import unsharp_mask as unsharp_mask
    from gpuimg.filters.transform import flip as flip
    from gpuimg.filters.transform import resize as resize
    from gpuimg.filters.transform import rot90 as rot90
    from gpuimg.registry import FILTERS as FILTERS
    from gpuimg.tuning import calibrate as calibrate


def __getattr__(name: str) -> Any:
    if name == "FILTERS":
        value: Any = import_module("gpuimg.filters").all_filters()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'gpuimg' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
