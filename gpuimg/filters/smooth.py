"""Smoothing and other convolutions: weighted sums, means, medians and percentiles of the window around each pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, get_args

import numpy as np

from gpuimg import images
from gpuimg.filters.morphology import MAXIMUM, MINIMUM, Extents, plan_extreme
from gpuimg.images import FLOAT32, FLOAT64, UINT8
from gpuimg.keeping import kept
from gpuimg.kernels.smooth.row_sums import FEW_WEIGHTS
from gpuimg.plans.nodes import Edge, copied, point, window
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Mode, NanPolicy, Out, SameImage, Sigma, Size, WeightsLike

Array = np.ndarray[Any, Any]
LONGEST_RADIUS = 1 << 19
LONGEST_FIXED = 32  # radius up to which the kernel "gaussian" computes bytes in 256ths; truncated products add up
SUMS = np.dtype(np.uint16)  # dtype of these unrounded results
MAXIMUM_FIXED = 1.5  # amount up to which their mean error stays below 0.02 grey levels
MOST_WEIGHTS = 1 << 16
MAX_TOTAL_WEIGHT = 1e300
LONGEST_COUNTED = 1023  # side of a window with nan="omit"
MOST_SORTED = 49  # largest window whose values are sorted if one is NaN
MAX_ERROR = 0.25  # of integer results before rounding


class Taps(NamedTuple):
    """One half of a symmetric kernel, from the centre outwards.

    Attributes
    ----------
    weights : (radius + 1,) float64; the whole kernel sums to 1
    fixed : (radius + 1,) uint16, the same in 65536ths; a single 0 if the radius is above `LONGEST_FIXED`
    offset : int, mean loss from truncating each product to 1/256 grey level, in 1/256; adding it removes the bias
    """

    weights: Array
    fixed: Array
    offset: int

    @property
    def radius(self) -> int:
        return len(self.weights) - 1

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes + self.fixed.nbytes


@kept(64, lambda taps: taps.nbytes)
def gaussian_taps(sigma: float, truncate: float, dtype: np.dtype[Any] = FLOAT64) -> Taps:
    """Return the weights of `scipy.ndimage.gaussian_filter`, also in fixed point.

    Weights that vanish in the precision used for images of ``dtype`` are left out."""
    radius = int(truncate * sigma + 0.5)
    distance = np.arange(radius + 1)
    weights = np.exp(-0.5 * (distance / sigma) ** 2) if radius else np.ones(1)
    weights /= weights[0] + 2 * weights[1:].sum()
    return _taps(weights[: np.count_nonzero(weights.astype(images.real(dtype)))])


def _taps(weights: Array) -> Taps:
    """Add the weights in fixed point."""
    if len(weights) > LONGEST_FIXED + 1:
        return Taps(weights, np.zeros(1, np.uint16), 0)
    fixed = np.rint(weights * 65536).astype(np.int64)
    fixed[0] = min(65535, 65536 - 2 * fixed[1:].sum())
    values = np.arange(256)
    lost = (values[:, None] * fixed % 256).mean(axis=0) / 256
    offset = round(lost[0] + 2 * lost[1:].sum())
    return Taps(weights, fixed.astype(np.uint16), offset)


FOLDED_FROM = 4  # radius, in lengths of the image or periods of its extension


@kept(64, lambda taps: taps.nbytes)
def folded_taps(sigma: float, truncate: float, dtype: np.dtype[Any], length: int, mode: int) -> Taps:
    """Return `gaussian_taps` for images of ``length`` samples, with the weights of equal samples summed.

    A periodic extension repeats, so distances count modulo the period; without one, all samples beyond the edge are
    equal.
    """
    taps = gaussian_taps(sigma, truncate, dtype)
    period = images.period(length, mode)
    if length == 0 or taps.radius <= FOLDED_FROM * (period or length):
        return taps
    if period is None:
        return _taps(np.append(taps.weights[:length], taps.weights[length:].sum()))
    sums = np.bincount(np.arange(len(taps.weights)) % period, taps.weights, period)
    whole = sums + np.roll(sums[::-1], 1)  # the distances on the other side
    whole[0] -= taps.weights[0]  # counted once
    half = whole[: period // 2 + 1].copy()
    if period % 2 == 0:
        half[-1] /= 2  # it occurs on both sides
    return _taps(half)


class Widths(NamedTuple):
    """Standard deviations down the columns and along the rows, and the kernel's radius in multiples of them."""

    rows: float
    cols: float
    truncate: float

    def taps(self, image: Value, edge: Edge) -> tuple[Taps, Taps]:
        """Return the weights down the columns and along the rows of an image."""
        rows, cols = image.shape[:2]
        return (
            folded_taps(self.rows, self.truncate, image.dtype, rows, edge[0]),
            folded_taps(self.cols, self.truncate, image.dtype, cols, edge[0]),
        )


def widths(sigma: Any, truncate: Any = 4.0, name: str = "sigma") -> Widths:
    """Check the standard deviations of a Gaussian: one number, or two for rows and columns."""
    limit = images.number("truncate", truncate, low=0)
    first, second = images.pair(name, sigma)
    rows = images.number(name, first, low=0)
    cols = rows if second is first else images.number(name, second, low=0)
    for part in (rows, cols):
        if part * limit > LONGEST_RADIUS:
            raise ValueError(
                f"{name} times truncate must be at most {LONGEST_RADIUS}, got {sigma!r} times {truncate!r}"
            )
    return Widths(rows, cols, limit)


@register(
    {"sigma": 1}, {"sigma": (0.5, 2.5)}, {"sigma": 5, "truncate": 3.0}, {"sigma": 1.5, "nan": "omit"}, alpha="weighed"
)
def gaussian(
    image: SameImage,
    sigma: Sigma = 1,
    *,
    truncate: float = 4.0,
    nan: NanPolicy = "propagate",
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Smooth with a Gaussian filter.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    sigma : number >= 0, or two of them for rows and columns
        Standard deviation in pixels; 0 does not smooth that axis.
    truncate : number >= 0
        Truncate the kernel at this many standard deviations: radius ``int(truncate * sigma + 0.5)``.
    nan : {"propagate", "omit"}
        "propagate": NaN makes every result within the kernel's radius NaN. "omit": NaN is left out; the result is the
        weighted mean of the other pixels, NaN if there are none. With mode "constant", a ``cval`` of NaN also leaves
        out the pixels beyond the border. Has no effect on integers.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype. uint8: within 1 of the exact value, unbiased (16-bit weights; columns first,
    then rows); 16-bit integers and float32: computed in float32; float64 in float64.

    Raises
    ------
    ValueError : ``sigma`` or ``truncate`` is negative, NaN or infinite, ``nan`` is not one of these, or it is "omit"
        for floats with an alpha channel

    Notes
    -----
    Differs from `skimage.filters.gaussian` in the default border mode, which is "nearest" there.

    References
    ----------
    .. [1] `scipy.ndimage.gaussian_filter`, with the same kernel and border modes.
    .. [2] H. Knutsson, C.-F. Westin, "Normalized and differential convolution", IEEE Conference on Computer Vision and
       Pattern Recognition, 1993, 515-523, for ``nan="omit"``, as in `astropy.convolution.convolve`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> dot = np.zeros((3, 3), np.uint8)
    >>> dot[1, 1] = 240
    >>> gpuimg.gaussian(dot, sigma=0.5)
    array([[  3,  20,   3],
           [ 20, 149,  20],
           [  3,  20,   3]], dtype=uint8)
    >>> gpuimg.gaussian(np.array([[4.0, np.nan, 8.0]]), sigma=0.5, nan="omit").round(1)
    array([[4., 6., 8.]])
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    width = widths(sigma, truncate)
    edge = images.border(mode, cval, source.dtype)
    plan = plan_gaussian_omitting_nan if _omits_nan(nan, source) else plan_gaussian
    return run(plan, source, width, edge, alpha="weighed", backend=backend, out=out)


_NAN_POLICIES = get_args(NanPolicy)


def _omits_nan(nan: Any, source: images.Source) -> bool:
    """Check ``nan`` and return whether the image needs a plan that omits NaN."""
    if nan not in _NAN_POLICIES:
        raise ValueError(f"nan must be one of {', '.join(_NAN_POLICIES)}, got {nan!r}")
    if nan == "propagate" or source.dtype.kind != "f":
        return False
    if source.has_alpha:
        raise ValueError("nan must be 'propagate' for floats with an alpha channel, got 'omit'")
    return True


def plan_gaussian_omitting_nan(image: Value, width: Widths, edge: Edge) -> Value:
    errors = sum(3 + 2 * math.sqrt(2 * taps.radius) for taps in width.taps(image, edge))  # of `rounding`
    return _plan_omitting_nan(lambda part, around: plan_gaussian(part, width, around), image, edge, errors)


def _plan_omitting_nan(smooth: Callable[[Value, Edge], Value], image: Value, edge: Edge, errors: float) -> Value:
    """Normalised convolution: the mean with NaN as 0, divided by the mean of 1 for numbers and 0 for NaN.

    ``errors`` is the error of a constant's mean, in units in the last place."""
    mode, cval = edge
    is_nan = math.isnan(cval)
    filled = point("nan_weights", image, results={"weights": image.dtype})
    total = smooth(filled, (mode, 0.0 if is_nan else cval))
    weight = smooth(filled.results[1], (mode, 0.0 if is_nan else 1.0))
    tolerance = (2 * errors + 2) * float(np.finfo(image.dtype).eps)
    return point("nan_mean", total, weights=weight, centre=image, tolerance=tolerance)


def plan_gaussian(image: Value, width: Widths, edge: Edge, dtype: np.dtype[Any] | None = None) -> Value:
    down, along = width.taps(image, edge)
    return window(
        "gaussian",
        image,
        halo=(down.radius, along.radius),
        edge=edge,
        dtype=dtype,
        work=2.0 + 0.5 * (down.radius + along.radius),
        r0=down.radius,
        r1=along.radius,
        w0=down.weights,
        w1=along.weights,
        q0=down.fixed,
        q1=along.fixed,
        o0=down.offset,
        o1=along.offset,
    )


def as_floats(image: Value) -> Value:
    """Convert to floats; float64 is kept."""
    return image if image.dtype.kind == "f" else point("convert", image, dtype=FLOAT32, work=0.5)


@register({}, {"radius": (2, 0.7), "amount": 0.5}, {"radius": 3, "amount": -0.4}, alpha="kept")
def unsharp_mask(
    image: SameImage,
    radius: Sigma = 1,
    amount: float = 1,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Sharpen by unsharp masking: add the difference between the image and its Gaussian-smoothed version.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    radius : number >= 0, or two of them for rows and columns
        Standard deviation of the Gaussian in pixels.
    amount : number
        Factor of the difference; negative values smooth.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``image + amount * (image - gaussian(image, radius))``; the Gaussian is not
    rounded; integers are within 1 of the exact value

    Raises
    ------
    ValueError : ``radius`` is negative, NaN or infinite, or ``amount`` is not finite

    Notes
    -----
    Differs from `skimage.filters.unsharp_mask`, which rescales integers to floats and clips the result unless
    ``preserve_range`` is true.

    References
    ----------
    .. [1] `skimage.filters.unsharp_mask` with ``preserve_range=True``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.unsharp_mask(np.array([[50, 50, 90, 90]], np.uint8), radius=0.5)
    array([[50, 46, 94, 90]], dtype=uint8)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    width = widths(radius, name="radius")
    share = images.number("amount", amount)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_unsharp_mask, source, width, share, edge, alpha="kept", backend=backend, out=out)


def plan_unsharp_mask(image: Value, width: Widths, amount: float, edge: Edge) -> Value:
    """Add ``amount`` times the difference between the image and its Gaussian."""
    if amount == 0:
        return copied(image)
    radius = max(taps.radius for taps in width.taps(image, edge))
    if image.dtype == UINT8 and radius <= LONGEST_FIXED and abs(amount) <= MAXIMUM_FIXED:
        smooth = plan_gaussian(image, width, edge, SUMS)
        share = amount / 256
    else:
        smooth = plan_gaussian(as_floats(image), width, edge)
        share = amount
    return point("weighted_sum", smooth, dtype=image.dtype, other=image, weight=-share, other_weight=1 + amount)


@register({"low_sigma": 1}, {"low_sigma": (0.5, 2), "high_sigma": 3})
def difference_of_gaussians(
    image: ImageLike,
    low_sigma: Sigma,
    high_sigma: Sigma | None = None,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Band-pass filter: a Gaussian minus a wider one.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    low_sigma : number >= 0, or two of them for rows and columns
        Standard deviation of the narrower Gaussian in pixels.
    high_sigma : number >= ``low_sigma``, or two of them for rows and columns, optional
        Standard deviation of the wider Gaussian in pixels; None: 1.6 times ``low_sigma``.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images); the image's values are not rescaled

    Raises
    ------
    ValueError : a sigma is negative, NaN or infinite, or ``high_sigma`` is below ``low_sigma``

    Notes
    -----
    Differs from `skimage.filters.difference_of_gaussians` in the default border mode, which is "nearest" there, and
    does not rescale values.

    References
    ----------
    .. [1] `skimage.filters.difference_of_gaussians`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.difference_of_gaussians(np.array([[0, 0, 16, 0, 0]], np.uint8), 0, 0.5).round(1)
    array([[-0. , -1.7,  3.4, -1.7, -0. ]], dtype=float32)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    if high_sigma is None:
        rows, cols = (images.number("low_sigma", part, low=0) for part in images.pair("low_sigma", low_sigma))
        high_sigma = 1.6 * rows, 1.6 * cols
    narrow, wide = widths(low_sigma, name="low_sigma"), widths(high_sigma, name="high_sigma")
    if wide.rows < narrow.rows or wide.cols < narrow.cols:
        raise ValueError(f"high_sigma must be at least low_sigma, {low_sigma!r}, got {high_sigma!r}")
    edge = images.border(mode, cval, source.dtype)
    return run(plan_difference_of_gaussians, source, narrow, wide, edge, backend=backend, out=out)


def plan_difference_of_gaussians(image: Value, narrow: Widths, wide: Widths, edge: Edge) -> Value:
    plain = as_floats(image)
    return point("difference", plan_gaussian(plain, narrow, edge), other=plan_gaussian(plain, wide, edge), turned=0)


@register({"sigma": 1}, {"sigma": (0.5, 2)}, {"sigma": 3, "truncate": 2.5})
def gaussian_laplace(
    image: ImageLike,
    sigma: Sigma,
    *,
    truncate: float = 4.0,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Compute the Laplacian of Gaussian: the sum of the second derivatives of the Gaussian-smoothed image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    sigma : number > 0, or two of them for rows and columns
        Standard deviation of the Gaussian in pixels; at most 32767 / ``truncate``.
    truncate : number >= 0
        Truncate the kernels at this many standard deviations: radius ``int(truncate * sigma + 0.5)``.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images); the image's values are not rescaled. It is negative
    inside bright blobs.

    Raises
    ------
    ValueError : ``sigma`` is not positive or too large, ``truncate`` is negative, or one of them is not finite

    See Also
    --------
    laplace, difference_of_gaussians

    Notes
    -----
    Differs from `scipy.ndimage.gaussian_laplace` with mode "constant" and a nonzero ``cval``: SciPy extends the
    intermediate image, already filtered along the columns, by ``cval`` again.

    References
    ----------
    .. [1] D. Marr, E. Hildreth, "Theory of edge detection", Proceedings of the Royal Society of London B 207, 1980,
       187-217.
    .. [2] `scipy.ndimage.gaussian_laplace`, with the same kernels; they do not sum to exactly 0.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.gaussian_laplace(np.array([[0, 0, 100, 0, 0]], np.uint8), sigma=(0.5, 1)).round()
    array([[ 16., -13., -62., -13.,  16.]], dtype=float32)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    width = widths(sigma, truncate)
    if min(width.rows, width.cols) == 0:
        raise ValueError(f"sigma must be positive, got {sigma!r}")
    if max(width.rows, width.cols) * width.truncate > MOST_WEIGHTS // 2 - 1:
        raise ValueError(
            f"sigma times truncate must be at most {MOST_WEIGHTS // 2 - 1}, got {sigma!r} times {truncate!r}"
        )
    edge = images.border(mode, cval, source.dtype)
    return run(plan_gaussian_laplace, source, width, edge, backend=backend, out=out)


def plan_gaussian_laplace(image: Value, width: Widths, edge: Edge) -> Value:
    """Add the second derivative down the columns, smoothed along the rows, to that along the rows, smoothed down."""
    plain = as_floats(image)
    rows, cols = (gaussian_derivative(sigma, width.truncate) for sigma in (width.rows, width.cols))
    down, across = (_plan_product(plain, *each, edge) for each in ((rows[1], cols[0]), (rows[0], cols[1])))
    return point("weighted_sum", down, other=across, weight=1.0, other_weight=1.0)


def _plan_product(image: Value, down: Array, along: Array, edge: Edge) -> Value:
    """Convolve down the columns, then along the rows."""
    mode, cval = edge
    columns = _plan_weighted(image, Weights((len(down), 1), down.tobytes()), edge)
    return _plan_weighted(columns, Weights((1, len(along)), along.tobytes()), (mode, cval * float(down.sum())))


@kept(64, lambda found: found[0].nbytes + found[1].nbytes)
def gaussian_derivative(sigma: float, truncate: float) -> tuple[Array, Array]:
    """Return the weights of a Gaussian and of its second derivative."""
    radius = int(truncate * sigma + 0.5)
    distance = np.arange(-radius, radius + 1) / sigma
    weights = np.exp(-0.5 * distance**2)
    weights /= weights.sum()
    return weights, weights * ((distance**2 - 1) / sigma / sigma)


@register({"size": 3}, {"size": (4, 9)}, {"size": 21}, {"size": (3, 6), "nan": "omit"}, alpha="weighed")
def uniform(
    image: SameImage,
    size: Size = 3,
    *,
    nan: NanPolicy = "propagate",
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Compute the mean of the window around each pixel.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    size : positive int, or two of them for rows and columns
        An even window extends one pixel further up and to the left, as in SciPy.
    nan : {"propagate", "omit"}
        "propagate": a window with NaN has the mean NaN. "omit": NaN is left out as in `numpy.nanmean`; the result is
        NaN if no other pixels are left. With mode "constant", a ``cval`` of NaN also leaves out the pixels beyond the
        border. Has no effect on integers.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype; the mean of integers is exact, rounded half to even

    Raises
    ------
    ValueError : ``size`` is not positive, ``nan`` is not one of these, or it is "omit" for floats with an alpha channel

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.uniform(np.array([[0, 0, 90, 0, 0]], np.uint8))
    array([[ 0, 30, 30, 30,  0]], dtype=uint8)
    >>> gpuimg.uniform(np.array([[4.0, np.nan, 8.0, 8.0]]), nan="omit")
    array([[4., 6., 8., 8.]])
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    sides = images.window(size)
    edge = images.border(mode, cval, source.dtype)
    plan = plan_uniform_omitting_nan if _omits_nan(nan, source) else plan_uniform
    return run(plan, source, sides, edge, alpha="weighed", backend=backend, out=out)


def plan_uniform_omitting_nan(image: Value, size: tuple[int, int], edge: Edge) -> Value:
    errors = 2 * (size[0].bit_length() + size[1].bit_length())
    return _plan_omitting_nan(lambda part, around: plan_uniform(part, size, around), image, edge, errors)


def plan_uniform(image: Value, size: tuple[int, int], edge: Edge) -> Value:
    rows, cols = size
    return window("uniform", image, halo=(rows // 2, cols // 2), edge=edge, work=3.0, n0=rows, n1=cols)


@register(
    {"size": 3},
    {"size": (5, 7)},
    {"size": 5},
    {"size": 15},
    {"size": (5, 3), "nan": "omit"},
    kinds="buif",
    also=images.WITH_LABELS,
    alpha="channel",
)
def median(
    image: SameImage,
    size: Size = 3,
    *,
    nan: NanPolicy = "propagate",
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Compute the median of the window around each pixel.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    size : odd positive int, or two of them for rows and columns
    nan : {"propagate", "omit"}
        "propagate": a window with NaN has the median NaN. "omit": NaN is left out as in `numpy.nanmedian`; the median
        of an even number of pixels is the mean of the middle two, NaN if no pixels are left. With mode "constant", a
        ``cval`` of NaN also leaves out the pixels beyond the border. Has no effect on integers.
    mode, cval, axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    ValueError : ``size`` is even or not positive, or above 1023 for floats with ``nan="omit"``, or ``nan`` is not one
        of these

    References
    ----------
    .. [1] S. Perreault, P. Hebert, "Median Filtering in Constant Time", IEEE Transactions on Image Processing 16(9),
       2007, 2389-2394, for large windows; small windows use sorting networks.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.median(np.array([[1, 2, 200, 3, 4]], np.uint8))
    array([[1, 2, 3, 4, 4]], dtype=uint8)
    >>> gpuimg.median(np.array([[1.0, np.nan, 200.0, 3.0, 4.0]]), nan="omit")
    array([[  1. , 100.5, 101.5,   4. ,   4. ]])
    """
    source = images.accept(image, images.WITH_LABELS, axes=axes)
    sides = images.window(size, odd=True)
    edge = images.border(mode, cval, source.dtype)
    if _omits_nan(nan, source):
        return run(plan_nan_rank, source, 50.0, True, _short(sides), edge, backend=backend, out=out)
    return run(plan_median, source, sides, edge, backend=backend, out=out)


def _short(size: tuple[int, int]) -> tuple[int, int]:
    """Check the size of a window with ``nan="omit"``, whose values are counted."""
    if max(size) > LONGEST_COUNTED:
        raise ValueError(f"size must be at most {LONGEST_COUNTED} for nan 'omit', got {size}")
    return size


def plan_nan_rank(image: Value, percentile: float, halves: bool, size: tuple[int, int], edge: Edge) -> Value:
    rows, cols = size
    options: dict[str, Any] = {
        "halo": (rows // 2, cols // 2),
        "edge": edge,
        "n0": rows,
        "n1": cols,
        "halves": int(halves),
    }
    share = percentile + 100 * (percentile < 0)
    if rows * cols > MOST_SORTED:
        return window("nan_rank", image, work=60.0, percentile=share, **options)
    plain = plan_percentile(image, percentile, size, edge)
    return window("nan_rank_few", image, work=3.0, percentile=share, plain=plain, **options)


def plan_median(image: Value, size: tuple[int, int], edge: Edge) -> Value:
    area = size[0] * size[1]
    return _plan_rank(image, size, area // 2, edge, {9: 2.0, 25: 10.0}.get(area, 60.0))


def _plan_rank(image: Value, size: tuple[int, int], rank: int, edge: Edge, work: float) -> Value:
    """Select the value of the window with ``rank`` others before it."""
    rows, cols = size
    return window("median", image, halo=(rows // 2, cols // 2), edge=edge, work=work, n0=rows, n1=cols, rank=rank)


@register(
    {"percentile": 20},
    {"percentile": 90, "size": (5, 7)},
    {"percentile": -25.5, "size": 5},
    {"percentile": 5, "size": 15},
    {"percentile": 30, "size": (5, 3), "nan": "omit"},
    kinds="buif",
    also=images.WITH_LABELS,
    alpha="channel",
)
def percentile(
    image: SameImage,
    percentile: float,
    size: Size = 3,
    *,
    nan: NanPolicy = "propagate",
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Compute a percentile of the window around each pixel.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
    percentile : number from -100 to 100
        The result is the value at index ``int(n * percentile / 100)`` of the n values in ascending order, the last
        one for 100, without interpolation. 0 is the minimum, 100 the maximum. -25 is the same as 75.
    size : odd positive int, or two of them for rows and columns
    nan : {"propagate", "omit"}
        "propagate": a window with NaN has the percentile NaN. "omit": NaN is not among the n values; the result is NaN
        if no values are left. With mode "constant", a ``cval`` of NaN also leaves out the pixels beyond the border. Has
        no effect on integers.
    mode, cval, axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    ValueError : ``percentile`` is not from -100 to 100, ``size`` is even or not positive, or above 1023 for floats with
        ``nan="omit"``, or ``nan`` is not one of these

    See Also
    --------
    median, minimum, maximum

    References
    ----------
    .. [1] `scipy.ndimage.percentile_filter`, which selects the same values.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.percentile(np.array([[1, 2, 200, 3, 4]], np.uint8), 70)
    array([[  2, 200, 200, 200,   4]], dtype=uint8)
    """
    source = images.accept(image, images.WITH_LABELS, axes=axes)
    share = images.number("percentile", percentile, low=-100, high=100)
    sides = images.window(size, odd=True)
    edge = images.border(mode, cval, source.dtype)
    if _omits_nan(nan, source):
        return run(plan_nan_rank, source, share, False, _short(sides), edge, backend=backend, out=out)
    return run(plan_percentile, source, share, sides, edge, backend=backend, out=out)


def plan_percentile(image: Value, percentile: float, size: tuple[int, int], edge: Edge) -> Value:
    area = size[0] * size[1]
    rank = rank_of(percentile, area)
    if rank == area // 2:
        return plan_median(image, size, edge)
    if rank in (0, area - 1):
        rows, cols = size[0] // 2, size[1] // 2
        return plan_extreme(image, Extents(rows, rows, cols, cols), MAXIMUM if rank else MINIMUM, edge)
    return _plan_rank(image, size, rank, edge, {9: 3.0, 25: 15.0}.get(area, 60.0))


def rank_of(percentile: float, count: int) -> int:
    """Return the index of a percentile among ``count`` values in ascending order, as SciPy computes it."""
    if percentile < 0:
        percentile += 100
    return min(int(float(count) * percentile / 100), count - 1)


SHARPEN = np.array(
    [
        [0, -1, 0],
        [-1, 5, -1],
        [0, -1, 0],
    ]
)
BINOMIAL = np.array([[1, 3, 3, 1], [3, 9, 9, 3]]) / 32


@register({"weights": SHARPEN}, {"weights": BINOMIAL}, {"weights": np.full((9, 9), 1 / 81)}, alpha="kept")
def convolve(
    image: SameImage,
    weights: WeightsLike,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Convolve with a two-dimensional kernel.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    weights : (rows, cols) array of at most 65536 finite numbers
        The kernel, which is mirrored in both axes (convolution, not correlation). Its centre is the element
        ``shape // 2``, even if a side is even, as in SciPy. Pixels with weight 0 do not count, even if NaN or infinite.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype. Integers are within 1 of the exact sum, unbiased, and exact if the weights are
    integers (or, for uint8, integer multiples of a power of two) and not too large; floats are computed in their dtype.

    Raises
    ------
    TypeError : the weights are not real numbers
    ValueError : the weights are not two-dimensional, or are empty, too many, too large, infinite or NaN

    Notes
    -----
    Differs from `cv2.filter2D`, which correlates: it does not mirror the kernel.

    References
    ----------
    .. [1] `scipy.ndimage.convolve`, with the same orientation, centre and border modes.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.convolve(np.array([[0, 0, 8, 0, 0]], np.uint8), [[1, 2, 0.5]], mode="constant")
    array([[ 0,  8, 16,  4,  0]], dtype=uint8)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    given = _weights(weights)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_convolve, source, given, edge, alpha="kept", backend=backend, out=out)


def plan_convolve(image: Value, weights: Weights, edge: Edge) -> Value:
    factors = separated(weights) if image.dtype.kind == "f" else None
    if factors is None:
        return _plan_weighted(image, weights, edge)
    down, along = factors
    mode, cval = edge
    columns = _plan_weighted(image, down, edge)
    return _plan_weighted(columns, along, (mode, cval * float(down.array().sum())))


def _plan_weighted(image: Value, weights: Weights, edge: Edge) -> Value:
    rows, cols = weights.shape
    values, shift = computed_weights(weights, image.dtype)
    halo, work = (rows // 2, cols // 2), 1.0 + 0.1 * rows * cols
    return window("convolve", image, halo=halo, edge=edge, work=work, weights=values, shift=shift)


class Weights(NamedTuple):
    """A hashable two-dimensional array of float64: its shape and its bytes."""

    shape: tuple[int, int]
    content: bytes

    def array(self) -> Array:
        return np.frombuffer(self.content, FLOAT64).reshape(self.shape)


def _weights(value: Any) -> Weights:
    """Check the weights of a convolution."""
    array = np.asarray(value)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"weights must be a non-empty two-dimensional array, got shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"weights must be real numbers, got {array.dtype}")
    if array.size > MOST_WEIGHTS:
        raise ValueError(f"weights must be at most {MOST_WEIGHTS} numbers, got shape {array.shape}")
    array = array.astype(FLOAT64)
    if not np.isfinite(array).all():
        raise ValueError("weights must be finite")
    if np.abs(array).max() * array.size > MAX_TOTAL_WEIGHT:
        raise ValueError(f"weights must be at most {MAX_TOTAL_WEIGHT} in total, got {np.abs(array).max()}")
    return Weights((array.shape[0], array.shape[1]), array.tobytes())


@kept(64, lambda found: found[0].nbytes)
def computed_weights(weights: Weights, dtype: np.dtype[Any]) -> tuple[Array, int]:
    """Return the weights rotated by 180 degrees, in the dtype used for ``dtype`` images, and the right shift of sums.

    For bytes, 16-bit fixed-point weights in int32 if they are precise enough, otherwise float32 or float64."""
    turned = np.ascontiguousarray(weights.array()[::-1, ::-1])
    if dtype.kind == "f":
        return turned.astype(dtype), 0
    limits = np.iinfo(dtype)
    total = float(np.abs(turned).sum()) * max(limits.max, -limits.min)
    if dtype == UINT8:
        whole, shift = _whole(turned)
        if np.abs(whole / 2.0**shift - turned).sum() * 255 <= MAX_ERROR:
            return whole.astype(np.int32), shift
    exact = bool((turned == np.rint(turned)).all()) and total <= 1 << 24
    if exact or _roundings(turned, dtype) * total * 2.0**-24 <= MAX_ERROR:
        return turned.astype(FLOAT32), 0
    return turned, 0


def _roundings(weights: Array, dtype: np.dtype[Any]) -> int:
    """Return the number of roundings of a term in a float32 sum: one by its weight and one per addition.

    For 16-bit pixels and large windows, each row is summed before the rows are added."""
    is_tap = weights != 0
    if dtype.itemsize == 1 or weights.size <= FEW_WEIGHTS:
        return int(np.count_nonzero(is_tap)) + 2
    return int(is_tap.sum(axis=1).max() + is_tap.any(axis=1).sum()) + 2


def _whole(weights: Array) -> tuple[Array, int]:
    """Return the weights times a power of two as 16-bit integers, and its exponent.

    The exponent is the first that makes them exact, otherwise the largest possible; the rounded weights then keep their
    sum, so that results are not biased. Zeros if sums of bytes do not fit 32 bits."""
    magnitudes = np.abs(weights)
    room = min(32766 / max(magnitudes.max(), 1e-300), ((1 << 23) - 2 * weights.size) / max(magnitudes.sum(), 1e-300))
    if room < 1:
        return np.zeros(weights.shape), 0
    most = min(24, int(np.log2(room)))
    for shift in range(most + 1):
        scaled = weights * 2.0**shift
        if (scaled == np.rint(scaled)).all():
            return scaled, shift
    whole = np.rint(scaled)
    lost = int(np.rint(scaled.sum() - whole.sum()))
    left = np.where(weights != 0, scaled - whole, 0).ravel()
    whole.ravel()[np.argsort(-np.sign(lost) * left, kind="stable")[: abs(lost)]] += np.sign(lost)
    return whole, most


@kept(64, lambda found: 0 if found is None else sum(len(weights.content) for weights in found))
def separated(weights: Weights) -> tuple[Weights, Weights] | None:
    """Return a column and a row whose outer product is the weights, to the last bits of float64.

    None if the weights are not separable or two passes are not faster."""
    rows, cols = weights.shape
    array = weights.array()
    if rows * cols <= 4 * (rows + cols) or np.abs(array).max() == 0:
        return None
    row, col = np.unravel_index(np.abs(array).argmax(), array.shape)
    down, along = array[:, col], array[row] / array[row, col]
    if (np.abs(np.outer(down, along) - array) > 8 * np.finfo(FLOAT64).eps * np.abs(array)).any():
        return None
    return Weights((rows, 1), down.tobytes()), Weights((1, cols), along.tobytes())


MOST_SIDE = 511  # of the window of `bilateral`
HALVINGS = math.sqrt(math.log2(math.e) / 2)  # squared, the halvings of a weight at a difference of one sigma
TERMS = {UINT8: 4, FLOAT64: 11}  # of the polynomial for powers of two, 6 for other dtypes; as in the kernels
NEGLIGIBLE = {FLOAT32: 40.0, FLOAT64: 80.0}  # halvings of a weight after which it is left out
MAX_SIGMA = {FLOAT32: 1e38, FLOAT64: 1e300}


@register(
    {"sigma_color": 40, "sigma_spatial": 1},
    {"sigma_color": 0.5, "sigma_spatial": 2.5},
    {"sigma_color": 100, "sigma_spatial": 3, "window": 9},
    alpha="kept",
)
def bilateral(
    image: SameImage,
    sigma_color: float,
    sigma_spatial: float,
    window: int | None = None,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Denoise with a bilateral filter, which preserves edges: a mean weighted by distance and colour difference.

    A pixel at distance s whose value differs by d has the weight
    ``exp(-s**2 / (2 * sigma_spatial**2) - d**2 / (2 * sigma_color**2))``. All channels are filtered together, so that
    edges get no false colours: d is the Euclidean distance of the colours.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    sigma_color : number > 0
        Standard deviation of the colour difference, in the image's units: 25 for bytes is 0.1 for floats in [0, 1].
    sigma_spatial : number > 0
        Standard deviation of the distance, in pixels.
    window : odd positive int, at most 511
        Side of the square window in pixels. None: ``max(5, 2 * ceil(3 * sigma_spatial) + 1)``.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype. A constant image is unchanged. NaN and infinite pixels are unchanged and left out
    of the means of others, as are pixels whose colour distance is not finite.

    Raises
    ------
    ValueError : a sigma is not positive and finite, or ``window`` is even, not positive or above 511

    References
    ----------
    .. [1] C. Tomasi, R. Manduchi, "Bilateral Filtering for Gray and Color Images", IEEE International Conference on
       Computer Vision, 1998, 839-846.

    Notes
    -----
    Differs from `skimage.restoration.denoise_bilateral`, where ``sigma_color`` applies to images scaled to [0, 1] and
    the default border mode is "constant". OpenCV's ``bilateralFilter`` has a round window, and its d is the sum of the
    channels' differences.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.bilateral(np.array([[10, 12, 10, 90, 92]], np.uint8), sigma_color=5, sigma_spatial=1)
    array([[11, 11, 11, 91, 91]], dtype=uint8)
    """
    source = images.accept(image, axes=axes, alpha=alpha, together=True)
    color, spatial = _positive("sigma_color", sigma_color), _positive("sigma_spatial", sigma_spatial)
    side = _side(window, spatial)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_bilateral, source, color, spatial, side, edge, alpha="kept", backend=backend, out=out)


def _positive(name: str, value: Any) -> float:
    number = images.number(name, value, low=0)
    if number == 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def _side(window: Any, sigma: float) -> int:
    """Return the side of the window of `bilateral`."""
    if window is None:
        side = max(5, 2 * math.ceil(3 * min(sigma, MOST_SIDE)) + 1)
        if side > MOST_SIDE:
            raise ValueError(f"window must be given for sigma_spatial above {MOST_SIDE // 6}, got {sigma:g}")
        return side
    side = images.whole("window", window, high=MOST_SIDE)
    if side % 2 == 0:
        raise ValueError(f"window must be odd and positive, got {window!r}")
    return side


def plan_bilateral(image: Value, sigma_color: float, sigma_spatial: float, side: int, edge: Edge) -> Value:
    real = images.real(image.dtype)
    places, exponents = near_places(side, sigma_spatial, real)
    if not len(places):
        return copied(image)
    high = MAX_SIGMA[real]
    # Below this sigma, integers that differ have no weight, and their differences stay finite in its units.
    low = 1 / high if image.dtype.kind == "f" else 1e-3
    scale = min(max(sigma_color, low), high) / HALVINGS
    return window(
        "bilateral",
        image,
        halo=(side // 2, side // 2),
        edge=edge,
        work=1.0 + 0.6 * len(places),
        size=side,
        places=places,
        exponents=exponents,
        powers=powers_of_half(TERMS.get(image.dtype, 6), real),
        factor=1 / scale,
        scale=scale,
        limit=NEGLIGIBLE[real],
    )


@kept(64, lambda found: found[0].nbytes + found[1].nbytes)
def near_places(side: int, sigma: float, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the places of a window that count, without its centre, and how often the distance halves their weights."""
    offsets = np.indices((side, side)).reshape(2, -1).T - side // 2
    with np.errstate(over="ignore"):
        halvings = np.square(offsets / sigma * HALVINGS).sum(axis=1)
    is_near = (halvings <= NEGLIGIBLE[dtype]) & offsets.any(axis=1)
    return np.ascontiguousarray(offsets[is_near] + side // 2), halvings[is_near].astype(dtype)


@cache
def powers_of_half(terms: int, dtype: np.dtype[Any]) -> Array:
    """Return the coefficients of a polynomial that approximates ``2 ** -x`` for -0.5 <= x <= 0.5."""
    found = np.polynomial.Chebyshev.interpolate(lambda x: 2.0**-x, terms - 1, (-0.5, 0.5))
    return found.convert(kind=np.polynomial.Polynomial).coef.astype(dtype)


MOST_PATCH, MOST_DISTANCE = 127, 64  # of `denoise_nl_means`
FARTHEST = 5.0  # distance between patches above which they have no weight
TERMS_OF_EXP = {FLOAT32: 6, FLOAT64: 8}  # of its polynomial, which is squared this many times, as in the kernels
SQUARINGS = {FLOAT32: 3, FLOAT64: 5}
STRENGTHS = {FLOAT32: (1e-33, 1e33), FLOAT64: (1e-140, 1e140)}  # of floats; others are clipped to this range
STRENGTHS_OF_INTEGERS = 1e-4, 1e9
NARROW, WIDE = np.dtype(np.int32), np.dtype(np.int64)  # dtypes of sums of squared differences
MAX_SUM = {NARROW: 0.999 * 2**31, WIDE: 0.999 * 2.0**62}
MAX_ERROR_OF_PATCHES = 2e-5  # of the exponents of floats, for NARROW sums


class Patches(NamedTuple):
    """Parameters of `denoise_nl_means`: side and distance of the patches in pixels, strength and noise."""

    side: int
    distance: int
    h: float
    sigma: float


@register(
    {"h": 60, "patch_distance": 3},
    {"patch_size": 3, "patch_distance": 2, "h": 1, "sigma": 0.8},
    {"patch_size": 4, "patch_distance": 5, "h": 15000, "sigma": 2000},
    alpha="kept",
)
def denoise_nl_means(
    image: SameImage,
    patch_size: int = 7,
    patch_distance: int = 11,
    h: float = 0.1,
    fast_mode: bool = True,
    sigma: float = 0,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Denoise by non-local means: average pixels with similar neighbourhoods.

    Each pixel becomes the weighted mean of the pixels up to ``patch_distance`` rows and columns away. The weight of a
    pixel is ``exp(-max(D - 2 * sigma**2 * n, 0) / (h**2 * patch_size**2))``, where D is the sum of the squared
    differences between the ``n`` pixels of the two patches, over all channels, divided by the number of channels.
    Weights below ``exp(-5)`` are left out.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    patch_size : int from 2 to 127
        Side of the patches in pixels; an even size is rounded up to the next odd one. It does not affect the run time.
    patch_distance : int from 0 to 64
        Radius of the search window, in pixels.
    h : number > 0
        Filter strength, in the image's units: the standard deviation of the noise or slightly less; with ``sigma``, 0.8
        times that.
    fast_mode : True
        All pixels of a patch have the same weight. False, which weights them by a Gaussian, is not implemented.
    sigma : number >= 0
        Standard deviation of the noise, in the image's units; the differences it causes are subtracted.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype. A constant image is unchanged. Squared differences of integers are summed
    exactly. A pixel whose patch has NaN or infinity is unchanged, and left out of the means of others.

    Raises
    ------
    ValueError : a parameter is out of its range, or ``fast_mode`` is False

    References
    ----------
    .. [1] A. Buades, B. Coll, J.-M. Morel, "A Non-Local Algorithm for Image Denoising", IEEE Conference on Computer
       Vision and Pattern Recognition, 2005, vol. 2, 60-65.
    .. [2] J. Darbon, A. Cunha, T. F. Chan, S. Osher, G. J. Jensen, "Fast Nonlocal Filtering Applied to Electron
       Cryomicroscopy", IEEE International Symposium on Biomedical Imaging, 2008, 1331-1334: sums over patches, shift by
       shift.
    .. [3] J. Froment, "Parameter-Free Fast Pixelwise Non-Local Means Denoising", Image Processing On Line 4, 2014,
       300-326.

    Notes
    -----
    As in `skimage.restoration.denoise_nl_means`, the border is mirrored (mode "mirror"), and the first row and column
    of each patch do not count: ``n`` is ``(patch_size - 1)**2``. Differs from it in the dtype of the result, in the
    units of ``h`` and ``sigma``, which apply to images scaled to [0, 1] there unless ``preserve_range=True``, and in
    the exponential function, which scikit-image approximates.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> steps = np.array([[10, 12, 10, 90, 92, 90]], np.uint8).repeat(3, axis=0)
    >>> gpuimg.denoise_nl_means(steps, patch_size=3, h=9)[1]
    array([11, 11, 10, 91, 91, 91], dtype=uint8)
    """
    source = images.accept(image, axes=axes, alpha=alpha, together=True)
    side = images.whole("patch_size", patch_size, low=2, high=MOST_PATCH)
    distance = images.whole("patch_distance", patch_distance, low=0, high=MOST_DISTANCE)
    if not isinstance(fast_mode, bool | np.bool_):
        raise TypeError(f"fast_mode must be True, got {fast_mode!r}")
    if not fast_mode:
        raise ValueError("fast_mode must be True: patches weighted by a Gaussian are not implemented, got False")
    patches = Patches(side | 1, distance, _positive("h", h), images.number("sigma", sigma, low=0))
    return run(plan_nl_means, source, patches, alpha="kept", backend=backend, out=out)


def plan_nl_means(image: Value, patches: Patches) -> Value:
    real = images.real(image.dtype)
    sums = _sums_of_patches(image, patches, real)
    end = FARTHEST / 2 ** SQUARINGS[real]
    after, reach = patches.side // 2, patches.distance + patches.side // 2
    shifts = (2 * patches.distance + 1) ** 2
    return window(
        "nl_means",
        image,
        halo=(reach, reach),
        edge=(images.MODES["mirror"].code, 0.0),
        work=2.0 + 1.2 * shifts,
        before=after - 1,
        after=after,
        distance=patches.distance,
        powers=powers_of_e(end, real),
        limits=np.array([sums.most, int(sums.expected)], sums.dtype),
        rest=sums.expected % 1.0,
        rate=1 / sums.unit / 2 ** SQUARINGS[real],
        cap=sums.cap,
        factor=sums.factor,
    )


class Sums(NamedTuple):
    """How differences times ``factor``, squared, are summed over patches: as integers of ``dtype``.

    Attributes
    ----------
    most : the largest sum with a nonzero weight
    expected : the sum expected from noise alone
    unit : the sum for which the weight is 1 / e
    cap : a difference that makes the weight 0
    """

    dtype: np.dtype[Any]
    factor: float
    most: int
    expected: float
    unit: float
    cap: float


def _sums_of_patches(image: Value, patches: Patches, real: np.dtype[Any]) -> Sums:
    channels = max(image.channels, 1)
    pixels = (patches.side - 1) ** 2 * channels
    low, high = STRENGTHS[real] if image.dtype.kind == "f" else STRENGTHS_OF_INTEGERS
    h, sigma = min(max(patches.h, low), high), min(patches.sigma, high)
    unit = channels * (patches.side * h) ** 2
    expected = 2 * sigma**2 * pixels
    farthest = FARTHEST * unit + expected
    if image.dtype.kind == "f":
        error = farthest / unit * pixels**2 / MAX_SUM[NARROW]
        dtype = NARROW if real == FLOAT32 and error < MAX_ERROR_OF_PATCHES else WIDE
        most = int(MAX_SUM[dtype] / pixels)
        squared = most / farthest
        return Sums(dtype, math.sqrt(squared), most, expected * squared, unit * squared, math.sqrt(1.0001 * most + 2))
    largest = int(np.iinfo(image.dtype).max) - int(np.iinfo(image.dtype).min)
    most = min(int(farthest), pixels * largest**2)
    cap = min(largest, math.isqrt(most) + 1)
    dtype = NARROW if pixels * cap**2 <= MAX_SUM[NARROW] else WIDE
    return Sums(dtype, 1.0, most, min(expected, float(most)), unit, float(cap))


@cache
def powers_of_e(end: float, dtype: np.dtype[Any]) -> Array:
    """Return the coefficients of a polynomial that approximates ``exp(-x)`` for 0 <= x <= end."""
    found = np.polynomial.Chebyshev.interpolate(lambda x: np.exp(-x), TERMS_OF_EXP[dtype] - 1, (0, end))
    return found.convert(kind=np.polynomial.Polynomial).coef.astype(dtype)
