"""Skeletons: regions thinned to lines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, get_args

import numpy as np

from gpuimg import images
from gpuimg.images import BOOL, WITH_BOOL
from gpuimg.plans.graph import loop
from gpuimg.plans.nodes import fold, host, parts, resample, view
from gpuimg.plans.value import Small, Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Out, SkeletonMethod

Array = np.ndarray[Any, Any]
INT64, UINT64 = np.dtype("int64"), np.dtype("uint64")
_MASKS = frozenset(dtype for dtype in WITH_BOOL if dtype.kind in "bui")
(ZHANG,) = get_args(SkeletonMethod)

IN_RASTER_ORDER = ("NW", "N", "NE", "W", "E", "SW", "S", "SE")  # the bits of an index into a table
AROUND = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")
# From which neighbours of a pixel are set to the sub-iterations that remove it: a bit mask of 1 and 2.
Neighbours: TypeAlias = "dict[str, bool]"
Rule: TypeAlias = "Callable[[Neighbours], int]"

# Neighbourhoods, named by the set neighbours, where scikit-image differs from Zhang and Suen's rule: lines two pixels
# wide and corners of lines.
DIFFERENT = {
    **dict.fromkeys(("S SE", "NW W"), 0),
    **dict.fromkeys(("N NW", "NE N", "E NE", "E NE N", "N NW W"), 1),
    **dict.fromkeys(("E N NW", "NE N W", "NW W S", "N W SW", "NE N W SW"), 1),
    **dict.fromkeys(("E SE", "E S SE", "SW S", "W SW", "W SW S"), 2),
    **dict.fromkeys(("E N SE", "E SW S", "E NE SW S", "W S SE"), 2),
    **dict.fromkeys(("E N", "E S", "N W", "W S"), 3),
}


def zhang_suen(neighbours: Neighbours) -> int:
    """Zhang and Suen's rule as implemented in scikit-image."""
    name = " ".join([place for place in AROUND if neighbours[place]])
    if name in DIFFERENT:
        return DIFFERENT[name]
    ring = [neighbours[place] for place in AROUND]
    begins = sum([after and not before for before, after in zip(ring, ring[1:] + ring[:1], strict=True)])
    if begins != 1 or not 2 <= sum(ring) <= 6:
        return 0
    north, east, south, west = (neighbours[place] for place in "NESW")
    first = not (east and south and (north or west))
    second = not (north and west and (east or south))
    return first | second << 1


def guo_hall(neighbours: Neighbours) -> int:
    ring = [neighbours[place] for place in AROUND]
    edges, corners = ring[::2], ring[1::2]
    triples = list(zip(edges, corners, edges[1:] + edges[:1], strict=True))
    begins = sum([not before and (corner or after) for before, corner, after in triples])
    pairs = min(sum([before or corner for before, corner, _ in triples]), sum([c or after for _, c, after in triples]))
    if begins != 1 or not 2 <= pairs <= 3:
        return 0
    _, north_east, north, north_west, west, south_west, south, south_east = ring
    first = not (neighbours["E"] and (north_east or north or not south_east))
    second = not (west and (south_west or south or not north_west))
    return first | second << 1


def _table(rule: Rule) -> Array:
    indices = range(1 << len(IN_RASTER_ORDER))
    each = [{name: bool(index >> bit & 1) for bit, name in enumerate(IN_RASTER_ORDER)} for index in indices]
    return np.array([rule(neighbours) for neighbours in each], np.uint8)


ZHANG_SUEN, GUO_HALL = _table(zhang_suen), _table(guo_hall)


@register({}, kinds="bui")
def skeletonize(
    image: ImageLike,
    method: SkeletonMethod = "zhang",
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Thin regions to their skeletons: lines one pixel wide with the same connectivity as the regions.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16 or int16
        Zeros are the background. Channels are thinned separately.
    method : {"zhang"}
        The parallel algorithm of Zhang and Suen [1]_. scikit-image's other method, "lee", is not available.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape

    Raises
    ------
    ValueError : ``method`` is not "zhang"

    See Also
    --------
    thin : by another rule, optionally for a number of iterations

    Notes
    -----
    The result is that of `skimage.morphology.skeletonize`, which differs from the paper in lines two pixels wide and in
    corners of lines.

    References
    ----------
    .. [1] T. Y. Zhang, C. Y. Suen, "A fast parallel algorithm for thinning digital patterns", Communications of the ACM
       27(3), 1984, 236-239.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> bar = np.zeros((5, 9), bool)
    >>> bar[1:4, 1:8] = True
    >>> gpuimg.skeletonize(bar).astype(np.uint8)
    array([[0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 1, 0, 0],
           [0, 1, 1, 1, 1, 1, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    source = images.accept(image, _MASKS, axes=axes, alpha=alpha)
    if method != ZHANG:
        raise ValueError(f"method must be {ZHANG!r}, the only method available, got {method!r}")
    return run(plan_skeletonize, source, backend=backend, out=out)


@register({}, {"max_num_iter": 3}, kinds="bui")
def thin(
    image: ImageLike,
    max_num_iter: int | None = None,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Thin regions from all sides, until only lines are left or for a given number of iterations.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, uint8, uint16 or int16
        Zeros are the background. Channels are thinned separately.
    max_num_iter : positive int, optional
        Maximum number of iterations; each removes a layer of pixels. None: until nothing changes.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape

    Raises
    ------
    ValueError : ``max_num_iter`` is not positive

    See Also
    --------
    skeletonize : by another rule

    References
    ----------
    .. [1] Z. Guo, R. W. Hall, "Parallel thinning with two-subiteration algorithms", Communications of the ACM 32(3),
       1989, 359-373. The same pixels as `skimage.morphology.thin`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> bar = np.zeros((5, 9), bool)
    >>> bar[1:4, 1:8] = True
    >>> gpuimg.thin(bar).astype(np.uint8)
    array([[0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 0, 1, 1, 1, 1, 1, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    source = images.accept(image, _MASKS, axes=axes, alpha=alpha)
    most = MOST if max_num_iter is None else images.whole("max_num_iter", max_num_iter, high=MOST)
    return run(plan_thin, source, most, backend=backend, out=out)


def plan_skeletonize(image: Value) -> Value:
    return _thinned(image, ZHANG_SUEN, MOST)


def plan_thin(image: Value, most: int) -> Value:
    return _thinned(image, GUO_HALL, most)


MOST = 1 << 40  # rounds: more than any image has pixels
WORD = 64  # pixels
TILE_ROWS, TILE_WORDS = 64, 16


def _thinned(image: Value, table: Array, most: int) -> Value:
    """Pack the pixels to bits, thin in tiles until none changes, and unpack the mask."""
    rows, cols = image.shape[:2]
    step = image.channels
    words = step * (cols // WORD + 1)
    bits = resample("pack_mask", image, shape=(rows, words), dtype=UINT64, work=0.3, step=step)
    thinning = partial(_thinning, table=table, most=most)
    bits, changed, begins = thinning(bits, view(bits, INT64), first=1)
    limit = rows * cols * step + 1  # each time but the last, at least one pixel is removed
    bits, _ = loop(thinning, bits, changed, limit=limit, rounds=5, begins=begins)
    return resample("unpack_mask", bits, shape=image.shape, dtype=BOOL, work=0.3, step=step)


def _thinning(bits: Value, before: Value, table: Array, most: int, first: int = 0) -> tuple[Value, Value, Small]:
    """Return the pixels after some rounds, the number of rounds of each tile that has changed, and their sum."""
    rows, words = bits.shape
    tiles = max(1, -(-rows // TILE_ROWS)) * -(-words // TILE_WORDS)
    bits, changed = parts(
        "thinning",
        bits,
        count=tiles,
        shape=bits.shape,
        dtype=bits.dtype,
        work=40.0,
        before=before,
        first=first,
        most=most,
        table=table,
        height=TILE_ROWS,
        width=TILE_WORDS,
        results={"changed": ((tiles, 1), INT64)},
    ).results
    return bits, changed, host(_number, fold("sum", changed, shape=(1,), dtype=INT64))


def _number(total: Array) -> int:
    return int(total[0])
