"""Thresholds computed from a histogram.

As in scikit-image, integers have a bin for each value from the image's minimum to its maximum, floats a number of equal
bins. A criterion takes the counts of the bins, of which neither the first nor the last is empty, and returns the last
bin of the dark class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.filters.exposure import (
    COUNTS,
    FLOAT_BINS,
    Array,
    centers_of,
    finite_range,
    plan_extrema,
    plan_float_counts,
    plan_value_counts,
    summed_channels,
)
from gpuimg.plans.nodes import fold, host
from gpuimg.plans.value import Small, Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike

MOST_BINS = 1 << 20
MOST_CLASSES = 256
BINS_AT_ONCE = 1 << 13  # tables of this size stay in the caches
LEVELS = 1 << 16  # to which threshold_li rounds floats
LI_TOLERANCE = 1e-3  # of a level


@register({}, {"nbins": 20})
def threshold_otsu(
    image: ImageLike,
    nbins: int = FLOAT_BINS,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: None = None,
) -> Any:
    """Compute the threshold by Otsu's method.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels together
    nbins : int
        Number of equal bins from the minimum to the maximum of a float image; integers have one bin for each value.
    axes, alpha, backend : see `gpuimg.filters`
    out : must be None: the result is one number

    Returns
    -------
    NumPy scalar of the image's dtype; values above it are the bright class: ``threshold(image, threshold_otsu(image))``

    Raises
    ------
    ValueError : the image is empty, or a float image holds NaN or infinity

    Notes
    -----
    The threshold maximises the variance between the two classes [1]_. For a constant image it is the image's value.

    References
    ----------
    .. [1] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and
       Cybernetics 9(1), 1979, 62-66.
    .. [2] `skimage.filters.threshold_otsu`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> print(gpuimg.threshold_otsu(np.array([[10, 11, 12, 200, 201]], np.uint8)))
    12
    """
    source = _accepted("threshold_otsu", image, axes, alpha, out)
    return run(plan_chosen, source, otsu, _bins(nbins), backend=backend)


def otsu(counts: Array, centers: Array) -> Any:
    """Return the last bin of the dark class by Otsu's criterion, for integer centers."""
    if len(counts) == 1:
        return 0
    occurs = counts != 0
    if 2 * np.count_nonzero(occurs) < len(counts):  # the criterion is constant between values that occur
        present = np.flatnonzero(occurs)
        return present[otsu(counts[present], centers[present])]
    pixels, moment = counts.sum(), (counts * centers).sum()
    dark = dark_moment = chosen = 0
    most = -1.0
    for first in range(0, len(counts) - 1, BINS_AT_ONCE):
        last = min(first + BINS_AT_ONCE, len(counts) - 1)
        dark_pixels = counts[first:last].cumsum()
        dark_moments = (counts[first:last] * centers[first:last]).cumsum()
        dark_pixels += dark
        dark_moments += dark_moment
        dark, dark_moment = dark_pixels[-1], dark_moments[-1]
        bright_pixels = pixels - dark_pixels
        apart = dark_moments / dark_pixels - (moment - dark_moments) / bright_pixels
        between = dark_pixels * bright_pixels.astype(np.float64) * apart**2
        place = between.argmax()
        if between[place] > most:
            most, chosen = between[place], first + place
    return chosen


@register({}, {"nbins": 20})
def threshold_yen(
    image: ImageLike,
    nbins: int = FLOAT_BINS,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: None = None,
) -> Any:
    """Compute the threshold by Yen's method.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels together
    nbins : int
        Number of equal bins from the minimum to the maximum of a float image; integers have one bin for each value.
    axes, alpha, backend : see `gpuimg.filters`
    out : must be None: the result is one number

    Returns
    -------
    NumPy scalar of the image's dtype; values above it are the bright class

    Raises
    ------
    ValueError : the image is empty, or a float image holds NaN or infinity

    Notes
    -----
    The threshold maximises the correlation of the two classes' histograms [1]_. For a constant image it is the image's
    value.

    Differs from `skimage.filters.threshold_yen` for constant images of floats.

    References
    ----------
    .. [1] J.-C. Yen, F.-J. Chang, S. Chang, "A new criterion for automatic multilevel thresholding", IEEE Transactions
       on Image Processing 4(3), 1995, 370-378.
    .. [2] `skimage.filters.threshold_yen`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> print(gpuimg.threshold_yen(np.array([[10, 10, 11, 12, 200, 201]], np.uint8)))
    11
    """
    source = _accepted("threshold_yen", image, axes, alpha, out)
    return run(plan_chosen, source, yen, _bins(nbins), backend=backend)


def yen(counts: Array, _centers: Array) -> Any:
    """Return the last bin of the dark class by Yen's criterion, in float32 as in scikit-image, as ties are common."""
    if len(counts) == 1:
        return 0
    weights = counts.astype(np.float32)
    share = weights / weights.sum()
    squares = share**2
    dark, dark_square = share.cumsum()[:-1], squares.cumsum()[:-1]
    bright_square = squares[::-1].cumsum()[::-1][1:]
    with np.errstate(divide="ignore"):  # of the logarithm of 0
        return np.log((dark_square * bright_square) ** -1 * (dark * (1 - dark)) ** 2).argmax()


@register({}, {"nbins": 20})
def threshold_triangle(
    image: ImageLike,
    nbins: int = FLOAT_BINS,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: None = None,
) -> Any:
    """Compute the threshold by the triangle algorithm.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels together
    nbins : int
        Number of equal bins from the minimum to the maximum of a float image; integers have one bin for each value.
    axes, alpha, backend : see `gpuimg.filters`
    out : must be None: the result is one number

    Returns
    -------
    NumPy scalar of the image's dtype; values above it are the bright class

    Raises
    ------
    ValueError : the image is empty, or a float image holds NaN or infinity

    Notes
    -----
    The threshold is the bin that lies farthest below the line from the histogram's peak to the end of its longer tail
    [1]_. It suits images with few bright or few dark objects. For a constant image it is the image's value.

    References
    ----------
    .. [1] G. W. Zack, W. E. Rogers, S. A. Latt, "Automatic measurement of sister chromatid exchange frequency", Journal
       of Histochemistry and Cytochemistry 25(7), 1977, 741-753.
    .. [2] `skimage.filters.threshold_triangle`, `cv2.threshold` with ``THRESH_TRIANGLE``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> print(gpuimg.threshold_triangle(np.array([[10, 10, 10, 10, 11, 12, 13]], np.uint8)))
    11
    """
    source = _accepted("threshold_triangle", image, axes, alpha, out)
    return run(plan_chosen, source, triangle, _bins(nbins), backend=backend)


def triangle(counts: Array, _centers: Array) -> Any:
    """Return the bin that is farthest from the line between the peak and the end of the longer tail."""
    last = len(counts) - 1
    if last == 0:
        return 0
    peak = int(np.argmax(counts))
    if peak < last - peak:  # the longer tail comes first
        return last - _farthest(counts[::-1], last - peak)
    return _farthest(counts, peak)


def _farthest(counts: Array, peak: int) -> Any:
    height = int(counts[peak])
    length = math.sqrt(height**2 + peak**2)
    return np.argmax(height / length * np.arange(peak) - peak / length * counts[:peak])


@register({}, {"classes": 2, "nbins": 20}, {"classes": 4})
def threshold_multiotsu(
    image: ImageLike,
    classes: int = 3,
    nbins: int = FLOAT_BINS,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: None = None,
) -> Any:
    """Compute the thresholds between several classes by Otsu's method.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels together
    classes : int from 2 to 256
        Number of classes.
    nbins : int
        Number of equal bins from the minimum to the maximum of a float image; integers have one bin for each value.
    axes, alpha, backend : see `gpuimg.filters`
    out : must be None: the result is an array of thresholds

    Returns
    -------
    (classes - 1,) array of the image's dtype, in ascending order; a class holds the values above a threshold up to and
    including the next one: ``numpy.digitize(image, thresholds, right=True)``

    Raises
    ------
    ValueError : the image is empty, has fewer non-empty bins than ``classes``, or is a float image with NaN or infinity

    Notes
    -----
    The thresholds maximise the variance between the classes [1]_: the sum over classes of the squared sum of their
    values, divided by their number. scikit-image tries all combinations of thresholds. Here the best threshold above
    each bin is found by dynamic programming; as it increases with the bin, each search is bounded by the results of two
    others [2]_. The run time for B bins is O(``classes * B * log(B)``).

    References
    ----------
    .. [1] P.-S. Liao, T.-S. Chen, P.-C. Chung, "A fast algorithm for multilevel thresholding", Journal of Information
       Science and Engineering 17(5), 2001, 713-727.
    .. [2] H. Wang, M. Song, "Ckmeans.1d.dp: optimal k-means clustering in one dimension by dynamic programming", The R
       Journal 3(2), 2011, 29-33, in the divide-and-conquer variant of its later versions.
    .. [3] `skimage.filters.threshold_multiotsu`, which sums in float32: where several thresholds are equal up to
       rounding, it may return others.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.threshold_multiotsu(np.array([[10, 11, 100, 101, 200, 201]], np.uint8))
    array([ 11, 101], dtype=uint8)
    """
    source = _accepted("threshold_multiotsu", image, axes, alpha, out)
    count = images.whole("classes", classes, low=2, high=MOST_CLASSES)
    return run(plan_threshold_multiotsu, source, count, _bins(nbins), backend=backend)


def plan_threshold_multiotsu(image: Value, classes: int, nbins: int) -> Small:
    return plan_chosen(image, partial(multiotsu, classes), nbins)


def multiotsu(classes: int, counts: Array, _centers: Array) -> Array:
    """Return the last bin of each class but the last."""
    present = np.flatnonzero(counts)
    if len(present) < classes:
        raise ValueError(f"classes must be at most {len(present)}, the number of non-empty bins, got {classes}")
    numbers = np.concatenate(([0], np.cumsum(counts[present])))
    sums = np.concatenate(([0], np.cumsum(counts[present] * present)))

    def score(first: Array, end: Array) -> Array:
        """Return the variance contributed by a class from one bin up to, not including, another."""
        total: Array = (sums[end] - sums[first]).astype(np.float64)
        return total**2 / (numbers[end] - numbers[first])

    best = score(np.arange(len(present)), np.array(len(present)))  # of all bins from each on, in one class
    ends = []
    for left in range(len(present) - 1, len(present) - classes, -1):
        end, best = _best_ends(score, best, left)
        ends.append(end)
    chosen = [0]
    for end in reversed(ends):
        chosen.append(end[chosen[-1]])
    return present[np.array(chosen[1:]) - 1]


def _best_ends(score: Callable[[Array, Array], Array], rest: Array, count: int) -> tuple[Array, Array]:
    """Return, for each of ``count`` bins, the best end of the class that begins there, and the best total score.

    The total is the score of the class plus the ``rest`` from its end on. Every second bin is done after its two
    neighbours, whose ends bound its end.
    """
    step = 1 << count.bit_length()
    ends = np.full(count + step + 1, count)  # shifted by one, with bounds before the first and after the last bin
    ends[0] = 1
    best = np.empty(count)
    while step := step // 2:
        places = np.arange(step, count + 1, 2 * step)
        low, high = np.maximum(ends[places - step], places), ends[places + step]
        lengths = high - low + 1
        starts = np.cumsum(lengths) - lengths
        tried = np.arange(lengths.sum()) + np.repeat(low - starts, lengths)
        sums = score(np.repeat(places - 1, lengths), tried) + rest[tried]
        most = np.maximum.reduceat(sums, starts)
        hits = np.flatnonzero(sums == np.repeat(most, lengths))
        ends[places] = tried[hits[np.searchsorted(hits, starts)]]
        best[places - 1] = most
    return ends[1 : count + 1], best


@register({}, {"tolerance": 2, "initial_guess": lambda image: (float(image.min()) + 3 * float(image.max())) / 4})
def threshold_li(
    image: ImageLike,
    *,
    tolerance: float | None = None,
    initial_guess: float | None = None,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: None = None,
) -> Any:
    """Compute the threshold by Li's iterative minimum cross-entropy method.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array; all channels together
    tolerance : number, optional
        The iteration stops when the threshold changes by no more than this. By default 0.5 for integers; floats iterate
        until the threshold is stationary. 0 selects the default.
    initial_guess : number between the image's minimum and maximum, optional
        Initial threshold, by default the mean. If there are several local minima, it selects one of them.
    axes, alpha, backend : see `gpuimg.filters`
    out : must be None: the result is one number

    Returns
    -------
    NumPy scalar, float64 for integers and of the image's dtype for floats; values above it are the bright class

    Raises
    ------
    ValueError : the image is empty, a float image holds NaN or infinity, ``tolerance`` is negative, or
        ``initial_guess`` is not between the minimum and the maximum

    Notes
    -----
    The threshold minimises the cross-entropy between the image and the image with each class replaced by its mean
    [1]_, by fixed-point iteration [2]_. For a constant image it is the image's value.

    Differs from `skimage.filters.threshold_li` for floats: scikit-image iterates over the pixels; here they are counted
    in one pass, rounded to 65536 levels from the minimum to the maximum. scikit-image also ignores NaN and infinity,
    and accepts a function as ``initial_guess``.

    References
    ----------
    .. [1] C. H. Li, C. K. Lee, "Minimum cross entropy thresholding", Pattern Recognition 26(4), 1993, 617-625.
    .. [2] C. H. Li, P. K. S. Tam, "An iterative algorithm for minimum cross entropy thresholding", Pattern Recognition
       Letters 19(8), 1998, 771-776.
    .. [3] `skimage.filters.threshold_li`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[10, 11, 12, 200, 201]], np.uint8)
    >>> level = gpuimg.threshold_li(image)
    >>> print(level.round(2))
    46.1
    >>> gpuimg.threshold(image, level)
    array([[False, False, False,  True,  True]])
    """
    source = _accepted("threshold_li", image, axes, alpha, out)
    step = 0.0 if tolerance is None else images.number("tolerance", tolerance, low=0)
    guess = None if initial_guess is None else images.number("initial_guess", initial_guess)
    return run(plan_threshold_li, source, step, guess, backend=backend)


def plan_threshold_li(image: Value, tolerance: float, guess: float | None) -> Small:
    """Count floats in bins centred on levels, from the minimum to the maximum; count integers by value."""
    if image.dtype.kind == "f":
        extrema = plan_extrema(image)
        edges = host(_edges_of_levels, extrema)
        counts = fold("bincount", image, shape=(LEVELS,), dtype=COUNTS, work=4.0, edges=edges)
        return host(partial(_li_of_levels, image.dtype, tolerance, guess), counts, extrema)
    return host(partial(_li_of_values, image.dtype, tolerance, guess), plan_value_counts(image))


def _edges_of_levels(extrema: Array) -> Array:
    low, high = finite_range(extrema)
    scale = 0.5 if math.isinf(high - low) else 1.0
    edges = np.empty(LEVELS + 1)
    edges[0], edges[-1] = low, high
    inner = edges[1:-1]
    np.multiply(_shares_of_levels(), high * scale - low * scale, out=inner)
    inner += low * scale
    inner /= scale
    # The next numbers above, by their bits, where the range has few values: the minimum still lies below them.
    bits, positive = inner.view(np.int64), np.searchsorted(inner, 0.0)
    bits[:positive] -= 1
    bits[positive:] += 1
    np.minimum(inner, high, out=inner)
    return edges


@cache
def _shares_of_levels() -> Array:
    """Where the edges between levels lie, as shares of the range."""
    shares = (np.arange(1, LEVELS) - 0.5) / (LEVELS - 1)
    shares.flags.writeable = False
    return shares


def _li_of_levels(
    dtype: np.dtype[Any], tolerance: float, guess: float | None, counts: Array, extrema: Array
) -> np.floating[Any]:
    low, high = map(Fraction, map(float, extrema))  # whose difference may overflow or vanish
    if low == high:
        return dtype.type(extrema[0])
    level = (high - low) / (LEVELS - 1)
    start = None if guess is None else float((_inside(guess, low, high) - low) / level)
    step = float(min(Fraction(tolerance) / level, Fraction(LEVELS)))
    found = dtype.type(float(low + Fraction(li(counts, step or LI_TOLERANCE, start)) * level))
    return min(found, np.nextafter(dtype.type(extrema[1]), dtype.type(-np.inf)))  # below the maximum, also if rounded


def _li_of_values(dtype: np.dtype[Any], tolerance: float, guess: float | None, counts: Array) -> np.float64:
    total, values = _occupied(dtype, counts)
    low, high = int(values[0]), int(values[-1])
    if low == high:
        return np.float64(low)
    # scikit-image rounds a first guess towards the minimum.
    start = None if guess is None else int(_inside(guess, Fraction(low), Fraction(high)) - low)
    return np.float64(li(total, tolerance or 0.5, start) + low)


def _inside(guess: float, low: Fraction, high: Fraction) -> Fraction:
    if not low < guess < high:
        raise ValueError(f"initial_guess must lie between {float(low):g} and {float(high):g}, got {guess:g}")
    return Fraction(guess)


def li(counts: Array, tolerance: float, start: float | None) -> float:
    """Return the threshold by Li's criterion, in units of bins from the first one."""
    numbers, sums = np.cumsum(counts), np.arange(len(counts), dtype=counts.dtype)
    sums *= counts
    np.cumsum(sums, out=sums)
    threshold = sums[-1] / numbers[-1] if start is None else start
    for _ in counts:  # each step but the last passes a bin, always in the same direction
        last = int(threshold)
        dark = sums[last] / numbers[last]
        bright = (sums[-1] - sums[last]) / (numbers[-1] - numbers[last])
        if dark == 0:  # the minimum alone
            break
        before, threshold = threshold, (dark - bright) / (np.log(dark) - np.log(bright))
        if abs(threshold - before) <= tolerance:
            break
    return float(threshold)


def _accepted(name: str, image: Any, axes: str | None, alpha: bool | None, out: Any) -> images.Source:
    source = images.accept(image, axes=axes, alpha=alpha, together=True)
    if out is not None:
        raise TypeError(f"out must be None for {name}, which returns no image, got {type(out).__name__}")
    if source.array.size == 0:
        raise ValueError(f"image must not be empty, got shape {source.shape}")
    return source


def _bins(nbins: Any) -> int:
    return images.whole("nbins", nbins, high=MOST_BINS)


def plan_chosen(image: Value, choose: Callable[[Array, Array], Any], nbins: int) -> Small:
    """Compute the threshold or thresholds that ``choose`` returns for the counts and centres of bins."""
    if image.dtype.kind == "f":
        extrema = plan_extrema(image)
        edges, counts = plan_float_counts(image, nbins, extrema)
        return host(partial(_chosen_center, image.dtype, choose), counts, edges, extrema)
    return host(partial(_chosen_value, image.dtype, choose), plan_value_counts(image))


def _occupied(dtype: np.dtype[Any], counts: Array) -> tuple[Array, Array]:
    """Return the counts of all channels together from the minimum to the maximum, and these values."""
    total = summed_channels(counts)
    occurs = total != 0
    first, last = int(occurs.argmax()), len(total) - int(occurs[::-1].argmax())
    return total[first:last], _values(dtype)[first:last]


@cache
def _values(dtype: np.dtype[Any]) -> Array:
    """All values of an integer dtype."""
    low, high = images.limits(dtype)
    values = np.arange(low, high + 1)
    values.flags.writeable = False
    return values


def _chosen_value(dtype: np.dtype[Any], choose: Callable[[Array, Array], Any], counts: Array) -> Any:
    total, values = _occupied(dtype, counts)
    return values[choose(total, values)].astype(dtype)


def _chosen_center(
    dtype: np.dtype[Any], choose: Callable[[Array, Array], Any], counts: Array, edges: Array, extrema: Array
) -> Any:
    (present,) = counts.nonzero()
    first, last = int(present[0]), int(present[-1])
    # Places of the bins instead of their centres, whose squares may overflow or vanish.
    chosen = first + choose(counts[first : last + 1], np.arange(first, last + 1))
    if extrema[0] == extrema[1]:  # a constant image, whose bins lie around the value
        return dtype.type(extrema[0])
    levels = centers_of(edges)[chosen].astype(dtype)
    # A level rounded up to the next edge could be the minimum of the class above.
    below = np.nextafter(levels, dtype.type(-np.inf))
    return np.where(levels < edges[chosen + 1], levels, below)[()]
