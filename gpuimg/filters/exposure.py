"""Intensities: pointwise filters and histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gpuimg import images
from gpuimg.images import BOOL, DTYPES, FLOAT32, FLOAT64, UINT8
from gpuimg.keeping import kept
from gpuimg.plans.alpha import colors_of, each_channel
from gpuimg.plans.nodes import copied, fold, host, parts, point, resample, view
from gpuimg.plans.value import Small, Value
from gpuimg.registry import register
from gpuimg.run import at_once, run
from gpuimg.typing import Backend, ImageLike, Intensities, Out, SameImage, Size

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

Array = np.ndarray[Any, Any]
COUNTS = np.dtype(np.int64)
UINT16 = np.dtype(np.uint16)
FLOAT_BINS = 256  # as in scikit-image
_DEPTHS = {"uint10": 10, "uint12": 12, "uint14": 14}  # bits of pixels stored in 16 bits
RANGES = ("image", "dtype", *_DEPTHS, *map(str, DTYPES))  # once: str(dtype) takes microseconds
_INTEGERS: frozenset[np.dtype[Any]] = frozenset(dtype for dtype in DTYPES if dtype.kind in "iu")


@register(kinds="buif", alpha="kept")
def invert(
    image: SameImage,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Invert intensities.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array, also bool
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``max - image`` for unsigned integers, ``-1 - image`` for signed integers (the
    minimum becomes the maximum), ``1 - image`` for floats, ``~image`` for bool, as in scikit-image.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.invert(np.array([[0, 200]], np.uint8))
    array([[255,  55]], dtype=uint8)
    """
    if axes is None and alpha is None and (made := at_once(plan_invert, image, (), backend, out)) is not None:
        return made
    source = images.accept(image, images.WITH_BOOL, axes=axes, alpha=alpha)
    return run(plan_invert, source, alpha="kept", backend=backend, out=out)


def plan_invert(image: Value) -> Value:
    return point("invert", image, work=0.5, masked=int(image.dtype == BOOL))


def upside_down(image: Any) -> Any:
    """Return an example of another image."""
    return image[::-1]


@register(
    {"other": upside_down, "alpha": 0.3}, {"other": upside_down, "alpha": -0.5}, images=("other",), alpha="channel"
)
def blend(
    image: SameImage,
    other: ImageLike,
    alpha: float,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Blend two images linearly.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    other : array of the image's dtype and of its shape or one that broadcasts to it, see `add`
    alpha : number
        Weight of ``other``: 0 returns ``image``, 1 returns ``other``; values outside [0, 1] extrapolate.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``(1 - alpha) * image + alpha * other``, integers rounded half to even

    Raises
    ------
    TypeError, ValueError : ``other`` does not fit in shape or dtype, or ``alpha`` is not a finite number

    References
    ----------
    .. [1] `PIL.Image.blend`, which truncates.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.blend(np.array([[0, 200]], np.uint8), np.array([[100, 100]], np.uint8), 0.25)
    array([[ 25, 175]], dtype=uint8)
    """
    if axes is None and is_plain(alpha):
        made = at_once(plan_blend, image, (float(alpha),), backend, out, (other,))
        if made is not None:
            return made
    source = images.accept(image, axes=axes)
    share = images.number("alpha", alpha)
    second = images.accept_broadcast("other", other, source)
    return run(plan_blend, source, share, others=(second,), backend=backend, out=out)


def is_plain(value: Any) -> bool:
    """Whether a value is an int, or a float other than -0.0, which `at_once` takes for 0.0."""
    return type(value) is int or (type(value) is float and (value != 0 or math.copysign(1.0, value) > 0))


def plan_blend(image: Value, other: Value, alpha: float) -> Value:
    if alpha in (0, 1):
        return copied(other if alpha else image)
    return point("weighted_sum", image, other=other, weight=1 - alpha, other_weight=alpha)


_CONVERTED = tuple(dtype for dtype in images.KNOWN if dtype in images.WITH_LABELS)


@register({"dtype": "float32"}, {"dtype": "uint8"}, kinds="buif", also=images.WITH_LABELS, alpha="channel")
def astype(
    image: ImageLike,
    dtype: DTypeLike,
    scale: bool = False,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Convert an image to another dtype, rounded and saturated.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    dtype : one of these, as a name or a NumPy dtype
    scale : bool
        Map the range of the image's dtype to that of ``dtype``. The ranges are 0 to the maximum for unsigned integers
        and bool, and 0 to 1 for floats. The range of int16 corresponds to floats from -1 to 1: its maximum becomes 1,
        and negative values become 0 in unsigned integers. float32 and float64 have the same range.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and of ``dtype``. Conversion to integers rounds half to even, saturates values out of range
    and turns NaN into 0. Conversion to bool makes nonzero values True; with ``scale``, values above half the range.

    Raises
    ------
    TypeError : the dtype of the image or ``dtype`` is not one of these, or ``scale`` is true and one of them is int32,
        whose values are labels or counts

    References
    ----------
    .. [1] `skimage.util.img_as_ubyte`, `img_as_uint`, `img_as_int`, `img_as_float32` and `img_as_bool` for ``scale``;
       they round integers down instead of to the nearest, and reject floats outside [-1, 1].

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.astype(np.array([[-1, 0.5, 1.5, 300]], np.float32), "uint8")
    array([[  0,   0,   2, 255]], dtype=uint8)
    >>> gpuimg.astype(np.array([[0, 0.5, 1]], np.float32), "uint8", scale=True)
    array([[  0, 128, 255]], dtype=uint8)
    """
    source = images.accept(image, images.WITH_LABELS, axes=axes)
    wanted = dtype_among(_CONVERTED, dtype)
    scales = images.flag("scale", scale)
    if scales and images.INT32 in (source.dtype, wanted):
        raise TypeError(
            f"scale must be False from {source.dtype} to {wanted}: int32 holds labels or counts, which have no range"
        )
    return run(plan_astype, source, wanted, scales, backend=backend, out=out)


def dtype_among(known: Sequence[np.dtype[Any]], dtype: Any) -> np.dtype[Any]:
    """Return a dtype, given in any form that NumPy accepts, or raise a `TypeError` that names the known ones."""
    with suppress(TypeError, ValueError):
        wanted: np.dtype[Any] = np.dtype(dtype)
        if dtype is not None and wanted in known:  # NumPy takes None for float64
            return wanted
    raise TypeError(f"dtype must be one of {', '.join(map(str, known))}, got {dtype!r}")


def converted(image: Value, dtype: np.dtype[Any]) -> Value:
    """Convert an image to another dtype; an image that already has it is returned as is, not copied."""
    return image if image.dtype == dtype else plan_astype(image, dtype, False)


def plan_astype(image: Value, dtype: np.dtype[Any], scale: bool) -> Value:
    """Copy if the dtype is the same; convert to bool by comparison, and from bool by a look-up table."""
    if image.dtype == dtype:
        return copied(image)
    if dtype == BOOL:
        return plan_threshold(image, _middle(image.dtype)) if scale else point("nonzero", image, dtype=BOOL, work=0.5)
    if not scale or {image.dtype, dtype} == {FLOAT32, FLOAT64}:
        return point("convert", image, dtype=dtype, work=0.5)
    if image.dtype == BOOL:
        return point("lut", image, dtype=dtype, table=_mask_values(dtype))
    return point("convert_range", image, dtype=dtype)


def _middle(dtype: np.dtype[Any]) -> float:
    """Return half of the maximum."""
    return 0.5 if dtype.kind == "f" else images.limits(dtype)[1] / 2


@cache
def _mask_values(dtype: np.dtype[Any]) -> Array:
    """Return the look-up table for False and True."""
    table = np.zeros((1, 256), dtype)
    table[0, 1:] = 1 if dtype.kind == "f" else images.limits(dtype)[1]
    return table


def _negative(image: Any) -> Array:
    """Return an example of a table."""
    return np.arange(1 << 8 * min(image.dtype.itemsize, 2))[::-1].astype(image.dtype)


@register({"table": _negative}, kinds="ui", alpha="kept")
def lut(
    image: ImageLike,
    table: ArrayLike,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Apply a look-up table.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16 or int16
    table : (N,) array of bool, uint8, uint16, int16, int64, float32 or float64
        One entry for each value of the image's dtype: N is 256 for uint8, otherwise 65536. The entries for negative
        int16 values are the second half, as in NumPy's indexing.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the image's shape and the table's dtype: ``table[image]``

    Raises
    ------
    TypeError : the dtype of the image or of the table is not one of these
    ValueError : the table does not have one entry for each value

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> squares = np.arange(256, dtype=np.float32) ** 2
    >>> gpuimg.lut(np.array([[2, 3]], np.uint8), squares)
    array([[4., 9.]], dtype=float32)
    """
    source = images.accept(image, _INTEGERS, axes=axes, alpha=alpha)
    entries = np.asarray(table)
    known = (BOOL, *DTYPES, COUNTS)
    if entries.dtype not in known:
        raise TypeError(f"table must have one of the dtypes {', '.join(map(str, known))}, got {entries.dtype}")
    needed = 1 << 8 * source.dtype.itemsize
    if entries.shape != (needed,):
        raise ValueError(f"table must have the shape ({needed},) for {source.dtype} images, got {entries.shape}")
    entries = np.ascontiguousarray(entries, entries.dtype.newbyteorder("=")).reshape(1, -1)
    stored = entries.view(np.uint8) if entries.dtype == BOOL else entries
    return run(plan_lut, source, entries.dtype, tables=(stored,), alpha="kept", backend=backend, out=out)


def plan_lut(image: Value, table: Small, dtype: np.dtype[Any]) -> Value:
    """Look up each value; the table has one row for each channel, or one for all."""
    return point("lut", _unsigned(image), dtype=dtype, table=table)


def _unsigned(image: Value) -> Value:
    """View int16 images as uint16, whose values index a table."""
    return view(image, UINT16) if image.dtype == np.int16 else image


@register({"gamma": 2.2}, {"gamma": 0.5, "gain": 1.3}, {"gamma": 0}, alpha="kept")
def adjust_gamma(
    image: ImageLike,
    gamma: float = 1,
    gain: float = 1,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Apply gamma correction: raise each value, scaled by the maximum, to a power.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array without negative values
    gamma : number >= 0
        Exponent: above 1 makes the image darker, below 1 brighter.
    gain : number
        Factor of the result.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``gain * scale * (image / scale) ** gamma``, where ``scale`` is the dtype's
    maximum, or 1 for floats. Integers are rounded half to even and saturated.

    Raises
    ------
    ValueError : the image has negative values, ``gamma`` is negative, or either number is not finite

    References
    ----------
    .. [1] `skimage.exposure.adjust_gamma`, which truncates 16-bit integers and lets them wrap around.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.adjust_gamma(np.array([[0, 128, 255]], np.uint8), 2)
    array([[  0,  64, 255]], dtype=uint8)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    power = images.number("gamma", gamma, low=0)
    factor = images.number("gain", gain)
    return run(plan_adjust_gamma, source, power, factor, alpha="kept", backend=backend, out=out)


def plan_adjust_gamma(image: Value, power: float, factor: float) -> Value:
    """Use a look-up table for integers and a series for floats; raise if a value is negative."""
    if image.dtype.kind == "f":
        exponent = host(partial(_if_not_negative, power), plan_extrema(image))
        return point("power", image, work=6.0, exponent=exponent, factor=factor)
    table = _powers(image.dtype, power, factor)
    if image.dtype.kind == "u":
        return point("lut", image, table=table)
    return plan_lut(image, host(partial(_if_not_negative, table), plan_extrema(image)), image.dtype)


def _powers(dtype: np.dtype[Any], power: float, factor: float) -> Array:
    """Return the table of `adjust_gamma`; entries for negative values are never used."""
    low, high = images.limits(dtype)
    shares = np.arange(1 << 8 * dtype.itemsize) / high
    values = np.clip(np.rint(high * factor * shares**power), low, high)
    return values.astype(dtype).reshape(1, -1)


def _if_not_negative(argument: Any, extrema: Array) -> Any:
    if extrema[0] < 0:
        raise ValueError(f"image must not have negative values, the minimum is {extrema[0]:g}")
    return argument


@register({"min": 30, "max": 120}, {"min": 0.5}, {"max": 99.5}, alpha="kept")
def clip(
    image: SameImage,
    min: float | None = None,
    max: float | None = None,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Limit the values of an image to a range.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    min, max : number, optional
        Ends of the range; None for no limit. For an integer image, the range is that of the integers between them, and
        ends beyond the dtype's range are clipped to it. For a float32 image, they are converted to float32.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: values below ``min`` become ``min``, values above ``max`` become ``max``; NaN
    stays NaN

    Raises
    ------
    ValueError : ``min`` or ``max`` is NaN, or the range is empty

    References
    ----------
    .. [1] `numpy.clip`, which returns another dtype if the image's cannot represent an end of the range.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.clip(np.array([[0, 100, 200]], np.uint8), 50, 150)
    array([[ 50, 100, 150]], dtype=uint8)
    """
    if axes is None and alpha is None and is_plain(min) and is_plain(max):
        made = at_once(plan_clip, image, (float(min), float(max)), backend, out)  # type: ignore[arg-type]
        if made is not None:
            return made
    source = images.accept(image, axes=axes, alpha=alpha)
    low, high = _clip_end("min", min, -math.inf), _clip_end("max", max, math.inf)
    if low > high or (source.dtype.kind != "f" and _whole_range(low, high, source.dtype) is None):
        raise ValueError(f"min must be at most max, with a value of {source.dtype} between them, got {min} and {max}")
    return run(plan_clip, source, low, high, alpha="kept", backend=backend, out=out)


def _clip_end(name: str, value: float | None, without: float) -> float:
    end = without if value is None else images.number(name, value, finite=False)
    if math.isnan(end):
        raise ValueError(f"{name} must not be NaN")
    return end


def _whole_range(low: float, high: float, dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Return the first and last integer of a range, clipped to the dtype's; None if the range holds no integer."""
    minimum, maximum = images.limits(dtype)
    first = minimum if low <= minimum else maximum if low >= maximum else math.ceil(low)
    last = maximum if high >= maximum else minimum if high <= minimum else math.floor(high)
    return (first, last) if first <= last else None


def plan_clip(image: Value, low: float, high: float) -> Value:
    if math.isinf(low) and math.isinf(high) and low < high:
        return copied(image)
    if image.dtype.kind == "f":
        with np.errstate(over="ignore"):
            ends: tuple[float, float] | None = (float(image.dtype.type(low)), float(image.dtype.type(high)))
    else:
        ends = _whole_range(low, high, image.dtype)
    assert ends is not None, "a range without a value"
    return point("clip", image, work=0.5, low=ends[0], high=ends[1])


@register({"value": 100}, {"value": 0.5}, {"value": upside_down}, operands=("value",))
def threshold(
    image: ImageLike,
    value: ImageLike | float,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Return a binary mask of pixels above a threshold.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    value : number, or array of the image's dtype, float32 or float64, of its shape or one that broadcasts to it
        Threshold, or the threshold of each pixel, as `threshold_local` returns it; for its shape see `add`. A number
        need not be a value of the image's dtype; for a float32 image it is converted to float32, as in NumPy.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape: ``image > value``; False where either is NaN

    Raises
    ------
    TypeError, ValueError : ``value`` is not a number or does not fit in shape or dtype

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[99, 100, 101]], np.uint8)
    >>> gpuimg.threshold(image, 100)
    array([[False, False,  True]])
    >>> gpuimg.threshold(image, np.array([[98, 100, 102]], np.uint8))
    array([[ True, False, False]])
    """
    if axes is None and alpha is None and (type(value) is float or type(value) is int):
        made = at_once(plan_threshold, image, (float(value),), backend, out)
        if made is not None:
            return made
    elif axes is None and alpha is None and type(value) is np.ndarray:
        made = at_once(plan_threshold_image, image, (), backend, out, (value,))
        if made is not None:
            return made
    source = images.accept(image, axes=axes, alpha=alpha)
    limit = images.operand("value", value, source, {source.array.dtype, FLOAT32, FLOAT64})
    if isinstance(limit, float):
        return run(plan_threshold, source, limit, backend=backend, out=out)
    return run(plan_threshold_image, source, others=(limit,), backend=backend, out=out)


def plan_threshold(image: Value, value: float) -> Value:
    limit, always = threshold_args(value, image.dtype)
    return point("threshold", image, dtype=BOOL, work=0.5, value=limit, always=always)


def plan_threshold_image(image: Value, value: Value) -> Value:
    if image.dtype != value.dtype:  # the wider floats hold both exactly
        dtype = images.real(image.dtype, value.dtype)
        image, value = converted(image, dtype), converted(value, dtype)
    return point("threshold_image", image, dtype=BOOL, work=0.5, value=colors_of(value, image))


def threshold_args(value: float, dtype: np.dtype[Any]) -> tuple[int | float, int]:
    """Return a threshold in the image's dtype, and whether every pixel lies above it."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(value)), 0
    low, high = images.limits(dtype)
    if math.isnan(value) or value >= high:
        return high, 0
    if value < low:
        return low, 1
    return math.floor(value), 0


@register({}, {"in_range": (30, 120), "out_range": (5, 90)}, {"in_range": "dtype", "out_range": (40, 20)}, alpha="kept")
def rescale_intensity(
    image: ImageLike,
    in_range: Intensities = "image",
    out_range: Intensities = "dtype",
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Stretch or shrink the intensity range.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels share one range
    in_range : {"image", "dtype"}, a dtype or its name, or two numbers
        Range that is mapped to ``out_range``; values outside are clipped. "image": from the minimum to the maximum.
        "uint10", "uint12" and "uint14" are the ranges of 10, 12 and 14 bits.
    out_range : {"dtype", "image"}, a dtype or its name, or two numbers
        Range of the result, and its dtype if one is named: uint16 for 10, 12 and 14 bits. A dtype's range begins at 0
        if ``in_range`` is not negative; the range of floats is -1 to 1.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape, of the dtype that ``out_range`` names or otherwise the image's; integers within 1 of the
    exact value

    Raises
    ------
    ValueError : a range is not one of these or not finite, or a float image whose range is needed holds NaN or infinity

    Notes
    -----
    Differs from `skimage.exposure.rescale_intensity`, which returns floats if ``out_range`` is two numbers, and only
    NaN for an image with NaN whose minimum and maximum are needed.

    References
    ----------
    .. [1] `skimage.exposure.rescale_intensity`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rescale_intensity(np.array([[51, 102, 153]], np.uint8))
    array([[  0, 128, 255]], dtype=uint8)
    """
    source = images.accept(image, axes=axes, alpha=alpha, together=True)
    ranges = _given_range("in_range", in_range), _given_range("out_range", out_range)
    return run(plan_rescale_intensity, source, *ranges, alpha="kept", backend=backend, out=out)


Range: TypeAlias = "str | tuple[float, float]"


def plan_rescale_intensity(image: Value, in_range: Range, out_range: Range) -> Value:
    dtype = image.dtype if isinstance(out_range, tuple) or out_range in ("image", "dtype") else _named(out_range)
    given = partial(_rescaling, image.dtype, dtype, in_range, out_range)
    if "image" in (in_range, out_range):
        low, high, unit, factor, minimum = host(given, plan_extrema(image), count=5)
    else:
        low, high, unit, factor, minimum = given(None)
    return point("rescale", image, dtype=dtype, low=low, high=high, unit=unit, factor=factor, minimum=minimum)


def _rescaling(
    dtype: np.dtype[Any], wanted: np.dtype[Any], in_range: Range, out_range: Range, extrema: Array | None
) -> tuple[float, float, float, float, float]:
    """Return the kernel's arguments: the range of the image, its unit, the factor, the result's minimum."""
    low, high = _range_of(in_range, dtype, extrema, False)
    out_low, out_high = _range_of(out_range, dtype, extrema, low >= 0)
    if low == high:  # nothing to stretch
        return low, high, 1.0, 0.0, min(max(low, out_low), out_high)
    unit = _unit(low, high, images.real(dtype, wanted))
    return low, high, unit, (out_high - out_low) / (high * unit - low * unit), out_low


def _unit(low: float, high: float, real: np.dtype[Any]) -> float:
    """Return a power of two to scale values by, so that neither their differences nor the inverse overflow."""
    exponent = _exponent(high / 2 - low / 2) + 1
    most = np.finfo(real).maxexp - 8
    return 1.0 if abs(exponent) < most - 32 else math.ldexp(1.0, max(-most, min(-exponent, most)))


def _exponent(value: float) -> int:
    return math.frexp(value)[1]


def _named(name: str) -> np.dtype[Any]:
    return np.dtype("uint16" if name in _DEPTHS else name)


def _given_range(name: str, given: Any) -> str | tuple[float, float]:
    named = np.dtype(given).name if isinstance(given, np.dtype | type) else given
    if isinstance(named, str):
        if named not in RANGES:
            raise ValueError(f"{name} must be 'image', 'dtype', a dtype or two numbers, got {given!r}")
        return named
    low, high = images.pair(name, given)
    return images.signed(images.number(name, low), images.number(name, high))


def _range_of(
    given: str | tuple[float, float], dtype: np.dtype[Any], extrema: Any, from_zero: bool
) -> tuple[float, float]:
    if isinstance(given, tuple):
        return given
    if given == "image":
        return finite_range(extrema)
    named = dtype if given == "dtype" else _named(given)
    if given in _DEPTHS:
        low, high = 0, 2 ** _DEPTHS[given] - 1
    else:
        low, high = (-1, 1) if named.kind == "f" else images.limits(named)
    return 0.0 if from_zero else float(low), float(high)


def plan_value_counts(image: Value) -> Small:
    """Count the values of an integer image, for each channel."""
    low, high = images.limits(image.dtype)
    shape = (image.channels, high - low + 1)
    return fold("histogram", image, shape=shape, dtype=COUNTS, work=1.5, low=low)


def plan_extrema(image: Value) -> Small:
    """Compute the minimum and maximum, NaN if the image holds NaN."""
    return fold("minmax", image, shape=(2,), dtype=FLOAT64, combine="minmax")


def finite_range(extrema: Array) -> tuple[float, float]:
    low, high = map(float, extrema)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"image must be finite, got values from {low} to {high}")
    return low, high


def _edges(low: float, high: float, bins: int, dtype: np.dtype[Any]) -> Array:
    """Return the edges of numpy.histogram's bins for values from low to high, also for ranges that NumPy rejects.

    In float64 if the image's precision cannot tell them apart; if even float64 cannot, around the range."""
    for kind in (dtype, FLOAT64):
        with suppress(ValueError):
            edges = _numpy_edges(low, high, bins, kind)
            if (edges[1:] > edges[:-1]).all():
                return edges
    step = math.ulp(max(abs(low), abs(high)))
    most = float(np.finfo(FLOAT64).max)
    begin = max(-most, min(low / 2 + high / 2 - bins // 2 * step, most - bins * step))
    return begin + np.arange(bins + 1) * step


def _numpy_edges(low: float, high: float, bins: int, dtype: np.dtype[Any]) -> Array:
    """Return NumPy's edges; for a range that overflows, which NumPy rejects, the edges of half the range, doubled."""
    ends = np.array([low, high], dtype)
    if float(high) - float(low) > float(np.finfo(dtype).max):
        ends /= 2
        return 2 * np.histogram_bin_edges(ends, bins)
    if ends[0] == ends[1]:
        return np.histogram_bin_edges(ends, bins)
    # As `histogram_bin_edges` does, after checks that take longer.
    return np.linspace(ends[0], ends[1], bins + 1, dtype=dtype)


def centers_of(edges: Array) -> Array:
    with np.errstate(over="ignore"):
        sums = edges[1:] + edges[:-1]
    return np.where(np.isfinite(sums), sums / 2, edges[1:] / 2 + edges[:-1] / 2)


@register({}, {"bins": 16})
def histogram(
    image: ImageLike,
    bins: int = 256,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Array | None = None,
) -> tuple[Any, Any]:
    """Compute the histogram of an image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels are counted together
    bins : int
        Number of equal bins from the minimum to the maximum, the last one closed.
    axes, alpha, backend : see `gpuimg.filters`
    out : (bins,) int64 array for the counts

    Returns
    -------
    counts : (bins,) int64 array
    edges : (bins + 1,) float array

    Raises
    ------
    ValueError : ``bins`` is not positive, or a float image holds NaN or infinity

    Notes
    -----
    Counts and edges are those of `numpy.histogram`. If the range of a float32 image is too small for ``bins`` distinct
    edges, they are float64; if it is too small for those too, they lie around it, one unit in the last place apart.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> counts, edges = gpuimg.histogram(np.array([[0, 1, 1, 4]], np.uint8), bins=2)
    >>> counts, edges
    (array([3, 1]), array([0., 2., 4.]))
    """
    source = images.accept(image, axes=axes, alpha=alpha, together=True)
    bins = images.whole("bins", bins, high=1 << 24)
    if source.array.size == 0:
        counts, edges = _nothing_counted(source.stack, bins)
    else:
        counts, edges = run(plan_histogram, source, bins, backend=backend)
    if out is None:
        return counts, edges
    images.check_out(out, counts.shape, counts.dtype, counts)
    out[...] = counts
    return out, edges


def _nothing_counted(stack: tuple[int, ...], bins: int) -> tuple[Array, Array]:
    edges = np.broadcast_to(_edges(0, 1, bins, FLOAT64), (*stack, bins + 1))
    return np.zeros((*stack, bins), COUNTS), edges.copy()


def plan_histogram(image: Value, bins: int) -> tuple[Small, Small]:
    """Compute the counts and edges of the bins."""
    if image.dtype.kind == "f":
        edges, counts = plan_float_counts(image, bins)
        return counts, edges
    counts, edges = host(partial(_rebin, image.dtype, bins), plan_value_counts(image), count=2)
    return counts, edges


def summed_channels(counts: Array) -> Array:
    """Add up the counts of all channels; one channel needs no sum, which would be slow."""
    return counts[0] if len(counts) == 1 else counts.sum(axis=0)


def _rebin(dtype: np.dtype[Any], bins: int, counts: Array) -> tuple[Array, Array]:
    """Compute the counts and edges of bins from the counts of all values of all channels."""
    total = summed_channels(counts)
    low, _ = images.limits(dtype)
    (present,) = total.nonzero()
    if dtype.itemsize == 1:
        first, last = int(present[0]), int(present[-1])
        places, edges = _bins_of_bytes(first, last, bins)
        return np.bincount(places, total[first : last + 1], bins).astype(COUNTS), edges.copy()
    # As in numpy.histogram, the edges define the bins: each bin is a slice of the sorted values.
    values = present + low
    edges = np.histogram_bin_edges(values[[0, -1]].astype(dtype), bins)
    begins = np.searchsorted(values, edges[:-1])
    begins[0] = 0
    before = np.concatenate([np.zeros(1, COUNTS), np.cumsum(total[present])])
    return np.diff(before[np.append(begins, len(values))]).astype(COUNTS), edges


@kept(64, lambda made: made[0].nbytes + made[1].nbytes)
def _bins_of_bytes(low: int, high: int, bins: int) -> tuple[Array, Array]:
    """Return the bin of each value from low to high, and the edges; cached, as this is slower than counting pixels."""
    counts, edges = np.histogram(np.arange(low, high + 1).astype(UINT8), bins)
    return np.repeat(np.arange(bins), counts), edges


def plan_float_counts(image: Value, bins: int, extrema: Small | None = None) -> tuple[Small, Small]:
    """Compute the edges of bins from the minimum to the maximum, and the counts."""
    edges = host(partial(_edges_of, image.dtype, bins), extrema or plan_extrema(image))
    exact = host(_as_doubles, edges)
    return edges, fold("bincount", image, shape=(bins,), dtype=COUNTS, work=4.0, edges=exact)


def _edges_of(dtype: np.dtype[Any], bins: int, extrema: Array) -> Array:
    return _edges(*finite_range(extrema), bins, dtype)


def _as_doubles(edges: Array) -> Array:
    return edges.astype(np.float64)


@register(alpha="kept")
def equalize_hist(
    image: ImageLike,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Equalise the histogram.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; each channel is equalised independently
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: the cumulative distribution, that is the fraction of pixels not brighter than
    each pixel. For integers it is scaled to the dtype's full range and rounded half to even; for floats it is from 0 to
    1, interpolated between 256 bins.

    Raises
    ------
    ValueError : a float image holds NaN or infinity

    Notes
    -----
    Differs from `skimage.exposure.equalize_hist` for integers, where scikit-image returns float64 from 0 to 1.

    References
    ----------
    .. [1] R. C. Gonzalez, R. E. Woods, "Digital Image Processing", 4th edition, 2018, section 3.3. Floats as in
       `skimage.exposure.equalize_hist`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.equalize_hist(np.array([[10, 11, 12, 13]], np.uint8))
    array([[ 64, 128, 191, 255]], dtype=uint8)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    if source.dtype.kind == "f" and source.channels > 1 and not source.has_alpha:
        source = images.by_channels(source)
    return run(plan_equalize_hist, source, alpha="kept", backend=backend, out=out)


def plan_equalize_hist(image: Value) -> Value:
    """Apply the cumulative histogram as a table, for floats interpolated between the centres of bins."""
    if image.dtype.kind == "f" and image.channels > 1:
        return each_channel(image, plan_equalize_hist)
    if image.dtype.kind == "f":
        edges, counts = plan_float_counts(image, FLOAT_BINS)
        low, high, table = host(_cumulated, counts, edges, count=3)
        return point("interpolate", image, work=6.0, low=low, high=high, table=table)
    plain = _unsigned(image)
    shape = (image.channels, 1 << 8 * image.dtype.itemsize)
    counts = fold("histogram", plain, shape=shape, dtype=COUNTS, work=1.5, low=0)
    return point("lut", plain, dtype=image.dtype, table=host(partial(_equalizing, image.dtype), counts))


def _cumulated(counts: Array, edges: Array) -> tuple[Array, Array, Array]:
    share = np.cumsum(counts) / counts.sum()
    centers = centers_of(edges)
    return centers[:1].astype(FLOAT64), centers[-1:].astype(FLOAT64), share.reshape(1, -1)


def _equalizing(dtype: np.dtype[Any], counts: Array) -> Array:
    """Return the look-up table of each channel; counts and table are indexed by the unsigned bit pattern."""
    low, high = images.limits(dtype)
    ordered = np.roll(counts, -low, axis=1) if low else counts
    share = ordered.cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    spread = np.rint(low + share * (high - low)).astype(dtype)
    return np.ascontiguousarray(np.roll(spread, low, axis=1)) if low else spread


GREY_LEVELS = 1 << 14  # to which scikit-image rounds images
LEVELS_PER_BIN = 65
IDENTITY = np.arange(256, dtype=np.uint8).reshape(1, -1)
MOST_TILES = 1 << 16  # of images of any size
TILE_PIXELS = 256  # minimum if there are more tiles: the number of entries in a tile's table


@register({}, {"kernel_size": (9, 7), "clip_limit": 0.05}, {"kernel_size": 5, "clip_limit": 0}, alpha="kept")
def equalize_adapthist(
    image: ImageLike,
    kernel_size: Size | None = None,
    clip_limit: float = 0.01,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Equalise the histogram locally, with limited contrast (CLAHE).

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; each channel is equalised independently
    kernel_size : int or (rows, columns)
        Size of the tiles whose histograms are equalised, clipped to the image's. By default 1/8 of its height and
        width.
    clip_limit : number from 0 to 1
        Maximum fraction of a tile's pixels counted in one bin; the excess is spread over the other bins. Higher values
        give more contrast; 0 and 1 mean no limit.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: the fraction of a tile's pixels that are not brighter, interpolated linearly
    between the centres of tiles and stretched to the dtype's range (0 to 1 for floats), up to rounding. Integers are
    rounded half to even. A constant image becomes the maximum.

    Raises
    ------
    ValueError : a size is not positive, or results in more than 65536 tiles with fewer than 256 pixels each;
        ``clip_limit`` is not between 0 and 1; a float image holds NaN or infinity

    Notes
    -----
    As in scikit-image, there are 253 bins from the image's minimum to its maximum, and tiles that reach beyond the
    image continue with its reflection.

    Differs from `skimage.exposure.equalize_adapthist`, which returns float64, in three ways: fractions are rounded to
    16 bits, where scikit-image truncates to 14, so that they differ by less than 0.0005; tiles are not larger than the
    image; and colours are filtered by channel, where scikit-image filters the value of HSV.

    References
    ----------
    .. [1] K. Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV, 1994, 474-485.
    .. [2] `skimage.exposure.equalize_adapthist`, `cv2.createCLAHE`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.equalize_adapthist(np.array([[10, 11, 12, 13]], np.uint8), (1, 4), clip_limit=0)
    array([[  0,  85, 170, 255]], dtype=uint8)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    size = None
    if kernel_size is not None:
        rows, cols = images.pair("kernel_size", kernel_size)
        size = images.whole("kernel_size", rows), images.whole("kernel_size", cols)
    limit = images.number("clip_limit", clip_limit, low=0, high=1)
    if source.channels > 1 and not source.has_alpha:
        source = images.by_channels(source)
    return run(plan_equalize_adapthist, source, size, limit, alpha="kept", backend=backend, out=out)


def plan_equalize_adapthist(image: Value, size: tuple[int, int] | None, clip_limit: float) -> Value:
    """Compute a table for each tile, blend the tables of neighbouring tiles, and stretch the result.

    Tables are indexed by bins; for uint8 by values, with the bins in the tables.
    """
    if image.channels > 1:
        return each_channel(image, partial(plan_equalize_adapthist, size=size, clip_limit=clip_limit))
    rows, cols, count = _tiling(image.shape[:2], size)
    binned, bins = _binned(image)
    tables = parts(
        "tile_equalizing",
        binned,
        count=count,
        shape=(count, 256),
        dtype=FLOAT32,
        tile_rows=rows,
        tile_cols=cols,
        bins=bins,
        clip_limit=clip_limit,
        scale=float(np.iinfo(UINT16).max),
    )
    shares = resample(
        "tile_blending",
        binned,
        shape=image.shape,
        dtype=UINT16,
        work=2.0,
        tile_rows=rows,
        tile_cols=cols,
        tables=tables,
    )
    low, high, unit, factor, minimum = host(partial(_stretching, image.dtype), plan_extrema(shares), count=5)
    return point("rescale", shares, dtype=image.dtype, low=low, high=high, unit=unit, factor=factor, minimum=minimum)


def _binned(image: Value) -> tuple[Value, Any]:
    """Return an image of bytes and the bin of each byte."""
    extrema = plan_extrema(image)
    if image.dtype.kind == "f":
        low, high, unit, factor, minimum = host(partial(_binning, image.dtype), extrema, count=5)
        made = point("rescale", image, dtype=UINT8, low=low, high=high, unit=unit, factor=factor, minimum=minimum)
        return made, IDENTITY
    bins = host(partial(_bins, image.dtype), extrema)
    return (image, bins) if image.dtype == UINT8 else (plan_lut(image, bins, UINT8), IDENTITY)


def _tiling(shape: tuple[int, ...], size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Return the rows and columns of a tile, and the number of tiles."""
    wanted = size or (shape[0] // 8, shape[1] // 8)
    rows, cols = (max(min(each, extent), 1) for each, extent in zip(wanted, shape, strict=True))
    count = -(-shape[0] // rows) * -(-shape[1] // cols)
    if count > max(MOST_TILES, math.prod(shape) // TILE_PIXELS):
        raise ValueError(
            f"kernel_size must be larger for an image of shape {shape}: {(rows, cols)} makes {count} tiles, and "
            f"at most {MOST_TILES} may have fewer than {TILE_PIXELS} pixels"
        )
    return rows, cols, count


def _bins(dtype: np.dtype[Any], extrema: Array) -> Array:
    """Return the bin of each value of an integer dtype, indexed by the unsigned bit pattern."""
    minimum, maximum = images.limits(dtype)
    low, high = map(int, extrema)
    above = np.clip(np.arange(minimum, maximum + 1), low, high) - low
    levels = np.rint(above * (GREY_LEVELS - 1) / max(high - low, 1))
    return np.roll(levels // LEVELS_PER_BIN, minimum).astype(np.uint8).reshape(1, -1)


def _binning(dtype: np.dtype[Any], extrema: Array) -> tuple[float, float, float, float, float]:
    """Return the arguments for `rescale` to bin floats: as it rounds, subtract half a bin minus half a level."""
    low, high, unit, factor, _ = _rescaling(dtype, UINT8, "image", (0, (GREY_LEVELS - 1) / LEVELS_PER_BIN), extrema)
    return low, high, unit, factor, 0.5 / LEVELS_PER_BIN - 0.5


def _stretching(dtype: np.dtype[Any], extrema: Array) -> tuple[float, float, float, float, float]:
    """Return the arguments for `rescale` to stretch fractions to the range of a dtype."""
    range_ = (0.0, 1.0) if dtype.kind == "f" else _range_of("dtype", dtype, None, False)
    low, high, unit, factor, minimum = _rescaling(UINT16, dtype, "image", range_, extrema)
    return low, high, unit, factor, minimum if low < high else range_[1]


def _portrait(image: Any) -> Array:
    """Return an example of a reference: a mostly dark image of another size."""
    dtype, channels = image.dtype, image.shape[2:]
    low, high = images.limits(dtype) if dtype in _INTEGERS else (0, 1)
    share = np.random.default_rng(7).beta(2, 5, (31, 23, *channels))
    return (low + share * (high - low)).astype(dtype)


@register({"reference": _portrait}, kinds="ui", images=("reference",), alpha="kept")
def match_histograms(
    image: ImageLike,
    reference: ImageLike,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Match the histogram of an image to that of a reference.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16 or int16
    reference : (h, w) or (h, w, C) array of the image's dtype, of any size
        Each channel is matched to the same channel of the reference. For a stack of images, one reference for all, or a
        stack with the same axes.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the image's shape and dtype. Each value becomes the value at which the reference's cumulative histogram is
    the same, interpolated linearly between the reference's values and rounded half to even.

    Raises
    ------
    ValueError : the reference has another number of channels, or no pixels
    TypeError : the dtypes differ, or are not one of these

    Notes
    -----
    Differs from `skimage.exposure.match_histograms`, which rounds integer channels towards zero and returns float64 for
    images without channels.

    References
    ----------
    .. [1] `skimage.exposure.match_histograms` with ``channel_axis``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.match_histograms(np.array([[0, 1, 2, 3]], np.uint8), np.array([[100, 150], [200, 250]], np.uint8))
    array([[100, 150, 200, 250]], dtype=uint8)
    """
    source = images.accept(image, _INTEGERS, axes=axes, together=True, alpha=alpha)
    other = _reference(reference, source)
    return run(plan_match_histograms, source, others=(other,), alpha="kept", backend=backend, out=out)


def _reference(given: Any, source: images.Source) -> Any:
    """Check a reference and return its pixels, for each image of a source."""
    axes = None if source.axes is None else source.axes.given
    each = axes if axes is not None and getattr(given, "ndim", 0) == len(axes) else None
    found = images.accept(given, {source.dtype}, axes=each, together=True, name="reference")
    images.check_memory("reference", found, source)
    colors, array = source.channels - source.has_alpha, found.array
    if found.channels == colors + 1 and (source.has_alpha or found.has_alpha):
        array = images.contiguous(array[..., :colors])
    elif found.channels != colors:
        raise ValueError(f"reference must have the image's number of channels, {colors}, got {found.channels}")
    if array.size == 0 and source.array.size:
        raise ValueError(f"reference must not be empty, got the shape {array.shape}")
    if not source.stack or each:
        return array
    return images.broadcast(array, (*source.stack, *array.shape), source)


def plan_match_histograms(image: Value, reference: Value) -> Value:
    counts, wanted = plan_value_counts(image), plan_value_counts(reference)
    return plan_lut(image, host(partial(_matching, image.dtype), counts, wanted), image.dtype)


def _matching(dtype: np.dtype[Any], counts: Array, wanted: Array) -> Array:
    """Return the look-up table of each channel, indexed by the unsigned bit pattern."""
    low, high = images.limits(dtype)
    table = np.tile(np.arange(low, high + 1).astype(dtype), (len(counts), 1))  # alpha, if present, has no reference
    for row, own, other in zip(table, counts, wanted, strict=False):
        values = np.flatnonzero(other)
        shares = np.cumsum(own) / own.sum(), np.cumsum(other[values]) / other.sum()
        row[:] = np.rint(np.interp(*shares, values + low))
    return np.roll(table, low, axis=1)
