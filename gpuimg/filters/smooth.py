"""Smoothing: weighted means, means and medians of the window around a pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gpuimg import images
from gpuimg.passes import Sweep
from gpuimg.registry import register
from gpuimg.run import run

Array = np.ndarray[Any, Any]
LONGEST_RADIUS = 1 << 19


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


def _sigmas(sigma: Any, truncate: Any) -> tuple[Taps, Taps]:
    limit = images.number("truncate", truncate, low=0)
    rows, cols = (images.number("sigma", part, low=0) for part in images.pair("sigma", sigma))
    for part in (rows, cols):
        if part * limit > LONGEST_RADIUS:
            raise ValueError(f"sigma times truncate must be at most {LONGEST_RADIUS}, got {sigma!r} times {truncate!r}")
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
    down, along = _sigmas(sigma, truncate)
    edge = images.border(mode, cval, source.dtype)
    work = 2.0 + 0.5 * (down.radius + along.radius)
    task = Sweep("gaussian", gaussian_args(down, along), halo=(down.radius, along.radius), border=edge, work=work)
    return run(source, [task], backend=backend, out=out)


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
