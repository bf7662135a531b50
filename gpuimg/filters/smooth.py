"""Smoothing: weighted means, means and medians of the window around a pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gpuimg import images
from gpuimg.images import FLOAT32, UINT8, Source
from gpuimg.passes import ORIGINAL, Beside, Sweep
from gpuimg.registry import register
from gpuimg.run import run

Array = np.ndarray[Any, Any]
LONGEST_RADIUS = 1 << 19
LONGEST_FIXED = 32  # the radius up to which the kernel "gaussian" counts bytes in 256ths
SUMS = np.dtype(np.uint16)  # in which it leaves them
GREATEST_FIXED = 1.5  # times what they are wrong by on average stays below 0.02 grey levels


class Taps(NamedTuple):
    """One half of a symmetric kernel, from the centre outwards.

    Attributes
    ----------
    weights : (radius + 1,) float64; the whole kernel sums to 1
    fixed : (radius + 1,) uint16, the same in 65536ths
    offset : int, what truncating each product to 1/256 grey level loses on average, in 1/256; added, it leaves no bias
    """

    weights: Array
    fixed: Array
    offset: int

    @property
    def radius(self) -> int:
        return len(self.weights) - 1


@lru_cache(maxsize=64)
def gaussian_taps(sigma: float, truncate: float) -> Taps:
    """The Gaussian's weights as `scipy.ndimage.gaussian_filter` has them, and as fixed-point numbers."""
    radius = int(truncate * sigma + 0.5)
    distance = np.arange(radius + 1)
    weights = np.exp(-0.5 * (distance / sigma) ** 2) if radius else np.ones(1)
    weights /= weights[0] + 2 * weights[1:].sum()
    fixed = np.rint(weights * 65536).astype(np.int64)
    fixed[0] = min(65535, 65536 - 2 * fixed[1:].sum())
    values = np.arange(256)
    lost = (values[:, None] * fixed % 256).mean(axis=0) / 256
    offset = round(lost[0] + 2 * lost[1:].sum())
    return Taps(weights, fixed.astype(np.uint16), offset)


def gaussian_args(down: Taps, along: Taps) -> tuple[Any, ...]:
    """What the kernel ``gaussian`` gets: radii, weights, fixed-point weights and offsets of both axes."""
    radii = (down.radius, along.radius)
    return (*radii, down.weights, along.weights, down.fixed, along.fixed, down.offset, along.offset)


def sigmas(sigma: Any, truncate: Any, name: str = "sigma") -> tuple[Taps, Taps]:
    limit = images.number("truncate", truncate, low=0)
    rows, cols = (images.number(name, part, low=0) for part in images.pair(name, sigma))
    for part in (rows, cols):
        if part * limit > LONGEST_RADIUS:
            raise ValueError(
                f"{name} times truncate must be at most {LONGEST_RADIUS}, got {sigma!r} times {truncate!r}"
            )
    return gaussian_taps(rows, limit), gaussian_taps(cols, limit)


@register({"sigma": 1}, {"sigma": (0.5, 2.5)}, {"sigma": 5, "truncate": 3.0})
def gaussian(
    image: Any,
    sigma: Any = 1,
    *,
    truncate: float = 4.0,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Smooth with a Gaussian.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    sigma : number >= 0, or two of them for rows and columns
        Standard deviation in pixels; 0 leaves that axis as it is.
    truncate : number >= 0
        The kernel ends this many standard deviations from its centre: radius ``int(truncate * sigma + 0.5)``.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype. uint8: within 1 of the exact value and without bias (weights of 16 bits, rows
    first down the columns, then along the rows); 16-bit integers and float32: computed in float32; float64 in float64.

    Raises
    ------
    ValueError : ``sigma`` or ``truncate`` is negative, NaN or infinite

    References
    ----------
    .. [1] `scipy.ndimage.gaussian_filter`, whose kernel and border modes these are.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> dot = np.zeros((3, 3), np.uint8)
    >>> dot[1, 1] = 240
    >>> gpuimg.gaussian(dot, sigma=0.5)
    array([[  3,  20,   3],
           [ 20, 149,  20],
           [  3,  20,   3]], dtype=uint8)
    """
    source = images.accept(image)
    down, along = sigmas(sigma, truncate)
    edge = images.border(mode, cval, source.dtype)
    return run(source, [_gaussian_sweep(down, along, edge)], backend=backend, out=out)


def _gaussian_sweep(down: Taps, along: Taps, edge: tuple[int, float]) -> Sweep:
    work = 2.0 + 0.5 * (down.radius + along.radius)
    return Sweep("gaussian", gaussian_args(down, along), halo=(down.radius, along.radius), border=edge, work=work)


def _as_floats(source: Source) -> list[Sweep]:
    """Passes that make floats of an image that are none."""
    return [] if source.dtype.kind == "f" else [Sweep("convert", dtype=FLOAT32, work=0.5)]


@register({}, {"radius": (2, 0.7), "amount": 0.5}, {"radius": 3, "amount": -0.4})
def unsharp_mask(
    image: Any,
    radius: Any = 1,
    amount: float = 1,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Sharpen: add what a Gaussian takes away.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    radius : number >= 0, or two of them for rows and columns
        Standard deviation of the Gaussian in pixels.
    amount : number
        How much of the difference is added; below 0 it smooths.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``image + amount * (image - gaussian(image, radius))``; the Gaussian is not
    rounded in between, integers are within 1 of the exact value

    Raises
    ------
    ValueError : ``radius`` is negative, NaN or infinite, or ``amount`` is not finite

    References
    ----------
    .. [1] `skimage.filters.unsharp_mask` with ``preserve_range=True``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.unsharp_mask(np.array([[50, 50, 90, 90]], np.uint8), radius=0.5)
    array([[50, 46, 94, 90]], dtype=uint8)
    """
    source = images.accept(image)
    down, along = sigmas(radius, 4.0, "radius")
    share = images.number("amount", amount)
    edge = images.border(mode, cval, source.dtype)
    smooth = _gaussian_sweep(down, along, edge)
    if source.dtype == UINT8 and max(down.radius, along.radius) <= LONGEST_FIXED and abs(share) <= GREATEST_FIXED:
        sharpen = Sweep("weighted_sum", (ORIGINAL, -share / 256, 1 + share), dtype=UINT8)
        return run(source, [smooth._replace(dtype=SUMS), sharpen], backend=backend, out=out)
    sharpen = Sweep("weighted_sum", (ORIGINAL, -share, 1 + share), dtype=source.dtype)
    return run(source, [*_as_floats(source), smooth, sharpen], backend=backend, out=out)


@register({"low_sigma": 1}, {"low_sigma": (0.5, 2), "high_sigma": 3})
def difference_of_gaussians(
    image: Any,
    low_sigma: Any,
    high_sigma: Any = None,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Keep details of one range of sizes: a Gaussian less a wider one.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    low_sigma : number >= 0, or two of them for rows and columns
        Standard deviation of the narrower Gaussian in pixels.
    high_sigma : the same, not below ``low_sigma``
        That of the wider one; None: 1.6 times ``low_sigma``.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images); the image's values are not rescaled

    Raises
    ------
    ValueError : a sigma is negative, NaN or infinite, or ``high_sigma`` is below ``low_sigma``

    References
    ----------
    .. [1] `skimage.filters.difference_of_gaussians`, whose border mode is "nearest" by default.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.difference_of_gaussians(np.array([[0, 0, 16, 0, 0]], np.uint8), 0, 0.5).round(1)
    array([[-0. , -1.7,  3.4, -1.7, -0. ]], dtype=float32)
    """
    source = images.accept(image)
    if high_sigma is None:
        high_sigma = [1.6 * images.number("low_sigma", part, low=0) for part in images.pair("low_sigma", low_sigma)]
    narrow, wide = sigmas(low_sigma, 4.0, "low_sigma"), sigmas(high_sigma, 4.0, "high_sigma")
    pairs = zip(images.pair("low_sigma", low_sigma), images.pair("high_sigma", high_sigma), strict=True)
    if any(high < low for low, high in pairs):
        raise ValueError(f"high_sigma must be at least low_sigma, {low_sigma!r}, got {high_sigma!r}")
    edge = images.border(mode, cval, source.dtype)
    floats = _as_floats(source)
    subtract = Sweep("difference", (Beside(passes=(*floats, _gaussian_sweep(*wide, edge))), 0))
    return run(source, [*floats, _gaussian_sweep(*narrow, edge), subtract], backend=backend, out=out)


@register({"size": 3}, {"size": (4, 9)}, {"size": 21})
def uniform(
    image: Any, size: Any = 3, *, mode: str = "reflect", cval: float = 0, backend: str | None = None, out: Any = None
) -> Any:
    """Replace each pixel by the mean of the window around it.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    size : positive int, or two of them for rows and columns
        An even window reaches one pixel further up and to the left, as SciPy's.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; the mean of integers is exact, rounded half to even

    Raises
    ------
    ValueError : ``size`` is not positive

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.uniform(np.array([[0, 0, 90, 0, 0]], np.uint8))
    array([[ 0, 30, 30, 30,  0]], dtype=uint8)
    """
    source = images.accept(image)
    rows, cols = images.window(size)
    edge = images.border(mode, cval, source.dtype)
    task = Sweep("uniform", (rows, cols), halo=(rows // 2, cols // 2), border=edge, work=3.0)
    return run(source, [task], backend=backend, out=out)


@register({"size": 3}, {"size": (5, 7)}, {"size": 5}, {"size": 15})
def median(
    image: Any, size: Any = 3, *, mode: str = "reflect", cval: float = 0, backend: str | None = None, out: Any = None
) -> Any:
    """Replace each pixel by the median of the window around it.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    size : odd positive int, or two of them for rows and columns
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where the window holds a NaN

    Raises
    ------
    ValueError : ``size`` is even or not positive

    References
    ----------
    .. [1] S. Perreault, P. Hebert, "Median Filtering in Constant Time", IEEE Transactions on Image Processing 16(9),
       2007, 2389-2394, for large windows; small ones by sorting networks.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.median(np.array([[1, 2, 200, 3, 4]], np.uint8))
    array([[1, 2, 3, 4, 4]], dtype=uint8)
    """
    source = images.accept(image)
    rows, cols = images.window(size, odd=True)
    edge = images.border(mode, cval, source.dtype)
    task = Sweep("median", (rows, cols), halo=(rows // 2, cols // 2), border=edge, work=_median_work(rows * cols))
    return run(source, [task], backend=backend, out=out)


def _median_work(area: int) -> float:
    return {9: 2.0, 25: 10.0}.get(area, 60.0)
