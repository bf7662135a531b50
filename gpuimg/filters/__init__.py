"""The public filters, one family per file.

Every filter checks its arguments and builds a plan of the computation, which `gpuimg.run.run` executes. Shared
parameters:

backend : {None, "auto", "cuda", "multicore", "processes", "single"}
    Where to run. None: the backend set by `gpuimg.use_backend` or the variable ``GPUIMG_BACKEND``, otherwise "auto",
    the backend with the lowest predicted time on this machine. If a backend given by name is unavailable,
    `gpuimg.BackendUnavailable` is raised. "multicore" processes a small image on one thread where that is faster.
out : ndarray
    Array for the result, of its shape and dtype, with any memory layout; it may overlap the image. It is returned.
    A filter that returns several images takes a tuple of arrays, which must not overlap each other.
mode : {"reflect", "nearest", "mirror", "wrap", "constant"}
    Extension of the image beyond its border, as in SciPy: ``d c b a | a b c d | d c b a`` (reflect), ``a a a | a b c d
    | d d d`` (nearest), ``d c b | a b c d | c b a`` (mirror), ``b c d | a b c d | a b c`` (wrap), ``k k k | a b c d |
    k k k`` (constant). Minimum, maximum and morphology also have "ignore", as in scikit-image: only pixels of the image
    count. If the footprint covers none, the minimum is the dtype's maximum and the maximum its minimum (infinite for
    floats). "ignore" is the default of opening, closing and the top hats: with "reflect", an opening by an asymmetric
    footprint may exceed the image at its border.
cval : number
    The constant k of mode "constant"; it must be a value of the image's dtype.
axes : str, optional
    The array's axes, one letter each: Y rows, X columns, C channels; T, Z and N (time, depth, number) are axes
    of a stack, whose images are filtered independently, in parallel. ``"TYX"`` is a stack of grey images, ``"TYXC"`` of
    colour images, ``"CYX"`` an image with its channels first, ``"YXC"`` one with any number of channels. The result has
    its axes in the same order. None: ``(H, W)``, or ``(H, W, C)`` with at most four channels; any other array needs
    ``axes``.
alpha : bool, optional
    True: the last of two or four channels is alpha (straight, not premultiplied) and is not filtered as a colour.
    None: taken from the mode of a PIL image (LA, RGBA); no channel of any other array is alpha. `gpuimg run` and the
    service take it from the file. ``gpuimg.FILTERS[name].alpha`` tells how a filter treats alpha:
    "kept": intensity filters (`invert`, `lut`, `clip`, `adjust_gamma`, `rescale_intensity`, `equalize_hist`,
    `equalize_adapthist`, `match_histograms`, `unsharp_mask`, `convolve`, `bilateral`, `denoise_nl_means`) leave alpha
    unchanged; a result of another dtype has no alpha.
    "weighed": averages (`resize`, `rescale`, `pyramid_reduce`, `pyramid_expand`, `warp`, `rotate`, `remap`, `gaussian`,
    `uniform`) weight colours by alpha and filter alpha like a channel. Where all pixels are transparent or all are
    opaque, colours are not weighted. With mode "constant", ``cval`` must be 0.
    "dropped": masks, measurements and other colour spaces (thresholds, histograms, derivatives, edges, corners, top
    hats, labels, distances, integral images, `rgb2gray`, `rgb2hsv`, ...) are computed from the colours and have no
    alpha.
    "channel": filters that move, select, blend or convert values (`flip`, `rot90`, `pad`, `crop`, `resize` with order
    0, `median`, erosion, dilation and their compositions, `watershed`, `blend`, `where`, `astype`) treat alpha like any
    channel.

Images are ``(H, W)`` or ``(H, W, C)``, uint8, uint16, int16, float32 or float64, from NumPy, CuPy, PIL or any library
with DLPack; the result is of the same kind. A PIL image is first turned upright according to its EXIF orientation, and
the result keeps its resolution, EXIF, XMP and, if it fits the result, colour profile. Channels are filtered separately,
except by `bilateral` and `denoise_nl_means`. Results are rounded half to even and saturated. Minimum, maximum, median,
percentile and morphology also take masks (bool) and labels (int32); filters that only move pixels take any dtype of 1,
2, 4 or 8 bytes. `gpuimg.astype` converts between dtypes.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module

from gpuimg.errors import shown
from gpuimg.registry import FILTERS, Filter

FAMILIES = (
    *("color", "exposure", "arithmetic", "thresholds", "smooth", "local_thresholds", "edges", "morphology"),
    *("skeleton", "transform", "warp", "pyramid", "measure", "regions", "segmentation", "feature"),
)


@cache
def _load() -> None:
    for family in FAMILIES:
        import_module(f"{__name__}.{family}")


def all_filters() -> dict[str, Filter]:
    """Load every family and return `gpuimg.registry.FILTERS`."""
    _load()
    return FILTERS


def filter_named(name: str) -> Filter:
    """Return the filter of this name, or raise a `ValueError` that suggests similar names."""
    filters = all_filters()
    if name in filters:
        return filters[name]
    close = difflib.get_close_matches(name, filters, cutoff=0.7)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(f"there is no filter {shown(name)}; {hint}`gpuimg filters` lists them")
