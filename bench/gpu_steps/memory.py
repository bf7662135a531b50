"""Step 5: less memory than an image needs, and more shared memory than the default limit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

import gpuimg
from gpu_steps import device as devices
from gpu_steps.equality import Report, noise
from gpu_steps.running import Case, Details, Setting

SHAPE, REHEARSED_SHAPE = (6000, 8000), (60, 80)
TILED = {
    "invert": {},
    "gaussian": {"sigma": 3},
    "minimum": {"size": 9},
    "median": {"size": 5},
    "histogram": {},
    "equalize_hist": {},
    "unsharp_mask": {"radius": 2},
}
SHARED_BYTES = 96 << 10


def cases(setting: Setting) -> Iterator[Case]:
    for name, given in TILED.items():
        yield Case(f"{name} in tiles", partial(tiled, setting.rehearse, name, given))
    yield Case(f"{SHARED_BYTES >> 10} KB of shared memory", partial(shared_memory, setting.rehearse))


def tiled(rehearse: bool, name: str, given: dict[str, Any]) -> Details:
    """Run a filter with a pool limit below the size of image and result."""
    device = devices.device(rehearse)
    image = noise(REHEARSED_SHAPE if rehearse else SHAPE, np.uint8)
    function = getattr(gpuimg, name)
    expected = function(image, backend="multicore", **given)
    pool = device.cupy.get_default_memory_pool()
    launches = 0
    start = device.gpu.launch

    def launch(*args: Any) -> None:
        nonlocal launches
        launches += 1
        start(*args)

    function(image, backend="cuda", **given)
    device.gpu.launch = launch
    try:
        function(image, backend="cuda", **given)
        whole, launches = launches, 0
        pool.free_all_blocks()
        limit = pool.used_bytes() + image.nbytes * 3 // 4
        pool.set_limit(size=limit)
        found = function(image, backend="cuda", **given)
        peak = pool.total_bytes()
    finally:
        pool.set_limit(size=0)
        del device.gpu.launch
    report = Report()
    report.add(f"limit {limit}", found, expected)
    if launches <= whole:
        raise AssertionError(f"{launches} launches with a limit, {whole} without: there were no tiles")
    if peak > limit:
        raise AssertionError(f"the pool took {peak} bytes with a limit of {limit}")
    return {"launches": launches, "launches_without_limit": whole, "limit": limit, **report.details()}


def shared_memory(rehearse: bool) -> Details:
    """Sum a long row in more than 48 KB, which must be requested for the kernel."""
    from gpuimg.kernels.smooth import uniform_launch as uniform

    device = devices.device(rehearse)
    image = noise((3, 5000), np.float64)
    asked: list[int] = []
    original, uniform.SHARED_BYTES = uniform.SHARED_BYTES, SHARED_BYTES
    kernel = device.gpu.kernel

    def noting(stem: str, name: str) -> Any:
        found = kernel(stem, name)

        def start(grid: Any, block: Any, layout: Any, values: Any, shared_mem: int) -> None:
            asked.append(shared_mem)
            found.start(grid, block, layout, values, shared_mem)

        return SimpleNamespace(layout=found.layout, start=start)

    device.gpu.let_constants_go()  # and the prepared launches
    device.gpu.kernel = noting
    try:
        found = device.get(gpuimg.uniform(device.put(image), (1, 1001), backend="cuda"))
    finally:
        uniform.SHARED_BYTES = original
        del device.gpu.kernel
        device.gpu.let_constants_go()
    if max(asked) <= 48 << 10:
        raise AssertionError(f"the launches asked for {asked} bytes only")
    report = Report()
    report.add("uniform", found, gpuimg.uniform(image, (1, 1001), backend="single"))
    return {"bytes": max(asked), **report.details()}
