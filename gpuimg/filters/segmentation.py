"""Segmentation: regions that grow from markers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.images import BOOL, INT32, UINT8
from gpuimg.plans.graph import loop
from gpuimg.plans.nodes import change, fold, host, parts, point, view
from gpuimg.plans.value import Small, Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Out

Array = np.ndarray[Any, Any]
INT64 = np.dtype("int64")
LARGEST = 1 << 30  # pixels, so that path lengths fit 32 bits


def _grid(image: Any) -> Array:
    """Return an example of markers: a grid of points."""
    markers = np.zeros(image.shape, np.int32)
    points = markers[2::7, 1::9]
    points[:] = np.arange(1, points.size + 1).reshape(points.shape)
    return markers


def _inside(image: Any) -> Array:
    """Return an example of a mask: all but diagonal bands."""
    rows, cols = np.indices(image.shape[:2])
    mask = (rows + 2 * cols) % 29 > 2
    return np.broadcast_to(mask.reshape(*mask.shape, *[1] * (image.ndim - 2)), image.shape).copy()


@register(
    {"markers": _grid},
    {"markers": _grid, "connectivity": 2, "mask": _inside},
    images=("markers", "mask"),
    alpha="channel",
)
def watershed(
    image: ImageLike,
    markers: ImageLike,
    connectivity: int = 1,
    mask: ImageLike | None = None,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Segment an image by watershed: flood it from markers; each pixel takes the label that reaches it first.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Heights, such as the gradient magnitude or a negated distance. NaN is outside the mask. Channels are flooded
        separately.
    markers : integer array of the image's shape
        Labels of the pixels from which the flooding starts, 0 in all others. Labels must be greater than -2**31 and
        less than 2**31.
    connectivity : {1, 2}
        1: pixels touch at their edges, 2: at their corners too.
    mask : array of bool or uint8 of the image's shape, optional
        Pixels that are 0 here are not flooded. None: all pixels are flooded.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    int32 array of the same shape: labels; 0 outside the mask and in pixels that are not reached

    Raises
    ------
    TypeError : ``markers`` is None, a number or not an integer array; ``mask`` is not a bool or uint8 array
    ValueError : ``markers`` or ``mask`` has another shape, a label is out of range, ``connectivity`` is neither 1 nor
        2, or the image has more than 2**30 values

    Notes
    -----
    The result does not depend on the order of processing and is the same on every backend. It is defined as follows
    [1]_:

    1. The level of a pixel is the height at which the flood reaches it: the minimum, over all paths from markers, of
       the maximum on the path, both ends included.
    2. The path length of a pixel is counted within its level: 0 for a marker, 1 for a pixel with a neighbour of a lower
       level, otherwise 2 plus the minimum path length of its neighbours of the same level.
    3. Any other pixel than a marker takes its label from the neighbour with the lowest level; ties are resolved by the
       shortest path length, then by the smallest label.

    Differs from `skimage.segmentation.watershed` in the last tie only: of neighbours with equal level and path length,
    scikit-image takes the label of the one that entered the queue first, which depends on the order of the neighbours
    and of the markers. Where all of these neighbours have one label, as in an image without equal values, the labels
    are the same. ``markers`` cannot be a number or None, and there is no ``compactness``, ``offset`` or
    ``watershed_line``. In scikit-image, NaN has no order, and labels have the dtype of ``markers``.

    References
    ----------
    .. [1] F. Meyer, "Un algorithme optimal pour la ligne de partage des eaux", 8e congrès de reconnaissance des formes
       et intelligence artificielle, Lyon, 1991, 847-857.
    .. [2] J. Cousty, G. Bertrand, L. Najman, M. Couprie, "Watershed cuts: minimum spanning forests and the drop of
       water principle", IEEE Transactions on Pattern Analysis and Machine Intelligence 31(8), 2009, 1362-1374.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> heights = np.array([[1, 2, 9, 3, 1], [1, 4, 8, 3, 2]], np.uint8)
    >>> gpuimg.watershed(heights, np.array([[5, 0, 0, 0, 7], [0, 0, 0, 0, 0]]))
    array([[5, 5, 5, 7, 7],
           [5, 5, 7, 7, 7]], dtype=int32)
    """
    source = images.accept(image, axes=axes)
    touching = images.whole("connectivity", connectivity, high=2)
    if math.prod(source.shape) > LARGEST:
        raise ValueError(f"image must have at most 2**30 values, got the shape {source.shape}")
    seeds = images.accept_second("markers", _labels(markers), source, dtypes={INT32})
    _check_range(seeds)
    others = () if mask is None else (images.accept_second("mask", mask, source, dtypes={BOOL, UINT8}),)
    return run(plan_watershed, source, touching, others=(seeds, *others), backend=backend, out=out)


def _labels(markers: Any) -> Any:
    """Convert markers to int32 if they are an array of integers."""
    if markers is None or np.ndim(markers) == 0:
        raise TypeError(
            f"markers must be an array of labels of the image's shape, got {markers!r}: "
            "label the minima to flood from, for example with gpuimg.label(image < level)"
        )
    dtype = getattr(markers, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.kind not in "bui" or dtype.newbyteorder("=") == INT32:
        return markers
    if dtype.itemsize >= INT32.itemsize:
        _check_range(markers)
    return markers.astype(INT32)


def _check_range(markers: Any) -> None:
    if markers.size:
        low, high = int(markers.min()), int(markers.max())
        if low <= -(1 << 31) or high >= 1 << 31:
            raise ValueError(f"markers must be greater than -2**31 and less than 2**31, got {low} to {high}")


def plan_watershed(image: Value, markers: Value, *rest: Any) -> Value:
    """Flood the channels; on a device, compute levels, lengths and labels one after the other."""
    *masks, connectivity = rest
    if masks:
        markers = point("watershed_seeds", markers, mask=view(masks[0], UINT8), work=0.5)
    step = image.channels
    begun = parts(
        "watershed",
        image,
        count=step,
        shape=image.shape,
        dtype=INT32,
        work=150.0,
        markers=markers,
        connectivity=connectivity,
        results={"levels": image.dtype, "lengths": INT32, "waiting": ((step, 1), INT64)},
    )
    labels, levels, lengths, waiting = begun.results
    begins = host(_is_any, fold("sum", waiting, shape=(1,), dtype=INT64))
    levels = _relaxed("levels", levels, connectivity, begins, image=image, markers=markers)
    lengths = _relaxed("lengths", lengths, connectivity, begins, image=image, markers=markers, levels=levels)
    return _relaxed("labels", labels, connectivity, begins, markers=markers, levels=levels, lengths=lengths)


def _relaxed(name: str, state: Value, connectivity: int, begins: Small, **constants: Value) -> Value:
    """Repeat a step on the device until nothing changes."""

    def body(held: Value, *given: Value) -> tuple[Value, Small]:
        arguments: dict[str, Any] = dict(zip(constants, given, strict=True))
        made = change(
            f"watershed_{name}",
            held,
            count=1,
            connectivity=connectivity,
            results={"changed": ((1, 1), INT64)},
            **arguments,
        )
        return made, host(_is_any, fold("sum", made.results[1], shape=(1,), dtype=INT64))

    (last,) = loop(
        body,
        state,
        constants=tuple(constants.values()),
        limit=2 * (state.shape[0] * state.shape[1]) + 2,
        rounds=0.0,
        begins=begins,
    )
    return last


def _is_any(count: Array) -> int:
    return int(count[0] > 0)
