"""Geometric transforms: resizing, flipping, rotation by right angles."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from gpuimg import images
from gpuimg.plans.nodes import moved, point, resample
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Out, SameImage

Array = np.ndarray[Any, Any]
ONE = 1 << 14  # the sum of the fixed-point weights of uint8 images
LONGEST_SIDE = 1 << 31


class Axis(NamedTuple):
    """Input samples and weights of each output sample along one axis.

    Attributes
    ----------
    samples : (length, taps) int64, input samples, folded at the edges
    weights : (length, taps) float64, each row sums to 1; none is zero
    fixed : (length, taps) int32, the same in 16384ths
    """

    samples: Array
    weights: Array
    fixed: Array


@lru_cache(maxsize=32)
def resampling(length: int, wanted: int, order: int, smooth: bool) -> Axis:
    """The samples and weights that turn ``length`` samples into ``wanted``.

    Pixel centres lie at half coordinates; beyond the edge the samples are mirrored
    about the last one, which scikit-image's resize calls "reflect".
    With ``smooth``, the anti-aliasing Gaussian and the interpolation are one set of weights.
    """
    scale = length / wanted
    middles = (2 * np.arange(wanted) + 1) * length  # of the output samples, in whole units: 2 * wanted an input sample
    if order == 0:
        index = middles[:, None] // (2 * wanted)
        weights = np.ones((wanted, 1))
    else:
        first, rest = np.divmod(middles - wanted, 2 * wanted)
        share = rest / (2 * wanted)
        index = first[:, None] + np.arange(2)
        weights = np.stack((1 - share, share), axis=1)
    sigma = max(0.0, (scale - 1) / 2)
    if smooth and sigma > 0:
        index, weights = _smoothed(index, weights, sigma)
    return Axis(*_trimmed(_mirrored(index, length), weights))


def _smoothed(index: Array, weights: Array, sigma: float) -> tuple[Array, Array]:
    """Weights of Gaussian smoothing followed by interpolation."""
    radius = int(4.0 * sigma + 0.5)
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    bell /= bell.sum()
    taps = weights.shape[1]
    spread = np.zeros((len(weights), 2 * radius + taps))
    for tap in range(taps):
        spread[:, tap : tap + 2 * radius + 1] += weights[:, tap, None] * bell
    return index[:, :1] - radius + np.arange(spread.shape[1]), spread


def _mirrored(index: Array, length: int) -> Array:
    if length == 1:
        return np.zeros_like(index)
    period = 2 * length - 2
    index = index % period
    return np.where(index < length, index, period - index)


def _trimmed(index: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Drop taps whose weights are all zero, and add fixed-point weights whose rows sum to exactly one.

    What has no weight must not be read, for it may be NaN: those taps have a share of the sample of the largest weight.
    """
    used = np.abs(weights).max(axis=0) > 0
    index, weights = np.ascontiguousarray(index[:, used]), np.ascontiguousarray(weights[:, used])
    fixed = np.rint(weights * ONE).astype(np.int32)
    largest = np.argmax(weights, axis=1)
    fixed[np.arange(len(fixed)), largest] += ONE - fixed.sum(axis=1, dtype=np.int32)
    for row, tap in np.argwhere(weights == 0):
        weights[row, largest[row]] /= 2  # exact, as is the sum of both halves
        index[row, tap], weights[row, tap] = index[row, largest[row]], weights[row, largest[row]]
    return index, weights, fixed


def _wanted_shape(source: images.Source, output_shape: Any) -> tuple[int, int]:
    if not hasattr(output_shape, "__len__") or isinstance(output_shape, str | bytes):
        raise TypeError(f"output_shape must be (rows, columns), got {output_shape!r}")
    if len(output_shape) == 3 and len(source.shape) == 3 and output_shape[2] == source.channels:
        output_shape = output_shape[:2]
    if len(output_shape) != 2:
        raise ValueError(f"output_shape must be (rows, columns), got {output_shape!r}")
    rows, cols = (images.whole("output_shape", side, high=LONGEST_SIDE) for side in output_shape)
    return rows, cols


def _smooths(source: images.Source, rows: int, cols: int, order: int, anti_aliasing: Any) -> bool:
    if anti_aliasing is None:
        return order > 0 and (rows < source.shape[0] or cols < source.shape[1])
    if not isinstance(anti_aliasing, bool | np.bool_):
        raise TypeError(f"anti_aliasing must be True, False or None, got {anti_aliasing!r}")
    if anti_aliasing and source.dtype not in images.DTYPES:
        raise TypeError(f"anti_aliasing must be False for {source.dtype} images: smoothing would mix their values")
    return bool(anti_aliasing)


@register(
    {"output_shape": (24, 40)},
    {"output_shape": (70, 90), "order": 0},
    {"output_shape": (50, 31), "anti_aliasing": False},
    alpha="weighed",
)
def resize(
    image: ImageLike,
    output_shape: tuple[int, ...],
    order: int = 1,
    anti_aliasing: bool | None = None,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Resize an image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
        With order 0 and without smoothing: of any dtype of 1, 2, 4 or 8 bytes, masks and labels among them.
    output_shape : (rows, columns), positive ints
        The channels may follow if they are the image's.
    order : {0, 1}
        0: nearest neighbour, 1: bilinear interpolation.
    anti_aliasing : bool, optional
        Whether to smooth before downscaling, by a Gaussian of ``sigma = (factor - 1) / 2`` for each axis that shrinks.
        None: when an axis shrinks, but never with order 0.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the new shape and the image's dtype; the values are not rescaled. uint8: within 1 of the exact value.
    Colours are weighed by alpha where there is an alpha channel.

    Raises
    ------
    ValueError : a side of ``output_shape`` is not positive, ``order`` is none of these, or the image is empty
    TypeError : the dtype can only be resized with order 0 and without ``anti_aliasing``

    References
    ----------
    .. [1] `skimage.transform.resize` (pixel centres at half coordinates, edges mirrored) with ``preserve_range=True``,
       which smooths floats with order 0 too.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.resize(np.array([[0, 60, 120]], np.uint8), (1, 6))
    array([[ 15,  15,  45,  75, 105, 105]], dtype=uint8)
    """
    order = images.whole("order", order, low=0, high=1)
    source = images.accept(image, images.DTYPES if order else images.MOVED, axes=axes, alpha=alpha)
    rows, cols = _wanted_shape(source, output_shape)
    smooth = _smooths(source, rows, cols, order, anti_aliasing)
    return run(plan_resize, source, rows, cols, order, smooth, alpha="weighed", backend=backend, out=out)


def plan_resize(image: Value, rows: int, cols: int, order: int, smooth: bool) -> Value:
    height, width, *channels = image.shape
    shape = (rows, cols, *channels)
    if 0 in image.shape:  # nothing is computed
        return Value(shape, image.dtype)
    down, along = resampling(height, rows, order, smooth), resampling(width, cols, order, smooth)
    if down.weights.shape[1] == along.weights.shape[1] == 1:
        pick = partial(resample, "pick", shape=shape, work=3.0, i0=down.samples, i1=along.samples)
        return moved(image, pick)
    return resample(
        "resample",
        image,
        shape=shape,
        work=1.0 + down.weights.shape[1] + along.weights.shape[1],
        i0=down.samples,
        w0=down.weights,
        q0=down.fixed,
        i1=along.samples,
        w1=along.weights,
        q1=along.fixed,
    )


@register({"axis": 0}, {"axis": 1}, {"axis": (0, 1)}, kinds="buif", also=images.MOVED, alpha="channel")
def flip(
    image: SameImage,
    axis: int | tuple[int, ...],
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Reverse the order of rows, columns or both.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of any dtype of 1, 2, 4 or 8 bytes: bool, integers, floats, complex64
    axis : 0, 1 or (0, 1)
        0 (or -2) flips vertically, 1 (or -1) horizontally, both rotate by 180 degrees.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype, contiguous

    Raises
    ------
    ValueError : ``axis`` is none of these

    References
    ----------
    .. [1] `numpy.flip`, which returns a view.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.flip(np.array([[1, 2], [3, 4]], np.uint8), axis=1)
    array([[2, 1],
           [4, 3]], dtype=uint8)
    """
    source = images.accept(image, images.MOVED, axes=axes)
    given = axis if isinstance(axis, tuple | list) else (axis,)
    turned = {images.axis(part) for part in given}
    if not turned or len(turned) < len(given):
        raise ValueError(f"axis must be 0, 1 or (0, 1), got {axis!r}")
    return run(plan_flip, source, 0 in turned, 1 in turned, backend=backend, out=out)


def plan_flip(image: Value, vertical: bool, horizontal: bool) -> Value:
    if vertical:
        shape = image.shape
        return moved(image, partial(resample, "flip", shape=shape, work=0.5, vertical=1, horizontal=int(horizontal)))
    return moved(image, partial(point, "flip", work=0.5, vertical=0, horizontal=int(horizontal)))


@register({}, {"k": 2}, {"k": -1}, kinds="buif", also=images.MOVED, alpha="channel")
def rot90(
    image: SameImage, k: int = 1, *, axes: str | None = None, backend: Backend | None = None, out: Out | None = None
) -> SameImage:
    """Rotate by multiples of 90 degrees, counterclockwise.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of any dtype of 1, 2, 4 or 8 bytes: bool, integers, floats, complex64
    k : int
        Number of rotations by 90 degrees; negative ones are clockwise.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    contiguous array of the same dtype, (W, H) or (W, H, C) where ``k`` is odd

    Raises
    ------
    TypeError : ``k`` is not a whole number

    References
    ----------
    .. [1] `numpy.rot90`, which returns a view.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rot90(np.array([[1, 2], [3, 4]], np.uint8))
    array([[2, 4],
           [1, 3]], dtype=uint8)
    """
    source = images.accept(image, images.MOVED, axes=axes)
    turns = images.whole("k", k, low=-(1 << 40)) % 4
    return run(plan_rot90, source, turns, backend=backend, out=out)


def plan_rot90(image: Value, turns: int) -> Value:
    if turns % 2 == 0:
        return plan_flip(image, turns == 2, turns == 2)
    rows, cols, *channels = image.shape
    shape = (cols, rows, *channels)
    down, along = int(turns == 3), int(turns == 1)
    return moved(image, partial(resample, "transpose", shape=shape, turned_rows=down, turned_cols=along))
