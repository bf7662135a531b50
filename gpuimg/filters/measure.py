"""Measurements: sums over areas, connected components, distances."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.images import FLOAT32, FLOAT64, WITH_BOOL
from gpuimg.plans.nodes import change, moved, parts, resample
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Out, SameImage

INT32 = np.dtype("int32")
INT64 = np.dtype("int64")
_LABELLED = frozenset(dtype for dtype in WITH_BOOL if dtype.kind in "bui")
SUMMED_ROWS = 64  # rows of a slab; it determines the order, and so the rounding, of float sums
BLOCK = 4096  # columns of a block


def _slabs(rows: int, height: int) -> int:
    return max(1, -(-rows // height))


def _column_blocks(width: int) -> int:
    return max(1, width // BLOCK)


@register({}, kinds="buif")
def integral_image(
    image: ImageLike,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Compute the integral image (summed-area table): the sum of all pixels above and to the left, inclusive.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array, also bool
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    int64 array of the same shape, exact; float64 for float images, summed in the same order on every backend

    Notes
    -----
    Differs from `skimage.transform.integral_image`, which returns uint64 for unsigned images and treats an image with
    channels as one volume.

    References
    ----------
    .. [1] F. C. Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984, 207-212. The same as
       `skimage.transform.integral_image` of each channel.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.integral_image(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    array([[ 1,  3,  6],
           [ 5, 12, 21]])
    """
    source = images.accept(image, WITH_BOOL, axes=axes, alpha=alpha)
    return run(plan_integral_image, source, backend=backend, out=out)


def plan_integral_image(image: Value) -> Value:
    """Sum slabs of rows, sum the slabs before each slab, then integrate each slab."""
    dtype = FLOAT64 if image.dtype.kind == "f" else INT64
    slabs = _slabs(image.shape[0], SUMMED_ROWS)
    shape = (slabs, *image.shape[1:])
    blocks = _column_blocks(image.shape[1] * image.channels)
    sums = resample("slab_sums", image, dtype=dtype, shape=shape, work=0.3, height=SUMMED_ROWS)
    before = parts("sums_before", sums, dtype=dtype, shape=shape, count=blocks, work=0.3, blocks=blocks)
    return parts(
        "integral",
        before,
        dtype=dtype,
        shape=image.shape,
        count=slabs,
        image=image,
        step=image.channels,
        height=SUMMED_ROWS,
    )


LABELLED_ROWS = 64
GROUP = 8  # neighbouring slabs, or groups of slabs, that are merged at a time
HEADER = images.RUNS_HEADER


@register({}, {"connectivity": 1}, kinds="bui")
def label(
    image: ImageLike,
    connectivity: int = 2,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Label connected regions of equal value.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16 or int16
        Zeros are the background. Channels are labelled separately.
    connectivity : {1, 2}
        1: pixels touch at their edges, 2: at their corners too.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    int32 array of the same shape: 0 in the background, otherwise 1, 2, 3, ... in raster order of the regions' first
    pixels; the maximum is the number of regions

    Raises
    ------
    ValueError : ``connectivity`` is neither 1 nor 2, or the image has 2**31 pixels or more

    References
    ----------
    .. [1] L. He, Y. Chao, K. Suzuki, "A run-based two-scan labeling algorithm", IEEE Transactions on Image Processing
       17(5), 2008, 749-756; here in slabs. The same labels as `skimage.measure.label`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.label(np.array([[1, 0, 7], [0, 1, 7], [0, 7, 0]], np.uint8))
    array([[1, 0, 2],
           [0, 1, 2],
           [0, 2, 0]], dtype=int32)
    """
    source = images.accept(image, _LABELLED, axes=axes, alpha=alpha)
    reach = images.whole("connectivity", connectivity, high=2) - 1
    return run(plan_label, source, reach, backend=backend, out=out)


def plan_label(image: Value, reach: int) -> Value:
    """Union-find of runs within slabs of rows, then across their seams, in growing groups of slabs."""
    step, rows = image.channels, image.shape[0]
    slabs = _slabs(rows, LABELLED_ROWS)
    count = max(1, slabs * step)
    shape = (count, HEADER + min(LABELLED_ROWS, rows) * image.shape[1])
    if shape[0] * shape[1] >= 1 << 31:
        raise ValueError(f"image must have fewer than 2**31 pixels, got the shape {image.shape}")
    height = LABELLED_ROWS
    nodes = parts(
        "label_slabs", image, dtype=INT32, shape=shape, count=count, work=2.0, step=step, height=height, reach=reach
    )
    span = 1
    while span < slabs:
        group = span * GROUP
        nodes = change(
            "label_seams",
            nodes,
            count=-(-slabs // group) * step,
            work=0.02,
            image=image,
            step=step,
            height=height,
            reach=reach,
            span=span,
            group=group,
        )
        span = group
    roots = change("label_roots", nodes, count=count, work=0.1)
    return parts(
        "label_pixels", roots, dtype=INT32, shape=image.shape, count=count, image=image, step=step, height=height
    )


UINT32 = np.dtype("uint32")
BITS = 32  # per word
_CLEARED = _LABELLED | {INT32}


@register({}, kinds="bui", also=frozenset({INT32}))
def clear_border(
    labels: SameImage,
    buffer_size: int = 0,
    bgval: int = 0,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Clear objects connected to the border of the image.

    Parameters
    ----------
    labels : (H, W) or (H, W, C) array of bool, uint8, uint16, int16 or int32
        Objects are 8-connected regions of equal value. Channels are cleared separately.
    buffer_size : int >= 0, less than the number of rows and of columns
        Width of the border in pixels, in addition to the outermost pixels.
    bgval : int
        Value of cleared objects.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype: ``bgval`` in objects with a pixel in the border, and in all pixels that are 0 if
    one of them is in the border; other pixels are unchanged

    Raises
    ------
    ValueError : ``buffer_size`` is negative or too large, ``bgval`` is not a value of the dtype, or the image has 2**31
        pixels or more

    Notes
    -----
    Differs from `skimage.segmentation.clear_border`, which treats an image with channels as one volume and has a
    ``mask``.

    References
    ----------
    .. [1] P. Soille, "Morphological Image Analysis", 2nd edition, 2003, section 6.3.6 (particles connected to the image
       border). The same as `skimage.segmentation.clear_border`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> labels = np.array([[0, 0, 0, 0, 0], [1, 1, 0, 2, 0], [0, 0, 0, 0, 0]], np.int32)
    >>> gpuimg.clear_border(labels)
    array([[0, 0, 0, 0, 0],
           [0, 0, 0, 2, 0],
           [0, 0, 0, 0, 0]], dtype=int32)
    """
    source = images.accept(labels, _CLEARED, axes=axes, alpha=alpha, name="labels")
    buffer = images.whole("buffer_size", buffer_size, low=0)
    if source.array.size and buffer >= min(source.shape[:2]):
        raise ValueError(f"buffer_size must be less than the rows and the columns, {source.shape[:2]}, got {buffer}")
    low, high = (0, 1) if source.dtype.kind == "b" else images.limits(source.dtype)
    value = images.whole("bgval", bgval, low=low, high=high)
    bits = value & ((1 << 8 * source.dtype.itemsize) - 1)
    return run(plan_clear_border, source, buffer, bits, backend=backend, out=out)


def plan_clear_border(image: Value, buffer: int, value: int) -> Value:
    """Label the objects, collect the labels in the border, and clear their pixels."""
    return moved(image, partial(_cleared, buffer, value))


def _cleared(buffer: int, value: int, image: Value) -> Value:
    labels = plan_label(image, 1)
    words = 1 + math.prod(image.shape) // BITS + image.channels
    bits = parts(
        "border_labels", labels, dtype=UINT32, shape=(1, words), count=1, work=0.02, step=image.channels, buffer=buffer
    )
    return resample("clear_labels", image, shape=image.shape, work=0.5, labels=labels, bits=bits, value=value)


DISTANCE_ROWS = 32  # of a slab, whose distances down the columns should stay in the L2 cache
LONGEST_SIDE = 1 << 20  # so that products of squared distances fit 64 bits


@register({}, kinds="bui")
def distance_transform_edt(
    image: ImageLike,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Compute the exact Euclidean distance from each pixel to the nearest zero.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16 or int16
        At most 2**20 rows and columns. Channels are processed separately.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape, in pixels: the correctly rounded root of the exact squared distance; infinity in a
    channel without zeros.

    Raises
    ------
    ValueError : the image has more than 2**20 rows or columns

    Notes
    -----
    Differs from `scipy.ndimage.distance_transform_edt`, which returns float64, and in a channel without zeros the
    distance to a point outside the image.

    References
    ----------
    .. [1] T. Saito, J. Toriwaki, "New algorithms for Euclidean distance transformation of an n-dimensional digitized
       picture with applications", Pattern Recognition 27(11), 1994, 1551-1565.
    .. [2] P. F. Felzenszwalb, D. P. Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8,
       2012, 415-428.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.distance_transform_edt(np.array([[0, 1, 1], [1, 1, 1]], np.uint8))
    array([[0.       , 1.       , 2.       ],
           [1.       , 1.4142135, 2.236068 ]], dtype=float32)
    """
    source = images.accept(image, _LABELLED, axes=axes, alpha=alpha)
    rows, cols = source.shape[:2]
    if max(rows, cols) > LONGEST_SIDE:
        raise ValueError(f"image must have at most {LONGEST_SIDE} rows and columns, got the shape {source.shape}")
    return run(plan_distance_transform_edt, source, backend=backend, out=out)


def plan_distance_transform_edt(image: Value) -> Value:
    """Find the nearest zeros down the columns within slabs of rows, then across slabs; parabolas along the rows."""
    rows, cols = image.shape[:2]
    slabs = _slabs(rows, DISTANCE_ROWS)
    width = cols * image.channels
    blocks = _column_blocks(width)
    shape = (slabs, 2 * width)
    zeros = resample("zero_rows", image, dtype=INT32, shape=shape, work=0.3, height=DISTANCE_ROWS)
    beyond = parts("zeros_beyond", zeros, dtype=INT32, shape=shape, count=blocks, work=0.3, blocks=blocks)
    return parts(
        "distance",
        beyond,
        dtype=FLOAT32,
        shape=image.shape,
        count=slabs,
        work=5.0,
        image=image,
        step=image.channels,
        height=DISTANCE_ROWS,
    )
