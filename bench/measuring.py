"""Shared by the benchmarks: images, interleaved timing, and a description of the machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from gpuimg.demo import photo

Call = Callable[[], Any]
SAMPLE_SECONDS = 1e-3  # shorter calls are repeated until a sample takes this long
WARM_UPS = 2
PACKAGES = (
    "numpy",
    "numba",
    "opencv-python-headless",
    "scikit-image",
    "scipy",
    "pillow",
    "kornia-rs",
    "pyvips",
    "pyvips-binary",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "tornado",
    "fastapi",
    "starlette",
    "uvicorn",
    "httptools",
    "redis",
)


@cache
def image_of(megapixels: float, dtype: str, color: bool = False) -> np.ndarray[Any, Any]:
    """Return a photo-like image, the same at each call; wider dtypes have detail in their lower bits too."""
    grey = photo(megapixels)
    rng = np.random.default_rng(7)
    image: np.ndarray[Any, Any] = grey
    if dtype != "uint8":
        fine = rng.integers(0, 256, grey.shape, np.uint8)
        image = grey * np.uint16(256) + fine
        if dtype == "float32":
            image = image.astype(np.float32) / np.float32(65535)
    if color:
        image = np.stack([image, np.roll(image, 11, axis=1), image // 2 if dtype != "float32" else image / 2], axis=-1)
    return np.ascontiguousarray(image, dtype)


def seconds_of(call: Call, repeat: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - start) / repeat


def race(sides: list[Call], seconds: float, min_rounds: int = 3, max_rounds: int = 101) -> list[dict[str, Any]]:
    """Time calls in turns, so that other load on the machine affects all sides alike.

    Parameters
    ----------
    sides : the calls; each is warmed up first
    seconds : for all sides together, but every side gets at least ``min_rounds`` rounds

    Returns
    -------
    list of dict, one per side : median, quartiles and minimum of its seconds, and the number of rounds
    """
    once = []
    for call in sides:
        for _ in range(WARM_UPS - 1):
            call()
        once.append(seconds_of(call))
    repeats = [max(1, int(SAMPLE_SECONDS / max(each, 1e-7))) for each in once]
    taken: list[list[float]] = [[] for _ in sides]
    start = time.perf_counter()
    while len(taken[0]) < min_rounds or (len(taken[0]) < max_rounds and time.perf_counter() - start < seconds):
        for found, call, repeat in zip(taken, sides, repeats, strict=True):
            found.append(seconds_of(call, repeat))
    return [summary(found) for found in taken]


def summary(taken: list[float]) -> dict[str, Any]:
    lower, median, upper = np.percentile(taken, [25, 50, 75])
    return {
        "median": float(median),
        "quartiles": [float(lower), float(upper)],
        "least": min(taken),
        "rounds": len(taken),
    }


def geometric_mean(ratios: list[float]) -> float:
    return statistics.geometric_mean(ratios) if ratios else float("nan")


def machine(threads: int) -> dict[str, Any]:
    """Return the machine, the versions and the commit of a measurement."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "gpu": _gpu(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _gpu() -> str | None:
    from gpuimg import backends

    return next((each.detail for each in backends() if each.name == "cuda" and each.usable), None)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """Return the commit, marked if the measured files have uncommitted changes."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "../gpuimg", "../kernels")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def report(found: dict[str, Any], out: Path | None) -> None:
    """Write results as JSON to a file, or to standard output."""
    text = json.dumps(found, indent=1)
    if out is None:
        print(text)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
