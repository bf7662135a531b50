"""Features: corners, thin edges and local maxima."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.filters.edges import MAGNITUDE, SOBEL, plan_derivative
from gpuimg.filters.exposure import plan_extrema, threshold_args
from gpuimg.filters.morphology import MAXIMUM, Extents, plan_extreme
from gpuimg.filters.smooth import Widths, plan_gaussian, widths
from gpuimg.images import BOOL, FLOAT32, INT32, MODES
from gpuimg.plans.alpha import each_channel
from gpuimg.plans.nodes import Edge, change, host, lent, listing, on_host, parts, point, view, window
from gpuimg.plans.value import Small, Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Mode, Out, Sigma


@register({}, {"k": 0.2, "sigma": (0.5, 2)})
def corner_harris(
    image: ImageLike,
    k: float = 0.05,
    sigma: Sigma = 1,
    *,
    mode: Mode = "constant",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Compute the Harris corner response: determinant minus ``k`` times squared trace of the structure tensor.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    k : number
        Sensitivity factor to separate corners from edges, usually 0 to 0.2.
    sigma : number >= 0, or two of them for rows and columns
        Standard deviation of the Gaussian that smooths the products of the derivatives, in pixels.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        With mode "constant", derivatives beyond the edge are 0.

    Returns
    -------
    float32 array of the same shape (float64 for float64 images): positive at corners, negative along edges

    Raises
    ------
    ValueError : ``k`` is NaN or infinite, or ``sigma`` is negative, NaN or infinite

    Notes
    -----
    Differs from `skimage.feature.corner_harris` in scale for integers, which are not rescaled: responses of a uint8
    image are larger by a factor of ``255**4``.

    References
    ----------
    .. [1] C. Harris, M. Stephens, "A combined corner and edge detector", Alvey Vision Conference, 1988. Derivatives
       (Sobel, not normalised), border and scale as in `skimage.feature.corner_harris`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> square = np.zeros((9, 9), np.uint8)
    >>> square[3:, 3:] = 1
    >>> response = gpuimg.corner_harris(square, mode="nearest")
    >>> divmod(int(response.argmax()), 9)
    (3, 3)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    sensitivity = images.number("k", k)
    width = widths(sigma)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_corner_harris, source, sensitivity, width, edge, backend=backend, out=out)


def plan_corner_harris(image: Value, k: float, width: Widths, edge: Edge) -> Value:
    down, along = width.taps(image, edge)
    reach = down.radius + along.radius
    return window(
        "harris",
        image,
        halo=(down.radius + 1, along.radius + 1),
        edge=edge,
        dtype=images.real(image.dtype),
        work=6.0 + 1.5 * reach,
        r0=down.radius,
        r1=along.radius,
        w0=down.weights,
        w1=along.weights,
        k=k,
    )


INT64 = np.dtype("int64")
LINKED_ROWS = 64
GROUP = 8  # neighbouring slabs, or groups of slabs, that are linked at a time
DEFAULT_LOW, DEFAULT_HIGH = 0.1, 0.2  # of the maximum of an integer dtype; floats reach 1


@register({}, {"sigma": (0.7, 2), "low_threshold": 0.1, "high_threshold": 0.5}, grey=True)
def canny(
    image: ImageLike,
    sigma: Sigma = 1,
    low_threshold: float | None = None,
    high_threshold: float | None = None,
    *,
    mode: Mode = "constant",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Find edges with the Canny algorithm.

    The steps are Gaussian smoothing, Sobel gradient, non-maximum suppression along the direction of the gradient, and
    hysteresis: edges are pixels with at least the high threshold, and pixels with at least the low threshold that are
    connected to them.

    Parameters
    ----------
    image : (H, W) array
        Greyscale image; convert a colour image with `gpuimg.rgb2gray` first. With ``axes="YXC"``, channels are
        processed separately.
    sigma : number >= 0, or two of them for rows and columns
        Standard deviation of the Gaussian in pixels.
    low_threshold, high_threshold : number >= 0 or None
        Thresholds of the gradient magnitude, in the image's units (Sobel derivatives, not normalised). None: 0.1 and
        0.2 times the dtype's maximum, 0.1 and 0.2 for floats.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        The border mode affects the smoothing only. With mode "constant", the smoothed image is divided by a smoothed
        image of ones.

    Returns
    -------
    bool array of the same shape; the image's outermost pixels are never edges

    Raises
    ------
    ValueError : the image has several channels that ``axes`` does not name; ``sigma`` or a threshold is negative, NaN
        or infinite; or the low threshold is above the high one

    Notes
    -----
    Differs from `skimage.feature.canny` in that it computes in float32 (float64 for float64 images): where the
    gradients of two neighbours differ only by rounding, another of them may be kept.

    References
    ----------
    .. [1] J. Canny, "A computational approach to edge detection", IEEE Transactions on Pattern Analysis and Machine
       Intelligence 8(6), 1986, 679-698. Thresholds, border and interpolation as in `skimage.feature.canny`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> bright = np.zeros((7, 8), np.uint8)
    >>> bright[:, 3:] = [80, 200, 200, 200, 200]
    >>> gpuimg.canny(bright, mode="nearest")[3].nonzero()[0]
    array([3])
    """
    source = images.accept(image, axes=axes, grey=True, alpha=alpha)
    maximum = 1.0 if source.dtype.kind == "f" else float(images.limits(source.dtype)[1])
    low = DEFAULT_LOW * maximum if low_threshold is None else images.number("low_threshold", low_threshold, low=0)
    high = DEFAULT_HIGH * maximum if high_threshold is None else images.number("high_threshold", high_threshold, low=0)
    if low > high:
        raise ValueError(f"low_threshold must be at most high_threshold, {high:g}, got {low:g}")
    width = widths(sigma)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_canny, source, width, edge, edge[1] / maximum, low, high, backend=backend, out=out)


def plan_canny(image: Value, width: Widths, edge: Edge, outside: float, low: float, high: float) -> Value:
    """Find weak and strong edges in one kernel, which `plan_edge_maxima` defines, then apply hysteresis."""
    down, along = width.taps(image, edge)
    maxima = window(
        "edge_maxima",
        image,
        halo=(down.radius + 2, along.radius + 2),
        edge=edge,
        dtype=BOOL,
        work=6.0 + 0.5 * (down.radius + along.radius),
        r0=down.radius,
        r1=along.radius,
        w0=down.weights,
        w1=along.weights,
        outside=outside,
        low=low,
        high=high,
    )
    return _linked(maxima)


DOWN, ALONG = 0, 1
REFLECT: Edge = (MODES["reflect"].code, 0.0)


def plan_edge_maxima(image: Value, width: Widths, edge: Edge, outside: float, low: float, high: float) -> Value:
    """Define the kernel "edge_maxima" step by step: smoothing, gradient and non-maximum suppression.

    The smoothed image is extended by mode "reflect".
    """
    smooth = plan_smoothed(image, width, edge, outside)
    down, along, magnitude = (
        plan_derivative(smooth, SOBEL, axis, REFLECT, factor=1.0) for axis in (DOWN, ALONG, MAGNITUDE)
    )
    return plan_suppressed(magnitude, down, along, low, high)


def plan_smoothed(image: Value, width: Widths, edge: Edge, outside: float) -> Value:
    """Smooth with a Gaussian in floating point; in mode "constant", divide by a smoothed image of ones."""
    numbers = image if image.dtype.kind == "f" else point("convert", image, dtype=FLOAT32, work=0.5)
    smooth = plan_gaussian(numbers, width, edge)
    if edge[0] != MODES["constant"].code:
        return smooth
    down, along = width.taps(image, edge)
    return point("normalize", smooth, w0=down.weights, w1=along.weights, outside=outside)


def plan_suppressed(magnitude: Value, down: Value, along: Value, low: float, high: float) -> Value:
    """Non-maximum suppression: 1 for strong edges, 2 for weak ones."""
    return window(
        "nonmaximum", magnitude, halo=(1, 1), edge=REFLECT, dtype=BOOL, down=down, along=along, low=low, high=high
    )


@register({"low": 60, "high": 180}, {"low": -3, "high": 1.5}, {"low": 99.5, "high": 99.5})
def apply_hysteresis_threshold(
    image: ImageLike,
    low: float,
    high: float,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Apply hysteresis thresholding: keep pixels above ``high``, and pixels above ``low`` connected to them.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Channels are thresholded separately.
    low, high : number
        Thresholds in the image's units; they need not be values of its dtype.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape: True in 4-connected regions with ``image > low`` that contain a pixel with
    ``image > high``; False where the image is NaN. A float32 image is compared with the exact ``low``, and with
    ``high`` rounded to float32, as in scikit-image.

    Raises
    ------
    ValueError : ``low`` is above ``high``, or either is NaN

    References
    ----------
    .. [1] J. Canny, "A computational approach to edge detection", IEEE Transactions on Pattern Analysis and Machine
       Intelligence 8(6), 1986, 679-698. The same as `skimage.filters.apply_hysteresis_threshold`, which lowers ``low``
       to ``high`` if it is above.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.apply_hysteresis_threshold(np.array([[1, 2, 3, 2, 1, 2, 1]], np.uint8), 1.5, 2.5)
    array([[False,  True,  True,  True, False, False, False]])
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    lower, upper = images.number("low", low, finite=False), images.number("high", high, finite=False)
    if math.isnan(upper):
        raise ValueError(f"high must not be NaN, got {high!r}")
    if not lower <= upper:
        raise ValueError(f"low must be at most high, {upper:g}, got {low!r}")
    return run(plan_apply_hysteresis_threshold, source, lower, upper, backend=backend, out=out)


def plan_apply_hysteresis_threshold(image: Value, low: float, high: float) -> Value:
    lower, upper, rest = _double_threshold(low, high, image.dtype)
    levels = point("double_threshold", image, dtype=BOOL, work=0.5, low=lower, high=upper, rest=rest)
    return _linked(levels, reach=AT_EDGES)


def _double_threshold(low: float, high: float, dtype: np.dtype[Any]) -> tuple[int | float, int | float, int]:
    """Return both thresholds in the image's dtype, and the level of pixels above neither.

    The level is 0, but strong or weak if every pixel exceeds a threshold, which is then set to the dtype's maximum."""
    (lower, every_weak), (upper, every_strong) = threshold_args(low, dtype), threshold_args(high, dtype)
    if every_strong:
        upper, rest = images.limits(dtype)[1], STRONG
    else:
        rest = WEAK if every_weak else 0
    if every_weak:
        lower = images.limits(dtype)[1]
    if dtype == FLOAT32 and lower > low:
        lower = float(np.nextafter(FLOAT32.type(lower), FLOAT32.type(-np.inf)))  # the same values lie above it
    return lower, upper, rest


STRONG, WEAK = 1, 2  # levels, as in the kernels of the hysteresis
AT_EDGES, AT_CORNERS = 0, 1  # where neighbours touch


def _linked(edges: Value, reach: int = AT_CORNERS) -> Value:
    """Hysteresis: keep weak edges that are connected to strong ones."""
    return change("edge_strong", _links(edges, reach), count=edges.shape[0], work=0.2)


def _links(edges: Value, reach: int) -> Value:
    """Make weak pixels strong if connected to strong ones, in slabs of rows, then across their seams."""
    slabs = max(1, -(-edges.shape[0] // LINKED_ROWS))
    edges = change("edge_links", edges, count=slabs, work=0.5, height=LINKED_ROWS, reach=reach)
    span = 1
    while span < slabs:
        group = span * GROUP
        count = -(-slabs // group)
        edges = change(
            "edge_seams", edges, count=count, work=0.02, height=LINKED_ROWS, span=span, group=group, reach=reach
        )
        span = group
    return edges


@register({}, {"connectivity": 1, "allow_borders": False})
def local_maxima(
    image: ImageLike,
    connectivity: int | None = None,
    allow_borders: bool = True,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Find local maxima: connected pixels of equal value (plateaus) that exceed all adjacent pixels.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Channels are searched separately.
    connectivity : {1, 2}, optional
        1: pixels touch at their edges, 2 and None: at their corners too.
    allow_borders : bool
        Include plateaus at the image's edge.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape: True in all pixels of local maxima. A constant image has none.

    Raises
    ------
    ValueError : ``connectivity`` is neither 1 nor 2
    TypeError : ``allow_borders`` is not True or False

    Notes
    -----
    A pixel that no neighbour exceeds is a maximum unless it is connected to an equal pixel with a larger neighbour
    [1]_. NaN counts as minus infinity: it is never a maximum, and its neighbours exceed it.

    Differs from `skimage.morphology.local_maxima` for images with NaN, where scikit-image's result depends on its
    position, and for images with channels, which scikit-image treats as one volume. There is no ``footprint`` and no
    ``indices``: use `numpy.nonzero`.

    References
    ----------
    .. [1] P. Soille, "Morphological Image Analysis", 2nd edition, 2003, section 6.3.1 (regional maxima). The same as
       `skimage.morphology.local_maxima`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.local_maxima(np.array([[4, 1, 2, 2, 1, 3, 3, 5]], np.uint8))
    array([[ True, False,  True,  True, False, False, False,  True]])
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    reach = AT_CORNERS if connectivity is None else images.whole("connectivity", connectivity, high=2) - 1
    inner = not images.flag("allow_borders", allow_borders)
    if source.channels > 1 and not source.has_alpha:
        source = images.by_channels(source)
    return run(plan_local_maxima, source, reach, inner, backend=backend, out=out)


def plan_local_maxima(image: Value, reach: int, inner: bool) -> Value:
    """Find pixels that no neighbour exceeds, without those connected to equal pixels that a neighbour exceeds."""
    if image.channels > 1:  # maxima of a channel are above its minimum
        return each_channel(image, partial(plan_local_maxima, reach=reach, inner=inner))
    levels = window(
        "plateaus",
        image,
        halo=(2, 2),
        edge=REFLECT,
        dtype=BOOL,
        work=4.0,
        lowest=host(partial(_lowest, image.dtype), plan_extrema(image)),
        reach=reach,
        inner=int(inner),
    )
    return point("threshold", _links(levels, reach), dtype=BOOL, work=0.5, value=WEAK - 1, always=0)


def _lowest(dtype: np.dtype[Any], extrema: Any) -> int | float:
    """Return the minimum of an image, counting NaN as minus infinity."""
    low = float(extrema[0])
    return int(low) if dtype.kind != "f" else -math.inf if math.isnan(low) else low


@register({}, {"min_distance": 3, "threshold_rel": 0.6, "exclude_border": False, "num_peaks": 5}, grey=True)
def peak_local_max(
    image: ImageLike,
    min_distance: int = 1,
    threshold_abs: float | None = None,
    threshold_rel: float | None = None,
    exclude_border: bool | int | tuple[int, int] = True,
    num_peaks: float = math.inf,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: None = None,
) -> Any:
    """Find the coordinates of peaks: maxima of square windows with sides of ``2 * min_distance + 1`` pixels.

    Parameters
    ----------
    image : (H, W) array
        Greyscale image; convert a colour image with `gpuimg.rgb2gray` first. With ``axes="YXC"``, channels are searched
        separately, with a common threshold and a common ``num_peaks``. With ``axes="CYX"``, the channels are a stack.
    min_distance : int
        Minimum distance between peaks in rows or columns; 1 keeps all pixels of a plateau.
    threshold_abs : number, optional
        Peaks must exceed this. None: the minimum of the image.
    threshold_rel : number, optional
        Peaks must also exceed this times the maximum of the image.
    exclude_border : bool, int >= 0, or two of them for rows and columns
        Exclude peaks closer than this to the image's edge; True: closer than ``min_distance``.
    num_peaks : int > 0, or infinity
        Maximum number of peaks; the highest are returned.
    axes, alpha, backend : see `gpuimg.filters`
    out : must be None: the result is an array of coordinates

    Returns
    -------
    (N, 2) int64 array of rows and columns, in host memory: in descending order of value, equal peaks in raster order.
    For ``axes="YXC"`` (N, 3), the channel last. For a stack of images, the indices of the image come first.

    Raises
    ------
    ValueError : ``min_distance`` or ``num_peaks`` is not positive, ``exclude_border`` is negative, a threshold is NaN,
        or the image has several channels that ``axes`` does not name

    Notes
    -----
    Of equal peaks closer than ``min_distance`` to each other, the first in raster order is kept. A constant image has
    no peaks. NaN is never a peak, and is ignored in minima, maxima and thresholds, so that its neighbours may be peaks.

    Differs from `skimage.feature.peak_local_max`, which finds nothing in an image with NaN unless ``threshold_abs`` is
    given (its default threshold is then NaN), lists peaks of value 0 in unsigned images (and of the dtype's minimum in
    signed ones) first, and has parameters for footprints, labels and norms.

    References
    ----------
    .. [1] `skimage.feature.peak_local_max`. Maxima of windows: M. van Herk, "A fast algorithm for local minimum and
       maximum filters on rectangular and octagonal kernels", Pattern Recognition Letters 13(7), 1992, 517-521.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.zeros((7, 7), np.uint8)
    >>> image[3, 4], image[3, 2], image[0, 0] = 1, 2, 3
    >>> gpuimg.peak_local_max(image)
    array([[3, 2],
           [3, 4]])
    >>> gpuimg.peak_local_max(image, threshold_abs=1, exclude_border=False)
    array([[0, 0],
           [3, 2]])
    """
    source = images.accept(image, axes=axes, grey=True, alpha=alpha)
    if out is not None:
        raise TypeError(f"out must be None for peak_local_max, which returns coordinates, got {type(out).__name__}")
    distance = images.whole("min_distance", min_distance)
    low = None if threshold_abs is None else _not_nan("threshold_abs", threshold_abs)
    share = None if threshold_rel is None else images.number("threshold_rel", threshold_rel)
    margins = _margins(exclude_border, distance)
    most = None if num_peaks == math.inf else images.whole("num_peaks", num_peaks)
    if source.array.size == 0:
        return np.empty((0, source.array.ndim - source.has_alpha), np.int64)
    return run(plan_peak_local_max, source, distance, low, share, margins, most, backend=backend)


def _not_nan(name: str, value: float) -> float:
    checked = images.number(name, value, finite=False)
    if math.isnan(checked):
        raise ValueError(f"{name} must not be NaN, got {value!r}")
    return checked


def _margins(exclude_border: bool | int | tuple[int, int], distance: int) -> tuple[int, int]:
    if isinstance(exclude_border, bool | np.bool_):
        return (distance, distance) if exclude_border else (0, 0)
    rows, cols = images.pair("exclude_border", exclude_border)
    return images.whole("exclude_border", rows, low=0), images.whole("exclude_border", cols, low=0)


def plan_peak_local_max(
    image: Value, distance: int, low: float | None, share: float | None, margins: tuple[int, int], most: int | None
) -> Small:
    """Find pixels that are the maximum of their window, then discard those too close to others."""
    numbers = _without_nan(image, -math.inf)
    single = math.prod(image.shape) == 1
    limits = partial(_peak_threshold, image.dtype, low, share, single)
    highs = plan_extrema(numbers)
    lows = highs if numbers is image else plan_extrema(_without_nan(image, math.inf))
    value, always = host(limits, lows, highs, count=2)
    peaks = point(
        "peaks",
        plan_extreme(numbers, Extents(distance, distance, distance, distance), MAXIMUM, None),
        dtype=BOOL,
        image=numbers,
        step=image.channels,
        value=value,
        always=always,
        margin_rows=margins[0],
        margin_cols=margins[1],
    )
    if distance > 1:
        peaks = change("peak_spacing", peaks, count=1, step=image.channels, work=0.5, distance=distance)
    size = math.prod(image.shape)
    places = parts(
        "peak_places",
        view(numbers, np.dtype(f"u{image.dtype.itemsize}")),
        count=1,
        shape=(1, size),
        dtype=INT32 if size <= images.limits(INT32)[1] else INT64,
        results={"found": ((1, 1), INT64)},
        work=0.5,
        peaks=peaks,
        kind="uif".index(image.dtype.kind),
    )
    return listing(partial(_coordinates, image.shape, most), lent(places), places.results[1])


def _without_nan(image: Value, value: float) -> Value:
    return point("nan_replaced", image, work=0.5, value=value) if image.dtype.kind == "f" else image


def _peak_threshold(
    dtype: np.dtype[Any], low: float | None, share: float | None, single: bool, lows: Any, highs: Any
) -> tuple[int | float, int]:
    """Return the threshold that peaks exceed, and whether every value does; a constant image has no peaks.

    ``lows`` and ``highs`` are extrema; the minimum of the former and the maximum of the latter are used.
    """
    minimum, maximum = dtype.type(lows[0]), dtype.type(highs[1])
    threshold = float(minimum) if low is None else low
    if share is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            threshold = max(threshold, float(share * maximum))
    if minimum == maximum and not single:
        threshold = math.inf
    return threshold_args(threshold, dtype)


def _coordinates(shape: tuple[int, ...], most: int | None, places: Any, found: Any) -> Any:
    """Return the indices of places in an image of this shape, at most the first ``most``."""
    left = on_host(places[0, : min(int(found[0, 0]), most or math.inf)])
    made = np.empty((len(left), len(shape)), np.int64)
    for axis in range(len(shape) - 1, 0, -1):
        left, made[:, axis] = np.divmod(left, shape[axis])
    made[:, 0] = left
    return made
