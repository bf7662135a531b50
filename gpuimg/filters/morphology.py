"""Morphology: the least and the greatest value under a window or footprint."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gpuimg import images
from gpuimg.passes import ORIGINAL, Beside, Sweep
from gpuimg.registry import register
from gpuimg.run import run

Array = np.ndarray[Any, Any]
LEAST, GREATEST = 0, 1
PLAIN, TURNED = 0, 1  # the kernel "difference": what comes less the other, or the other less what comes


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


Under = Extents | Array


def _sweep(under: Under, which: int, edge: tuple[int, float]) -> Sweep:
    """The least or greatest value in a window or under a footprint's ones."""
    if isinstance(under, Extents):
        halo = max(under.above, under.below), max(under.left, under.right)
        return Sweep("minimum", (*under, which), halo=halo, border=edge, work=2.0)
    rows, cols = under.shape
    return Sweep("footprint", (under, which), halo=(rows // 2, cols // 2), border=edge, work=2.0 + rows)


def _extreme(image: Any, size: Any, which: int, mode: str, cval: float, backend: str | None, out: Any) -> Any:
    source = images.accept(image)
    under = _window(images.window(size))
    edge = images.border(mode, cval, source.dtype)
    return run(source, [_sweep(under, which, edge)], backend=backend, out=out)


class Pair(NamedTuple):
    """Erosion and dilation by one footprint."""

    erosion: Sweep
    dilation: Sweep


def _pair(source: images.Source, footprint: Any, mode: str, cval: float) -> Pair:
    under = images.footprint(footprint)
    edge = images.border(mode, cval, source.dtype)
    plain = _window(under) if isinstance(under, tuple) else under
    return Pair(_sweep(plain, LEAST, edge), _sweep(_mirrored(under), GREATEST, edge))


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
    return _extreme(image, size, LEAST, mode, cval, backend, out)


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
    return _extreme(image, size, GREATEST, mode, cval, backend, out)


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
    source = images.accept(image)
    return run(source, [_pair(source, footprint, mode, cval).erosion], backend=backend, out=out)


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
    source = images.accept(image)
    return run(source, [_pair(source, footprint, mode, cval).dilation], backend=backend, out=out)


def _mirrored(under: Array | tuple[int, int]) -> Under:
    """A footprint turned by half a circle about its centre; an even side grows by a line, for the centre moves."""
    if isinstance(under, tuple):
        above, below, left, right = _window(under)
        return Extents(below, above, right, left)
    return _mirrored_array(under.shape, under.tobytes())


@lru_cache(maxsize=64)
def _mirrored_array(shape: tuple[int, int], content: bytes) -> Array:
    under = np.frombuffer(content, np.uint8).reshape(shape)
    grown = [(1 - side % 2, 0) for side in shape]
    return np.ascontiguousarray(np.pad(under[::-1, ::-1], grown))


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)})
def opening(
    image: Any,
    footprint: Any = 3,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Remove what is bright and smaller than the footprint: erosion, then dilation.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` takes it mirrored in both axes.
    mode, cval, backend, out : see `gpuimg.filters`; the border is the same in every step

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds anything but zeros and ones

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as
       `scipy.ndimage.grey_opening`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.opening(np.array([[0, 9, 0, 7, 7, 7, 0]], np.uint8))
    array([[0, 0, 0, 7, 7, 7, 0]], dtype=uint8)
    """
    source = images.accept(image)
    erosion, dilation = _pair(source, footprint, mode, cval)
    return run(source, [erosion, dilation], backend=backend, out=out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)})
def closing(
    image: Any,
    footprint: Any = 3,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Fill what is dark and smaller than the footprint: dilation, then erosion.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` takes it mirrored in both axes.
    mode, cval, backend, out : see `gpuimg.filters`; the border is the same in every step

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds anything but zeros and ones

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as
       `scipy.ndimage.grey_closing`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.closing(np.array([[7, 0, 7, 0, 0, 0, 7]], np.uint8))
    array([[7, 7, 7, 0, 0, 0, 7]], dtype=uint8)
    """
    source = images.accept(image)
    erosion, dilation = _pair(source, footprint, mode, cval)
    return run(source, [dilation, erosion], backend=backend, out=out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)})
def white_tophat(
    image: Any,
    footprint: Any = 3,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Show what is bright and smaller than the footprint: the image less its opening.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` takes it mirrored in both axes.
    mode, cval, backend, out : see `gpuimg.filters`; the border is the same in every step

    Returns
    -------
    array of the same shape and dtype; a difference that the dtype does not hold is saturated

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds anything but zeros and ones

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as
       `scipy.ndimage.white_tophat`, which does not saturate.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.white_tophat(np.array([[0, 9, 0, 7, 7, 7, 0]], np.uint8))
    array([[0, 9, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    source = images.accept(image)
    erosion, dilation = _pair(source, footprint, mode, cval)
    return run(source, [erosion, dilation, Sweep("difference", (ORIGINAL, TURNED))], backend=backend, out=out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)})
def black_tophat(
    image: Any,
    footprint: Any = 3,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Show what is dark and smaller than the footprint: the closing of the image less the image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` takes it mirrored in both axes.
    mode, cval, backend, out : see `gpuimg.filters`; the border is the same in every step

    Returns
    -------
    array of the same shape and dtype; a difference that the dtype does not hold is saturated

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds anything but zeros and ones

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as
       `scipy.ndimage.black_tophat`, which does not saturate.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.black_tophat(np.array([[7, 0, 7, 0, 0, 0, 7]], np.uint8))
    array([[0, 7, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    source = images.accept(image)
    erosion, dilation = _pair(source, footprint, mode, cval)
    return run(source, [dilation, erosion, Sweep("difference", (ORIGINAL, PLAIN))], backend=backend, out=out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)})
def morphological_gradient(
    image: Any,
    footprint: Any = 3,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Show edges: dilation less erosion.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` takes it mirrored in both axes.
    mode, cval, backend, out : see `gpuimg.filters`; the border is the same in every step

    Returns
    -------
    array of the same shape and dtype; a difference that the dtype does not hold is saturated

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds anything but zeros and ones

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as
       `scipy.ndimage.morphological_gradient`, which does not saturate.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.morphological_gradient(np.array([[0, 0, 0, 7, 7, 7]], np.uint8))
    array([[0, 0, 7, 7, 0, 0]], dtype=uint8)
    """
    source = images.accept(image)
    erosion, dilation = _pair(source, footprint, mode, cval)
    subtract = Sweep("difference", (Beside(passes=(erosion,)), PLAIN))
    return run(source, [dilation, subtract], backend=backend, out=out)
