"""Grey values: pointwise changes, histograms and what follows from them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.images import BOOL, DTYPES, FLOAT32, FLOAT64, Source
from gpuimg.passes import Beside, Pass, Reduction, Sweep
from gpuimg.registry import register
from gpuimg.run import hand_over, run

Array = np.ndarray[Any, Any]
COUNTS = np.dtype(np.int64)
FLOAT_BINS = 256  # in which scikit-image counts the values of float images
_RANGES = ("image", "dtype", *map(str, DTYPES))  # their names take microseconds to make
_INTEGERS: frozenset[np.dtype[Any]] = frozenset(dtype for dtype in DTYPES if dtype.kind in "iu")


@register(kinds="buif")
def invert(image: Any, *, backend: str | None = None, out: Any = None) -> Any:
    """Turn light into dark.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array, also bool
    backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``max - image`` for unsigned integers, ``-1 - image`` for signed ones (the
    least value becomes the greatest), ``1 - image`` for floats, ``not image`` for bool, as in scikit-image.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.invert(np.array([[0, 200]], np.uint8))
    array([[255,  55]], dtype=uint8)
    """
    source = images.accept(image, images.WITH_BOOL)
    return run(source, [Sweep("invert", (int(source.dtype == BOOL),), work=0.5)], backend=backend, out=out)


def _upside_down(image: Any) -> Any:
    """An example of another image."""
    return image[::-1]


@register({"other": _upside_down, "alpha": 0.3}, {"other": _upside_down, "alpha": -0.5}, images=("other",))
def blend(image: Any, other: Any, alpha: float, *, backend: str | None = None, out: Any = None) -> Any:
    """Mix two images.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    other : array of the image's shape and dtype
    alpha : number
        The share of ``other``: 0 gives the image, 1 the other one; beyond these the difference is exaggerated.
    backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``(1 - alpha) * image + alpha * other``, integers rounded half to even

    Raises
    ------
    TypeError, ValueError : ``other`` has another shape or dtype, or ``alpha`` is not a finite number

    References
    ----------
    .. [1] `PIL.Image.blend`, which truncates.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.blend(np.array([[0, 200]], np.uint8), np.array([[100, 100]], np.uint8), 0.25)
    array([[ 25, 175]], dtype=uint8)
    """
    source = images.accept(image)
    share = images.number("alpha", alpha)
    second = images.accept_beside("other", other, source)
    task = Sweep("weighted_sum", (Beside(second), 1 - share, share), work=1.0)
    return run(source, [task], backend=backend, out=out)


def _negative(image: Any) -> Array:
    """An example of a table."""
    return np.arange(1 << 8 * min(image.dtype.itemsize, 2))[::-1].astype(image.dtype)


@register({"table": _negative}, kinds="ui")
def lut(image: Any, table: Any, *, backend: str | None = None, out: Any = None) -> Any:
    """Replace each value by the table's entry for it.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16 or int16
    table : (N,) array of bool, uint8, uint16, int16, int64, float32 or float64
        One entry for every value of the image's dtype: N is 256 for uint8 and 65536 else. The entries for negative
        int16 values stand in the second half, as NumPy's indexing has it.
    backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the image's shape and the table's dtype: ``table[image]``

    Raises
    ------
    TypeError : the dtype of the image or of the table is none of these
    ValueError : the table has not one entry for each value

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> squares = np.arange(256, dtype=np.float32) ** 2
    >>> gpuimg.lut(np.array([[2, 3]], np.uint8), squares)
    array([[4., 9.]], dtype=float32)
    """
    source = images.accept(image, _INTEGERS)
    entries = np.asarray(table)
    known = (BOOL, *DTYPES, COUNTS)
    if entries.dtype not in known:
        raise TypeError(f"table must have one of the dtypes {', '.join(map(str, known))}, got {entries.dtype}")
    needed = 1 << 8 * source.dtype.itemsize
    if entries.shape != (needed,):
        raise ValueError(f"table must have the shape ({needed},) for {source.dtype} images, got {entries.shape}")
    entries = np.ascontiguousarray(entries, entries.dtype.newbyteorder("=")).reshape(1, -1)
    return run(_unsigned(source), [_look_up(source, entries)], backend=backend, out=out)


def _unsigned(source: Source) -> Source:
    """The same bits without a sign: NumPy's indexing counts negative values from the table's end, and so does this."""
    return source._replace(array=source.array.view(np.uint16)) if source.dtype == np.int16 else source


def _look_up(source: Source, table: Array) -> Sweep:
    stored = table.view(np.uint8) if table.dtype == BOOL else table
    return Sweep("lut", (source.channels, stored), dtype=table.dtype, work=1.0)


@register({"gamma": 2.2}, {"gamma": 0.5, "gain": 1.3}, {"gamma": 0})
def adjust_gamma(image: Any, gamma: float = 1, gain: float = 1, *, backend: str | None = None, out: Any = None) -> Any:
    """Raise each value, as a share of the greatest, to a power.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array without negative values
    gamma : number >= 0
        The power: above 1 makes the image darker, below 1 brighter.
    gain : number
        What the result is multiplied by.
    backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``gain * scale * (image / scale) ** gamma``, where the scale is the dtype's
    greatest value, and 1 for floats. Integers are rounded half to even and saturated.

    Raises
    ------
    ValueError : the image has negative values, ``gamma`` is negative, or either number is not finite

    References
    ----------
    .. [1] `skimage.exposure.adjust_gamma`, which truncates 16-bit integers and lets them wrap round.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.adjust_gamma(np.array([[0, 128, 255]], np.uint8), 2)
    array([[  0,  64, 255]], dtype=uint8)
    """
    source = images.accept(image)
    power = images.number("gamma", gamma, low=0)
    factor = images.number("gain", gain)
    if source.dtype.kind == "f":
        passes: list[Pass] = [_extrema(), Sweep("power", partial(_if_not_negative, (power, factor)), work=6.0)]
        return run(source, passes if source.array.size else passes[1:], backend=backend, out=out)
    if source.dtype.kind == "i" and source.array.size:
        _if_not_negative((), run(source._replace(restore=None), [_extrema()], backend=backend))
    change = Sweep("lut", (source.channels, _powers(source.dtype, power, factor)), dtype=source.dtype)
    return run(_unsigned(source), [change], backend=backend, out=out)


def _powers(dtype: np.dtype[Any], power: float, factor: float) -> Array:
    """The table of `adjust_gamma`; the entries for negative values are not looked at."""
    low, high = images.limits(dtype)
    shares = np.arange(1 << 8 * dtype.itemsize) / high
    values = np.clip(np.rint(high * factor * shares**power), low, high)
    return values.astype(dtype).reshape(1, -1)


def _if_not_negative(args: tuple[Any, ...], extrema: Array) -> tuple[Any, ...]:
    if extrema[0] < 0:
        raise ValueError(f"image must not have negative values, the least is {extrema[0]:g}")
    return args


@register({"value": 100}, {"value": 0.5})
def threshold(image: Any, value: Any, *, backend: str | None = None, out: Any = None) -> Any:
    """Mark the pixels above a value.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    value : number
        Need not be a value of the image's dtype. For a float32 image it is taken as float32, as NumPy does.
    backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape: ``image > value``; False where either is NaN

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.threshold(np.array([[99, 100, 101]], np.uint8), 100)
    array([[False, False,  True]])
    """
    source = images.accept(image)
    args = threshold_args(images.number("value", value, finite=False), source.dtype)
    return run(source, [Sweep("threshold", args, dtype=BOOL, work=0.5)], backend=backend, out=out)


def threshold_args(value: float, dtype: np.dtype[Any]) -> tuple[int | float, int]:
    """A threshold in the image's own type, and whether every pixel lies above it."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(value)), 0
    low, high = images.limits(dtype)
    if math.isnan(value) or value >= high:
        return high, 0
    if value < low:
        return low, 1
    return math.floor(value), 0


@register({}, {"in_range": (30, 120), "out_range": (5, 90)}, {"in_range": "dtype", "out_range": (40, 20)})
def rescale_intensity(
    image: Any, in_range: Any = "image", out_range: Any = "dtype", *, backend: str | None = None, out: Any = None
) -> Any:
    """Stretch or shrink the range of values.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels are stretched alike
    in_range : {"image", "dtype"}, the name of a dtype, or two numbers
        What is spread over ``out_range``; values outside are clipped. "image": from the least value to the greatest.
    out_range : {"dtype", "image"}, the name of a dtype, or two numbers
        What it is spread over. A dtype's range begins at 0 where that of ``in_range`` is not negative; that of floats
        is -1 to 1.
    backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; integers within 1 of the exact value

    Raises
    ------
    ValueError : a range is none of these or not finite, or a float image whose range is asked for holds NaN or infinity

    References
    ----------
    .. [1] `skimage.exposure.rescale_intensity`, which gives floats where ``out_range`` is two numbers.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rescale_intensity(np.array([[51, 102, 153]], np.uint8))
    array([[  0, 128, 255]], dtype=uint8)
    """
    source = images.accept(image)
    given = {"in_range": _given_range("in_range", in_range), "out_range": _given_range("out_range", out_range)}

    def bounds(extrema: Any) -> tuple[float, ...]:
        low, high = _range_of(given["in_range"], source.dtype, extrema, False)
        least, most = _range_of(given["out_range"], source.dtype, extrema, low >= 0)
        if low == high:  # nothing to spread
            return low, high, 1.0, 0.0, min(max(low, least), most)
        unit = _unit(low, high, source.dtype)
        return low, high, unit, (most - least) / (high * unit - low * unit), least

    last = Sweep("rescale", bounds)
    passes: list[Pass] = [_extrema(), last] if "image" in given.values() else [last]
    return run(source, passes, backend=backend, out=out)


def _unit(low: float, high: float, dtype: np.dtype[Any]) -> float:
    """What values are multiplied by, a power of two, so that neither their differences nor the inverse overflow."""
    exponent = _exponent(high / 2 - low / 2) + 1
    most = np.finfo(FLOAT64 if dtype == FLOAT64 else FLOAT32).maxexp - 8
    return 1.0 if abs(exponent) < most - 32 else math.ldexp(1.0, max(-most, min(-exponent, most)))


def _given_range(name: str, given: Any) -> str | tuple[float, float]:
    if isinstance(given, str):
        if given not in _RANGES:
            raise ValueError(f"{name} must be 'image', 'dtype', a dtype's name or two numbers, got {given!r}")
        return given
    low, high = images.pair(name, given)
    return images.number(name, low), images.number(name, high)


def _range_of(
    given: str | tuple[float, float], dtype: np.dtype[Any], extrema: Any, from_zero: bool
) -> tuple[float, float]:
    if isinstance(given, tuple):
        return given
    if given == "image":
        low, high = map(float, extrema)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"image must be finite, its values run from {low} to {high}")
        return low, high
    named = dtype if given == "dtype" else np.dtype(given)
    least, most = (-1, 1) if named.kind == "f" else images.limits(named)
    return 0.0 if from_zero else float(least), float(most)


def _value_counts(source: Source, then: Any = None) -> Reduction:
    """How often each value of an integer dtype occurs in each channel, (channels, values)."""
    low, high = images.limits(source.dtype)
    shape = (source.channels, high - low + 1)
    return Reduction("histogram", shape, COUNTS, (source.channels, low), then=then, work=1.5)


def _extrema() -> Reduction:
    """The least and the greatest value, (2,)."""
    return Reduction("minmax", (2,), FLOAT64, combine="minmax")


def _edges(low: float, high: float, bins: int, dtype: np.dtype[Any]) -> Array:
    """The edges of numpy.histogram's bins for values from low to high; for a range that overflows, which it does not
    take, those of half the range, doubled."""
    ends = np.array([low, high], dtype)
    if float(high) - float(low) > float(np.finfo(dtype).max):
        return 2 * np.histogram_bin_edges(ends / 2, bins)
    return np.histogram_bin_edges(ends, bins)


def _centers(edges: Array) -> Array:
    with np.errstate(over="ignore"):
        sums = edges[1:] + edges[:-1]
    return np.where(np.isfinite(sums), sums / 2, edges[1:] / 2 + edges[:-1] / 2)


@register({}, {"bins": 16})
def histogram(image: Any, bins: int = 256, *, backend: str | None = None, out: Any = None) -> tuple[Any, Any]:
    """Count how often values occur.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels are counted together
    bins : int
        Number of equal bins from the least to the greatest value, the last one closed.
    backend : see `gpuimg.filters`
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
    The same counts and edges as `numpy.histogram`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> counts, edges = gpuimg.histogram(np.array([[0, 1, 1, 4]], np.uint8), bins=2)
    >>> counts, edges
    (array([3, 1]), array([0., 2., 4.]))
    """
    source = images.accept(image)
    bins = images.whole("bins", bins, high=1 << 24)
    edges: list[Array] = []
    if source.dtype.kind == "f":
        passes: list[Pass] = [*_float_counts(source, bins, edges)]
    else:
        passes = [_value_counts(source, then=lambda counts: _rebin(counts.sum(axis=0), source.dtype, bins, edges))]
    if source.array.size == 0:
        counts = np.zeros(bins, COUNTS)
        edges.append(_edges(0, 1, bins, FLOAT64))
    else:
        counts = run(source._replace(restore=None), passes, backend=backend)
    if out is not None:
        images.check_out(out, counts.shape, counts.dtype, counts)
    return hand_over(source._replace(restore=None), counts, out), edges[0]


def _rebin(counts: Array, dtype: np.dtype[Any], bins: int, edges: list[Array]) -> Array:
    """Counts of single values as numpy.histogram's counts of bins."""
    low, _ = images.limits(dtype)
    present = np.flatnonzero(counts)
    values = (present + low).astype(dtype)
    binned, found = np.histogram(values, bins, weights=counts[present])
    edges.append(found)
    return binned.astype(COUNTS)


def _float_counts(source: Source, bins: int, edges: list[Array]) -> tuple[Reduction, Reduction]:
    """Passes that count a float image's values in bins from its least to its greatest."""

    def bounds(extrema: Array) -> tuple[Array]:
        low, high = extrema
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"image must be finite, its values run from {low} to {high}")
        edges.append(_edges(low, high, bins, source.dtype))
        return (edges[0].astype(np.float64),)

    return _extrema(), Reduction("bincount", (bins,), COUNTS, bounds, work=4.0)


@register()
def threshold_otsu(image: Any, *, backend: str | None = None, out: None = None) -> Any:
    """Find the threshold that separates two classes of values best.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels are looked at together
    backend : see `gpuimg.filters`
    out : must be None: the result is one number

    Returns
    -------
    NumPy scalar of the image's dtype; values above it are the bright class: ``threshold(image, threshold_otsu(image))``

    Raises
    ------
    ValueError : the image is empty, or a float image holds NaN or infinity

    Notes
    -----
    The threshold between two bins that maximises the variance between the classes [1]_. Integers have a bin for each
    value, floats 256 from the least to the greatest value, as in scikit-image. A constant image gives its value.

    References
    ----------
    .. [1] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and
       Cybernetics 9(1), 1979, 62-66.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> print(gpuimg.threshold_otsu(np.array([[10, 11, 12, 200, 201]], np.uint8)))
    12
    """
    source = images.accept(image)
    if out is not None:
        raise TypeError("out must be None: threshold_otsu returns a number")
    if source.array.size == 0:
        raise ValueError(f"image must not be empty, got shape {source.shape}")
    plain = source._replace(restore=None)
    if source.dtype.kind != "f":
        counted = _value_counts(source, then=lambda counts: _otsu_integer(counts, source.dtype))
        return run(plain, [counted], backend=backend)
    edges: list[Array] = []
    extrema, counting = _float_counts(source, FLOAT_BINS, edges)
    counting = counting._replace(then=lambda counts: source.dtype.type(_otsu_float(counts, edges[0])))
    return run(plain, [extrema, counting], backend=backend)


def _otsu_integer(counts: Array, dtype: np.dtype[Any]) -> Any:
    total = counts.sum(axis=0)
    present = np.flatnonzero(total)
    first, last = int(present[0]), int(present[-1])
    low, _ = images.limits(dtype)
    centers = np.arange(first, last + 1) + low
    return dtype.type(centers[otsu(total[first : last + 1], centers)])


def _otsu_float(counts: Array, edges: Array) -> float:
    if np.count_nonzero(counts) == 1:  # a constant image, whose bins numpy.histogram spreads around the value
        return float((edges[0] + edges[-1]) / 2)
    centers = _centers(edges)
    # By powers of two brought near 1, where their squares neither overflow nor vanish.
    near = np.ldexp(centers.astype(np.float64), -_exponent(np.abs(centers).max()))
    return float(centers[otsu(counts, near)])


def _exponent(value: float) -> int:
    return math.frexp(value)[1]


def otsu(counts: Array, centers: Array) -> Any:
    """The bin below which, inclusive, the dark class lies, by Otsu's criterion."""
    if len(counts) == 1:
        return 0
    dark = np.cumsum(counts)
    bright = np.cumsum(counts[::-1])[::-1]
    dark_mean = np.cumsum(counts * centers) / dark
    bright_mean = (np.cumsum((counts * centers)[::-1]) / bright[::-1])[::-1]
    between = dark[:-1] * bright[1:].astype(np.float64) * (dark_mean[:-1] - bright_mean[1:]) ** 2
    return np.argmax(between)


@register()
def equalize_hist(image: Any, *, backend: str | None = None, out: Any = None) -> Any:
    """Spread the values so that each occurs about as often as any other.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; each channel is equalised on its own
    backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype. An integer becomes the share of pixels that are no brighter, scaled to the
    dtype's whole range and rounded half to even; a float becomes that share itself, from 0 to 1, interpolated between
    256 bins.

    Raises
    ------
    ValueError : a float image holds NaN or infinity

    References
    ----------
    .. [1] R. C. Gonzalez, R. E. Woods, "Digital Image Processing", 4th edition, 2018, section 3.3. Floats as
       `skimage.exposure.equalize_hist`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.equalize_hist(np.array([[10, 11, 12, 13]], np.uint8))
    array([[ 64, 128, 191, 255]], dtype=uint8)
    """
    source = images.accept(image)
    if source.array.size == 0:
        return run(source, [Sweep("invert", (0,))], backend=backend, out=out)
    if source.dtype.kind == "f":
        return _equalize_float(source, backend, out)
    counting = Reduction("histogram", _table_shape(source), COUNTS, (source.channels, 0), work=1.5)

    def table(counts: Array) -> tuple[int, Array]:
        return source.channels, _equalizing(counts, source.dtype)

    return run(_unsigned(source), [counting, Sweep("lut", table, dtype=source.dtype)], backend=backend, out=out)


def _table_shape(source: Source) -> tuple[int, int]:
    return source.channels, 1 << 8 * source.dtype.itemsize


def _equalizing(counts: Array, dtype: np.dtype[Any]) -> Array:
    """The look-up table of each channel; counts and table in the order of the bits without a sign."""
    low, high = images.limits(dtype)
    share = np.cumsum(np.roll(counts, -low, axis=1), axis=1) / counts.sum(axis=1, keepdims=True)
    spread = np.rint(low + share * (high - low)).astype(dtype)
    return np.ascontiguousarray(np.roll(spread, low, axis=1))


def _equalize_float(source: Source, backend: str | None, out: Any) -> Any:
    if source.channels == 1:
        return run(source, _equalize_float_passes(source), backend=backend, out=out)
    result = np.empty_like(source.array)
    for channel in range(source.channels):
        plane = images.accept(source.array[..., channel])
        result[..., channel] = run(plane, _equalize_float_passes(plane), backend=backend)
    return hand_over(source, result, out)


def _equalize_float_passes(source: Source) -> list[Pass]:
    edges: list[Array] = []
    extrema, counting = _float_counts(source, FLOAT_BINS, edges)

    def table(counts: Array) -> tuple[int, Array, Array, Array]:
        share = np.cumsum(counts) / counts.sum()
        centers = _centers(edges[0])
        return 1, centers[:1].astype(FLOAT64), centers[-1:].astype(FLOAT64), share.reshape(1, -1)

    return [extrema, counting, Sweep("interpolate", table, work=6.0)]
