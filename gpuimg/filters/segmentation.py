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
LARGEST = 1 << 30  # pixels, so that lengths of paths fit 32 bits


def _grid(image: Any) -> Array:
    """An example of markers: a grid of points."""
    markers = np.zeros(image.shape, np.int32)
    points = markers[2::7, 1::9]
    points[:] = np.arange(1, points.size + 1).reshape(points.shape)
    return markers


def _inside(image: Any) -> Array:
    """An example of a mask: all but a diagonal band."""
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
    """Flood an image from markers: each pixel takes the label of the marker whose water reaches it first.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Heights, such as a gradient's magnitude or a negated distance. NaN is outside of the mask. Channels are flooded
        separately.
    markers : integer array of the image's shape
        Labels of the pixels that water comes from, 0 in all others. They must be greater than -2**31 and less than
        2**31.
    connectivity : {1, 2}
        1: pixels touch at their edges, 2: at their corners too.
    mask : array of bool or uint8 of the image's shape, optional
        Where it is 0, no water goes. None: it goes everywhere.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    int32 array of the same shape: labels; 0 outside of the mask and where no water comes

    Raises
    ------
    TypeError : ``markers`` is None, a number, or not of integers; ``mask`` is not of bool or
        uint8
    ValueError : ``markers`` or ``mask`` has another shape, a label is out of range, ``connectivity`` is neither 1 nor
        2, or the image has more than 2**30 values

    Notes
    -----
    The result does not depend on an order of work, and is the same on every backend. It is defined so [1]_:

    1. The level of a pixel is the lowest height of the water that reaches it: the minimum over all paths from markers
       of the maximum on the path, both ends included.
    2. The length of the path to a pixel is counted within the pixel's level. A marker has the length 0, and a pixel
       that has a neighbour of a lower level 1. Any other has 2 more than the least of its neighbours of the same level.
    3. A pixel that is no marker takes its label from the neighbour of the least level, among these of the least length,
       and among these of the least label.

    Differs from `skimage.segmentation.watershed` in the last point only: there, of neighbours of one level and one
    length the one that entered the queue first gives the label, which depends on the order of the neighbours and of
    the markers. Where all of them have one label, as they always have in an image without equal values, so also after
    them, the labels are the same. There is neither a number of markers nor None for ``markers``, and no
    ``compactness``, ``offset`` and ``watershed_line``; NaN has no order there, and labels have the dtype of
    ``markers`` there.

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
    """Markers as int32, if they are an array of integers."""
    if markers is None or np.ndim(markers) == 0:
        raise TypeError(
            f"markers must be an array of labels of the image's shape, got {markers!r}: "
            "label the minima that water is to come from, for example gpuimg.label(image < level)"
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
    """Floods of channels; or, on a device, levels, lengths and labels one after the other."""
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
    """Repeat a step of a device until nothing changes."""

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
