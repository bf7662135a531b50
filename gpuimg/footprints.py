"""Footprints of common shapes for the filters that take one: erosion, dilation, opening, closing and top hats."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuimg.images import LONGEST_WINDOW, whole

Array = np.ndarray[Any, Any]


def disk(radius: int) -> Array:
    """Return a footprint that is a disk: the pixels whose distance to the middle is at most the radius.

    Parameters
    ----------
    radius : int >= 0
        In pixels.

    Returns
    -------
    (2 * radius + 1, 2 * radius + 1) array of uint8, 1 in the disk and 0 elsewhere, for the ``footprint`` of `erosion`,
    `dilation`, `opening`, `closing`, `white_tophat`, `black_tophat` and `morphological_gradient`. In the text of a
    step, on the command line and in a request, it is written ``erosion:footprint=disk(3)``.

    Raises
    ------
    TypeError, ValueError : ``radius`` is not an integer, or is negative

    References
    ----------
    .. [1] `skimage.morphology.disk`

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.disk(1)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]], dtype=uint8)
    >>> image = np.zeros((9, 9), np.uint8)
    >>> image[4, 4] = 255
    >>> int(gpuimg.dilation(image, footprint=gpuimg.disk(2)).sum()) // 255
    13
    """
    down, along = _distances(radius)
    inside: Array = down * down + along * along <= radius * radius
    return inside.astype(np.uint8)


def square(width: int) -> Array:
    """Return a footprint that is a square.

    Parameters
    ----------
    width : int >= 1
        In pixels.

    Returns
    -------
    (width, width) array of uint8, all 1, for the filters that take ``footprint``, see `disk`. They also take the
    width itself.

    Raises
    ------
    TypeError, ValueError : ``width`` is not an integer, or not positive

    References
    ----------
    .. [1] `skimage.morphology.footprint_rectangle`, before version 0.25 `skimage.morphology.square`.

    Examples
    --------
    >>> import gpuimg
    >>> gpuimg.square(2)
    array([[1, 1],
           [1, 1]], dtype=uint8)
    """
    side = whole("width", width, high=LONGEST_WINDOW)
    return np.ones((side, side), np.uint8)


def diamond(radius: int) -> Array:
    """Return a footprint that is a diamond: the pixels at most so many steps along rows and columns from the middle.

    Parameters
    ----------
    radius : int >= 0
        In pixels.

    Returns
    -------
    (2 * radius + 1, 2 * radius + 1) array of uint8, 1 in the diamond and 0 elsewhere, for the filters that take
    ``footprint``, see `disk`

    Raises
    ------
    TypeError, ValueError : ``radius`` is not an integer, or is negative

    References
    ----------
    .. [1] `skimage.morphology.diamond`

    Examples
    --------
    >>> import gpuimg
    >>> gpuimg.diamond(2)
    array([[0, 0, 1, 0, 0],
           [0, 1, 1, 1, 0],
           [1, 1, 1, 1, 1],
           [0, 1, 1, 1, 0],
           [0, 0, 1, 0, 0]], dtype=uint8)
    """
    down, along = _distances(radius)
    return (down + along <= radius).astype(np.uint8)


def _distances(radius: Any) -> tuple[Array, Array]:
    """Return the distances of rows and columns to the centre."""
    reach = whole("radius", radius, low=0, high=LONGEST_WINDOW // 2)
    steps = np.abs(np.arange(-reach, reach + 1))
    return steps[:, None], steps
