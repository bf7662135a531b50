"""The demo's job written without gpuimg: in plain Python loops, and in NumPy slices.

Both follow the definitions that gpuimg's filters follow, step by step, so that their pixels can be compared with
``==``: median 5x5, then a Gaussian in 16-bit fixed point, then the Sobel magnitude in float32, then Otsu's threshold.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

Image: TypeAlias = "np.ndarray[Any, Any]"
Row: TypeAlias = "Sequence[int] | Sequence[float]"
Rows: TypeAlias = "list[Any]"  # of Row: bytes for grey values, array("f") for gradients

MEDIAN_RADIUS = 2
SOBEL_RADIUS = 1
SOBEL_SCALE = 0.25 / math.sqrt(2)  # the root of the mean of both squares, each sum weighing its pixels 1/4 2/4 1/4
BINS = 256
BAND_ROWS = 16  # of a 50-megapixel image 25 shifted copies of that many rows fit into a core's cache


class Weights(NamedTuple):
    """A Gaussian in fixed point: all weights in 65536ths, and what truncated products lose together, in 256ths."""

    taps: tuple[int, ...]
    offset: int

    @property
    def radius(self) -> int:
        return len(self.taps) // 2


class Outcome(NamedTuple):
    """What a route made: float32 gradients, Otsu's threshold for them, and the bool image of those above it."""

    edges: Image
    level: float
    mask: Image


class Map(Protocol):
    """What the built-in `map` and the pools of threads and processes have in common."""

    def __call__(self, function: Callable[[Any], Any], parts: Iterable[Any], /) -> Iterable[Any]: ...


# Plain Python ------------------------------------------------------------------------------------------------------


def plain(rows: Rows, weights: Weights, run: Map = map, parts: int = 1) -> tuple[Rows, float, Rows]:
    """The job in plain Python loops; ``run`` hands ``parts`` bands of rows to threads or processes."""
    rows = _sweep(plain_median, rows, MEDIAN_RADIUS, run, parts)
    rows = _sweep(partial(plain_gaussian, weights=weights), rows, weights.radius, run, parts)
    edges = _sweep(plain_sobel, rows, SOBEL_RADIUS, run, parts)
    bands = list(_bands(edges, 0, parts))
    extrema = list(run(plain_extrema, bands))
    bounds = plain_bins(min(low for low, _ in extrema), max(high for _, high in extrema))
    counts = [sum(column) for column in zip(*run(partial(plain_counts, bounds=bounds), bands), strict=True)]
    level = otsu(counts, bounds)
    mask = _sweep(partial(plain_threshold, level=level), edges, 0, run, parts)
    return edges, level, mask


def _sweep(step: Callable[[Rows], Rows], rows: Rows, radius: int, run: Map, parts: int) -> Rows:
    bands = _bands(_padded(rows, radius), radius, parts)
    return [row for band in run(step, bands) for row in band]


def _bands(rows: Rows, radius: int, parts: int) -> Iterator[Rows]:
    """Bands of rows, each with the rows around it that it needs."""
    inner = len(rows) - 2 * radius
    cuts = [inner * part // parts for part in range(parts + 1)]
    return (rows[top : bottom + 2 * radius] for top, bottom in pairwise(cuts) if top < bottom)


def _padded(rows: Rows, radius: int) -> Rows:
    """Rows with a border that mirrors the image: c b a | a b c d | d c b."""
    if radius == 0:
        return rows
    cols = [_fold(col, len(rows[0])) for col in range(-radius, len(rows[0]) + radius)]
    wide = [bytes([row[col] for col in cols]) for row in rows]
    return [wide[_fold(row, len(rows))] for row in range(-radius, len(rows) + radius)]


def _fold(position: int, length: int) -> int:
    position %= 2 * length
    return min(position, 2 * length - 1 - position)


def plain_median(rows: Rows) -> Rows:
    """Medians of 5x5 windows."""
    result = []
    for top in range(len(rows) - 4):
        a, b, c, d, e = rows[top : top + 5]
        medians = bytearray()
        for x in range(len(a) - 4):
            window = a[x : x + 5] + b[x : x + 5] + c[x : x + 5] + d[x : x + 5] + e[x : x + 5]
            medians.append(sorted(window)[12])
        result.append(bytes(medians))
    return result


def plain_gaussian(rows: Rows, weights: Weights) -> Rows:
    """Weighted sums down the columns, then along the rows; each product loses what lies below 1/256 grey level."""
    length = len(weights.taps)
    result = []
    for top in range(len(rows) - length + 1):
        taps = list(zip(weights.taps, rows[top : top + length], strict=True))
        column_sums = []
        for x in range(len(rows[0])):
            total = weights.offset
            for weight, row in taps:
                total += weight * row[x] >> 8
            column_sums.append(total)
        smooth = bytearray()
        for x in range(len(column_sums) - length + 1):
            total = weights.offset
            for weight, value in zip(weights.taps, column_sums[x : x + length], strict=True):
                total += weight * value >> 16
            smooth.append(min(total + 128 >> 8, 255))
        result.append(bytes(smooth))
    return result


def plain_sobel(rows: Rows) -> Rows:
    """Gradient magnitudes; an array("f") rounds to float32 as a processor's float32 arithmetic does."""
    (scale,) = array("f", [SOBEL_SCALE])
    result = []
    for a, b, c in zip(rows, rows[1:], rows[2:], strict=False):
        roots = array("f")
        for x in range(len(a) - 2):
            down = (c[x] + 2 * c[x + 1] + c[x + 2]) - (a[x] + 2 * a[x + 1] + a[x + 2])
            right = (a[x + 2] + 2 * b[x + 2] + c[x + 2]) - (a[x] + 2 * b[x] + c[x])
            roots.append(math.sqrt(down * down + right * right))
        result.append(array("f", [root * scale for root in roots]))
    return result


def plain_extrema(rows: Rows) -> tuple[float, float]:
    """The minimum and maximum."""
    return min(map(min, rows)), max(map(max, rows))


def plain_bins(low: float, high: float) -> list[float]:
    """The edges of equal bins from low to high, in float32 as `numpy.histogram` has them for such images."""
    (step,) = array("f", [array("f", [high - low])[0] / BINS])
    distances = array("f", [number * step for number in range(BINS)])
    return [*array("f", [low + distance for distance in distances]), high]


def plain_counts(rows: Rows, bounds: list[float]) -> list[int]:
    """How many values lie in each bin; the maximum belongs to the last one."""
    counts = [0] * (BINS + 1)
    for row in rows:
        for value in row:
            counts[bisect_right(bounds, value) - 1] += 1
    counts[BINS - 1] += counts.pop()
    return counts


def plain_threshold(rows: Rows, level: float) -> Rows:
    """1 for values above the level, 0 for the rest."""
    return [bytes([value > level for value in row]) for row in rows]


def otsu(counts: Sequence[int], bounds: Sequence[float]) -> float:
    """The centre of the bin after which a cut separates the two classes best [1]_; a constant image's value is the cut.

    .. [1] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and
       Cybernetics 9(1), 1979, 62-66.
    """
    if bounds[0] == bounds[-1]:
        return bounds[0]
    sums = array("f", [low + high for low, high in pairwise(bounds)])
    centers = array("f", [total / 2 for total in sums])
    dark = _means(counts, centers)
    bright = _means(counts[::-1], centers[::-1])[::-1]
    cuts = zip(dark, bright[1:], strict=False)
    between = [float(m) * float(n) * (below - above) ** 2 for (m, below), (n, above) in cuts]
    return centers[between.index(max(between))]


def _means(counts: Sequence[int], centers: Sequence[float]) -> list[tuple[int, float]]:
    """For the first bin, the first two and so on: how many values, and their mean."""
    number, total = 0, 0.0
    means = []
    for count, center in zip(counts, centers, strict=True):
        number += count
        total += count * center
        means.append((number, total / number))
    return means


# NumPy -------------------------------------------------------------------------------------------------------------


def sliced(image: Image, weights: Weights) -> Outcome:
    """The job in NumPy slices, band by band so that intermediates stay in the cache."""
    image = _banded(sliced_median, image, MEDIAN_RADIUS, np.uint8)
    image = _banded(partial(sliced_gaussian, weights=weights), image, weights.radius, np.uint8)
    edges = _banded(sliced_sobel, image, SOBEL_RADIUS, np.float32)
    counts, _ = np.histogram(edges, BINS)
    level = otsu(counts.tolist(), plain_bins(float(edges.min()), float(edges.max())))
    return Outcome(edges, level, edges > np.float32(level))


def _banded(step: Callable[[Image], Image], image: Image, radius: int, dtype: Any) -> Image:
    result = np.empty(image.shape, dtype)
    padded = np.pad(image, radius, mode="symmetric")
    for top in range(0, len(image), BAND_ROWS):
        bottom = min(top + BAND_ROWS, len(image))
        result[top:bottom] = step(padded[top : bottom + 2 * radius])
    return result


def sliced_median(band: Image) -> Image:
    """Medians of 5x5 windows: 25 shifted slices, sorted as far as their middle needs it."""
    rows, cols = band.shape[0] - 4, band.shape[1] - 4
    slices = [band[row : row + rows, col : col + cols] for row in range(5) for col in range(5)]
    for first, second, keep_low, keep_high in median_network(len(slices)):
        one, other = slices[first], slices[second]
        if keep_low:
            slices[first] = np.minimum(one, other)
        if keep_high:
            slices[second] = np.maximum(one, other)
    return slices[len(slices) // 2]


@cache
def median_network(length: int) -> list[tuple[int, int, bool, bool]]:
    """Batcher's merge exchange [1]_ without the comparators that the middle place does not depend on.

    Each entry: two places to put in order, and whether the smaller and the larger value are needed later.

    .. [1] D. E. Knuth, "The Art of Computer Programming", volume 3, 2nd edition, 1998, algorithm 5.2.2M.
    """
    needed = {length // 2}
    network = []
    for first, second in reversed(list(_merge_exchange(length))):
        if first in needed or second in needed:
            network.append((first, second, first in needed, second in needed))
            needed |= {first, second}
    return network[::-1]


def _merge_exchange(length: int) -> Iterator[tuple[int, int]]:
    block = 1
    while block < length:
        distance = block
        while distance:
            for start in range(distance % block, length - distance, 2 * distance):
                for low in range(start, min(start + distance, length - distance)):
                    if low // (2 * block) == (low + distance) // (2 * block):
                        yield low, low + distance
            distance //= 2
        block *= 2


def sliced_gaussian(band: Image, weights: Weights) -> Image:
    """Weighted sums down the columns, then along the rows, as `plain_gaussian`."""
    rows, cols = (extent - 2 * weights.radius for extent in band.shape)
    band = band.astype(np.uint32)
    down = np.full((rows, band.shape[1]), weights.offset, np.uint32)
    for row, weight in enumerate(weights.taps):
        down += band[row : row + rows] * np.uint32(weight) >> 8
    along = np.full((rows, cols), weights.offset, np.uint32)
    for col, weight in enumerate(weights.taps):
        along += down[:, col : col + cols] * np.uint32(weight) >> 16
    smooth: Image = np.minimum(along + 128 >> 8, 255).astype(np.uint8)
    return smooth


def sliced_sobel(band: Image) -> Image:
    """Gradient magnitudes, as `plain_sobel`."""
    band = band.astype(np.float32)
    smoothed = band[:, :-2] + 2 * band[:, 1:-1] + band[:, 2:]
    above = band[:-2] + 2 * band[1:-1] + band[2:]
    down = smoothed[2:] - smoothed[:-2]
    right = above[:, 2:] - above[:, :-2]
    edges: Image = np.sqrt(down * down + right * right) * np.float32(SOBEL_SCALE)
    return edges
