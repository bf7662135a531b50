"""Local thresholds: images of thresholds, computed from the neighbourhood of each pixel."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, get_args

import numpy as np

from gpuimg import images
from gpuimg.filters.arithmetic import SUBTRACT, plan_with_number
from gpuimg.filters.exposure import plan_astype, plan_extrema
from gpuimg.filters.smooth import Widths, as_floats, plan_gaussian, plan_median, plan_uniform, widths
from gpuimg.images import FLOAT32, FLOAT64
from gpuimg.plans.nodes import Edge, host, window
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, LocalMethod, Mode, Out, Sigma, Size

LARGEST_WINDOW = 1023  # up to which sums of squares of 16-bit integers are exact in float64
MAX_EXPONENT = 400  # of floats whose squares are summed without scaling


@register(
    {}, {"block_size": (5, 7), "method": "mean", "offset": 2}, {"block_size": 5, "method": "median", "offset": -1}
)
def threshold_local(
    image: ImageLike,
    block_size: Size = 3,
    method: LocalMethod = "gaussian",
    offset: float = 0,
    *,
    param: Sigma | None = None,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Compute local thresholds: a mean or the median of the window around each pixel, minus an offset.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    block_size : odd positive int, or two of them for rows and columns
        Size of the window in pixels.
    method : {"gaussian", "mean", "median"}
        "gaussian": the mean weighted by a Gaussian, `gaussian`; "mean": `uniform`; "median": `median`.
    offset : number
        Subtracted from the mean or median, in units of the image's values.
    param : number >= 0, or two of them for rows and columns; optional
        Standard deviation of the Gaussian in pixels. By default ``(block_size - 1) / 6``.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images): the thresholds, not rounded. The foreground is
    ``image > threshold_local(image)``.

    Raises
    ------
    ValueError : ``block_size`` is even or not positive, ``method`` is not one of these, ``offset`` is not finite, or
        ``param`` is negative or given for another method

    See Also
    --------
    threshold_niblack, threshold_sauvola, threshold_otsu

    Notes
    -----
    Differs from `skimage.filters.threshold_local`, which returns float64 for integers. `cv2.adaptiveThreshold` returns
    a uint8 mask.

    References
    ----------
    .. [1] `skimage.filters.threshold_local`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.threshold_local(np.array([[0, 0, 90, 0, 0]], np.uint8), 3, "mean", offset=1)
    array([[-1., 29., 29., 29., -1.]], dtype=float32)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    size = _window("block_size", block_size, images.LONGEST_WINDOW)
    if method not in get_args(LocalMethod):
        raise ValueError(f"method must be one of {', '.join(get_args(LocalMethod))}, got {method!r}")
    if param is not None and method != "gaussian":
        raise ValueError(f"param must be None for the method {method!r}, got {param!r}")
    rows, cols = size
    sigma = ((rows - 1) / 6, (cols - 1) / 6) if param is None else param
    width = widths(sigma, name="param") if method == "gaussian" else None
    difference = images.number("offset", offset)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_threshold_local, source, size, method, width, difference, edge, backend=backend, out=out)


def plan_threshold_local(
    image: Value, size: tuple[int, int], method: str, width: Widths | None, offset: float, edge: Edge
) -> Value:
    if width is not None:
        found = plan_gaussian(as_floats(image), width, edge)
    else:
        found = _plan_mean(image, size, edge) if method == "mean" else plan_median(image, size, edge)
    return plan_with_number(found, SUBTRACT, offset, images.real(image.dtype)) if offset else as_floats(found)


def _plan_mean(image: Value, size: tuple[int, int], edge: Edge) -> Value:
    """Compute the mean, not rounded; of integers in float64 where float32 may not distinguish their means."""
    if image.dtype.kind == "f":
        return plan_uniform(image, size, edge)
    sums = math.prod(size) * np.iinfo(image.dtype).max
    roundings = 3 + 2 * (math.sqrt(size[0]) + math.sqrt(size[1]))  # as in the kernels
    if sums * roundings * np.finfo(FLOAT32).eps < 1:
        return plan_uniform(as_floats(image), size, edge)
    return plan_astype(plan_uniform(plan_astype(image, FLOAT64, False), size, edge), FLOAT32, False)


def _window(name: str, size: Any, most: int) -> tuple[int, int]:
    """Check an odd window: a size, or two for rows and columns."""
    rows, cols = (images.whole(name, part, high=most) for part in images.pair(name, size))
    if rows % 2 == 0 or cols % 2 == 0:
        raise ValueError(f"{name} must be odd and positive, got {size!r}")
    return rows, cols


@register({}, {"window_size": (5, 9), "k": -0.3}, {"window_size": 31})
def threshold_niblack(
    image: ImageLike,
    window_size: Size = 15,
    k: float = 0.2,
    *,
    mode: Mode = "mirror",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Compute Niblack's local thresholds: ``m - k * s``, from the mean m and standard deviation s of a window.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    window_size : odd positive int, or two of them for rows and columns; at most 1023
        Size of the window in pixels. It has little effect on the run time.
    k : number
        Weight of the standard deviation.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images): the thresholds. Mean and variance of integers come
    from exact sums; those of floats from sums of neighbours, in float64, without cancellation. The standard deviation
    of a constant image is 0. The foreground is ``image > threshold_niblack(image)``.

    Raises
    ------
    ValueError : ``window_size`` is even, not positive or above 1023, or ``k`` is not finite

    See Also
    --------
    threshold_sauvola, threshold_local

    Notes
    -----
    Differs from `skimage.filters.threshold_niblack`, which returns float64 for integers.

    References
    ----------
    .. [1] W. Niblack, "An Introduction to Digital Image Processing", Prentice-Hall, 1986.
    .. [2] `skimage.filters.threshold_niblack`, with the same border mode.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.threshold_niblack(np.array([[0, 0, 0, 8, 0, 8]], np.uint8), (1, 3), k=0.5).round(2)
    array([[0.  , 0.  , 0.78, 0.78, 3.45, 0.78]], dtype=float32)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    size = _window("window_size", window_size, LARGEST_WINDOW)
    weight = images.number("k", k)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_niblack, source, size, weight, 0.0, edge, backend=backend, out=out)


@register({}, {"window_size": (5, 9), "k": -0.3, "r": 20}, {"window_size": 31})
def threshold_sauvola(
    image: ImageLike,
    window_size: Size = 15,
    k: float = 0.2,
    r: float | None = None,
    *,
    mode: Mode = "mirror",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Compute Sauvola's local thresholds: ``m * (1 + k * (s / r - 1))``, from a window's mean and standard deviation.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    window_size : odd positive int, or two of them for rows and columns; at most 1023
        Size of the window in pixels. It has little effect on the run time.
    k : number
        Weight of the standard deviation.
    r : number > 0, optional
        Dynamic range of the standard deviation, in units of the image's values. By default half the range of the
        dtype; 1 for floats.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images): the thresholds, as exact as those of
    `threshold_niblack`. The foreground is ``image > threshold_sauvola(image)``.

    Raises
    ------
    ValueError : ``window_size`` is even, not positive or above 1023, ``k`` is not finite, or ``r`` is not positive

    See Also
    --------
    threshold_niblack, threshold_local

    Notes
    -----
    Differs from `skimage.filters.threshold_sauvola`, which returns float64 for integers.

    References
    ----------
    .. [1] J. Sauvola, M. Pietikäinen, "Adaptive document image binarization", Pattern Recognition 33(2), 2000, 225-236.
    .. [2] `skimage.filters.threshold_sauvola`, with the same border mode.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.threshold_sauvola(np.array([[0, 0, 0, 8, 0, 8]], np.uint8), (1, 3), k=0.5, r=4).round(2)
    array([[0.  , 0.  , 2.59, 2.59, 5.18, 2.59]], dtype=float32)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    size = _window("window_size", window_size, LARGEST_WINDOW)
    weight = images.number("k", k)
    spread = _range(source.dtype) if r is None else images.number("r", r, low=0)
    if spread == 0:
        raise ValueError(f"r must be positive, got {r!r}")
    edge = images.border(mode, cval, source.dtype)
    return run(plan_niblack, source, size, weight, spread, edge, backend=backend, out=out)


def _range(dtype: np.dtype[Any]) -> float:
    """Return half the range of a dtype, as in scikit-image."""
    if dtype.kind == "f":
        return 1.0
    low, high = images.limits(dtype)
    return (high - low) / 2


def plan_niblack(image: Value, size: tuple[int, int], k: float, r: float, edge: Edge) -> Value:
    """Compute Niblack's thresholds, or Sauvola's if ``r`` is above 0."""
    rows, cols = size
    scale: Any = host(partial(_scale, edge[1]), plan_extrema(image)) if image.dtype == FLOAT64 else 1.0
    return window(
        "niblack",
        image,
        halo=(rows // 2, cols // 2),
        edge=edge,
        dtype=images.real(image.dtype),
        work=8.0,
        n0=rows,
        n1=cols,
        k=k,
        r=r,
        scale=scale,
    )


def _scale(cval: float, extrema: Any) -> float:
    """Return a power of two that scales an image so that the squares of its values neither overflow nor vanish."""
    most = max(*np.abs(extrema).tolist(), abs(cval))
    exponent = math.frexp(most)[1] if math.isfinite(most) else 0
    return 1.0 if abs(exponent) <= MAX_EXPONENT else 2.0 ** min(-exponent, 1000)
