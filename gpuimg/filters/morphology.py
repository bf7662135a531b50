"""Morphology: the least and the greatest value under a window or footprint."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuimg import images
from gpuimg.passes import Sweep
from gpuimg.registry import register
from gpuimg.run import run

LEAST, GREATEST = 0, 1


class Extents(NamedTuple):
    """How far a window reaches from its pixel."""

    above: int
    below: int
    left: int
    right: int


def _window(size: tuple[int, int]) -> Extents:
    """A window of ``size``; an even one reaches further up and to the left."""
    rows, cols = size
    return Extents(rows // 2, (rows - 1) // 2, cols // 2, (cols - 1) // 2)


def _extreme(image: Any, under: Any, which: int, mode: str, cval: float, backend: str | None, out: Any) -> Any:
    """Least or greatest value in a window or under a footprint's ones."""
    source = images.accept(image)
    edge = images.border(mode, cval, source.dtype)
    if isinstance(under, Extents):
        halo = max(under.above, under.below), max(under.left, under.right)
        task = Sweep("minimum", (*under, which), halo=halo, border=edge, work=2.0)
    else:
        rows, cols = under.shape
        work = 2.0 + rows
        task = Sweep("footprint", (under, which), halo=(rows // 2, cols // 2), border=edge, work=work)
    return run(source, [task], backend=backend, out=out)


@register({"size": 3}, {"size": (2, 9)})
def minimum(
    image: Any, size: Any = 3, *, mode: str = "reflect", cval: float = 0, backend: str | None = None, out: Any = None
) -> Any:
    """Replace each pixel by the least value of the window around it.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    size : positive int, or two of them for rows and columns
        An even window reaches one pixel further up and to the left, as SciPy's.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where the window holds a NaN

    Raises
    ------
    ValueError : ``size`` is not positive

    References
    ----------
    .. [1] M. van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels",
       Pattern Recognition Letters 13(7), 1992, 517-521.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.minimum(np.array([[5, 4, 9, 9, 9]], np.uint8))
    array([[4, 4, 4, 9, 9]], dtype=uint8)
    """
    return _extreme(image, _window(images.window(size)), LEAST, mode, cval, backend, out)


@register({"size": 3}, {"size": (2, 9)})
def maximum(
    image: Any, size: Any = 3, *, mode: str = "reflect", cval: float = 0, backend: str | None = None, out: Any = None
) -> Any:
    """Replace each pixel by the greatest value of the window around it.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    size : positive int, or two of them for rows and columns
        An even window reaches one pixel further up and to the left, as SciPy's.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where the window holds a NaN

    Raises
    ------
    ValueError : ``size`` is not positive

    References
    ----------
    .. [1] M. van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels",
       Pattern Recognition Letters 13(7), 1992, 517-521.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.maximum(np.array([[5, 4, 0, 0, 9]], np.uint8))
    array([[5, 5, 4, 9, 9]], dtype=uint8)
    """
    return _extreme(image, _window(images.window(size)), GREATEST, mode, cval, backend, out)


CROSS = np.array(
    [
        [0, 1, 0],
        [1, 1, 1],
        [0, 1, 0],
    ],
    np.uint8,
)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)})
def erosion(
    image: Any,
    footprint: Any = 3,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Shrink what is bright: the least value under a footprint.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where there is a NaN under the footprint

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds anything but zeros and ones

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as `scipy.ndimage.grey_erosion`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.erosion(np.array([[0, 7, 7, 7, 0]], np.uint8))
    array([[0, 0, 7, 0, 0]], dtype=uint8)
    """
    under = images.footprint(footprint)
    return _extreme(image, _window(under) if isinstance(under, tuple) else under, LEAST, mode, cval, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)})
def dilation(
    image: Any,
    footprint: Any = 3,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Grow what is bright: the greatest value under the mirrored footprint.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; it is mirrored in both axes, so that dilation is erosion's
        counterpart.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where there is a NaN under the footprint

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds anything but zeros and ones

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as `scipy.ndimage.grey_dilation`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.dilation(np.array([[0, 0, 7, 0, 0]], np.uint8))
    array([[0, 7, 7, 7, 0]], dtype=uint8)
    """
    return _extreme(image, _mirrored(images.footprint(footprint)), GREATEST, mode, cval, backend, out)


def _mirrored(under: Any) -> Any:
    """A footprint turned by half a circle about its centre; an even side grows by a line, for the centre moves."""
    if isinstance(under, tuple):
        above, below, left, right = _window(under)
        return Extents(below, above, right, left)
    grown = [(1 - side % 2, 0) for side in under.shape]
    return np.ascontiguousarray(np.pad(under[::-1, ::-1], grown))
