"""Measure the overhead of gpuimg: import, the first filters, a small call, and a wrong choice of backend."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from functools import partial
from random import shuffle
from typing import Any

import numpy as np

import gpuimg

ROUNDS = 31
FIRST = """
import time
import numpy as np
image = np.random.default_rng(0).integers(0, 256, (1000, 1000), np.uint8)
start = time.perf_counter()
import gpuimg
gpuimg.median(image, 3)
gpuimg.gaussian(image, 1.5)
print(time.perf_counter() - start)
"""
IMPORT = "import time; import numpy; start = time.perf_counter(); import gpuimg; print(time.perf_counter() - start)"

CASES = [
    ("threshold", {"value": 100}, 64),
    ("gaussian", {"sigma": 1.5}, 64),
    ("median", {"size": 5}, 128),
    ("sobel", {}, 256),
    ("uniform", {"size": 5}, 512),
    ("erosion", {"footprint": 3}, 512),
    ("median", {"size": 15}, 1024),
    ("gaussian", {"sigma": 3}, 1448),
    ("invert", {}, 3464),
    ("median", {"size": 5}, 7071),
]


def in_new_process(code: str) -> float:
    """Return the median of the numbers that a script prints in separate processes."""
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True)  # fills the disk caches
    printed = [float(subprocess.check_output(command)) for _ in range(ROUNDS)]
    return statistics.median(printed)


def small_call() -> float:
    image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    gpuimg.threshold(image, 100)
    return seconds_of(partial(gpuimg.threshold, image, 100), 2000)


def seconds_of(call: Any, repeat: int = 1) -> float:
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        taken.append((time.perf_counter() - start) / repeat)
    return statistics.median(taken)


def choice(name: str, params: dict[str, Any], side: int) -> dict[str, Any]:
    """Return the seconds on each backend and with "auto", measured in turns."""
    image = np.random.default_rng(side).integers(0, 256, (side, side), np.uint8)
    function = getattr(gpuimg, name)
    backends = ["auto", *(status.name for status in gpuimg.backends() if status.usable)]
    calls = {backend: partial(function, image, backend=backend, **params) for backend in backends}
    for call in calls.values():
        call()
        call()
    repeat = max(1, int(2e-3 / seconds_of(calls["single"])))
    order = list(backends)
    taken: dict[str, list[float]] = {backend: [] for backend in backends}
    for _ in range(ROUNDS):
        shuffle(order)
        for backend in order:
            calls[backend]()  # warms up caches and threads for this backend
            count = repeat if backend != "processes" else 1
            start = time.perf_counter()
            for _ in range(count):
                calls[backend]()
            taken[backend].append((time.perf_counter() - start) / count)
    seconds = {backend: statistics.median(values) for backend, values in taken.items()}
    best = min((backend for backend in backends if backend != "auto"), key=lambda backend: seconds[backend])
    # Per round, as the machine's speed changes within seconds.
    ratio = statistics.median(mine / theirs for mine, theirs in zip(taken["auto"], taken[best], strict=True))
    return {"case": f"{name} {params} {side}x{side}", "seconds": seconds, "best": best, "auto_over_best": ratio}


def main() -> None:
    gpuimg.calibrate()
    found = {
        "import_ms": 1e3 * in_new_process(IMPORT),
        "first_two_filters_s": in_new_process(FIRST),
        "threshold_64x64_us": 1e6 * small_call(),
        "auto": [choice(*case) for case in CASES],
    }
    print(f"import gpuimg after numpy: {found['import_ms']:.1f} ms", file=sys.stderr)
    print(f"first two filters in a new process: {found['first_two_filters_s']:.2f} s", file=sys.stderr)
    print(f"threshold of 64x64: {found['threshold_64x64_us']:.1f} us", file=sys.stderr)
    for row in found["auto"]:
        times = ", ".join(f"{backend} {1e3 * value:.3f}" for backend, value in row["seconds"].items())
        print(f"{row['auto_over_best']:.2f}  {row['case']}: {times} ms", file=sys.stderr)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
