"""Image pyramids: the next smaller and the next larger level of an image."""

from __future__ import annotations

import math
from typing import Any

from gpuimg import images
from gpuimg.filters.smooth import Widths, plan_gaussian, widths
from gpuimg.filters.transform import GRID_ORDERS, LONGEST_SIDE, checked_order, plan_resize
from gpuimg.plans.nodes import Edge
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, GridOrder, ImageLike, Mode, Out, Sigma


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
    """Smooth an image, then shrink it: the next level of a Gaussian pyramid.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    downscale : number > 1
        The factor by which each side shrinks; sides are rounded up.
    sigma : number >= 0, or two of them for rows and columns, optional
        Standard deviation of the Gaussian in pixels of the image. None: ``2 * downscale / 6``, which covers more than
        99 % of the distribution.
    order : {0, 1, 3, "lanczos"}
        How the smoothed image is sampled, as in `gpuimg.resize` without ``anti_aliasing``.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        Beyond its borders the image is smoothed by ``mode``; sampling mirrors it.

    Returns
    -------
    array of the image's dtype, ``resize(gaussian(image, sigma), shape, order, anti_aliasing=False)``

    Raises
    ------
    ValueError : ``downscale`` is not above 1, ``sigma`` is negative, ``order`` or ``mode`` is none of these

    Notes
    -----
    Differs from `skimage.transform.pyramid_reduce` for integers, which are rounded after each step, and not rescaled.

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
    return run(plan_reduce, source, rows, cols, width, order, edge, alpha="weighed", backend=backend, out=out)


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
    """Enlarge an image, then smooth it: the level before in a Gaussian pyramid.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
    upscale : number > 1
        The factor by which each side grows; sides are rounded up.
    sigma : number >= 0, or two of them for rows and columns, optional
        Standard deviation of the Gaussian in pixels of the result. None: ``2 * upscale / 6``, which covers more than
        99 % of the distribution.
    order : {0, 1, 3, "lanczos"}
        How the image is sampled, as in `gpuimg.resize`.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        Beyond its borders the enlarged image is smoothed by ``mode``; sampling mirrors the image.

    Returns
    -------
    array of the image's dtype, ``gaussian(resize(image, shape, order), sigma)``

    Raises
    ------
    ValueError : ``upscale`` is not above 1 or the result is too large, ``sigma`` is negative, ``order`` or ``mode`` is
        none of these

    Notes
    -----
    Differs from `skimage.transform.pyramid_expand` for integers, which are rounded after each step, and not rescaled.

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
    return run(plan_expand, source, rows, cols, width, order, edge, alpha="weighed", backend=backend, out=out)


def _checked(
    name: str, image: Any, factor: Any, sigma: Any, order: Any, mode: Any, cval: Any, axes: Any, alpha: Any
) -> tuple[images.Source, float, Widths, Any, Edge]:
    """Check the arguments that both filters have; ``name`` is that of the factor."""
    scale = images.number(name, factor)
    if scale <= 1:
        raise ValueError(f"{name} must be above 1, got {factor!r}")
    source = images.accept(image, axes=axes, alpha=alpha)
    width = widths(2 * scale / 6 if sigma is None else sigma)
    return source, scale, width, checked_order(order, GRID_ORDERS), images.border(mode, cval, source.dtype)


def plan_reduce(image: Value, rows: int, cols: int, width: Widths, order: GridOrder, edge: Edge) -> Value:
    return _sampled(_smoothed(image, width, edge), rows, cols, order)


def plan_expand(image: Value, rows: int, cols: int, width: Widths, order: GridOrder, edge: Edge) -> Value:
    return _smoothed(_sampled(image, rows, cols, order), width, edge)


def _smoothed(image: Value, width: Widths, edge: Edge) -> Value:
    return image if 0 in image.shape else plan_gaussian(image, width, edge)


def _sampled(image: Value, rows: int, cols: int, order: GridOrder) -> Value:
    return plan_resize(image, (0, rows, rows), (0, cols, cols), order, False)
