"""The demo: one job on a large image by every route available on this machine.

A 5x5 median against salt-and-pepper noise, a Gaussian, the Sobel magnitude and Otsu's threshold: in plain Python, in
NumPy, and as five calls of gpuimg on each of its backends. The pixels of all routes are compared.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpuimg
from gpuimg import demo_routes
from gpuimg.advice import backends
from gpuimg.demo_routes import Image, Outcome, Weights
from gpuimg.dispatch import BACKENDS
from gpuimg.errors import GpuimgError
from gpuimg.files import check_target, save_image
from gpuimg.filters.smooth import gaussian_taps
from gpuimg.machine import processor_count
from gpuimg.typing import Backend

TITLE = "median 5x5, Gaussian of sigma 1.5, Sobel, Otsu threshold"
SIZE = 5
SIGMA = 1.5
CROP = 640  # rows and columns on which plain Python is timed: about three seconds
BAND_ROWS = 256
REPEAT_BELOW = 4.0  # seconds; a shorter route runs up to three times and its best counts
PICTURES = ("before.png", "after.png", "detail.png")

Report = Callable[[str], None]


class Timing(NamedTuple):
    """A route's seconds for the whole image, seconds of its first use, and whether its pixels are the same.

    ``scaled``: timed on the middle of the image and scaled up. ``note``: the device, or the reason it did not run.
    """

    route: str
    seconds: float | None
    scaled: bool = False
    first_use: float | None = None
    same: bool | None = None
    note: str = ""


class Demo(NamedTuple):
    """Timings, plain Python first, the shape of the crop on which it was timed, and the saved pictures."""

    timings: list[Timing]
    crop: tuple[int, ...]
    pictures: list[Path]


def demo(image: Image, folder: Path, report: Report = lambda _: None) -> Demo:
    """Run the job by every route, and save the image before and after.

    Parameters
    ----------
    image : (H, W) uint8 array
    folder : where to save ``before.png``, ``after.png`` and ``detail.png`` (the middle of both); created if missing
    report : called with the name of each step as it begins, `steps` times

    Raises
    ------
    ImageFileError : the pictures cannot be saved
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        check_target(folder / name)
    weights = gaussian_weights()
    crop = middle(image)
    plain = list(_plain_timings(crop, image.size / crop.size, weights, report))
    report("NumPy slices")
    seconds, whole = _timed(partial(demo_routes.sliced, image, weights))
    report("gpuimg on one thread: compiling its kernels")
    compiling, of_crop = _once(partial(by_gpuimg, crop, "single"))
    timings = [_compared(timing, outcome, of_crop) for timing, outcome in plain]
    sliced_crop = demo_routes.sliced(crop, weights)
    timings.append(_compared(Timing("NumPy slices", seconds, note="one thread"), sliced_crop, of_crop))
    for status in backends():
        report(f"gpuimg {status.name}")
        timings.append(_backend_timing(status, image, crop, whole, compiling if status.name == "single" else 0.0))
    report("saving the pictures")
    return Demo(timings, crop.shape, _save(folder, image, crop, whole, of_crop))


def steps() -> int:
    """Return the number of steps that `demo` reports."""
    return len(_POOLS) + 3 + len(BACKENDS)


# The image ---------------------------------------------------------------------------------------------------------


def photo(megapixels: float) -> Image:
    """Draw a synthetic photograph, the same at each call: light and shade, shapes, texture, and noise.

    Two percent of the pixels are black or white: salt-and-pepper noise, as from a faulty sensor.
    """
    rows = max(1, round(math.sqrt(megapixels * 1e6 * 2 / 3)))
    cols = max(1, round(megapixels * 1e6 / rows))
    image = np.empty((rows, cols), np.uint8)
    shapes = _shapes(rows, cols)
    across = np.arange(cols, dtype=np.float32)
    sky, ripples = 40 * np.cos(across / cols * 5), 7 * np.sin(across / 9)
    for top in range(0, rows, BAND_ROWS):
        down = np.arange(top, min(top + BAND_ROWS, rows), dtype=np.float32)[:, None]
        band = 110 + sky * np.sin(down / rows * 4) + 50 * (down / rows) + ripples * np.cos(down / 13)
        for shape in shapes:
            _draw(band, shape, top)
        image[top : top + len(band)] = _noisy(band, top)
    return image


class Shape(NamedTuple):
    """A disc or square of another brightness."""

    row: float
    col: float
    radius: float
    light: float
    round: bool


def _shapes(rows: int, cols: int) -> list[Shape]:
    rng = np.random.default_rng(2)
    extent = min(rows, cols)
    return [
        Shape(
            rng.uniform(0, rows),
            rng.uniform(0, cols),
            extent * 10 ** rng.uniform(-2.6, -1.1),
            light,
            rng.random() < 0.6,
        )
        for light in rng.uniform(-70, 70, 500)
    ]


def _draw(band: Image, shape: Shape, top: int) -> None:
    """Brighten or darken the part of a shape within a band of rows."""
    rows = slice(max(0, int(shape.row - shape.radius) - top), max(0, int(shape.row + shape.radius) - top + 1))
    cols = slice(max(0, int(shape.col - shape.radius)), int(shape.col + shape.radius) + 1)
    part = band[rows, cols]
    if shape.round and part.size:
        down = np.arange(part.shape[0])[:, None] + (rows.start + top - shape.row)
        across = np.arange(part.shape[1]) + (cols.start - shape.col)
        part += shape.light * (down**2 + across**2 < shape.radius**2)
    else:
        part += shape.light


def _noisy(band: Image, seed: int) -> Image:
    rng = np.random.default_rng(seed)
    chance = rng.integers(0, 256, band.shape, np.uint8)
    grain = rng.integers(-6, 7, band.shape, np.int8)
    grey: Image = np.clip(band + grain, 0, 255).astype(np.uint8)
    grey[chance < 3] = 0
    grey[chance > 252] = 255
    return grey


def grey_8bit(image: Image) -> Image:
    """Convert a picture to 8-bit grey, for which the demo's plain loops are written."""
    if image.dtype == bool:
        image = image * np.uint8(255)
    if image.ndim == 3:
        image = gpuimg.rgb2gray(image) if image.shape[2] in (3, 4) else image[..., 0]
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise TypeError(f"image must have 8 or 16 bits for the demo, got {image.dtype}")
    return np.ascontiguousarray(image)


def middle(image: Image) -> Image:
    """Return the middle of an image, small enough for plain Python."""
    top, left = (max(0, (extent - CROP) // 2) for extent in image.shape)
    return np.ascontiguousarray(image[top : top + CROP, left : left + CROP])


# The routes --------------------------------------------------------------------------------------------------------


def by_gpuimg(image: Image, backend: Backend) -> Outcome:
    """Run the job as calls of gpuimg."""
    with gpuimg.use_backend(backend):
        smooth = gpuimg.gaussian(gpuimg.median(image, SIZE), SIGMA)
        edges = gpuimg.sobel(smooth)
        level = gpuimg.threshold_otsu(edges)
        return Outcome(edges, level, gpuimg.threshold(edges, level))


def gaussian_weights() -> Weights:
    """Return the integer weights of gpuimg's Gaussian, for the routes written without gpuimg."""
    taps = gaussian_taps(SIGMA, 4.0)
    outwards = taps.fixed.tolist()
    return Weights((*outwards[:0:-1], *outwards), taps.offset)


def _alone() -> AbstractContextManager[Any]:
    return nullcontext()


def _threads() -> AbstractContextManager[Any]:
    return ThreadPool(processor_count())


def _processes() -> AbstractContextManager[Any]:
    return multiprocessing.get_context("spawn").Pool(processor_count(), signal.signal, (signal.SIGINT, signal.SIG_IGN))


_POOLS = {"plain Python": _alone, "plain Python, threads": _threads, "plain Python, processes": _processes}


def _plain_timings(crop: Image, scale: float, weights: Weights, report: Report) -> Iterator[tuple[Timing, Outcome]]:
    """Time plain Python on a crop, alone and in pools, not counting the start of a pool."""
    rows = [bytes(row) for row in crop]
    for route, pool_of in _POOLS.items():
        report(route)
        with pool_of() as pool:
            parts = 1 if pool is None else processor_count()
            run = map if pool is None else pool.map
            list(run(time.sleep, [0.05] * parts))
            seconds, (edges, level, mask) = _once(partial(demo_routes.plain, rows, weights, run, parts))
        note = "" if pool is None else f"{parts} {route.rpartition(' ')[2]}"
        yield Timing(route, seconds * scale, scale > 1, note=note), _as_arrays(edges, level, mask)


def _as_arrays(edges: list[array[float]], level: float, mask: list[bytes]) -> Outcome:
    marks = np.array([np.frombuffer(row, np.uint8) for row in mask])
    return Outcome(np.array([np.frombuffer(row, np.float32) for row in edges]), level, marks.view(bool))


def _backend_timing(status: Any, image: Image, crop: Image, expected: Outcome, compiling: float) -> Timing:
    route = f"gpuimg {status.name}"
    if not status.usable:
        return Timing(route, None, note=status.reason)
    try:
        first, _ = _once(partial(by_gpuimg, crop, status.name))
        seconds, outcome = _timed(partial(by_gpuimg, image, status.name))
    except GpuimgError as error:
        return Timing(route, None, note=str(error))
    return _compared(Timing(route, seconds, first_use=first + compiling, note=status.detail), outcome, expected)


def _compared(timing: Timing, found: Outcome, expected: Outcome) -> Timing:
    differ = np.count_nonzero((found.edges != expected.edges) | (found.mask != expected.mask))
    same = not differ and found.level == expected.level
    return timing._replace(same=same, note=timing.note if same else f"{differ} pixels differ")


def _once(job: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    outcome = job()
    return time.perf_counter() - start, outcome


def _timed(job: Callable[[], Any]) -> tuple[float, Any]:
    """Return the best time of up to three runs, or of one run if it is long."""
    best, outcome = _once(job)
    for _ in range(2):
        if best < REPEAT_BELOW:
            del outcome
            seconds, outcome = _once(job)
            best = min(best, seconds)
    return best, outcome


def _save(folder: Path, image: Image, crop: Image, whole: Outcome, of_crop: Outcome) -> list[Path]:
    gradients = np.clip(of_crop.edges * (255 / max(of_crop.edges.max(), 1)), 0, 255).astype(np.uint8)
    detail = np.hstack([crop, gradients, of_crop.mask * np.uint8(255)])
    paths = [folder / name for name in PICTURES]
    for path, picture in zip(paths, (image, whole.mask, detail), strict=True):
        save_image(path, picture)
    return paths
