"""Image pyramids: the next smaller and the next larger level."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.filters.smooth import Widths, folded_taps, widths
from gpuimg.filters.transform import (
    GRID_ORDERS,
    KERNELS,
    LONGEST_SIDE,
    TILE_TAPS,
    Axis,
    Part,
    checked_order,
    interpolation,
    mirrored,
    parts_of,
    plan_pad,
    plan_sums,
    run_in_tiles,
    table,
)
from gpuimg.images import FLOAT64
from gpuimg.keeping import kept
from gpuimg.plans.nodes import Edge
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.typing import Backend, GridOrder, ImageLike, Mode, Out, Sigma

Array = np.ndarray[Any, Any]
Finder = Callable[[Array, int, int, Array, GridOrder, int], tuple[Array, Array]]
TRUNCATE = 4.0  # standard deviations
REACH = max(kernel.radius for kernel in KERNELS.values())  # of interpolation, in samples
REFLECT, NEAREST, MIRROR, WRAP, CONSTANT = (
    images.MODES[mode].code for mode in ("reflect", "nearest", "mirror", "wrap", "constant")
)


def _reflected(places: Array, length: int) -> Array:
    places = places % (2 * length)
    return np.minimum(places, 2 * length - 1 - places)


# The samples that extend an image beyond its borders; -1 and the image's length stand for the constant.
CONTINUED: dict[int, Callable[[Array, int], Array]] = {
    REFLECT: _reflected,
    NEAREST: lambda places, length: np.clip(places, 0, length - 1),
    MIRROR: mirrored,
    WRAP: lambda places, length: places % length,
    CONSTANT: lambda places, length: np.clip(places, -1, length),
}


@register({}, {"downscale": 3.5, "sigma": (0, 1.5)}, {"downscale": 1.6, "order": 3}, alpha="weighed")
def pyramid_reduce(
    image: ImageLike,
    downscale: float = 2,
    sigma: Sigma | None = None,
    order: GridOrder = 1,
    mode: Mode = "reflect",
    cval: float = 0,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Smooth an image, then downsample it: the next level of a Gaussian pyramid.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    downscale : number > 1
        Factor by which each side shrinks; sides are rounded up.
    sigma : number >= 0, or two of them for rows and columns, optional
        Standard deviation of the Gaussian in pixels of the image. None: ``2 * downscale / 6``, which covers more than
        99 % of the distribution.
    order : {0, 1, 3, "lanczos"}
        Order of interpolation, as in `gpuimg.resize` without ``anti_aliasing``.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        ``mode`` extends the image for smoothing; sampling always mirrors it.

    Returns
    -------
    array of the image's dtype: ``resize(gaussian(image, sigma), shape, order, anti_aliasing=False)``, rounded once.
    uint8: within 1 of the exact value, or 2 where a side shrinks by thousands.

    Raises
    ------
    ValueError : ``downscale`` is not above 1, ``sigma`` is negative, ``order`` or ``mode`` is not one of these

    Notes
    -----
    Differs from `skimage.transform.pyramid_reduce` for integers, which are rounded and not rescaled.

    References
    ----------
    .. [1] `skimage.transform.pyramid_reduce` with ``preserve_range=True``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.pyramid_reduce(np.arange(0, 160, 10, np.uint8).reshape(1, -1))
    array([[  6,  25,  45,  65,  85, 105, 125, 144]], dtype=uint8)
    """
    source, factor, width, order, edge = _checked("downscale", image, downscale, sigma, order, mode, cval, axes, alpha)
    rows, cols = (math.ceil(side / factor) for side in source.shape[:2])
    return _level(plan_reduce, source, (rows, cols), width, order, edge, backend, out)


@register({}, {"upscale": 1.7, "sigma": (0.5, 0)}, {"upscale": 2.5, "order": 3}, alpha="weighed")
def pyramid_expand(
    image: ImageLike,
    upscale: float = 2,
    sigma: Sigma | None = None,
    order: GridOrder = 1,
    mode: Mode = "reflect",
    cval: float = 0,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Upsample an image, then smooth it: the previous level of a Gaussian pyramid.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    upscale : number > 1
        Factor by which each side grows; sides are rounded up.
    sigma : number >= 0, or two of them for rows and columns, optional
        Standard deviation of the Gaussian in pixels of the result. None: ``2 * upscale / 6``, which covers more than
        99 % of the distribution.
    order : {0, 1, 3, "lanczos"}
        Order of interpolation, as in `gpuimg.resize`.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        ``mode`` extends the enlarged image for smoothing; sampling always mirrors the image.

    Returns
    -------
    array of the image's dtype: ``gaussian(resize(image, shape, order), sigma)``, rounded once. uint8: within 1 of the
    exact value.

    Raises
    ------
    ValueError : ``upscale`` is not above 1 or the result is too large, ``sigma`` is negative, ``order`` or ``mode`` is
        not one of these

    Notes
    -----
    Differs from `skimage.transform.pyramid_expand` for integers, which are rounded and not rescaled.

    References
    ----------
    .. [1] `skimage.transform.pyramid_expand` with ``preserve_range=True``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.pyramid_expand(np.array([[0, 100]], np.uint8))
    array([[25, 35, 65, 75],
           [25, 35, 65, 75]], dtype=uint8)
    """
    source, factor, width, order, edge = _checked("upscale", image, upscale, sigma, order, mode, cval, axes, alpha)
    if max(source.shape[:2]) * factor > LONGEST_SIDE:
        raise ValueError(f"upscale must give at most {LONGEST_SIDE} rows and columns, got {upscale!r}")
    rows, cols = (math.ceil(side * factor) for side in source.shape[:2])
    return _level(plan_expand, source, (rows, cols), width, order, edge, backend, out)


def _checked(
    name: str, image: Any, factor: Any, sigma: Any, order: Any, mode: Any, cval: Any, axes: Any, alpha: Any
) -> tuple[images.Source, float, Widths, Any, Edge]:
    """Check the arguments of both filters; ``name`` is that of the factor."""
    scale = images.number(name, factor)
    if scale <= 1:
        raise ValueError(f"{name} must be above 1, got {factor!r}")
    source = images.accept(image, axes=axes, alpha=alpha)
    width = widths(2 * scale / 6 if sigma is None else sigma)
    return source, scale, width, checked_order(order, GRID_ORDERS), images.border(mode, cval, source.dtype)


def _level(
    plan: Callable[..., Value],
    source: images.Source,
    shape: tuple[int, int],
    width: Widths,
    order: GridOrder,
    edge: Edge,
    backend: Backend | None,
    out: Out | None,
) -> Any:
    """Run a plan, in parts if the tables for the whole image would be too large."""
    rows, cols = (
        parts_of(side, 2 * _most_taps(length, side, sigma, order))  # factor 2: for the sums as well as the tables
        for length, side, sigma in zip(source.shape, shape, (width.rows, width.cols), strict=False)
    )
    return run_in_tiles(plan, source, rows, cols, width, order, edge, backend=backend, out=out)


def _most_taps(length: int, wanted: int, sigma: float, order: GridOrder) -> float:
    """Estimate the maximum number of input samples, of ``length``, for each of the ``wanted`` output samples."""
    spread = 8 * sigma * min(1, length / max(wanted, 1))
    return min(spread + (2 * KERNELS[order].radius if order in KERNELS else 2), length + 2)


def plan_reduce(image: Value, rows: Part, cols: Part, width: Widths, order: GridOrder, edge: Edge) -> Value:
    """Smooth, then sample."""
    return _plan_level(_reducing, image, rows, cols, width, order, edge)


def plan_expand(image: Value, rows: Part, cols: Part, width: Widths, order: GridOrder, edge: Edge) -> Value:
    """Sample, then smooth."""
    return _plan_level(_expanding, image, rows, cols, width, order, edge)


def _plan_level(
    find: Finder, image: Value, rows: Part, cols: Part, width: Widths, order: GridOrder, edge: Edge
) -> Value:
    """Smooth and sample by one weighted sum, which is rounded once: both are linear, so their weights multiply."""
    if 0 in image.shape:  # nothing is computed
        return Value((rows[1] - rows[0], cols[1] - cols[0], *image.shape[2:]), image.dtype)
    height, length = image.shape[:2]
    mode, cval = edge
    down, above = _tables(find, height, rows, width.rows, order, mode)
    along, before = _tables(find, length, cols, width.cols, order, mode)
    around = plan_pad(image, ((above, above), (before, before)), (mode, cval + 0.0)) if above or before else image
    return plan_sums(around, down, along, order)


@kept(32, lambda made: sum(each.nbytes for each in made[0][:3]))
def _tables(find: Finder, length: int, part: Part, sigma: float, order: GridOrder, mode: int) -> tuple[Axis, int]:
    """Return the tables of an axis, and by how much it must be padded at both ends for them.

    Padding places samples that wrap around, or a constant, next to where they are used.
    """
    first, last, wanted = part
    side = max(length, wanted)  # of the smoothed image
    taps = folded_taps(sigma, TRUNCATE, FLOAT64, side, mode)
    bell = np.concatenate((taps.weights[:0:-1], taps.weights))
    at_once = max(1, TILE_TAPS // (len(bell) * 2 * REACH))
    found = []
    for begin in range(first, last, at_once):
        places = np.arange(begin, min(begin + at_once, last))
        samples, weights = find(places, length, wanted, bell, order, mode)
        if mode == WRAP and taps.radius >= side:
            samples %= length
        found.append(_merged(samples, weights))
    count = max(len(samples[0]) for samples, _ in found)
    samples, weights = (
        np.concatenate([np.pad(each, ((0, 0), (0, count - each.shape[1]))) for each in every])
        for every in zip(*found, strict=True)
    )
    made = table(samples, weights)
    beyond = max(0, -int(made.samples.min()), int(made.samples.max()) + 1 - length)
    return made._replace(samples=made.samples + beyond), beyond


def _reducing(places: Array, length: int, wanted: int, bell: Array, order: GridOrder, mode: int) -> tuple[Array, Array]:
    """Return the samples for the given places of a smoothed image, and their weights."""
    near, shares, _, _ = table(*interpolation(places, length, wanted, order, False))
    samples = near[:, :, None] + _shifts(bell)
    if mode != WRAP:
        samples = CONTINUED[mode](samples, length)
    return samples, shares[:, :, None] * bell


def _expanding(
    places: Array, length: int, wanted: int, bell: Array, order: GridOrder, mode: int
) -> tuple[Array, Array]:
    """Return the samples for an enlarged image around the given places, and their weights."""
    around = places[:, None] + _shifts(bell)
    inside, which = np.unique(CONTINUED[mode](around, wanted), return_inverse=True)
    near, shares, _, _ = table(*interpolation(np.clip(inside, 0, wanted - 1), length, wanted, order, False))
    near[inside < 0], near[inside >= wanted] = -1, length
    which = which.reshape(around.shape)
    samples = near[which]
    if mode == WRAP:
        samples += (around // wanted * length)[:, :, None]
    return samples, shares[which] * bell[:, None]


def _shifts(bell: Array) -> Array:
    return np.arange(len(bell)) - len(bell) // 2


def _merged(samples: Array, weights: Array) -> tuple[Array, Array]:
    """Return consecutive samples from the first one, and the sums of their weights; 0 for samples that do not occur.

    Parameters
    ----------
    samples, weights : (length, ...) arrays

    Returns
    -------
    two arrays (length, taps)
    """
    count = len(samples)
    samples, weights = samples.reshape(count, -1), weights.reshape(count, -1)
    first = samples.min(axis=1, keepdims=True)
    places = samples - first
    taps = int(places.max()) + 1
    places += taps * np.arange(count)[:, None]
    sums = np.bincount(places.ravel(), weights.ravel(), count * taps)
    return first + np.arange(taps), sums.reshape(count, taps)
