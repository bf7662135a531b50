"""Geometric transforms: resizing, padding, cropping, flipping, rotation by right angles."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import partial
from itertools import product
from typing import Any, NamedTuple, get_args

import numpy as np

from gpuimg import images, typing
from gpuimg.keeping import kept
from gpuimg.plans.nodes import Edge, moved, point, resample
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import at_once, new_result, run
from gpuimg.typing import Backend, GridOrder, ImageLike, Mode, Out, SameImage, Widths

Array = np.ndarray[Any, Any]
ONE = 1 << 14  # the sum of the fixed-point weights of uint8 images
LONGEST_SIDE = 1 << 31
TILE_SIDE = 1 << 16  # maximum rows or columns of a result per table
TILE_TAPS = 1 << 20  # maximum samples in a table of more than one row or column
MOST_TAPS = 1 << 21  # of an output sample: if a side shrinks, tables have a weight for each input sample
CONSTANT = images.MODES["constant"].code
OVERSHOOT = 0.5  # more than the sum of the negative weights of `KERNELS`


class Axis(NamedTuple):
    """Input samples and weights of each output sample along one axis.

    Attributes
    ----------
    samples : (length, taps) int64, input samples, folded at the edges
    weights : (length, taps) float64, each row sums to 1; all nonzero
    fixed : (length, taps) int32, the same in 16384ths
    reach : int, see `_reach`
    """

    samples: Array
    weights: Array
    fixed: Array
    reach: int


class Kernel(NamedTuple):
    """An interpolation kernel: a function of the distance in samples, 0 from ``radius``."""

    radius: int
    function: Callable[[Array], Array]


def _cubic(distance: Array) -> Array:
    """Keys' cubic convolution kernel with a = -1/2."""
    distance = np.abs(distance)
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def _lanczos(distance: Array) -> Array:
    """Lanczos kernel: a sinc, windowed by the main lobe of a sinc three times as wide."""
    values = np.sinc(distance) * np.sinc(distance / 3)
    return np.where(distance % 1 == 0, distance == 0, np.where(np.abs(distance) < 3, values, 0))


KERNELS: dict[Any, Kernel] = {3: Kernel(2, _cubic), "lanczos": Kernel(3, _lanczos)}

Pair = tuple[int, int]
Part = tuple[int, int, int]  # of a side of a result: first sample, end, and length of the whole side


@kept(32, lambda axis: sum(table.nbytes for table in axis[:3]))
def resampling(length: int, part: Part, order: GridOrder, smooth: bool) -> Axis:
    """Return the samples and weights that resample ``length`` samples to a part of a side."""
    first, last, wanted = part
    return table(*interpolation(np.arange(first, last), length, wanted, order, smooth))


def table(index: Array, weights: Array) -> Axis:
    """Build the tables of an axis from its samples and their weights, some of which may be 0."""
    index, weights, fixed = _shared(*map(np.ascontiguousarray, (index, weights)))
    return Axis(index, weights, fixed, _reach(index))


def interpolation(places: Array, length: int, wanted: int, order: GridOrder, smooth: bool) -> tuple[Array, Array]:
    """Return the samples and weights for some of the ``wanted`` places to which ``length`` samples are resampled.

    Pixel centres lie at half coordinates; beyond the edge, samples are mirrored about the last one, which
    scikit-image's resize calls "reflect". With ``smooth``, the anti-aliasing Gaussian and the interpolation are merged
    into one set of weights; cubic and Lanczos kernels widen by the factor by which the side shrinks.
    """
    middles = (2 * places + 1) * length  # in integer units of 1 / (2 * wanted) input sample
    if order in KERNELS:
        index, weights = _convolved(KERNELS[order], middles, length, wanted, smooth)
    else:
        index, weights = _interpolated(order, middles, wanted)
        sigma = max(0.0, (length / wanted - 1) / 2)
        if smooth and sigma > 0:
            index, weights = _smoothed(index, weights, sigma)
        used = np.abs(weights).max(axis=0) > 0
        index, weights = index[:, used], weights[:, used]
    return mirrored(index, length), weights


def _interpolated(order: GridOrder, middles: Array, wanted: int) -> tuple[Array, Array]:
    """Return the weights of the nearest sample, or of the two nearest."""
    if order == 0:
        return middles[:, None] // (2 * wanted), np.ones((len(middles), 1))
    before, rest = np.divmod(middles - wanted, 2 * wanted)
    share = rest / (2 * wanted)
    return before[:, None] + np.arange(2), np.stack((1 - share, share), axis=1)


def _convolved(kernel: Kernel, middles: Array, length: int, wanted: int, smooth: bool) -> tuple[Array, Array]:
    """Return the weights of an interpolation kernel."""
    width = max(length, wanted) if smooth else wanted  # of the kernel, in units of 1 / wanted
    reach = -(-kernel.radius * width // wanted)
    before, rest = np.divmod(middles - wanted, 2 * wanted)
    offsets = np.arange(1 - reach, reach + 1)

    def weights_of(rest: Array) -> Array:
        # A quotient of integers: where the kernel is 0, the distance is exact.
        return kernel.function((offsets * (2 * wanted) - rest[:, None]) / (2 * width))

    # The minimum and maximum remainder of the whole side tell which weights are always 0: the same for every part.
    unit = 2 * math.gcd(length, wanted)
    minimum = (length - wanted) % unit
    used = weights_of(np.array([minimum, 2 * wanted - unit + minimum])).any(axis=0)
    weights = weights_of(rest)
    weights /= weights.sum(axis=1, keepdims=True)
    return before[:, None] + offsets[used], weights[:, used]


def _smoothed(index: Array, weights: Array, sigma: float) -> tuple[Array, Array]:
    """Return the weights of Gaussian smoothing followed by interpolation."""
    radius = int(4.0 * sigma + 0.5)
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    bell /= bell.sum()
    taps = weights.shape[1]
    spread = np.zeros((len(weights), 2 * radius + taps))
    for tap in range(taps):
        spread[:, tap : tap + 2 * radius + 1] += weights[:, tap, None] * bell
    return index[:, :1] - radius + np.arange(spread.shape[1]), spread


def mirrored(index: Array, length: int) -> Array:
    if length == 1:
        return np.zeros_like(index)
    period = 2 * length - 2
    index = index % period
    return np.where(index < length, index, period - index)


def _reach(index: Array) -> int:
    """Return an upper bound of the span of samples of up to 129 neighbours: the maximum of 256, in steps of 128."""
    starts = range(0, max(len(index) - 128, 1), 128)
    return max(int(np.ptp(index[start : start + 256])) + 1 for start in starts)


def _shared(index: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Add fixed-point weights whose rows sum to exactly one; their running sums are rounded, so errors do not add up.

    Samples of weight 0 must not be read, as they may be NaN: those taps share the sample of the largest weight.
    """
    fixed = np.diff(np.rint(np.cumsum(weights, axis=1) * ONE), axis=1, prepend=0).astype(np.int32)
    largest = np.argmax(weights, axis=1)
    for tap in np.flatnonzero((weights == 0).any(axis=0)):
        rows = np.flatnonzero(weights[:, tap] == 0)
        weights[rows, largest[rows]] /= 2  # exact, as is the sum of both halves
        index[rows, tap], weights[rows, tap] = index[rows, largest[rows]], weights[rows, largest[rows]]
    return index, weights, fixed


ORDERS, GRID_ORDERS = get_args(typing.Order), get_args(GridOrder)


def checked_order(order: Any, known: tuple[Any, ...]) -> Any:
    """Check an order of interpolation."""
    value = order if isinstance(order, str) else images.whole("order", order, low=-(1 << 40))
    if value not in known:
        raise ValueError(f"order must be {' or '.join(map(repr, known))}, got {order!r}")
    return value


def accept_sampled(
    image: Any, order: Any, axes: str | None, alpha: bool | None, orders: tuple[Any, ...] = ORDERS
) -> tuple[images.Source, Any]:
    """Check an image and the order of interpolation: order 0 takes any dtype, the others only real ones."""
    order = checked_order(order, orders)
    return images.accept(image, images.DTYPES if order else images.MOVED, axes=axes, alpha=alpha), order


def wanted_shape(source: images.Source, output_shape: Any) -> tuple[int, int]:
    if not hasattr(output_shape, "__len__") or isinstance(output_shape, str | bytes):
        raise TypeError(f"output_shape must be (rows, columns), got {output_shape!r}")
    if len(output_shape) == 3 and len(source.shape) == 3 and output_shape[2] == source.channels:
        output_shape = output_shape[:2]
    if len(output_shape) != 2:
        raise ValueError(f"output_shape must be (rows, columns), got {output_shape!r}")
    rows, cols = output_shape
    return images.whole("output_shape", rows, high=LONGEST_SIDE), images.whole("output_shape", cols, high=LONGEST_SIDE)


def _scaled_shape(source: images.Source, scale: Any) -> tuple[int, int]:
    factors = [images.number("scale", factor) for factor in images.pair("scale", scale)]
    if min(factors) <= 0:
        raise ValueError(f"scale must be positive, got {scale!r}")
    extents = source.shape[:2]
    longest = max(extent * factor for extent, factor in zip(extents, factors, strict=True))
    if longest > LONGEST_SIDE:
        raise ValueError(f"scale must give at most {LONGEST_SIDE} rows and columns, got {scale!r}")
    rows, cols = [max(round(extent * factor), min(extent, 1)) for extent, factor in zip(extents, factors, strict=True)]
    return rows, cols


def _smooths(source: images.Source, rows: int, cols: int, order: GridOrder, anti_aliasing: Any) -> bool:
    if anti_aliasing is None:
        return order != 0 and (rows < source.shape[0] or cols < source.shape[1])
    if not isinstance(anti_aliasing, bool | np.bool_):
        raise TypeError(f"anti_aliasing must be True, False or None, got {anti_aliasing!r}")
    if anti_aliasing and source.dtype not in images.DTYPES:
        raise TypeError(f"anti_aliasing must be False for {source.dtype} images: smoothing would mix their values")
    return bool(anti_aliasing)


@register(
    {"output_shape": (24, 40)},
    {"output_shape": (70, 90), "order": 0},
    {"output_shape": (50, 31), "anti_aliasing": False},
    {"output_shape": (40, 25), "order": 3},
    {"output_shape": (27, 90), "order": "lanczos"},
    alpha="weighed",
)
def resize(
    image: ImageLike,
    output_shape: tuple[int, ...],
    order: GridOrder = 1,
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
        With order 0 and without smoothing, any dtype of 1, 2, 4 or 8 bytes, including masks and labels.
    output_shape : (rows, columns), positive ints
        A third entry must be the image's number of channels.
    order : {0, 1, 3, "lanczos"}
        0: nearest neighbour, 1: bilinear interpolation, 3: bicubic interpolation (cubic convolution with a = -1/2),
        "lanczos": Lanczos interpolation with three lobes.
    anti_aliasing : bool, optional
        Smooth each axis that shrinks: orders 0 and 1 first apply a Gaussian of ``sigma = (factor - 1) / 2``, the others
        widen the kernel by the factor. None: True if an axis shrinks and the order is not 0.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the new shape and the image's dtype; the values are not rescaled. uint8: within 1 of the exact value, or 2
    where a side shrinks by thousands. Orders 0 and 1 stay in the range of the image; 3 and "lanczos" may overshoot near
    edges, where integers saturate. With an alpha channel, colours are weighted by alpha.

    Raises
    ------
    ValueError : a side of ``output_shape`` is not positive, ``order`` is not one of these, the image is empty, or a
        side that is smoothed shrinks by a factor above 524288 ("lanczos": 349525)
    TypeError : the dtype can only be resized with order 0 and without ``anti_aliasing``

    Notes
    -----
    Differs from `skimage.transform.resize` with order 3, which is not a spline here but the kernel that Pillow and most
    programs call bicubic: it needs no prefilter, is widened for downsampling, and results are not clipped to the range
    of the image. Differs from Pillow at edges, which are mirrored here.

    References
    ----------
    .. [1] `skimage.transform.resize` (pixel centres at half coordinates, edges mirrored) with ``preserve_range=True``,
       which smooths floats with order 0 too.
    .. [2] R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on Acoustics,
       Speech, and Signal Processing 29(6), 1981.
    .. [3] C. E. Duchon, "Lanczos filtering in one and two dimensions", Journal of Applied Meteorology 18(8), 1979.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.resize(np.array([[0, 60, 120]], np.uint8), (1, 6))
    array([[ 15,  15,  45,  75, 105, 105]], dtype=uint8)
    """
    source, order = accept_sampled(image, order, axes, alpha, GRID_ORDERS)
    return _resized(source, wanted_shape(source, output_shape), order, anti_aliasing, backend, out)


@register(
    {"scale": 0.6},
    {"scale": (1.5, 0.4), "order": 0},
    {"scale": 1.7, "anti_aliasing": False},
    {"scale": (2, 0.3), "order": 3},
    {"scale": 0.45, "order": "lanczos", "anti_aliasing": False},
    alpha="weighed",
)
def rescale(
    image: ImageLike,
    scale: float | tuple[float, float],
    order: GridOrder = 1,
    anti_aliasing: bool | None = None,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Resize an image by a factor.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
        With order 0 and without smoothing, any dtype of 1, 2, 4 or 8 bytes, including masks and labels.
    scale : number > 0, or two of them for rows and columns
        0.5 halves each side. Sides are rounded half to even, and are at least one pixel.
    order : {0, 1, 3, "lanczos"}
        0: nearest neighbour, 1: bilinear interpolation, 3: bicubic interpolation (cubic convolution with a = -1/2),
        "lanczos": Lanczos interpolation with three lobes.
    anti_aliasing : bool, optional
        Smooth each axis that shrinks: orders 0 and 1 first apply a Gaussian of ``sigma = (factor - 1) / 2``, the others
        widen the kernel by the factor. None: True if an axis shrinks and the order is not 0.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the image's dtype, as from `gpuimg.resize`

    Raises
    ------
    ValueError : ``scale`` is not positive and finite, the result is too large, ``order`` is not one of these, or a side
        that is smoothed shrinks by a factor above 524288 ("lanczos": 349525)
    TypeError : the dtype can only be resized with order 0 and without ``anti_aliasing``

    References
    ----------
    .. [1] `skimage.transform.rescale` with ``preserve_range=True``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rescale(np.zeros((480, 640), np.uint8), 0.5).shape
    (240, 320)
    """
    source, order = accept_sampled(image, order, axes, alpha, GRID_ORDERS)
    return _resized(source, _scaled_shape(source, scale), order, anti_aliasing, backend, out)


def _resized(
    source: images.Source,
    shape: tuple[int, int],
    order: GridOrder,
    anti_aliasing: Any,
    backend: Backend | None,
    out: Any,
) -> Any:
    rows, cols = shape
    smooth = _smooths(source, rows, cols, order, anti_aliasing)
    height, width = source.shape[:2]
    down, along = _parts(height, rows, order, smooth), _parts(width, cols, order, smooth)
    return run_in_tiles(plan_resize, source, down, along, order, smooth, backend=backend, out=out)


def run_in_tiles(
    plan: Callable[..., Value],
    source: images.Source,
    rows: list[Part],
    cols: list[Part],
    *parameters: Hashable,
    backend: Backend | None,
    out: Any,
) -> Any:
    """Run a plan for each part of a result, one after the other, so that no tables for the whole are needed."""
    if len(rows) + len(cols) == 2:
        return run(plan, source, *rows, *cols, *parameters, alpha="weighed", backend=backend, out=out)
    axes, stack = source.axes, (slice(None),) * len(source.stack)
    whole = Value((rows[0][-1], cols[0][-1], *source.shape[2:]), source.dtype)
    if out is not None:
        if source.restore is not None:
            raise TypeError("out works with NumPy and CuPy images only; this image is of another kind")
        images.check_out(out, images.given_shape(source, whole.shape), whole.dtype, source.array)
    is_apart = out is not None and not (source.on_device or np.may_share_memory(out, source.array))
    given = out if is_apart else None
    if given is None:
        target = new_result(source, whole)
    else:
        target = given if axes is None else axes.arranged_out(given, len(source.array.shape))
    for down, along in product(rows, cols):
        tile = target[*stack, down[0] : down[1], along[0] : along[1]]
        run(
            plan,
            source._replace(restore=None),
            down,
            along,
            *parameters,
            alpha="weighed",
            backend=backend,
            out=tile if axes is None else axes.restored(tile),
        )
    if given is not None:
        return given
    made = target if axes is None else images.contiguous(axes.restored(target))
    if out is not None:
        out[...] = made
        return out
    return made if source.restore is None else source.restore(made)


def _parts(length: int, side: int, order: GridOrder, smooth: bool) -> list[Part]:
    """Split a side of a result so that the tables of each part are not too large; ``length`` is the image's side."""
    factor = length / max(side, 1)
    width = 2 * KERNELS[order].radius if order in KERNELS else 4  # of the kernel, in output samples
    most = MOST_TAPS // width
    if smooth and factor > most:
        raise ValueError(
            f"anti_aliasing must be False where a side shrinks by more than {most}, got {length} to {side}"
        )
    return parts_of(side, width * factor if smooth else 1)


def parts_of(side: int, taps: float) -> list[Part]:
    """Split a side of a result, each sample of which has ``taps`` input samples."""
    size = min(TILE_SIDE, max(1, int(TILE_TAPS / max(taps, 1))))
    return [(first, min(first + size, side), side) for first in range(0, max(side, 1), size)]


def plan_resize(image: Value, rows: Part, cols: Part, order: GridOrder, smooth: bool) -> Value:
    height, width = image.shape[:2]
    shape = (rows[1] - rows[0], cols[1] - cols[0], *image.shape[2:])
    if 0 in image.shape:  # nothing is computed
        return Value(shape, image.dtype)
    return plan_sums(image, resampling(height, rows, order, smooth), resampling(width, cols, order, smooth), order)


def plan_sums(image: Value, down: Axis, along: Axis, order: GridOrder) -> Value:
    """Compute weighted sums of rows, then of columns."""
    shape = (len(down.samples), len(along.samples), *image.shape[2:])
    if down.weights.shape[1] == along.weights.shape[1] == 1:
        pick = partial(resample, "pick", shape=shape, work=3.0, i0=down.samples, i1=along.samples)
        return moved(image, pick)
    return resample(
        "resample",
        image,
        shape=shape,
        work=1.0 + down.weights.shape[1] + along.weights.shape[1],
        overshoot=OVERSHOOT if order in KERNELS else 0.0,
        reach=along.reach,
        i0=down.samples,
        w0=down.weights,
        q0=down.fixed,
        i1=along.samples,
        w1=along.weights,
        q1=along.fixed,
    )


def _checked_widths(name: str, value: Any) -> tuple[Pair, Pair]:
    """Check widths at an image's edges: one for all, (before, after), or two such pairs, for rows and for columns.

    They broadcast as in `numpy.pad`.
    """
    if type(value) is int and 0 <= value <= LONGEST_SIDE:  # the most frequent one
        return (value, value), (value, value)
    try:
        ends = np.broadcast_to(np.array(value, object), (2, 2)).tolist()
        if any(isinstance(end, list | tuple) for each in ends for end in each):
            raise ValueError
    except ValueError:
        allowed = "one number, (before, after) or ((top, bottom), (left, right))"
        raise ValueError(f"{name} must be {allowed}, got {value!r}") from None
    (top, bottom), (left, right) = [
        [images.whole(name, end, low=0, high=LONGEST_SIDE) for end in each] for each in ends
    ]
    return (top, bottom), (left, right)


def _corner(image: Any) -> tuple[Pair, Pair]:
    """Return an example of widths to crop."""
    rows, cols = image.shape[:2]
    return (rows // 3, rows // 4), (cols // 2, 0)


@register(
    {"pad_width": 3},
    {"pad_width": (0, 5)},
    {"pad_width": ((40, 1), (7, 100))},
    kinds="buif",
    also=images.MOVED,
    alpha="channel",
)
def pad(
    image: ImageLike,
    pad_width: Widths,
    mode: Mode = "constant",
    cval: float = 0,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Pad an image: add rows and columns at its edges.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of any dtype of 1, 2, 4 or 8 bytes: bool, integers, floats, complex64
    pad_width : int, (before, after) or ((top, bottom), (left, right)), ints >= 0
        Rows and columns to add: one number for every edge, a pair (before, after) for both axes, or one pair for rows
        and one for columns. Widths may exceed the image's extent. Channels are not padded.
    mode, cval, axes, backend, out : see `gpuimg.filters`
        The mode selects the values that are added.

    Returns
    -------
    array (top + H + bottom, left + W + right) or with C channels, of the image's dtype

    Raises
    ------
    ValueError : ``pad_width`` is negative or not one of these forms, ``mode`` is not one of these, or the image is
        empty and the result is not

    Notes
    -----
    Modes have SciPy's names, as in all of gpuimg, not those of `numpy.pad`: "reflect" is NumPy's "symmetric", "mirror"
    is NumPy's "reflect", "nearest" is NumPy's "edge"; "wrap" and "constant" are the same. ``cval`` is NumPy's
    ``constant_values``, a single number.

    References
    ----------
    .. [1] `numpy.pad`, and `cv2.copyMakeBorder`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[1, 2, 3]], np.uint8)
    >>> gpuimg.pad(image, ((0, 1), (2, 2)))
    array([[0, 0, 1, 2, 3, 0, 0],
           [0, 0, 0, 0, 0, 0, 0]], dtype=uint8)
    >>> gpuimg.pad(image, ((0, 0), (2, 2)), mode="mirror")
    array([[3, 2, 1, 2, 3, 2, 1]], dtype=uint8)
    """
    source = images.accept(image, images.MOVED, axes=axes)
    widths = _checked_widths("pad_width", pad_width)
    edge = images.border(mode, cval, images.FLOAT32 if source.dtype.kind == "c" else source.dtype)
    return run(plan_pad, source, widths, edge, backend=backend, out=out)


@register({"crop_width": 0}, {"crop_width": _corner}, kinds="buif", also=images.MOVED, alpha="channel")
def crop(
    image: ImageLike,
    crop_width: Widths,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Crop an image: remove rows and columns at its edges.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of any dtype of 1, 2, 4 or 8 bytes: bool, integers, floats, complex64
    crop_width : int, (before, after) or ((top, bottom), (left, right)), ints >= 0
        Rows and columns to remove: one number for every edge, a pair (before, after) for both axes, or one pair for
        rows and one for columns.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    contiguous array (H - top - bottom, W - left - right) or with C channels, of the image's dtype; never a view

    Raises
    ------
    ValueError : ``crop_width`` is negative or not one of these forms, or leaves no row or no column

    Notes
    -----
    Differs from `skimage.util.crop`, which also crops channels and returns a view.

    References
    ----------
    .. [1] `skimage.util.crop`

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> gpuimg.crop(image, 1)
    array([[5, 6]], dtype=uint8)
    >>> gpuimg.crop(image, ((0, 1), (2, 0)))
    array([[2, 3],
           [6, 7]], dtype=uint8)
    """
    if axes is None and type(crop_width) is int and 0 <= crop_width <= LONGEST_SIDE:
        both = crop_width, crop_width
        made = at_once(plan_crop, image, (both, both), backend, out)
        if made is not None:
            return made
    source = images.accept(image, images.MOVED, axes=axes)
    down, along = _checked_widths("crop_width", crop_width)
    for extent, width in zip(source.shape, (down, along), strict=False):
        if any(width) and sum(width) >= extent:
            raise ValueError(
                f"crop_width must leave at least one row and column of the shape {source.shape}, got {crop_width}"
            )
    return run(plan_crop, source, down, along, backend=backend, out=out)


def plan_pad(image: Value, widths: tuple[Pair, Pair], edge: Edge) -> Value:
    (top, bottom), (left, right) = widths
    rows, cols, *channels = image.shape
    mode, cval = edge
    return _part(image, (-top, -left), (top + rows + bottom, left + cols + right, *channels), mode, cval)


def plan_crop(image: Value, down: Pair, along: Pair) -> Value:
    rows, cols, *channels = image.shape
    return _part(image, (down[0], along[0]), (rows - sum(down), cols - sum(along), *channels))


def _part(image: Value, first: Pair, shape: tuple[int, ...], mode: int = CONSTANT, cval: float = 0) -> Value:
    """Extract a part of an image, starting at pixel ``first``; it may extend beyond the edges."""
    if 0 in image.shape:  # nothing is computed
        return Value(shape, image.dtype)
    row, col = first
    value = images.bits(cval, image.dtype)

    def move(pixels: Value) -> Value:
        return resample("pad", pixels, shape=shape, work=0.5, first_row=row, first_col=col, mode=mode, fill_value=value)

    return moved(image, move)


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
        0 (or -2) flips vertically, 1 (or -1) horizontally, (0, 1) rotates by 180 degrees.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype, contiguous

    Raises
    ------
    ValueError : ``axis`` is not one of these

    Notes
    -----
    Differs from `numpy.flip`, which returns a view.

    References
    ----------
    .. [1] `numpy.flip`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.flip(np.array([[1, 2], [3, 4]], np.uint8), axis=1)
    array([[2, 1],
           [4, 3]], dtype=uint8)
    """
    if axes is None and type(axis) is int and axis in _TURNED:
        made = at_once(plan_flip, image, _TURNED[axis], backend, out)
        if made is not None:
            return made
    source = images.accept(image, images.MOVED, axes=axes)
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    turned = set(map(images.axis, given))
    if not turned or len(turned) < len(given):
        raise ValueError(f"axis must be 0, 1 or (0, 1), got {axis!r}")
    return run(plan_flip, source, 0 in turned, 1 in turned, backend=backend, out=out)


# What is turned by the number of an axis: the rows, the columns.
_TURNED = {0: (True, False), -2: (True, False), 1: (False, True), -1: (False, True)}


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
        Number of rotations by 90 degrees; negative numbers rotate clockwise.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    contiguous array of the same dtype, (W, H) or (W, H, C) where ``k`` is odd

    Raises
    ------
    TypeError : ``k`` is not a whole number

    Notes
    -----
    Differs from `numpy.rot90`, which returns a view.

    References
    ----------
    .. [1] `numpy.rot90`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rot90(np.array([[1, 2], [3, 4]], np.uint8))
    array([[2, 4],
           [1, 3]], dtype=uint8)
    """
    if axes is None and type(k) is int and -4 <= k <= 4:
        made = at_once(plan_rot90, image, (k % 4,), backend, out)
        if made is not None:
            return made
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
