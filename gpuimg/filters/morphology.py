"""Morphology: the least and the greatest value under a window or footprint."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg import images
from gpuimg.plans.graph import Plan
from gpuimg.plans.nodes import Edge, point, window
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run

Array = np.ndarray[Any, Any]
MINIMUM, MAXIMUM = 0, 1


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


class Footprint(NamedTuple):
    """Zeros and ones as what can be compared: the shape, and a byte for each element."""

    shape: tuple[int, int]
    content: bytes

    def array(self) -> Array:
        return np.frombuffer(self.content, np.uint8).reshape(self.shape)


Under: TypeAlias = Extents | Footprint


def plan_extreme(image: Value, under: Under, which: int, edge: Edge) -> Value:
    """The minimum or maximum over a window or a footprint's ones."""
    if isinstance(under, Extents):
        above, below, left, right = under
        halo = max(above, below), max(left, right)
        return window(
            "minimum",
            image,
            halo=halo,
            edge=edge,
            work=2.0,
            above=above,
            below=below,
            left=left,
            right=right,
            flip=which,
        )
    rows, cols = under.shape
    halo = rows // 2, cols // 2
    return window("footprint", image, halo=halo, edge=edge, work=2.0 + rows, footprint=under.array(), flip=which)


def _extreme(image: Any, size: Any, which: int, mode: str, cval: float, backend: str | None, out: Any) -> Any:
    source = images.accept(image, images.WITH_LABELS)
    under = _window(images.window(size))
    edge = images.border(mode, cval, source.dtype)
    return run(plan_extreme, source, under, which, edge, backend=backend, out=out)


def plan_erosion(image: Value, under: Under, edge: Edge) -> Value:
    return plan_extreme(image, under, MINIMUM, edge)


def plan_dilation(image: Value, under: Under, edge: Edge) -> Value:
    """The maximum over the reflected footprint."""
    return plan_extreme(image, reflected(under), MAXIMUM, edge)


def plan_opening(image: Value, under: Under, edge: Edge) -> Value:
    return plan_dilation(plan_erosion(image, under, edge), under, edge)


def plan_closing(image: Value, under: Under, edge: Edge) -> Value:
    return plan_erosion(plan_dilation(image, under, edge), under, edge)


def plan_white_tophat(image: Value, under: Under, edge: Edge) -> Value:
    return point("difference", plan_opening(image, under, edge), other=image, turned=1)


def plan_black_tophat(image: Value, under: Under, edge: Edge) -> Value:
    return point("difference", plan_closing(image, under, edge), other=image, turned=0)


def plan_morphological_gradient(image: Value, under: Under, edge: Edge) -> Value:
    dilated, eroded = plan_dilation(image, under, edge), plan_erosion(image, under, edge)
    return point("difference", dilated, other=eroded, turned=0)


def _morphology(plan: Plan, image: Any, footprint: Any, mode: str, cval: float, backend: str | None, out: Any) -> Any:
    source = images.accept(image, images.WITH_LABELS)
    given = images.footprint(footprint)
    under = _window(given) if isinstance(given, tuple) else Footprint(given.shape, given.tobytes())
    edge = images.border(mode, cval, source.dtype)
    return run(plan, source, under, edge, backend=backend, out=out)


@register({"size": 3}, {"size": (2, 9)}, kinds="buif", also=images.WITH_LABELS)
def minimum(
    image: Any, size: Any = 3, *, mode: str = "reflect", cval: float = 0, backend: str | None = None, out: Any = None
) -> Any:
    """Replace each pixel by the least value of the window around it.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _extreme(image, size, MINIMUM, mode, cval, backend, out)


@register({"size": 3}, {"size": (2, 9)}, kinds="buif", also=images.WITH_LABELS)
def maximum(
    image: Any, size: Any = 3, *, mode: str = "reflect", cval: float = 0, backend: str | None = None, out: Any = None
) -> Any:
    """Replace each pixel by the greatest value of the window around it.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _extreme(image, size, MAXIMUM, mode, cval, backend, out)


CROSS = np.array(
    [
        [0, 1, 0],
        [1, 1, 1],
        [0, 1, 0],
    ],
    np.uint8,
)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
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
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _morphology(plan_erosion, image, footprint, mode, cval, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
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
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _morphology(plan_dilation, image, footprint, mode, cval, backend, out)


def reflected(under: Under) -> Under:
    """A footprint rotated by 180 degrees about its centre; an even side grows by a line, for the centre moves."""
    if isinstance(under, Extents):
        above, below, left, right = under
        return Extents(below, above, right, left)
    return _reflected(under)


@lru_cache(maxsize=64)
def _reflected(under: Footprint) -> Footprint:
    grown = [(1 - side % 2, 0) for side in under.shape]
    turned = np.ascontiguousarray(np.pad(under.array()[::-1, ::-1], grown))
    return Footprint((turned.shape[0], turned.shape[1]), turned.tobytes())


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
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
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _morphology(plan_opening, image, footprint, mode, cval, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
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
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _morphology(plan_closing, image, footprint, mode, cval, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
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
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _morphology(plan_white_tophat, image, footprint, mode, cval, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
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
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _morphology(plan_black_tophat, image, footprint, mode, cval, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
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
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
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
    return _morphology(plan_morphological_gradient, image, footprint, mode, cval, backend, out)
