"""Measuring: sums over areas, connected components, distances."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.images import FLOAT32, FLOAT64, WITH_BOOL, Source
from gpuimg.passes import ORIGINAL, Sweep
from gpuimg.registry import register
from gpuimg.run import run

INT32 = np.dtype("int32")
INT64 = np.dtype("int64")
_LABELLED = frozenset(dtype for dtype in WITH_BOOL if dtype.kind in "bui")
SUMMED_ROWS = 64  # part of what float sums are: another height, another order
BLOCK = 4096  # columns of a part


def _slabs(source: Source, height: int) -> int:
    return max(1, -(-source.shape[0] // height))


def _column_blocks(width: int) -> int:
    return max(1, width // BLOCK)


@register({}, kinds="buif")
def integral_image(image: Any, *, backend: str | None = None, out: Any = None) -> Any:
    """Sum up all pixels above and to the left of each one, itself included.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array, bool too
    backend, out : see `gpuimg.filters`

    Returns
    -------
    int64 array of the same shape, exact; float64 for images of floats, summed in one order on every backend

    References
    ----------
    .. [1] F. C. Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984, 207-212. As
       `skimage.transform.integral_image` of each channel.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.integral_image(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    array([[ 1,  3,  6],
           [ 5, 12, 21]])
    """
    source = images.accept(image, WITH_BOOL)
    dtype = FLOAT64 if source.dtype.kind == "f" else INT64
    slabs = _slabs(source, SUMMED_ROWS)
    sums = (slabs, *source.shape[1:])
    blocks = _column_blocks(source.shape[1] * source.channels)
    passes = [
        Sweep("slab_sums", (SUMMED_ROWS,), halo=None, dtype=dtype, shape=sums, work=0.3),
        Sweep("sums_before", (blocks,), halo=None, dtype=dtype, shape=sums, parts=blocks, work=0.3),
        Sweep(
            "integral",
            (ORIGINAL, source.channels, SUMMED_ROWS),
            halo=None,
            dtype=dtype,
            shape=source.shape,
            parts=slabs,
        ),
    ]
    return run(source, passes, backend=backend, out=out)


LABELLED_ROWS = 64
GROUP = 8  # neighbouring slabs, or groups of slabs, that are united at a time
HEADER = images.RUNS_HEADER


@register({}, {"connectivity": 1}, kinds="bui")
def label(image: Any, connectivity: int = 2, *, backend: str | None = None, out: Any = None) -> Any:
    """Number the connected regions of equal value.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16 or int16
        Zeros are the background. Channels are numbered each on its own.
    connectivity : {1, 2}
        1: pixels touch at their edges, 2: at their corners too.
    backend, out : see `gpuimg.filters`

    Returns
    -------
    int32 array of the same shape: 0 in the background, else 1, 2, 3 ... in the order in which the regions' first pixels
    come, row by row; the greatest label is their number

    Raises
    ------
    ValueError : ``connectivity`` is neither 1 nor 2, or the image has 2**31 pixels or more

    References
    ----------
    .. [1] L. He, Y. Chao, K. Suzuki, "A run-based two-scan labeling algorithm", IEEE Transactions on Image Processing
       17(5), 2008, 749-756; here in slabs. Labels as `skimage.measure.label`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.label(np.array([[1, 0, 7], [0, 1, 7], [0, 7, 0]], np.uint8))
    array([[1, 0, 2],
           [0, 1, 2],
           [0, 2, 0]], dtype=int32)
    """
    source = images.accept(image, _LABELLED)
    reach = images.whole("connectivity", connectivity, high=2) - 1
    step = source.channels
    slabs = _slabs(source, LABELLED_ROWS)
    parts = max(1, slabs * step)
    nodes = (parts, HEADER + min(LABELLED_ROWS, source.shape[0]) * source.shape[1])
    if nodes[0] * nodes[1] >= 1 << 31:
        raise ValueError(f"image must have less than 2**31 pixels, got the shape {source.shape}")
    slab = (step, LABELLED_ROWS)
    passes = [Sweep("label_slabs", (*slab, reach), halo=None, dtype=INT32, shape=nodes, parts=parts, work=2.0)]
    span = 1
    while span < slabs:
        group = span * GROUP
        args = (ORIGINAL, *slab, reach, span, group)
        groups = -(-slabs // group) * step
        passes.append(Sweep("label_seams", args, halo=None, parts=groups, in_place=True, work=0.02))
        span = group
    passes += [
        Sweep("label_roots", halo=None, parts=parts, in_place=True, work=0.1),
        Sweep("label_pixels", (ORIGINAL, *slab), halo=None, dtype=INT32, shape=source.shape, parts=parts),
    ]
    return run(source, passes, backend=backend, out=out)


DISTANCE_ROWS = 32  # of a slab, whose distances down the columns should stay in the second-level cache
LONGEST_SIDE = 1 << 20  # so that products of squared distances fit 64 bits


@register({}, kinds="bui")
def distance_transform_edt(image: Any, *, backend: str | None = None, out: Any = None) -> Any:
    """Measure the Euclidean distance from each pixel to the nearest zero.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16 or int16
        Of at most 2**20 rows and columns. Channels are measured each on its own.
    backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape, in pixels: the correctly rounded root of the exact squared distance. Infinity
    where there is no zero in the whole channel (SciPy has a distance to a point outside of the image there).

    Raises
    ------
    ValueError : the image has more than 2**20 rows or columns

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
    source = images.accept(image, _LABELLED)
    rows, cols = source.shape[:2]
    if max(rows, cols) > LONGEST_SIDE:
        raise ValueError(f"image must have at most {LONGEST_SIDE} rows and columns, got the shape {source.shape}")
    slabs = _slabs(source, DISTANCE_ROWS)
    width = cols * source.channels
    blocks = _column_blocks(width)
    zeros = (slabs, 2 * width)
    args = (ORIGINAL, source.channels, DISTANCE_ROWS)
    passes = [
        Sweep("zero_rows", (DISTANCE_ROWS,), halo=None, dtype=INT32, shape=zeros, work=0.3),
        Sweep("zeros_beyond", (blocks,), halo=None, dtype=INT32, shape=zeros, parts=blocks, work=0.3),
        Sweep("distance", args, halo=None, dtype=FLOAT32, shape=source.shape, parts=slabs, work=5.0),
    ]
    return run(source, passes, backend=backend, out=out)
