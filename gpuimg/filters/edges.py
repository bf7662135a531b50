"""Edges: derivatives of intensities."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from gpuimg import images
from gpuimg.plans.nodes import Edge, window
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Mode, Out

MAGNITUDE = 2  # in place of the axis to differentiate along


class Smoothing(NamedTuple):
    """Weights of a pixel and of its two neighbours, perpendicular to the derivative."""

    centre: int
    outer: int


SOBEL, SCHARR, PREWITT = Smoothing(2, 1), Smoothing(10, 3), Smoothing(1, 1)


def _derivative(
    image: ImageLike,
    weights: Smoothing,
    axis: Any,
    mode: Mode,
    cval: float,
    axes: str | None,
    alpha: bool | None,
    backend: Backend | None,
    out: Out | None,
) -> Any:
    source = images.accept(image, axes=axes, alpha=alpha)
    chosen = MAGNITUDE if axis is None else images.axis(axis)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_derivative, source, weights, chosen, edge, backend=backend, out=out)


def plan_derivative(image: Value, weights: Smoothing, axis: int, edge: Edge, factor: float | None = None) -> Value:
    """Compute the smoothed derivative along one axis, or the magnitude; by default normalised as in scikit-image."""
    return window(
        "derivative",
        image,
        halo=(1, 1),
        edge=edge,
        dtype=images.real(image.dtype),
        work=2.0,
        axis=axis,
        centre=weights.centre,
        outer=weights.outer,
        factor=_factor(weights, axis) if factor is None else factor,
    )


def _factor(weights: Smoothing, axis: int) -> float:
    """Return the normalising factor of the derivatives, or of their magnitude."""
    mean = 1 / (weights.centre + 2 * weights.outer)
    return mean / math.sqrt(2) if axis == MAGNITUDE else mean


@register({}, {"axis": 0}, {"axis": 1})
def sobel(
    image: ImageLike,
    axis: int | None = None,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Find edges with the Sobel operator.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Channels are filtered separately; for the edges of a colour image, convert it with `gpuimg.rgb2gray` first.
    axis : {None, 0, 1}
        The axis to differentiate along: 0 (or -2) for horizontal edges, 1 (or -1) for vertical edges, None for the
        gradient magnitude.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images); the image's values are not rescaled. With an axis: the
    smoothed derivative; None: the root mean square of both derivatives, as in scikit-image.

    Raises
    ------
    ValueError : ``axis`` is not one of these

    References
    ----------
    .. [1] I. Sobel, G. Feldman, "A 3x3 isotropic gradient operator for image processing", Stanford Artificial
       Intelligence Project, 1968. Signs and scale as in `skimage.filters.sobel`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.sobel(np.array([[0, 0, 8, 8]] * 3, np.uint8), axis=1)
    array([[0., 8., 8., 0.],
           [0., 8., 8., 0.],
           [0., 8., 8., 0.]], dtype=float32)
    """
    return _derivative(image, SOBEL, axis, mode, cval, axes, alpha, backend, out)


@register({}, {"axis": 0}, {"axis": 1})
def scharr(
    image: ImageLike,
    axis: int | None = None,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Find edges with the Scharr operator, which has better rotational symmetry than Sobel's.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Channels are filtered separately; for the edges of a colour image, convert it with `gpuimg.rgb2gray` first.
    axis : {None, 0, 1}
        The axis to differentiate along: 0 (or -2) for horizontal edges, 1 (or -1) for vertical edges, None for the
        gradient magnitude.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images); the image's values are not rescaled. With an axis: the
    smoothed derivative; None: the root mean square of both derivatives, as in scikit-image.

    Raises
    ------
    ValueError : ``axis`` is not one of these

    References
    ----------
    .. [1] H. Scharr, "Optimal operators in digital image processing", dissertation, Heidelberg, 2000. Signs and
       scale as in `skimage.filters.scharr`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.scharr(np.array([[0, 0, 16, 16]] * 3, np.uint8), axis=1)
    array([[ 0., 16., 16.,  0.],
           [ 0., 16., 16.,  0.],
           [ 0., 16., 16.,  0.]], dtype=float32)
    """
    return _derivative(image, SCHARR, axis, mode, cval, axes, alpha, backend, out)


@register({}, {"axis": 0}, {"axis": 1})
def prewitt(
    image: ImageLike,
    axis: int | None = None,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Find edges with the Prewitt operator.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Channels are filtered separately; for the edges of a colour image, convert it with `gpuimg.rgb2gray` first.
    axis : {None, 0, 1}
        The axis to differentiate along: 0 (or -2) for horizontal edges, 1 (or -1) for vertical edges, None for the
        gradient magnitude.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images); the image's values are not rescaled. With an axis: the
    smoothed derivative; None: the root mean square of both derivatives, as in scikit-image.

    Raises
    ------
    ValueError : ``axis`` is not one of these

    References
    ----------
    .. [1] J. M. S. Prewitt, "Object enhancement and extraction", in Picture Processing and Psychopictorics, 1970. Signs
       and scale as in `skimage.filters.prewitt`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.prewitt(np.array([[0, 0, 12, 12]] * 3, np.uint8), axis=1)
    array([[ 0., 12., 12.,  0.],
           [ 0., 12., 12.,  0.],
           [ 0., 12., 12.,  0.]], dtype=float32)
    """
    return _derivative(image, PREWITT, axis, mode, cval, axes, alpha, backend, out)


@register({})
def gradient(
    image: ImageLike,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: tuple[Out, Out] | None = None,
) -> tuple[Any, Any]:
    """Compute the magnitude and direction of the gradient with the Sobel operator.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Channels are filtered separately; for the edges of a colour image, convert it with `gpuimg.rgb2gray` first.
    mode, cval, axes, alpha, backend : see `gpuimg.filters`
    out : tuple of two arrays, for both results; see `gpuimg.filters`

    Returns
    -------
    magnitude : float32 array of the same shape (float64 for float64 images)
        As `sobel` returns it.
    direction : array of the same shape and dtype
        Direction of increasing intensity, in radians from -pi to pi: ``arctan2(sobel(image, axis=0),
        sobel(image, axis=1))``; 0 is to the right, pi / 2 downwards. 0 where the image is flat; NaN where a neighbour
        is NaN. Within 3 units in the last place of the exact angle of the derivatives.

    References
    ----------
    .. [1] I. Sobel, G. Feldman, "A 3x3 isotropic gradient operator for image processing", Stanford Artificial
       Intelligence Project, 1968. Signs and scale as in `skimage.filters.sobel`; signed zeros and infinity as in
       `numpy.arctan2`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> magnitude, direction = gpuimg.gradient(np.array([[0, 0, 9, 9], [0, 0, 0, 0]], np.uint8))
    >>> np.rint(np.rad2deg(direction))
    array([[  0., -18., -45., -90.],
           [  0., -45., -72., -90.]], dtype=float32)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_gradient, source, edge, backend=backend, out=out)


def plan_gradient(image: Value, edge: Edge) -> tuple[Value, ...]:
    return window(
        "gradient",
        image,
        halo=(1, 1),
        edge=edge,
        dtype=images.real(image.dtype),
        work=4.0,
        results={"direction": images.real(image.dtype)},
        centre=SOBEL.centre,
        outer=SOBEL.outer,
        factor=_factor(SOBEL, MAGNITUDE),
    ).results


@register({})
def laplace(
    image: ImageLike,
    *,
    mode: Mode = "reflect",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Compute the Laplacian: the sum of the second derivatives along both axes.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Channels are filtered separately; for the edges of a colour image, convert it with `gpuimg.rgb2gray` first.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images); the image's values are not rescaled

    References
    ----------
    .. [1] `scipy.ndimage.laplace`, with the same kernel 1, -2, 1.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.laplace(np.array([[0, 0, 8, 8]], np.uint8))
    array([[ 0.,  8., -8.,  0.]], dtype=float32)
    """
    source = images.accept(image, axes=axes, alpha=alpha)
    edge = images.border(mode, cval, source.dtype)
    return run(plan_laplace, source, edge, backend=backend, out=out)


def plan_laplace(image: Value, edge: Edge) -> Value:
    return window("laplace", image, halo=(1, 1), edge=edge, dtype=images.real(image.dtype))
