"""Labelled regions: measurements, and filters of labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpuimg import images
from gpuimg.filters.exposure import converted, plan_extrema, plan_invert
from gpuimg.filters.measure import plan_label
from gpuimg.images import BOOL, DTYPES, INT32, UINT8, WITH_LABELS, Source
from gpuimg.plans.nodes import change, host, on_host, point, resample, window
from gpuimg.plans.value import Small, Value
from gpuimg.registry import register
from gpuimg.run import PLANNING, run
from gpuimg.typing import Backend, BoundaryMode, Color, ImageLike, Out, OverlayKind, SameImage

Array = np.ndarray[Any, Any]
NUMBER = np.dtype(np.uint64)
HEIGHT = 64  # rows of a slab
LONGEST_SIDE = 1 << 20  # so that sums of squares fit 64 bits
MOST_LABEL = images.limits(INT32)[1]
_NARROW = frozenset(map(np.dtype, ("uint8", "uint16", "int16", "int32")))
_LABELS = _NARROW | frozenset(map(np.dtype, ("int8", "uint32", "int64", "uint64")))

FAR = 1 << 40  # as in region_sums.py
BITS, MIN_EXPONENT = 32, 128  # as in region_totals.py


class Labels(NamedTuple):
    """A label image ready for kernels.

    Attributes
    ----------
    source : image with labels from 1 to ``max_label``; all other values are the background
    max_label : its largest label
    names : the caller's label of each label, if those were too large to number a table's rows
    """

    source: Source
    max_label: int
    names: Array | None = None


def accept_labels(name: str, image: ImageLike, backend: Backend | None) -> Labels:
    """Check a label image."""
    if getattr(image, "dtype", None) == BOOL:
        raise TypeError(f"{name} must hold integers, got bool: gpuimg.label({name}) numbers the regions of a mask")
    source = images.accept(image, _LABELS, name=name)._replace(restore=None)
    if len(source.shape) != 2:
        raise ValueError(f"{name} must have the shape (H, W), got {source.shape}")
    if source.array.size == 0:
        return Labels(source, 0)
    if source.dtype not in _NARROW:
        low, high = int(source.array.min()), int(source.array.max())
        if low < -MOST_LABEL or high > MOST_LABEL:
            raise ValueError(f"{name} must hold labels of at most {MOST_LABEL}, got {low} to {high}")
        source = source._replace(array=source.array.astype(INT32))
    max_label = max(0, int(run(plan_extrema, source, backend=backend)[1]))
    return Labels(source, max_label) if max_label <= source.array.size else _renumbered(source)


def _renumbered(source: Source) -> Labels:
    """Renumber labels without gaps, in the order of the caller's."""
    values, numbers = _numbered(source.array)
    first = int((values <= 0).sum())
    return Labels(source._replace(array=numbers - first), len(values) - first, on_host(values[first:]))


def _numbered(labels: Any) -> tuple[Any, Any]:
    """Return the values of labels in ascending order, and the labels as their places among these, from 1."""
    values, places = np.unique(labels, return_inverse=True)
    return values, (places.reshape(labels.shape) + 1).astype(INT32)


def plan_numbers(kernel: str, labels: Value, rows: int, columns: int, work: float = 1.0, **arguments: Any) -> Value:
    """Fill a table with a row for each label and channel, to which all slabs of the image add.

    The labels are int32, and ``work`` is the work for each of them.
    """
    table = resample("zeros", labels, dtype=NUMBER, shape=(rows, columns), work=0.01)
    each = work * math.prod(labels.shape) / (rows * columns)
    parts = -(-labels.shape[0] // HEIGHT)
    return change(kernel, table, count=parts, work=each, labels=labels, height=HEIGHT, **arguments)


def plan_shapes(image: Value, max_label: int, outlines: bool) -> tuple[Value, ...]:
    """Compute tables of sums, and of pixels on outlines."""
    labels = converted(image, INT32)
    sums = plan_numbers("region_sums", labels, max_label + 1, 10, 0.5)
    return (sums, plan_numbers("region_outlines", labels, max_label + 1, 3)) if outlines else (sums,)


def plan_intensities(image: Value, intensity: Value, max_label: int) -> tuple[Value, ...]:
    """Compute tables of extrema and of totals."""
    labels = converted(image, INT32)
    rows, step = (max_label + 1) * intensity.channels, intensity.channels
    extrema = plan_numbers("region_extrema", labels, rows, 4, intensity=intensity, step=step)
    totals = plan_numbers("region_totals", labels, rows, 2, intensity=intensity, step=step, extrema=extrema)
    return extrema, totals


# ---------------------------------------------------------------- properties


class Regions:
    """Measurements of the regions of a label image, as columns."""

    def __init__(self, labels: Labels, sums: Array) -> None:
        self.present = np.flatnonzero(sums[:, 0])
        self.names = self.present if labels.names is None else labels.names[self.present - 1]
        self.sums = sums[self.present]
        self.outlines: Array | None = None
        self.extrema: Array | None = None
        self.totals: Array | None = None
        self._tensors: Array | None = None

    def area(self) -> Array:
        return self.sums[:, 0].astype(np.float64)

    def bbox(self) -> Array:
        top, bottom, left, right = self.sums[:, 6:].T.astype(np.int64)
        return np.stack([FAR - top, FAR - left, bottom, right], axis=1)

    def area_bbox(self) -> Array:
        box = self.bbox()
        return ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).astype(np.float64)

    def centroid(self) -> Array:
        return self.sums[:, 1:3] / self.sums[:, :1]

    def tensors(self) -> Array:
        """Inertia tensors, from integer moments about the corner of the bounding box, which limits cancellation."""
        if self._tensors is None:
            n, r, c, rr, rc, cc = self.sums[:, :6].T
            top, left = self.bbox()[:, :2].T.astype(np.uint64)
            rr, rc, cc = (
                rr + top * (n * top - 2 * r),
                rc - top * c - left * r + n * top * left,
                cc + left * (n * left - 2 * c),
            )
            n, r, c, rr, rc, cc = (each.astype(np.float64) for each in (n, r - n * top, c - n * left, rr, rc, cc))
            rows, both, cols = n * rr - r * r, n * rc - r * c, n * cc - c * c
            self._tensors = np.stack([cols, -both, -both, rows], axis=1).reshape(-1, 2, 2) / (n * n)[:, None, None]
        return self._tensors

    def eigenvalues(self) -> Array:
        """Eigenvalues of the inertia tensors, in descending order."""
        return np.clip(np.linalg.eigvalsh(self.tensors()), 0, None)[:, ::-1]

    def orientation(self) -> Array:
        (cols, both), (_, rows) = self.tensors().transpose(1, 2, 0)
        even = np.where(both < 0, math.pi / 4, -math.pi / 4)
        return np.where(cols == rows, even, np.arctan2(-2 * both, rows - cols) / 2)

    def eccentricity(self) -> Array:
        larger, smaller = self.eigenvalues().T
        return np.sqrt(1 - smaller / np.where(larger > 0, larger, 1)) * (larger > 0)

    def perimeter(self) -> Array:
        assert self.outlines is not None
        return self.outlines[self.present] @ np.array([1, math.sqrt(2), (1 + math.sqrt(2)) / 2])

    def extremes(self, is_maximum: bool) -> Array:
        """Maxima or minima, (regions, channels)."""
        assert self.extrema is not None
        found = self.extrema[self.present]
        places = found[..., 0] if is_maximum else ~found[..., 1]
        bits = np.where(places >> 63, places ^ (1 << 63), ~places)
        values = bits.view(np.float64).copy()
        above, below = found[..., 2], found[..., 3]
        none = found[..., 0] == 0
        values[(above == 1) & (none | is_maximum)] = np.inf
        values[(below == 1) & (none | (not is_maximum)) & ~((above == 1) & is_maximum)] = -np.inf
        values[above == 2] = np.nan
        return values

    def means(self) -> Array:
        """Means, (regions, channels)."""
        assert self.extrema is not None
        assert self.totals is not None
        found, totals = self.extrema[self.present], self.totals[self.present].view(np.int64)
        places = np.stack([found[..., 0], ~found[..., 1]])
        bits = np.where(places >> 63, places, ~places)
        exponents = np.maximum((bits >> 52 & 0x7FF).max(axis=0).astype(np.int64), MIN_EXPONENT) - 1022 - BITS
        coarse, fine = (totals[..., k] / self.sums[:, :1] for k in (0, 1))
        values = np.ldexp(coarse, exponents) + np.ldexp(fine, exponents - BITS)
        above, below = found[..., 2], found[..., 3]
        values[above == 1] = np.inf
        values[below == 1] = -np.inf
        values[(above == 2) | ((above == 1) & (below == 1))] = np.nan
        return values


PROPERTIES: dict[str, Callable[[Regions], Array]] = {
    "label": lambda regions: regions.names.astype(np.int64),
    "num_pixels": lambda regions: regions.sums[:, 0].astype(np.int64),
    "area": Regions.area,
    "area_bbox": Regions.area_bbox,
    "bbox": Regions.bbox,
    "centroid": Regions.centroid,
    "extent": lambda regions: regions.area() / regions.area_bbox(),
    "equivalent_diameter_area": lambda regions: np.sqrt(4 * regions.area() / math.pi),
    "axis_major_length": lambda regions: 4 * np.sqrt(regions.eigenvalues()[:, 0]),
    "axis_minor_length": lambda regions: 4 * np.sqrt(regions.eigenvalues()[:, 1]),
    "eccentricity": Regions.eccentricity,
    "orientation": Regions.orientation,
    "perimeter": Regions.perimeter,
    "intensity_mean": Regions.means,
    "intensity_max": partial(Regions.extremes, is_maximum=True),
    "intensity_min": partial(Regions.extremes, is_maximum=False),
}
OLD_NAMES = {
    "bbox_area": "area_bbox",
    "equivalent_diameter": "equivalent_diameter_area",
    "major_axis_length": "axis_major_length",
    "minor_axis_length": "axis_minor_length",
    "mean_intensity": "intensity_mean",
    "max_intensity": "intensity_max",
    "min_intensity": "intensity_min",
}
INTENSITIES = ("intensity_mean", "intensity_max", "intensity_min")


def regionprops_table(
    label_image: ImageLike,
    intensity_image: ImageLike | None = None,
    properties: Iterable[str] = ("label", "bbox"),
    separator: str = "-",
    *,
    axes: str | None = None,
    backend: Backend | None = None,
) -> dict[str, Array]:
    """Measure labelled regions.

    Parameters
    ----------
    label_image : (H, W) array of integers
        All pixels of one label above 0 are a region, connected or not; all others are the background.
    intensity_image : (H, W) or (H, W, C) array, optional
        Image with the label image's rows and columns, in the same memory; may also be bool or int32.
    properties : sequence of str
        "label", "num_pixels", "area", "area_bbox", "bbox", "centroid", "extent", "equivalent_diameter_area",
        "axis_major_length", "axis_minor_length", "eccentricity", "orientation", "perimeter", and with an intensity
        image "intensity_mean", "intensity_max" and "intensity_min". scikit-image's old names ("mean_intensity",
        "major_axis_length", ...) are accepted as well.
    separator : str
        Separator between the name of a property with several columns and the number of the column.
    axes, backend : see `gpuimg.filters`
        ``axes`` are those of the label image, such as "TYX" for a stack of label images, which are measured
        independently. The intensity image has the same axes, optionally followed by one for channels.

    Returns
    -------
    dict of (N,) NumPy arrays, for the N regions in the order of their labels
        ``bbox-0`` to ``bbox-3`` are the first row and column and the ends (exclusive) of the rows and columns;
        ``centroid-0`` and ``centroid-1`` row and column. Labels, boxes and ``num_pixels`` are int64, all others
        float64. An intensity image of shape (H, W, C) has the columns ``intensity_mean-0`` and so on. For a stack,
        int64 columns with the index of the image come first, one for each axis of the stack and named by its letter;
        the rows are in the order of the images.

    Raises
    ------
    TypeError : an image has another dtype, or the images are not in the same memory
    ValueError : a property is unknown or needs an intensity image, the shapes differ, ``axes`` does not fit them or
        gives the label image channels, a label is above 2**31 - 1, or the label image has a side above 2**20 or so many
        pixels that sums of squares do not fit 64 bits

    Notes
    -----
    All sums are sums of integers, which are exact and the same on every backend. Intensities are split into integers
    according to the region's maximum magnitude [2]_: a mean is as if summed in exact arithmetic, except for bits more
    than 64 below that magnitude. If a region contains NaN, its mean, maximum and minimum are NaN.

    The values are those of `skimage.measure.regionprops_table`; the perimeter is that of its 4-connected outline [1]_.

    References
    ----------
    .. [1] K. Benkrid, D. Crookes, "Design and FPGA implementation of a perimeter estimator", Irish Machine Vision and
       Image Processing Conference, 2000, 51-57.
    .. [2] J. Demmel, H. D. Nguyen, "Fast reproducible floating-point summation", ARITH 2013, 163-172.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> labels = np.array([[1, 1, 0], [0, 0, 7]])
    >>> gpuimg.regionprops_table(labels, np.array([[2.0, 4, 9], [9, 9, 5]]), ("label", "area", "intensity_mean"))
    {'label': array([1, 7]), 'area': array([2., 1.]), 'intensity_mean': array([3., 5.])}
    >>> gpuimg.regionprops_table(np.stack([labels, labels == 0]).astype(int), properties=("label", "area"), axes="TYX")
    {'T': array([0, 0, 1]), 'label': array([1, 7, 1]), 'area': array([2., 1., 3.])}
    """
    wanted = _checked(properties, intensity_image)
    if not isinstance(separator, str):
        raise TypeError(f"separator must be a str, got {separator!r}")
    if axes is not None:
        return _table_of_stack(label_image, intensity_image, wanted, separator, axes, backend)
    return _table(label_image, intensity_image, wanted, separator, backend)


def _table_of_stack(
    label_image: ImageLike,
    intensity_image: ImageLike | None,
    wanted: dict[str, str],
    separator: str,
    axes: str,
    backend: Backend | None,
) -> dict[str, Array]:
    """Concatenate the tables of all images, with the images' indices as the first columns."""
    given = {"label_image": _accept_stack("label_image", label_image, _LABELS | {BOOL}, axes)}
    labels = given["label_image"]
    if len(labels.shape) != 2:
        raise ValueError(f"label_image must be of the shape (H, W) or a stack without channels, got axes {axes!r}")
    if intensity_image is not None:
        has_channels = getattr(intensity_image, "ndim", 0) > labels.array.ndim
        given["intensity_image"] = _accept_stack("intensity_image", intensity_image, WITH_LABELS, axes, has_channels)
        if given["intensity_image"].stack != labels.stack:
            found = f"{labels.stack}, got {given['intensity_image'].stack}"
            raise ValueError(f"intensity_image must have the label_image's extents of the stack {found}")
    places = list(np.ndindex(labels.stack))

    def table(images_of: Callable[[Source], Any]) -> dict[str, Array]:
        found = {name: images_of(source) for name, source in given.items()}
        return _table(found["label_image"], found.get("intensity_image"), wanted, separator, backend)

    parts = [table(lambda source, place=place: source.array[place]) for place in places]  # type: ignore[misc]
    parts = parts or [table(lambda source: np.zeros(source.shape, source.dtype))]  # of no image: the columns
    rows = [len(next(iter(part.values()), ())) for part in parts]
    letters = labels.axes.order[: len(labels.stack)] if labels.axes else ""
    indices = np.repeat(np.array(places, np.int64).reshape(len(places), len(letters)), rows[: len(places)], axis=0)
    columns = dict(zip(letters, np.ascontiguousarray(indices.T), strict=True))
    return columns | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _accept_stack(
    name: str, image: ImageLike, dtypes: Collection[np.dtype[Any]], axes: str, has_channels: bool = False
) -> Source:
    given = f"{axes}C" if has_channels else axes
    return images.accept(image, dtypes, axes=given, together=has_channels, name=name)


def _table(
    label_image: ImageLike,
    intensity_image: ImageLike | None,
    wanted: dict[str, str],
    separator: str,
    backend: Backend | None,
) -> dict[str, Array]:
    """Measure one label image."""
    labels = accept_labels("label_image", label_image, backend)
    _check_sides(labels.source.shape)
    intensity = None if intensity_image is None else _accept_intensity(intensity_image, labels.source)
    kinds = set(wanted.values())
    if not kinds & set(INTENSITIES):
        regions = _measured(labels, None, "perimeter" in kinds, 1, backend)
        return _as_columns(regions, wanted, False, separator)
    assert intensity is not None
    step = intensity.shape[2] if intensity.ndim == 3 else 1
    regions = _measured(labels, intensity, "perimeter" in kinds, step, backend)
    return _as_columns(regions, wanted, intensity.ndim == 3, separator)


def _checked(properties: Iterable[str], intensity: Any) -> dict[str, str]:
    """Check property names and return the current name of each."""
    if isinstance(properties, str):
        raise TypeError(f"properties must be a sequence of names, got {properties!r}")
    wanted = {name: OLD_NAMES.get(name, name) for name in properties}
    for name, known in wanted.items():
        if known not in PROPERTIES:
            raise ValueError(f"properties must be among {', '.join(PROPERTIES)}, got {name!r}")
        if known in INTENSITIES and intensity is None:
            raise ValueError(f"intensity_image must be given for the property {name!r}")
    return wanted


def _check_sides(shape: tuple[int, ...]) -> None:
    longest = max(shape)
    if longest > LONGEST_SIDE or math.prod(shape) * longest * longest >= 1 << 64 or math.prod(shape) >= 1 << 31:
        raise ValueError(
            f"label_image must have at most {LONGEST_SIDE} rows and columns, fewer than 2**31 pixels, and fewer than "
            f"2**64 times the square of its longest side, got the shape {shape}"
        )


def _accept_intensity(image: ImageLike, source: Source) -> Any:
    found = images.accept_along("intensity_image", image, WITH_LABELS, source, first="label_image")
    if found.shape[:2] != source.shape:
        raise ValueError(
            f"intensity_image must have the label_image's rows and columns {source.shape}, got {found.shape}"
        )
    return found


def _measured(labels: Labels, intensity: Any | None, outlines: bool, step: int, backend: Backend | None) -> Regions:
    source, count = labels.source, labels.max_label
    if count == 0:
        tables = [np.zeros((1, 10), NUMBER), *[np.zeros((1, 3), NUMBER)] * outlines]
        tables += [np.zeros((step, 4), NUMBER), np.zeros((step, 2), NUMBER)]
    elif intensity is None:
        tables = list(map(on_host, run(plan_shapes, source, count, outlines, backend=backend)))
    else:
        made = run(plan_all, source, count, outlines, others=(intensity,), backend=backend)
        tables = list(map(on_host, made))
    regions = Regions(labels, tables.pop(0))
    if outlines:
        regions.outlines = tables.pop(0)
    if tables:
        regions.extrema, regions.totals = (table.reshape(count + 1, step, -1) for table in tables)
    return regions


def plan_all(image: Value, intensity: Value, max_label: int, outlines: bool) -> tuple[Value, ...]:
    labels = converted(image, INT32)
    return (*plan_shapes(labels, max_label, outlines), *plan_intensities(labels, intensity, max_label))


def _as_columns(regions: Regions, wanted: dict[str, str], by_channels: bool, separator: str) -> dict[str, Array]:
    columns: dict[str, Array] = {}
    for name, known in wanted.items():
        values = PROPERTIES[known](regions)
        if known in INTENSITIES and not by_channels:
            values = values[:, 0]
        if values.ndim == 1:
            columns[name] = values
        else:
            columns |= {f"{name}{separator}{number}": column.copy() for number, column in enumerate(values.T)}
    return columns


# ---------------------------------------------------------------- small regions

_OBJECTS = _NARROW | {BOOL}


@register({"min_size": 5}, {"min_size": 40, "connectivity": 2}, kinds="bui", also=_OBJECTS, grey=True, alpha="channel")
def remove_small_objects(
    image: SameImage,
    min_size: int = 64,
    connectivity: int = 1,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Remove objects smaller than a number of pixels.

    Parameters
    ----------
    image : (H, W) array of bool, uint8, uint16, int16 or int32
        A mask, whose connected regions are the objects; or labels, where all pixels of one nonzero value are an object,
        connected or not.
    min_size : int
        Objects of fewer pixels become background.
    connectivity : {1, 2}
        Connectivity of the regions of a mask. 1: pixels touch at their edges, 2: at their corners too.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    ValueError : ``min_size`` is negative, or ``connectivity`` is neither 1 nor 2

    Notes
    -----
    Differs from `skimage.morphology.remove_small_objects`, which rejects negative labels and has replaced ``min_size``
    by ``max_size``, an inclusive limit.

    References
    ----------
    .. [1] `skimage.morphology.remove_small_objects`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.remove_small_objects(np.array([[1, 1, 0, 1], [1, 0, 0, 1]], bool), 3)
    array([[ True,  True, False, False],
           [ True, False, False, False]])
    """
    source = images.accept(image, _OBJECTS, axes=axes, grey=True)
    size = images.whole("min_size", min_size, low=0)
    reach = images.whole("connectivity", connectivity, high=2) - 1
    source = images.by_channels(source) if len(source.shape) == 3 else source
    if source.dtype == BOOL or source.array.size == 0:
        return run(plan_large_objects, source, size, reach, backend=backend, out=out)
    counted, max_label, _ = _counted(source, 0, 0, backend)
    if counted is source:
        return run(plan_large_labels, source, max_label, size, backend=backend, out=out)
    return run(plan_large_among, source, max_label, size, others=(counted.array,), backend=backend, out=out)


def _range_of(source: Source, backend: Backend | None) -> tuple[int, int]:
    """Return the minimum and maximum of all images of a stack; when only planning, those with the most labels."""
    if PLANNING.get():
        return 0, math.prod(source.shape)
    extrema = run(plan_extrema, source, backend=backend)
    return int(extrema[..., 0].min()), int(extrema[..., 1].max())


def plan_large_objects(image: Value, min_size: int, reach: int) -> Value:
    """Keep the large regions of a mask, which has at most one region for every two pixels."""
    if 0 in image.shape or min_size <= 1:
        return plan_invert(plan_invert(image))
    return plan_large_among(image, plan_label(image, reach), math.prod(image.shape) // 2 + 1, min_size)


def plan_large_labels(image: Value, max_label: int, min_size: int) -> Value:
    return plan_large_among(image, converted(image, INT32), max_label, min_size)


def plan_large_among(image: Value, labels: Value, max_label: int, min_size: int) -> Value:
    """Keep the pixels of labels with at least ``min_size`` pixels."""
    areas = plan_numbers("region_areas", labels, max_label + 1, 1, 0.5)
    return resample("large_regions", image, shape=image.shape, labels=labels, areas=areas, minimum=min_size)


@register(
    {"area_threshold": 5},
    {"area_threshold": 40, "connectivity": 2},
    kinds="bui",
    also=_OBJECTS,
    grey=True,
    alpha="channel",
)
def remove_small_holes(
    image: ImageLike,
    area_threshold: int = 64,
    connectivity: int = 1,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Fill holes smaller than a number of pixels.

    Parameters
    ----------
    image : (H, W) array of bool, uint8, uint16, int16 or int32
        A mask; nonzero values are True.
    area_threshold : int
        Connected regions of zeros with fewer pixels are filled, at the edges of the image too.
    connectivity : {1, 2}
        Connectivity of the holes. 1: pixels touch at their edges, 2: at their corners too.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape

    Raises
    ------
    ValueError : ``area_threshold`` is negative, or ``connectivity`` is neither 1 nor 2

    References
    ----------
    .. [1] `skimage.morphology.remove_small_holes`. `fill_holes` fills holes of any size.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.remove_small_holes(np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]], bool), 3)
    array([[ True,  True,  True, False],
           [ True,  True,  True, False],
           [ True,  True,  True, False]])
    """
    source = images.accept(image, _OBJECTS, axes=axes, grey=True)
    size = images.whole("area_threshold", area_threshold, low=0)
    reach = images.whole("connectivity", connectivity, high=2) - 1
    source = images.by_channels(source) if len(source.shape) == 3 else source
    return run(plan_without_holes, source, size, reach, backend=backend, out=out)


def plan_without_holes(image: Value, min_size: int, reach: int) -> Value:
    mask = image if image.dtype == BOOL else point("nonzero", image, dtype=BOOL, work=0.5)
    return plan_invert(plan_large_objects(plan_invert(mask), min_size, reach))


# ---------------------------------------------------------------- boundaries

BOUNDARIES = ("thick", "inner", "outer")
NEAREST = images.MODES["nearest"].code


@register(
    {},
    {"connectivity": 2, "mode": "inner"},
    {"mode": "outer"},
    {"mode": "outer", "background": 1, "connectivity": 2},
    kinds="bui",
    also=_OBJECTS,
    alpha="channel",
)
def find_boundaries(
    label_image: ImageLike,
    connectivity: int = 1,
    mode: BoundaryMode = "thick",
    background: int = 0,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Find the boundaries between labelled regions.

    Parameters
    ----------
    label_image : (H, W) or (H, W, C) array of bool, uint8, uint16, int16 or int32
    connectivity : {1, 2}
        1: a pixel has four neighbours, 2: eight.
    mode : {"thick", "inner", "outer"}
        "thick": all pixels with a neighbour of another label. "inner": of these, pixels that are not background.
        "outer": of these, pixels that are background or have several regions in their 3 x 3 neighbourhood.
    background : int
        Label of the background, in the modes "inner" and "outer".
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    bool array of the same shape

    Raises
    ------
    ValueError : ``connectivity`` is neither 1 nor 2, or ``mode`` is not one of these

    Notes
    -----
    Differs from `skimage.segmentation.find_boundaries`, which also has the mode "subpixel".

    References
    ----------
    .. [1] `skimage.segmentation.find_boundaries`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.find_boundaries(np.array([[0, 0, 5, 5, 5]]).astype("uint8"), mode="inner")
    array([[False, False,  True, False, False]])
    """
    source = images.accept(label_image, _OBJECTS, axes=axes, name="label_image")
    reach = images.whole("connectivity", connectivity, high=2) - 1
    if mode not in BOUNDARIES:
        raise ValueError(f"mode must be one of {', '.join(BOUNDARIES)}, got {mode!r}")
    ground = images.whole("background", background, low=-(1 << 40))
    return run(plan_boundaries, source, reach, BOUNDARIES.index(mode), ground, backend=backend, out=out)


def plan_boundaries(image: Value, reach: int, kind: int, background: int) -> Value:
    most = images.limits(np.dtype(np.uint8) if image.dtype == BOOL else image.dtype)[1]
    arguments = {"reach": reach, "kind": kind, "background": background, "most": most}
    return window("boundaries", image, halo=(1, 1), edge=(NEAREST, 0.0), dtype=BOOL, **arguments)  # type: ignore[arg-type]


# ---------------------------------------------------------------- colours

KINDS = ("overlay", "avg")
# scikit-image's colours, to its three digits; all others are CSS colours.
DEFAULT_COLORS: dict[str, tuple[float, float, float]] = {
    "red": (1, 0, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "magenta": (1, 0, 1),
    "green": (0, 0.502, 0),
    "indigo": (0.294, 0, 0.51),
    "darkorange": (1, 0.549, 0),
    "cyan": (0, 1, 1),
    "pink": (1, 0.753, 0.796),
    "yellowgreen": (0.604, 0.804, 0.196),
}


class Paint(NamedTuple):
    """How labels are painted; see `label2rgb`."""

    max_label: int
    ground: int
    ground_color: tuple[float, ...] | None
    colors: tuple[tuple[float, ...], ...]
    alpha: float
    image_alpha: float
    saturation: float


def _ramp(label: Any) -> Array:
    """Return an example of an image."""
    return np.broadcast_to(np.arange(label.shape[-1], dtype=np.float32) / label.shape[-1], label.shape).copy()


@register(
    {"image": _ramp},
    {"image": _ramp, "alpha": 0.6, "colors": ("cyan", "pink"), "bg_color": None, "image_alpha": 0.7},
    {"image": _ramp, "kind": "avg"},
    {"bg_label": 1, "bg_color": "white"},
    kinds="bui",
    also=_OBJECTS,
    grey=True,
    images=("image",),
    alpha="channel",
)
def label2rgb(
    label: ImageLike,
    image: ImageLike | None = None,
    colors: Sequence[Color] | None = None,
    alpha: float = 0.3,
    bg_label: int = 0,
    bg_color: Color | None = (0, 0, 0),
    image_alpha: float = 1,
    kind: OverlayKind = "overlay",
    *,
    saturation: float = 0,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Paint labelled regions in colours over an image, or in the image's mean colours.

    Parameters
    ----------
    label : (H, W) array of bool, uint8, uint16, int16 or int32
    image : (H, W) or (H, W, 3) array, optional
        Image with the label image's rows and columns and its ``axes``; channels come last.
    colors : sequence of colours, optional
        A colour is a CSS name, or red, green and blue from 0 to 1. The labels present, in ascending order, cycle
        through them. By default red, blue, yellow, magenta, green, indigo, darkorange, cyan, pink, yellowgreen.
    alpha : number from 0 to 1
        Opacity of the colours over the image.
    bg_label : int
        Label of the background.
    bg_color : colour or None
        Colour of the background, with opacity ``alpha``; None shows the image there.
    image_alpha : number from 0 to 1
        Opacity of the image over white.
    kind : {"overlay", "avg"}
        "overlay": colours over the image. "avg": each region in the mean colour of its pixels in the image, the
        background in ``bg_color`` or, if that is None, unchanged; ``colors``, the opacities and ``saturation`` are not
        used.
    saturation : number from 0 to 1
        Saturation of a colour image: 0 makes it grey, 1 leaves it unchanged.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    (H, W, 3) array of the image's dtype, uint8 without an image: colours times the dtype's maximum (1 for floats),
    rounded half to even

    Raises
    ------
    TypeError : an image has another dtype, or the images are not in the same memory
    ValueError : the shapes differ, a number is out of its range, a colour is unknown, or "avg" has no image

    Notes
    -----
    Differs from `skimage.color.label2rgb`, which returns floats for an overlay and truncates means.

    References
    ----------
    .. [1] `skimage.color.label2rgb`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.label2rgb(np.array([[0, 4, 7]], np.uint8))
    array([[[  0,   0,   0],
            [255,   0,   0],
            [  0,   0, 255]]], dtype=uint8)
    >>> gpuimg.label2rgb(np.array([[4, 4, 7]], np.uint8), np.array([[0.2, 0.4, 0.5]]), kind="avg")[..., 0].round(2)
    array([[0.3, 0.3, 0.5]])
    """
    source = images.accept(label, _OBJECTS, axes=axes, name="label")
    if len(source.shape) != 2 or (axes is not None and "C" in axes):
        raise ValueError(f"label must have the shape (H, W), or be a stack without channels, got {source.array.shape}")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if image is None and kind == "avg":
        raise ValueError('image must be given for kind="avg"')
    others = () if image is None else (_accept_picture(image, source),)
    ground = images.whole("bg_label", bg_label, low=-(1 << 40))
    shares = {"alpha": alpha, "image_alpha": image_alpha, "saturation": saturation}
    known = {name: images.number(name, value, low=0, high=1) for name, value in shares.items()}
    if kind == "avg":
        known["saturation"] = 1.0
    ground_color = None if bg_color is None else _rgb("bg_color", bg_color)
    if image is None:
        known["alpha"], ground_color = 1.0, ground_color or (0, 0, 0)
    cycle = tuple(DEFAULT_COLORS.values()) if colors is None else _cycle(colors)
    source, max_label, ground = _counted(source, ground, int(kind == "avg" and ground != 0), backend)
    how = Paint(max_label, ground, ground_color, cycle, **known)
    plan = plan_plain if image is None else plan_overlay if kind == "overlay" else plan_means
    return run(plan, source, how, others=others, backend=backend, out=out)


def _accept_picture(image: ImageLike, source: Source) -> Any:
    """Check the image that labels are painted over and return its array, channels last."""
    ndim = getattr(image, "ndim", 0)
    given = source.axes and source.axes.given + "C" * (ndim - len(source.axes.given))
    found = images.accept(image, DTYPES, axes=given, together=True)
    images.check_memory("image", found, source, first="label")
    if found.stack + found.shape[:2] != source.array.shape or found.shape[2:] not in ((), (3,)):
        raise ValueError(f"image must have the label's shape {source.array.shape}, or 3 channels, got {image.shape}")  # type: ignore[union-attr]
    return found.array


def _cycle(colors: Any) -> tuple[tuple[float, ...], ...]:
    """Check the colours through which labels cycle."""
    if isinstance(colors, str) or not hasattr(colors, "__len__"):
        raise TypeError(f"colors must be a sequence of colours, got {colors!r}")
    if len(colors) == 0:
        raise ValueError("colors must hold at least one colour, got none")
    return tuple([_rgb("colors", each) for each in colors])


def _rgb(name: str, color: Any) -> tuple[float, ...]:
    """Return red, green and blue from 0 to 1."""
    if isinstance(color, str):
        if color in DEFAULT_COLORS:
            return DEFAULT_COLORS[color]
        from PIL import ImageColor

        try:
            return tuple([part / 255 for part in ImageColor.getrgb(color)[:3]])
        except ValueError:
            raise ValueError(f"{name} must be a colour's name or three numbers from 0 to 1, got {color!r}") from None
    if not hasattr(color, "__len__") or len(color) != 3:
        raise ValueError(f"{name} must be a colour's name or three numbers from 0 to 1, got {color!r}")
    return tuple([images.number(name, part, low=0, high=1) for part in color])


def _counted(source: Source, ground: int, minimum: int, backend: Backend | None) -> tuple[Source, int, int]:
    """Renumber labels in their order, unless all lie between ``minimum`` and the number of pixels.

    Returns the labels, the largest label and the background's label.
    """
    if source.array.size == 0:
        return source, 0, ground
    low, high = (0, 1) if source.dtype == BOOL else _range_of(source, backend)
    if low >= minimum and high <= math.prod(source.shape):
        return source, high, ground
    values, numbers = _numbered(source.array)
    known = on_host(values).tolist()
    return source._replace(array=numbers), len(known), known.index(ground) + 1 if ground in known else 0


def plan_plain(label: Value, how: Paint) -> Value:
    labels = converted(label, INT32)
    return _painted(labels, labels, *_turns(labels, UINT8, how), how)


def plan_overlay(label: Value, image: Value, how: Paint) -> Value:
    labels = converted(label, INT32)
    return _painted(image, labels, *_turns(labels, image.dtype, how), how)


def plan_means(label: Value, image: Value, how: Paint) -> Value:
    """Paint regions in their mean colours, which are exact: see `regionprops_table`."""
    labels = converted(label, INT32)
    areas = plan_numbers("region_areas", labels, how.max_label + 1, 1, 0.5)
    tables = plan_intensities(labels, image, how.max_label)
    table = host(partial(_means_of, how, image.dtype, image.channels), areas, *tables)
    return _painted(image, labels, np.arange(how.max_label + 1, dtype=np.int32)[None], table, how)


def _turns(labels: Value, dtype: np.dtype[Any], how: Paint) -> tuple[Small, Array]:
    """Return the row of each label, and the table of colours: the background's row, then those of the colours."""
    areas = plan_numbers("region_areas", labels, how.max_label + 1, 1, 0.5)
    white, rest = (1 - how.image_alpha), 1 - how.alpha
    rows = [(*[how.alpha * part + rest * white for part in color], rest * how.image_alpha) for color in how.colors]
    if how.ground_color is None:
        ground: tuple[float, ...] = (white, white, white, how.image_alpha)
    else:
        ground = (*[how.alpha * part + rest * white for part in how.ground_color], rest * how.image_alpha)
    table = np.array([ground, *rows]) * [*[_maximum(dtype)] * 3, 1]
    places = host(partial(_places, math.prod(labels.shape), how.ground, len(how.colors)), areas)
    return places, table


def _maximum(dtype: np.dtype[Any]) -> int:
    return 1 if dtype.kind == "f" else images.limits(dtype)[1]


def _places(pixels: int, ground: int, colors: int, areas: Array) -> Array:
    """Return the number of each label's colour, from 1; 0 for the background."""
    present = areas[:, 0] > 0
    present[0] = areas[1:, 0].sum() < pixels
    if 0 <= ground < len(present):
        present[ground] = False
    numbers = ((np.cumsum(present) - 1) % colors + 1) * present
    return numbers.astype(np.int32)[None]


def _means_of(how: Paint, dtype: np.dtype[Any], step: int, areas: Array, extrema: Array, totals: Array) -> Array:
    """Return a row for each label: the mean of each channel."""
    count = how.max_label + 1
    regions = Regions(Labels(Source(areas), how.max_label), areas)
    regions.extrema, regions.totals = (table.reshape(count, step, -1) for table in (extrema, totals))
    table = np.zeros((count, 4))
    table[regions.present, :3] = regions.means()
    if how.ground < count:
        ground = how.ground_color
        table[how.ground] = (0, 0, 0, 1) if ground is None else (*np.multiply(ground, _maximum(dtype)), 0)
    return table


def _painted(image: Value, labels: Value, places: Any, table: Any, how: Paint) -> Value:
    dtype = image.dtype if image is not labels else UINT8
    shape = (*labels.shape, 3)
    arguments = {"places": places, "table": table, "saturation": how.saturation}
    return resample("paint_labels", image, shape=shape, dtype=dtype, work=2.0, labels=labels, **arguments)
