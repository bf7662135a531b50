"""Measure how soon a cancelled job stops: ``python bench/cancel.py``.

Each filter first runs as a job to measure its time, and is then cancelled at random moments of that time. The table
shows the longest and the median milliseconds from `Job.cancel` until the job has ended and none of its threads and
worker processes work on it any more. Jobs shorter than ``--shortest`` are left out.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import wait
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(1, str(Path(__file__).parents[1]))

from measuring import image_of, machine

import gpuimg
from gpuimg.filters import all_filters
from gpuimg.registry import arguments

LIMIT = 0.1  # seconds
WARM_UP = 0.1  # megapixels
DISK = np.add.outer(np.arange(-9, 10) ** 2, np.arange(-9, 10) ** 2) <= 90
MASKS = ("label", "distance_transform_edt", "fill_holes", "skeletonize", "thin")  # on masks, of uint8

# Slow cases, in addition to the examples of the registry.
LARGE: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("median", {"size": 31}),
    ("minimum", {"size": 31}),
    ("uniform", {"size": 31}),
    ("gaussian", {"sigma": 8}),
    ("gaussian", {"sigma": 50}),
    ("opening", {"footprint": 31}),
    ("erosion", {"footprint": DISK}),
    ("canny", {"sigma": 5}),
    ("resize", {"output_shape": lambda image: tuple([extent * 7 // 10 for extent in image.shape[:2]])}),
    ("resize", {"output_shape": lambda image: image.shape[:2], "order": 0}),
)


class Case(NamedTuple):
    """A filter on a backend."""

    filter: str
    params: Mapping[str, Any]
    dtype: str
    backend: str

    def __str__(self) -> str:
        words = [f"{name}={_brief(value)}" for name, value in self.params.items()]
        return " ".join([self.filter, *words, self.dtype, self.backend])


class Found(NamedTuple):
    """A measurement: milliseconds from each cancel to the job's end, and the job's seconds without cancelling."""

    case: Case
    seconds: float
    late: list[float]


def _brief(value: Any) -> str:
    if callable(value):
        return "..."
    shape = getattr(value, "shape", None)
    return f"{shape[0]}x{shape[1]}" if shape else str(value).replace(" ", "")


def cases(filters: list[str], dtypes: list[str], backends: list[str]) -> Iterator[Case]:
    known = all_filters()
    calls = list(LARGE) + [(name, params) for name, each in known.items() for params in each.examples]
    for name, params in calls:
        for dtype in dtypes:
            if (not filters or name in filters) and np.dtype(dtype) in known[name].dtypes:
                yield from (Case(name, params, dtype, backend) for backend in backends)


def submitted(case: Case, megapixels: float) -> tuple[gpuimg.Job, float]:
    """Submit a job; return it and the time."""
    filter = all_filters()[case.filter]
    image = _image(megapixels / 3 if filter.color else megapixels, case.dtype, filter.color, case.filter in MASKS)
    params = arguments(case.params, image)
    return gpuimg.submit(filter.function, image, backend=case.backend, **params), time.perf_counter()


@cache
def _image(megapixels: float, dtype: str, color: bool, mask: bool) -> np.ndarray[Any, Any]:
    image = image_of(megapixels, dtype, color)
    return (image > np.median(image[::16, ::16])).astype(dtype) if mask else image


def ended(job: gpuimg.Job, timeout: float | None = None) -> bool:
    return bool(wait([job], timeout).done)


def seconds_of(case: Case, megapixels: float, longest: float) -> float:
    submitted(case, WARM_UP)[0].result()
    job, start = submitted(case, megapixels)
    if not ended(job, longest):
        job.cancel()
        ended(job)
    elif (error := job.exception()) is not None:
        raise error
    return time.perf_counter() - start


def measure(case: Case, megapixels: float, cancels: int, longest: float) -> Found:
    seconds = seconds_of(case, megapixels, longest)
    late: list[float] = []
    for number in range(4 * cancels):
        if len(late) == cancels:
            break
        submitted(case, WARM_UP)[0].result()  # restarts the workers that the last cancel ended
        job, start = submitted(case, megapixels)
        # Stratified: each part of the time gets its cancels.
        moment = (number % cancels + random.random()) / cancels * seconds
        if not ended(job, max(0.0, start + moment - time.perf_counter())):
            start = time.perf_counter()
            if job.cancel():
                ended(job)
                late.append(1e3 * (time.perf_counter() - start))
    return Found(case, seconds, late)


def show(found: list[Found]) -> None:
    print(f"{'filter':72}{'s':>7}{'longest, ms':>13}{'median':>8}{'over 100 ms':>13}")
    for each in sorted(found, key=lambda each: -max(each.late)):
        over = sum(late > 1e3 * LIMIT for late in each.late) / len(each.late)
        median = statistics.median(each.late)
        print(f"{each.case!s:72}{each.seconds:7.2f}{max(each.late):13.0f}{median:8.0f}{over:13.0%}")
    late = [each for one in found for each in one.late]
    over = sum(each > 1e3 * LIMIT for each in late) / len(late)
    longest, median = max(late), statistics.median(late)
    print(f"{len(late)} cancels: longest {longest:.0f} ms, median {median:.0f} ms, {over:.1%} over 100 ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=50, help="of the images (default: %(default)s)")
    parser.add_argument("--cancels", type=int, default=5, help="of each filter (default: %(default)s)")
    parser.add_argument(
        "--shortest", type=float, default=0.05, help="seconds of the shortest job (default: %(default)s)"
    )
    parser.add_argument("--longest", type=float, default=60, help="seconds of a job to cover (default: %(default)s)")
    parser.add_argument("--filters", nargs="+", default=[], help="(default: all)")
    parser.add_argument("--dtypes", nargs="+", default=["uint8", "float32"])
    parser.add_argument("--backends", nargs="+", default=["single", "multicore", "processes"])
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    given = parser.parse_args()
    found = []
    for case in cases(given.filters, given.dtypes, given.backends):
        each = measure(case, given.megapixels, given.cancels, given.longest)
        if each.seconds >= given.shortest and each.late:
            print(f"{case}: {', '.join(f'{late:.0f}' for late in each.late)} ms", file=sys.stderr)
            found.append(each)
    if not found:
        sys.exit("no job takes that long")
    show(found)
    if given.out is not None:
        rows = [{"case": str(each.case), "seconds": each.seconds, "late_ms": each.late} for each in found]
        given.out.write_text(json.dumps({"machine": machine(0), "found": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
