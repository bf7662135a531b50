"""This machine's processors and devices, and its measured speeds, stored in the user's cache folder."""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from gpuimg import caching
from gpuimg.caching import cache_folder

# Elements; the time of a smaller image depends more on the call's overhead than on the kernel.
WORTH_LEARNING = 1 << 20
TABLES = ("speeds", "cached_speeds", "overheads")  # of `Figures`, by kernel and types
UNCACHED = 4  # times the size of the cache: images of this size wait for memory as larger ones do


@dataclass(slots=True, eq=False)
class Figures:
    """Speeds on which the choice of a backend is based, in seconds and bytes per second.

    The defaults are guesses for a machine that has not been measured. `TABLES` are by kernel and types, on one thread:
    `speeds` holds measured seconds per element and unit of work for large images; `gpuimg.calibrate` and every longer
    call update it. `cached_speeds` holds those for images that fit in a core's cache, of ``cache_bytes``, and
    `overheads` the seconds that a call takes for an image of any size; only `gpuimg.calibrate` measures them. `guesses`
    holds the same tables of another machine, for kernels not yet measured here. `measured` holds the seconds of whole
    jobs (`gpuimg.dispatch.Job`) on each backend, from `gpuimg.explain`, for the lifetime of the process. `revision`
    counts the changes.
    """

    single_call: float = 2e-6
    multicore_call: float = 8e-6
    processes_call: float = 1.5e-3
    multicore_speedup: float = 1.0
    seconds_per_work: float = 2.5e-10
    copy_bandwidth: float = 4e9
    pcie_bandwidth: float = 12e9
    gpu_bandwidth: float = 400e9
    gpu_call: float = 60e-6
    gpu_launch: float = 12e-6
    gpu_work_per_byte: float = 20.0
    cache_bytes: float = 2.0**20
    speeds: dict[str, float] = field(default_factory=dict)
    cached_speeds: dict[str, float] = field(default_factory=dict)
    overheads: dict[str, float] = field(default_factory=dict)
    guesses: dict[str, dict[str, float]] = field(default_factory=dict)
    measured: dict[Any, dict[str, float]] = field(default_factory=dict)
    revision: int = 0

    def speed(self, key: str, nbytes: float = math.inf) -> float:
        """Return a kernel's seconds per element and unit of work on one thread, measured or guessed.

        ``nbytes`` is the size of the images read and written. Between one and `UNCACHED` times the size of the cache,
        the speed is interpolated in the logarithm of the size.
        """
        known = self._of("speeds", key)
        large = self.seconds_per_work if known is None else known
        if nbytes >= UNCACHED * self.cache_bytes:
            return large
        cached = self._of("cached_speeds", key)
        if cached is None:
            return large
        if key not in self.cached_speeds:  # a guess, while a long call here was faster
            cached = min(cached, large)
        if nbytes <= self.cache_bytes:
            return cached
        return cached + (large - cached) * math.log(nbytes / self.cache_bytes, UNCACHED)

    def overhead(self, key: str) -> float:
        """Return the seconds that each call of a kernel takes for an image of any size."""
        return self._of("overheads", key) or 0.0

    def _of(self, table: str, key: str) -> float | None:
        """Return the value of a kernel in a table, measured here or guessed; None if there is neither."""
        known: float | None = getattr(self, table).get(key)
        return self.guesses.get(table, {}).get(key) if known is None else known

    def learn(self, key: str, seconds: float, amount: float) -> None:
        """Update a speed from a call on one thread: ``amount`` elements times work in ``seconds``."""
        measured = seconds / amount
        known = self.speeds.get(key)
        self.speeds[key] = measured if known is None else 0.7 * known + 0.3 * measured
        self.revision += 1

    def record(self, job: Any, seconds: dict[str, float]) -> None:
        """Record the measured seconds of a job on each backend, which replace predictions."""
        self.measured[job] = seconds
        self.revision += 1


def identity() -> str:
    """Return a name for the machine, so that machines that share the folder use only their own figures."""
    return f"{platform.node()}-{platform.machine()}-{processor_count()}"


def processor_count() -> int:
    """Return the number of processors this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@cache
def gpu_count() -> int:
    """Return the number of CUDA devices this process may use, from the driver, without creating a context."""
    driver = _cuda_driver()
    count = ctypes.c_int()
    failed = driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


def cuda_version() -> int | None:
    """Return the newest major version of CUDA that the NVIDIA driver supports, 13 for 13.1; None without a driver."""
    driver = _cuda_driver()
    version = ctypes.c_int()
    return None if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) else version.value // 1000


def _cuda_driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def be_nice(niceness: int) -> None:
    """Increase the niceness of the calling thread and of threads that it starts; only Linux has it per thread."""
    if niceness and sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # a container may forbid it
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + niceness)


def figures_path() -> Path:
    """Return the path where `gpuimg.calibrate` stores the figures."""
    return cache_folder() / "figures.json"


def processor_quota() -> float:
    """Return the CPU quota of the container, in processors; infinite without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf


GPU_FIGURES = frozenset({"pcie_bandwidth", "gpu_bandwidth", "gpu_call", "gpu_launch", "gpu_work_per_byte"})
LONGEST_FILE = 16 << 20
PLAUSIBLE = 1e-18, 1e18  # range of measured figures, and of results of arithmetic with them


def _plausible(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and PLAUSIBLE[0] < value < PLAUSIBLE[1]


def _stored() -> dict[str, dict[str, Any]]:
    """Read the plausible figures of each machine from the file, ignoring everything else."""
    try:
        content = caching.read(figures_path(), LONGEST_FILE + 1)
        everything = json.loads(content) if len(content) <= LONGEST_FILE else None
    except (OSError, ValueError, RecursionError, MemoryError):
        return {}
    if not isinstance(everything, dict):
        return {}
    return {name: _measured(found) for name, found in everything.items() if isinstance(found, dict)}


def _storable() -> set[str]:
    return {each.name for each in fields(Figures)} - {"cache_bytes", "guesses", "measured", "revision"}


def _measured(found: dict[str, Any]) -> dict[str, Any]:
    names = (_storable() - set(TABLES)) & set(found)
    kept: dict[str, Any] = {name: float(found[name]) for name in names if _plausible(found[name])}
    tables = {name: found[name] for name in TABLES if isinstance(found.get(name), dict)}
    for name, table in tables.items():
        kept[name] = {key: float(value) for key, value in table.items() if _plausible(value)}
    return kept


def stored() -> dict[str, Any]:
    """Return this machine's stored figures."""
    return _stored().get(identity(), {})


def shipped_speeds() -> dict[str, dict[str, float]]:
    """Return the tables of kernels on a server's processor, as measured by ``bench/speeds.py``."""
    content = Path(__file__).with_name("speeds.json").read_text(encoding="utf-8")
    return dict(json.loads(content))


def cache_size() -> float:
    """Return the bytes of a core's second-level cache; without Linux's file that says it, a common size."""
    try:
        found = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text(encoding="ascii").strip()
        size = int(found.removesuffix("K")) * 1024
    except (OSError, ValueError):
        size = 0
    return float(size if size > 0 else Figures().cache_bytes)


@cache
def figures() -> Figures:
    """Return this machine's figures, stored or otherwise shipped; they are updated during the process."""
    speedup = max(1.0, 0.85 * processor_count())
    found = Figures(multicore_speedup=speedup, cache_bytes=cache_size(), guesses=shipped_speeds())
    for name, value in stored().items():
        setattr(found, name, value)
    return found


def store(measured: Figures, names: Iterable[str] | None = None) -> Path:
    """Write all figures, or those named, to disk, keeping those of other machines that share the folder."""
    kept = _storable() if names is None else names
    return _write({**_stored(), identity(): {name: getattr(measured, name) for name in sorted(kept)}})


def reset() -> bool:
    """Discard this machine's stored and updated figures; return whether any were stored."""
    figures.cache_clear()
    everything = _stored()
    if identity() not in everything:
        return False
    del everything[identity()]
    _write(everything)
    return True


def _write(everything: dict[str, dict[str, Any]]) -> Path:
    path = figures_path()
    caching.write(path, json.dumps(everything, indent=1).encode())
    return path
