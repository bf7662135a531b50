"""Features: corners and thin edges."""

from __future__ import annotations

from typing import Any

from gpuimg import images
from gpuimg.filters.smooth import Widths, widths
from gpuimg.images import BOOL, FLOAT32, FLOAT64
from gpuimg.plans.nodes import Edge, change, window
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run


@register({}, {"k": 0.2, "sigma": (0.5, 2)})
def corner_harris(
    image: Any,
    k: float = 0.05,
    sigma: Any = 1,
    *,
    mode: str = "constant",
    cval: float = 0,
    axes: str | None = None,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Find corners by Harris' measure: determinant less ``k`` times squared trace of the structure tensor.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    k : number
        How much edges count against a corner, usually 0 to 0.2.
    sigma : number >= 0, or two of them for rows and columns
        Standard deviation of the Gaussian that the products of the differences are smoothed with.
    mode, cval, axes, backend, out : see `gpuimg.filters`
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
    source = images.accept(image, axes=axes)
    sensitivity = images.number("k", k)
    width = widths(sigma)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_corner_harris, source, sensitivity, width, edge, backend=backend, out=out)


def plan_corner_harris(image: Value, k: float, width: Widths, edge: Edge) -> Value:
    down, along = width.taps()
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
DEFAULT_LOW, DEFAULT_HIGH = 0.1, 0.2  # of the greatest value of an integer dtype; floats reach 1


@register({}, {"sigma": (0.7, 2), "low_threshold": 0.1, "high_threshold": 0.5})
def canny(
    image: Any,
    sigma: Any = 1,
    low_threshold: float | None = None,
    high_threshold: float | None = None,
    *,
    mode: str = "constant",
    cval: float = 0,
    axes: str | None = None,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Find edges one pixel wide by Canny's method.

    The image is smoothed; pixels are kept whose gradient is the greatest along its own direction; of these the ones
    of at least the high threshold are edges, and those of at least the low one that are linked with them.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    sigma : number >= 0, or two of them for rows and columns
        Standard deviation of the Gaussian.
    low_threshold, high_threshold : number >= 0 or None
        Magnitudes of the gradient, in the image's own units (Sobel's differences, not divided). None: a tenth and a
        fifth of the dtype's greatest value, 0.1 and 0.2 for floats.
    mode, cval, axes, backend, out : see `gpuimg.filters`
        What lies beyond the edge counts in the smoothing only. In mode "constant" the smoothed image is divided by what
        a smoothed image of ones is.

    Returns
    -------
    bool array of the same shape; the image's outermost pixels are never edges. Computed in float32 (float64 for float64
    images): where two neighbours' gradients differ by its rounding only, others may be kept than by scikit-image.

    Raises
    ------
    ValueError : a threshold is negative, NaN or infinite, or the low one above the high one; or so is ``sigma``

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
    source = images.accept(image, axes=axes)
    greatest = 1.0 if source.dtype.kind == "f" else float(images.limits(source.dtype)[1])
    low = DEFAULT_LOW * greatest if low_threshold is None else images.number("low_threshold", low_threshold, low=0)
    high = DEFAULT_HIGH * greatest if high_threshold is None else images.number("high_threshold", high_threshold, low=0)
    if low > high:
        raise ValueError(f"low_threshold must be at most high_threshold, {high:g}, got {low:g}")
    width = widths(sigma)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_canny, source, width, edge, edge[1] / greatest, low, high, backend=backend, out=out)


def plan_canny(image: Value, width: Widths, edge: Edge, outside: float, low: float, high: float) -> Value:
    """Smoothing, gradient and non-maximum suppression in one kernel, then hysteresis over slabs of rows."""
    down, along = width.taps()
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


def _linked(edges: Value) -> Value:
    """Keep weak edges that are connected with strong ones: within slabs of rows, then across their seams."""
    slabs = max(1, -(-edges.shape[0] // LINKED_ROWS))
    edges = change("edge_links", edges, count=slabs, work=0.5, height=LINKED_ROWS)
    span = 1
    while span < slabs:
        group = span * GROUP
        count = -(-slabs // group)
        edges = change("edge_seams", edges, count=count, work=0.02, height=LINKED_ROWS, span=span, group=group)
        span = group
    return change("edge_strong", edges, count=edges.shape[0], work=0.2)
