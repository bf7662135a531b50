"""Features: corners and thin edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.filters.edges import MAGNITUDE, SOBEL, plan_derivative
from gpuimg.filters.exposure import threshold_args
from gpuimg.filters.smooth import Widths, plan_gaussian, widths
from gpuimg.images import BOOL, FLOAT32, FLOAT64, MODES
from gpuimg.plans.nodes import Edge, change, point, window
from gpuimg.plans.value import Value
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
        Standard deviation of the Gaussian that the products of the differences are smoothed with.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        Beyond the edge of a "constant" image there are no differences.

    Returns
    -------
    float32 array of the same shape (float64 for float64 images): positive at corners, negative along edges. The image's
    values are not rescaled: those of a uint8 image are ``255**4`` times as large as scikit-image's.

    Raises
    ------
    ValueError : ``k`` is NaN or infinite, or ``sigma`` negative, NaN or infinite

    References
    ----------
    .. [1] C. Harris, M. Stephens, "A combined corner and edge detector", Alvey Vision Conference, 1988. Differences
       (Sobel's, not divided), border and scale as `skimage.feature.corner_harris`.

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
        dtype=FLOAT64 if image.dtype == FLOAT64 else FLOAT32,
        work=6.0 + 1.5 * reach,
        r0=down.radius,
        r1=along.radius,
        w0=down.weights,
        w1=along.weights,
        k=k,
    )


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

    Gaussian smoothing, Sobel gradient, non-maximum suppression along the direction of the gradient, and hysteresis:
    pixels of at least the high threshold are edges, and pixels of at least the low one that are connected with them.

    Parameters
    ----------
    image : (H, W) array
        Edges are those of a greyscale image: make a colour image grey first, `gpuimg.rgb2gray`. With ``axes="YXC"``
        each channel is searched by itself.
    sigma : number >= 0, or two of them for rows and columns
        Standard deviation of the Gaussian.
    low_threshold, high_threshold : number >= 0 or None
        Magnitudes of the gradient, in the image's units (Sobel's differences, not divided). None: a tenth and a
        fifth of the dtype's maximum, 0.1 and 0.2 for floats.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        The border mode affects the smoothing only. In mode "constant" the smoothed image is divided by a smoothed
        image of ones.

    Returns
    -------
    bool array of the same shape; the image's outermost pixels are never edges. Computed in float32 (float64 for float64
    images): where two neighbours' gradients differ by its rounding only, others may be kept than by scikit-image.

    Raises
    ------
    ValueError : the image has several channels that ``axes`` does not name; a threshold is negative, NaN or infinite,
        or the low one above the high one; or so is ``sigma``

    References
    ----------
    .. [1] J. Canny, "A computational approach to edge detection", IEEE Transactions on Pattern Analysis and Machine
       Intelligence 8(6), 1986, 679-698. Thresholds, border and interpolation as `skimage.feature.canny`.

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
    """The steps up to weak and strong edges in one kernel, which `plan_edge_maxima` defines, then hysteresis."""
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
    """The definition of the kernel "edge_maxima", step by step: smoothing, gradient and non-maximum suppression.

    Beyond its edge the smoothed image goes on as in mode "reflect".
    """
    smooth = plan_smoothed(image, width, edge, outside)
    down, along, magnitude = (
        plan_derivative(smooth, SOBEL, axis, REFLECT, factor=1.0) for axis in (DOWN, ALONG, MAGNITUDE)
    )
    return plan_suppressed(magnitude, down, along, low, high)


def plan_smoothed(image: Value, width: Widths, edge: Edge, outside: float) -> Value:
    """A Gaussian in floating point; in mode "constant" divided by that of an image of ones."""
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
    """Apply hysteresis thresholding: pixels above ``high``, and those above ``low`` connected with them.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Channels are thresholded separately.
    low, high : number
        Thresholds in the image's units; they need not be values of its dtype.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape: True where ``image > low`` and pixels above ``low`` that touch at their edges (four
    neighbours, not eight) lead to one where ``image > high``; False where the image is NaN. The values of a float32
    image are compared with ``low`` itself and with ``high`` as float32, as in scikit-image.

    Raises
    ------
    ValueError : ``low`` is above ``high``, or either is NaN

    References
    ----------
    .. [1] J. Canny, "A computational approach to edge detection", IEEE Transactions on Pattern Analysis and Machine
       Intelligence 8(6), 1986, 679-698. As `skimage.filters.apply_hysteresis_threshold`, which lowers ``low`` to
       ``high`` where it is above.

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
    """Two thresholds in the image's dtype, and the level of what lies above neither: 0, but strong or weak where
    every pixel lies above a threshold, which then is the dtype's maximum."""
    (lower, every_weak), (upper, every_strong) = threshold_args(low, dtype), threshold_args(high, dtype)
    if every_strong:
        upper, rest = images.limits(dtype)[1], STRONG
    else:
        rest = WEAK if every_weak else 0
    if every_weak:
        lower = images.limits(dtype)[1]
    if dtype == FLOAT32 and lower > low:
        lower = float(np.nextafter(FLOAT32.type(lower), FLOAT32.type(-np.inf)))  # above which the same values lie
    return lower, upper, rest


STRONG, WEAK = 1, 2  # levels, as in the kernels of the hysteresis
AT_EDGES, AT_CORNERS = 0, 1  # where neighbours touch


def _linked(edges: Value, reach: int = AT_CORNERS) -> Value:
    """Hysteresis: keep weak edges that are connected with strong ones, in slabs of rows, then across their seams."""
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
    return change("edge_strong", edges, count=edges.shape[0], work=0.2)
