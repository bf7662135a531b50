"""Morphology: minimum and maximum over a window or footprint, and reconstruction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias, get_args

import numpy as np

from gpuimg import images
from gpuimg.images import BOOL, MODES, WITH_BOOL
from gpuimg.keeping import kept
from gpuimg.plans.graph import Plan
from gpuimg.plans.nodes import Edge, change, fold, host, parts, point, view, window
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, FootprintLike, ImageLike, Method, MorphologyMode, Out, SameImage, Size

Array = np.ndarray[Any, Any]
MINIMUM, MAXIMUM = 0, 1


class Extents(NamedTuple):
    """How far a window reaches from its pixel."""

    above: int
    below: int
    left: int
    right: int


def _window(size: tuple[int, int]) -> Extents:
    """Return the extents of a window; an even side extends further up or to the left."""
    rows, cols = size
    return Extents(rows // 2, (rows - 1) // 2, cols // 2, (cols - 1) // 2)


class Footprint(NamedTuple):
    """A hashable array of zeros and ones: the shape, and a byte for each element."""

    shape: tuple[int, int]
    content: bytes

    def array(self) -> Array:
        return np.frombuffer(self.content, np.uint8).reshape(self.shape)


Under: TypeAlias = Extents | Footprint
Border: TypeAlias = "Edge | None"  # None: pixels beyond the image's edge do not count
*_, IGNORE = get_args(MorphologyMode)


def _footprint(given: Array, shape: tuple[int, ...], border: Border) -> Footprint:
    """Return a footprint for images of this shape, with elements that fall on the same pixel merged."""
    mode = MODES["constant"].code if border is None else border[0]
    folded = _folded_rows(_folded_rows(given, shape[0], mode).T, shape[1], mode).T
    return Footprint((folded.shape[0], folded.shape[1]), folded.astype(np.uint8).tobytes())


def _folded_rows(given: Array, length: int, mode: int) -> Array:
    """Merge rows of a footprint at distances that the border ``mode`` makes equal in images of ``length`` rows.

    A periodic extension repeats; without one, all distances beyond the edge are equal.
    """
    period = images.period(length, mode)
    reach = length if period is None else period // 2
    if length == 0 or len(given) // 2 <= reach:
        return given
    distances = np.arange(len(given)) - len(given) // 2
    places = distances.clip(-reach, reach) + reach if period is None else (distances + reach) % period
    folded = np.zeros((2 * reach + 1, given.shape[1]), bool)
    for place, row in zip(places, given, strict=True):
        folded[place] |= row != 0
    return folded


def _border(mode: MorphologyMode, cval: float, dtype: np.dtype[Any]) -> Border:
    if isinstance(mode, str) and mode == IGNORE:
        return None
    return images.border(mode, cval, dtype, also=(IGNORE,))


def _neutral(dtype: np.dtype[Any], which: int) -> Edge:
    """Return the border that changes no minimum (maximum): the maximum (minimum) value of the dtype."""
    return MODES["constant"].code, float(images.full_range(dtype)[1 - which])


def plan_extreme(image: Value, under: Under, which: int, border: Border) -> Value:
    """Compute the minimum or maximum over a window or a footprint's ones."""
    edge = border or _neutral(image.dtype, which)
    if isinstance(under, Extents):
        # A window of twice the image's size holds every value, wherever it is.
        above, below = (min(reach, image.shape[0]) for reach in under[:2])
        left, right = (min(reach, image.shape[1]) for reach in under[2:])
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


def _extreme(
    image: ImageLike,
    size: Any,
    which: int,
    mode: MorphologyMode,
    cval: float,
    axes: str | None,
    backend: Backend | None,
    out: Out | None,
) -> Any:
    source = images.accept(image, images.WITH_LABELS, axes=axes)
    under = _window(images.window(size))
    border = _border(mode, cval, source.dtype)
    return run(plan_extreme, source, under, which, border, backend=backend, out=out)


def plan_erosion(image: Value, under: Under, border: Border) -> Value:
    return plan_extreme(image, under, MINIMUM, border)


def plan_dilation(image: Value, under: Under, border: Border) -> Value:
    """Compute the maximum over the reflected footprint."""
    return plan_extreme(image, reflected(under), MAXIMUM, border)


def plan_opening(image: Value, under: Under, border: Border) -> Value:
    return plan_dilation(plan_erosion(image, under, border), under, border)


def plan_closing(image: Value, under: Under, border: Border) -> Value:
    return plan_erosion(plan_dilation(image, under, border), under, border)


def plan_white_tophat(image: Value, under: Under, border: Border) -> Value:
    return point("difference", plan_opening(image, under, border), other=image, turned=1)


def plan_black_tophat(image: Value, under: Under, border: Border) -> Value:
    return point("difference", plan_closing(image, under, border), other=image, turned=0)


def plan_morphological_gradient(image: Value, under: Under, border: Border) -> Value:
    dilated, eroded = plan_dilation(image, under, border), plan_erosion(image, under, border)
    return point("difference", dilated, other=eroded, turned=0)


def _morphology(
    plan: Plan,
    image: ImageLike,
    footprint: Any,
    mode: MorphologyMode,
    cval: float,
    axes: str | None,
    alpha: bool | None,
    backend: Backend | None,
    out: Out | None,
) -> Any:
    source = images.accept(image, images.WITH_LABELS, axes=axes, alpha=alpha)
    is_plain = type(footprint) is int and 1 <= footprint <= images.LONGEST_WINDOW  # the most frequent one
    given = (footprint, footprint) if is_plain else images.footprint(footprint)
    border = _border(mode, cval, source.dtype)
    under = _window(given) if isinstance(given, tuple) else _footprint(given, source.shape, border)
    return run(plan, source, under, border, backend=backend, out=out)


@register({"size": 3}, {"size": (2, 9)}, kinds="buif", also=images.WITH_LABELS, alpha="channel")
def minimum(
    image: SameImage,
    size: Size = 3,
    *,
    mode: MorphologyMode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Compute the minimum of the window around each pixel.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    size : positive int, or two of them for rows and columns
        An even window extends one pixel further up and to the left, as in SciPy.
    mode, cval, axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where the window holds NaN

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
    return _extreme(image, size, MINIMUM, mode, cval, axes, backend, out)


@register({"size": 3}, {"size": (2, 9)}, kinds="buif", also=images.WITH_LABELS, alpha="channel")
def maximum(
    image: SameImage,
    size: Size = 3,
    *,
    mode: MorphologyMode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Compute the maximum of the window around each pixel.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    size : positive int, or two of them for rows and columns
        An even window extends one pixel further up and to the left, as in SciPy.
    mode, cval, axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where the window holds NaN

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
    return _extreme(image, size, MAXIMUM, mode, cval, axes, backend, out)


CROSS = np.array(
    [
        [0, 1, 0],
        [1, 1, 1],
        [0, 1, 0],
    ],
    np.uint8,
)


@register(
    {"footprint": 3},
    {"footprint": CROSS},
    {"footprint": (2, 4)},
    kinds="buif",
    also=images.WITH_LABELS,
    alpha="channel",
)
def erosion(
    image: SameImage,
    footprint: FootprintLike = 3,
    *,
    mode: MorphologyMode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Erode an image: minimum over the footprint.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``.
    mode, cval, axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where the footprint covers NaN

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds values other than 0 and 1

    Notes
    -----
    Differs from `skimage.morphology.erosion`, whose default footprint is a cross of five pixels, and whose even
    footprints have their centre at the element ``(shape - 1) // 2``.

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as `scipy.ndimage.grey_erosion`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.erosion(np.array([[0, 7, 7, 7, 0]], np.uint8))
    array([[0, 0, 7, 0, 0]], dtype=uint8)
    """
    return _morphology(plan_erosion, image, footprint, mode, cval, axes, False, backend, out)


@register(
    {"footprint": 3},
    {"footprint": CROSS},
    {"footprint": (2, 4)},
    kinds="buif",
    also=images.WITH_LABELS,
    alpha="channel",
)
def dilation(
    image: SameImage,
    footprint: FootprintLike = 3,
    *,
    mode: MorphologyMode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Dilate an image: maximum over the reflected footprint.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; it is mirrored in both axes, which makes dilation the adjoint of
        erosion.
    mode, cval, axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; NaN where the footprint covers NaN

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds values other than 0 and 1

    Notes
    -----
    Differs from `skimage.morphology.dilation`, which does not mirror the footprint, and whose default footprint is a
    cross of five pixels.

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982. The same as `scipy.ndimage.grey_dilation`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.dilation(np.array([[0, 0, 7, 0, 0]], np.uint8))
    array([[0, 7, 7, 7, 0]], dtype=uint8)
    """
    return _morphology(plan_dilation, image, footprint, mode, cval, axes, False, backend, out)


def reflected(under: Under) -> Under:
    """Rotate a footprint by 180 degrees about its centre; an even side grows by one, because the centre moves."""
    if isinstance(under, Extents):
        above, below, left, right = under
        return Extents(below, above, right, left)
    return _reflected(under)


@kept(64, lambda footprint: 2 * len(footprint.content))
def _reflected(under: Footprint) -> Footprint:
    grown = [(1 - side % 2, 0) for side in under.shape]
    turned = np.ascontiguousarray(np.pad(under.array()[::-1, ::-1], grown))
    return Footprint((turned.shape[0], turned.shape[1]), turned.tobytes())


@register(
    {"footprint": 3},
    {"footprint": CROSS},
    {"footprint": (2, 4)},
    kinds="buif",
    also=images.WITH_LABELS,
    alpha="channel",
)
def opening(
    image: SameImage,
    footprint: FootprintLike = 3,
    *,
    mode: MorphologyMode = "ignore",
    cval: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Remove bright details smaller than the footprint: erosion, then dilation.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` reflects it in both axes.
    mode, cval, axes, backend, out : see `gpuimg.filters`; the mode is the same in every step

    Returns
    -------
    array of the same shape and dtype. With mode "ignore" it is nowhere above the image, and opening it again changes
    nothing. If the footprint lacks its centre, border pixels that it never covers become the dtype's minimum, -inf for
    floats.

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds values other than 0 and 1

    Notes
    -----
    Differs from `scipy.ndimage.grey_opening` and `skimage.morphology.opening`, whose default mode is "reflect".
    scikit-image's default footprint is a cross of five pixels, and its even footprints differ at the image's edge.

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.opening(np.array([[0, 9, 0, 7, 7, 7, 0]], np.uint8))
    array([[0, 0, 0, 7, 7, 7, 0]], dtype=uint8)
    >>> gpuimg.opening(np.array([[0, 9, 0]], np.uint8), [[1, 0, 0]])  # [0, 9, 9] with the mode "reflect"
    array([[0, 9, 0]], dtype=uint8)
    """
    return _morphology(plan_opening, image, footprint, mode, cval, axes, False, backend, out)


@register(
    {"footprint": 3},
    {"footprint": CROSS},
    {"footprint": (2, 4)},
    kinds="buif",
    also=images.WITH_LABELS,
    alpha="channel",
)
def closing(
    image: SameImage,
    footprint: FootprintLike = 3,
    *,
    mode: MorphologyMode = "ignore",
    cval: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Remove dark details smaller than the footprint: dilation, then erosion.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` reflects it in both axes.
    mode, cval, axes, backend, out : see `gpuimg.filters`; the mode is the same in every step

    Returns
    -------
    array of the same shape and dtype. With mode "ignore" it is nowhere below the image, and closing it again changes
    nothing. If the footprint lacks its centre, border pixels that it never covers become the dtype's maximum, inf for
    floats.

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds values other than 0 and 1

    Notes
    -----
    Differs from `scipy.ndimage.grey_closing` and `skimage.morphology.closing`, whose default mode is "reflect".
    scikit-image's default footprint is a cross of five pixels, and it does not reflect the footprint, as SciPy does.

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.closing(np.array([[7, 0, 7, 0, 0, 0, 7]], np.uint8))
    array([[7, 7, 7, 0, 0, 0, 7]], dtype=uint8)
    """
    return _morphology(plan_closing, image, footprint, mode, cval, axes, False, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
def white_tophat(
    image: SameImage,
    footprint: FootprintLike = 3,
    *,
    mode: MorphologyMode = "ignore",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Extract bright details smaller than the footprint: image minus opening.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` reflects it in both axes.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`; the mode is the same in every step

    Returns
    -------
    array of the same shape and dtype; differences are saturated, and with mode "ignore" never negative

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds values other than 0 and 1

    Notes
    -----
    Differs from `scipy.ndimage.white_tophat`, which does not saturate and whose default mode is "reflect". Differs from
    `skimage.morphology.white_tophat` as `opening` does.

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.white_tophat(np.array([[0, 9, 0, 7, 7, 7, 0]], np.uint8))
    array([[0, 9, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    return _morphology(plan_white_tophat, image, footprint, mode, cval, axes, alpha, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
def black_tophat(
    image: SameImage,
    footprint: FootprintLike = 3,
    *,
    mode: MorphologyMode = "ignore",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Extract dark details smaller than the footprint: closing minus image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` reflects it in both axes.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`; the mode is the same in every step

    Returns
    -------
    array of the same shape and dtype; differences are saturated, and with mode "ignore" never negative

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds values other than 0 and 1

    Notes
    -----
    Differs from `scipy.ndimage.black_tophat`, which does not saturate and whose default mode is "reflect". Differs from
    `skimage.morphology.black_tophat` as `closing` does.

    References
    ----------
    .. [1] J. Serra, "Image Analysis and Mathematical Morphology", 1982.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.black_tophat(np.array([[7, 0, 7, 0, 0, 0, 7]], np.uint8))
    array([[0, 7, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    return _morphology(plan_black_tophat, image, footprint, mode, cval, axes, alpha, backend, out)


@register({"footprint": 3}, {"footprint": CROSS}, {"footprint": (2, 4)}, kinds="buif", also=images.WITH_LABELS)
def morphological_gradient(
    image: SameImage,
    footprint: FootprintLike = 3,
    *,
    mode: MorphologyMode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Compute the morphological gradient: dilation minus erosion.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    footprint : positive int, two of them for rows and columns, or a two-dimensional array of zeros and ones
        Its centre is the element ``shape // 2``; `dilation` reflects it in both axes.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`; the mode is the same in every step

    Returns
    -------
    array of the same shape and dtype; differences are saturated

    Raises
    ------
    ValueError : the footprint is empty, has no 1 or holds values other than 0 and 1

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
    return _morphology(plan_morphological_gradient, image, footprint, mode, cval, axes, alpha, backend, out)


DILATION, EROSION = get_args(Method)
INT64 = np.dtype(np.int64)
SLAB_ROWS = 64  # of the first slabs, which are independent of each other
GROUP = 8  # slabs that are joined at a time


def _brighter(seed: Any) -> Any:
    """Return an example of a mask: nowhere below the seed."""
    return _moved(seed, True)


def _darker(seed: Any) -> Any:
    """Return an example of a mask: nowhere above the seed."""
    return _moved(seed, False)


def _moved(seed: Any, up: bool) -> Any:
    if seed.dtype == BOOL:
        return seed | ~seed[::-1] if up else seed & seed[::-1]
    if seed.dtype.kind not in "iu":
        return seed + seed.dtype.type(0.2 if up else -0.2)
    low, high = images.limits(seed.dtype)
    return np.minimum(seed, high - 40) + seed.dtype.type(40) if up else np.maximum(seed, low + 40) - seed.dtype.type(40)


@register(
    {"mask": _brighter},
    {"mask": _darker, "method": "erosion", "connectivity": 1},
    kinds="buif",
    images=("mask",),
    alpha="channel",
)
def reconstruction(
    seed: SameImage,
    mask: ImageLike,
    method: Method = "dilation",
    connectivity: int = 2,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Reconstruct an image: dilate (or erode) it repeatedly under a mask until nothing changes.

    Parameters
    ----------
    seed : (H, W) or (H, W, C) array, also bool
    mask : array of the seed's shape and dtype
        Upper bound of each pixel (for erosion, lower bound).
    method : {"dilation", "erosion"}
        "dilation" raises pixels to their neighbours, but not above the mask; "erosion" lowers them, but not below it.
    connectivity : {1, 2}
        1: pixels touch at their edges, 2: at their corners too.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype. A pixel that is NaN in either image is NaN and does not propagate; -0.0 becomes
    0.0.

    Raises
    ------
    TypeError, ValueError : ``mask`` has another shape or dtype; the seed exceeds the mask somewhere (for erosion, is
        below it); ``method`` or ``connectivity`` is not one of these

    References
    ----------
    .. [1] L. Vincent, "Morphological grayscale reconstruction in image analysis: applications and efficient
       algorithms", IEEE Transactions on Image Processing 2(2), 1993, 176-201. The same as
       `skimage.morphology.reconstruction` with a footprint of ones (3 x 3), or of the four neighbours.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[1, 5, 3, 4, 1, 9, 1]], np.uint8)
    >>> gpuimg.reconstruction(np.maximum(image, 2) - np.uint8(2), image)  # cut off peaks by 2
    array([[1, 3, 3, 3, 1, 7, 1]], dtype=uint8)
    """
    source = images.accept(seed, WITH_BOOL, axes=axes, name="seed")
    limits = images.accept_second("mask", mask, source, first="seed")
    if method not in (DILATION, EROSION):
        raise ValueError(f"method must be {DILATION!r} or {EROSION!r}, got {method!r}")
    touching = images.whole("connectivity", connectivity, high=2)
    return run(plan_reconstruction, source, method, touching, others=(limits,), backend=backend, out=out)


def plan_reconstruction(seed: Value, mask: Value, method: str, connectivity: int) -> Value:
    """Reconstruct by dilation; erosion is dilation with the order of values reversed."""
    if method == EROSION:
        return _reversed(
            _reconstructed(_reversed(seed), _reversed(mask), connectivity, partial(_check, EROSION, "at least"))
        )
    return _reconstructed(seed, mask, connectivity, partial(_check, DILATION, "at most"))


def _check(method: str, rule: str, exceeding: Array) -> None:
    count = int(exceeding[0])
    if count:
        raise ValueError(f"seed must be {rule} mask for the method {method!r}, got {count} values that are not")


def _reversed(image: Value) -> Value:
    """Reverse the order of the image's values; applied twice, this is the image."""
    if image.dtype.kind == "f":
        return point("negate", image, work=0.5)
    return point("invert", image, work=0.5, masked=int(image.dtype == BOOL))


def _reconstructed(seed: Value, mask: Value, connectivity: int, check: Callable[[Array], None] | None) -> Value:
    """Reconstruct single rows, then slabs of rows, then groups of slabs across their seams, until one has all rows."""
    rows = seed.shape[0]
    made = parts(
        "reconstruction_rows",
        seed,
        count=rows,
        shape=seed.shape,
        dtype=seed.dtype,
        work=4.0,
        mask=mask,
        results={"exceeding": ((rows, 1), INT64)},
    )
    if check is not None:
        total = fold("sum", made.results[1], shape=(1,), dtype=INT64)
        made = view(made, made.dtype, after=(host(check, total),))
    done, height, work = 1, SLAB_ROWS, 20.0
    while True:
        count = max(1, -(-rows // height))
        made = change(
            "reconstruction",
            made,
            count=count,
            work=work,
            mask=mask,
            connectivity=connectivity,
            height=height,
            done=done,
        )
        if count == 1:
            return made
        done, height, work = height, height * GROUP, 4.0


@register({}, {"connectivity": 2}, kinds="buif", alpha="channel")
def fill_holes(
    image: SameImage,
    connectivity: int = 1,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Fill holes: dark regions that are not connected to the image's border.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array, also bool
    connectivity : {1, 2}
        Connectivity of the dark regions. 1: pixels touch at their edges, 2: at their corners too.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype. In a mask, holes become True. In other images, each pixel is raised to the level
    at which water would flow from it to the border. NaN stays NaN and is a barrier; pixels that it encloses become
    infinite.

    Raises
    ------
    ValueError : ``connectivity`` is neither 1 nor 2

    References
    ----------
    .. [1] P. Soille, "Morphological Image Analysis", 2nd edition, 2003, section 6.3.7. For masks the same as
       `scipy.ndimage.binary_fill_holes`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.fill_holes(np.array([[7, 7, 7, 7], [7, 0, 3, 5], [7, 7, 7, 7]], np.uint8))
    array([[7, 7, 7, 7],
           [7, 5, 5, 5],
           [7, 7, 7, 7]], dtype=uint8)
    """
    source = images.accept(image, WITH_BOOL, axes=axes)
    touching = images.whole("connectivity", connectivity, high=2)
    return run(plan_fill_holes, source, touching, backend=backend, out=out)


def plan_fill_holes(image: Value, connectivity: int) -> Value:
    """Reconstruct by erosion, from a seed that is the image at its border and the maximum inside."""
    mask = _reversed(image)
    seed = point("outermost", mask, work=0.5, inside=float(images.full_range(image.dtype)[0]))
    return _reversed(_reconstructed(seed, mask, connectivity, None))
