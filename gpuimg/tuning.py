"""`calibrate`: measure this machine, so that "auto" chooses by its speeds and not by guesses."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpuimg import machine
from gpuimg import run as running
from gpuimg.backend.walk import bound_to
from gpuimg.filters import all_filters
from gpuimg.images import UINT8
from gpuimg.machine import Figures
from gpuimg.registry import Filter, arguments

SHAPE = (1024, 1536)
DTYPES = ("uint8", "uint16", "float32")


def calibrate(*, progress: Callable[[str], None] | None = None) -> Figures:
    """Measure this machine and store the figures that backends are chosen by.

    Parameters
    ----------
    progress : called with the name of each thing before it is measured

    Returns
    -------
    `gpuimg.machine.Figures` : seconds for a call on each backend, bytes a second, and the speed of each kernel. They
    are stored in gpuimg's cache folder (``GPUIMG_CACHE_DIR``) and hold at once.

    Raises
    ------
    OSError : the folder is not writable

    Notes
    -----
    Takes about half a minute, longer where kernels must be compiled first. Leave the machine alone meanwhile.
    """
    report = progress or (lambda _: None)
    figures = machine.figures()
    figures.speeds.clear()
    report("calls")
    _measure_calls(figures)
    report("threads")
    figures.multicore_speedup = _speedup()
    report("memory")
    figures.copy_bandwidth = _copy_bandwidth()
    for name, found in all_filters().items():
        report(name)
        for example in found.examples:
            _measure_filter(found, example)
    if running.backend_named("cuda").unusable() is None:
        report("cuda")
        _measure_gpu(figures)
    figures.revision += 1
    machine.store(figures)
    return figures


def median_seconds(call: Callable[[], Any], rounds: int, repeat: int = 1) -> float:
    """The median seconds of a call, after one to warm up."""
    call()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        taken.append((time.perf_counter() - start) / repeat)
    return statistics.median(taken)


def _measure_calls(figures: Figures) -> None:
    """The overhead of a call; that on one thread is the zero point."""
    from gpuimg.filters.exposure import plan_threshold

    tiny = bound_to(partial(plan_threshold, value=100.0), np.zeros((16, 16), np.uint8))
    cost = {}
    for name, repeat in (("single", 200), ("multicore", 200), ("processes", 3)):
        backend = running.backend_named(name)
        if backend.unusable() is None:
            cost[name] = median_seconds(partial(backend.run, tiny, None), 9, repeat)
    figures.single_call = cost["single"]
    figures.multicore_call = cost["multicore"]
    figures.processes_call = cost.get("processes", figures.processes_call)


def _noise(dtype: Any, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return values.astype(dtype)


def _speedup() -> float:
    from gpuimg.filters.smooth import gaussian

    image = _noise(UINT8)
    single, multicore = (partial(gaussian, image, backend=name) for name in ("single", "multicore"))
    single()
    multicore()
    ratios = [median_seconds(single, 1) / median_seconds(multicore, 1) for _ in range(9)]
    return max(1.0, statistics.median(ratios))


def _copy_bandwidth() -> float:
    source = np.ones(1 << 26, np.uint8)
    target = np.zeros_like(source)
    return source.nbytes / median_seconds(lambda: np.copyto(target, source), 5)


def _measure_filter(found: Filter, example: Any) -> None:
    """Run a filter: what its kernels take is learned as in every call."""
    for dtype in DTYPES:
        if np.dtype(dtype).kind in found.kinds:
            image = _noise(dtype, (*SHAPE, 3) if found.color else SHAPE)
            given = arguments(example, image)
            for _ in range(3):
                found.function(image, backend="single", **given)


def _measure_gpu(figures: Figures) -> None:
    gpu: Any = running.backend_named("cuda")
    measured = gpu.measure()
    figures.pcie_bandwidth = measured["pcie_bandwidth"]
    figures.gpu_bandwidth = measured["gpu_bandwidth"]
    figures.gpu_call = measured["gpu_call"]
    figures.gpu_launch = measured["gpu_launch"]
