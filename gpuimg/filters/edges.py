"""Edges: derivatives of the grey values."""

from __future__ import annotations

from typing import Any

from gpuimg import images
from gpuimg.images import FLOAT32, FLOAT64
from gpuimg.passes import Sweep
from gpuimg.registry import register
from gpuimg.run import run

MAGNITUDE = 2  # where kernels take the axis to differentiate along


@register({}, {"axis": 0}, {"axis": 1})
def sobel(
    image: Any,
    axis: int | None = None,
    *,
    mode: str = "reflect",
    cval: float = 0,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Find edges by the Sobel operator.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    axis : {None, 0, 1}
        The axis to differentiate along: 0 (or -2) shows horizontal edges, 1 (or -1) vertical ones; None gives the
        magnitude.
    mode, cval, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images); the image's values are not rescaled. One axis: the
    smoothed difference of the neighbours on both sides; None: the root of the mean of both squares, as in scikit-image.

    Raises
    ------
    ValueError : ``axis`` is none of these

    References
    ----------
    .. [1] I. Sobel, G. Feldman, "A 3x3 isotropic gradient operator for image processing", Stanford Artificial
       Intelligence Project, 1968. Signs and scale as `skimage.filters.sobel`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.sobel(np.array([[0, 0, 8, 8]] * 3, np.uint8), axis=1)
    array([[0., 8., 8., 0.],
           [0., 8., 8., 0.],
           [0., 8., 8., 0.]], dtype=float32)
    """
    source = images.accept(image)
    direction = MAGNITUDE if axis is None else images.whole("axis", axis, low=-2, high=1) % 2
    edge = images.border(mode, cval, source.dtype)
    dtype = FLOAT64 if source.dtype == FLOAT64 else FLOAT32
    task = Sweep("sobel", (direction,), halo=(1, 1), border=edge, dtype=dtype, work=2.0)
    return run(source, [task], backend=backend, out=out)
