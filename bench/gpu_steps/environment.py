"""Step 1: describe the machine, check that the device is usable, and compile and load all kernels for it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from gpu_steps import device as devices
from gpu_steps.running import Case, Details, Setting

COMPILE_SECONDS = 200.0


def cases(setting: Setting) -> Iterator[Case]:
    yield Case("versions", partial(versions, setting.rehearse))
    yield Case("usable", partial(usable, setting.rehearse))
    yield Case("compile and load every kernel", partial(compile_all, setting.rehearse), COMPILE_SECONDS)
    what = "compile the reference on the processor"
    yield Case(what, partial(compile_reference, setting.rehearse, setting.filters), COMPILE_SECONDS)


def versions(rehearse: bool) -> Details:
    """Return driver, CuPy, NVRTC and device, without gpuimg, so that they are known whatever fails."""
    if rehearse:
        devices.device(rehearse)
    import cupy

    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    return {
        "python": platform.python_version(),
        "processors": len(os.sched_getaffinity(0)),
        "cupy": cupy.__version__,
        "driver": runtime.driverGetVersion(),
        "runtime": runtime.runtimeGetVersion(),
        "nvrtc": list(cupy.cuda.nvrtc.getVersion()),
        "nvrtc_architectures": list(cupy.cuda.nvrtc.getSupportedArchs()),
        "devices": runtime.getDeviceCount(),
        "device": {key: _plain(value) for key, value in properties.items() if isinstance(value, int | str | bytes)},
        "nvidia_smi": _nvidia_smi(),
    }


def _plain(value: Any) -> Any:
    return value.decode(errors="replace").strip("\0") if isinstance(value, bytes) else value


def _nvidia_smi() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = "--query-gpu=name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,memory.total"
    done = subprocess.run(["nvidia-smi", query, "--format=csv"], capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


def usable(rehearse: bool) -> Details:
    if rehearse:
        devices.device(rehearse)
    from gpuimg.choosing import backend_named

    start = time.perf_counter()
    reason = backend_named("cuda").unusable()
    seconds = time.perf_counter() - start
    if reason is not None:
        raise RuntimeError(reason)
    return {"first_use_seconds": seconds, "detail": backend_named("cuda").detail()}


def compile_all(rehearse: bool) -> Details:
    """Compile every instance in several threads, as NVRTC takes most of the time, then load each."""
    from gpuimg import kernels
    from gpuimg.backend.device import instances

    gpu = devices.device(rehearse).gpu
    wanted = [(stem, name) for stem in kernels.names("cuda") for name in instances(stem)]
    failures: dict[str, str] = {}

    def compiled(kernel: tuple[str, str]) -> float:
        start = time.perf_counter()
        try:
            gpu._compiled(*kernel)
        except Exception as error:
            failures[kernel[1]] = str(error)[:1000]
        return time.perf_counter() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(devices.workers()) as pool:
        each = dict(zip((name for _, name in wanted), pool.map(compiled, wanted), strict=True))
    compiling = time.perf_counter() - start
    for stem, name in wanted:
        if name not in failures:
            try:
                gpu.kernel(stem, name)
            except Exception as error:
                failures[name] = f"cannot be loaded: {error}"[:1000]
    slowest = sorted(each, key=lambda name: -each[name])[:8]
    found = {
        "instances": len(wanted),
        "compile_seconds": compiling,
        "load_seconds": time.perf_counter() - start - compiling,
        "slowest": {name: round(each[name], 3) for name in slowest},
    }
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(wanted)} instances failed: {failures}; {found}")
    return found


def compile_reference(rehearse: bool, filters: tuple[str, ...]) -> Details:
    """Compile the CPU kernels for the reference results of all later steps, in several processes."""
    import gpuimg
    from gpu_steps.equality import chosen

    wanted = list(chosen(rehearse, filters))
    start = time.perf_counter()
    done = gpuimg.warmup({entry.name for entry, _ in wanted}, {dtype for _, dtype in wanted})
    if done.failed:
        raise RuntimeError(f"{len(done.failed)} of {done.filters} failed: {done.failed}")
    return {"filters_and_dtypes": done.filters, "seconds_taken": time.perf_counter() - start}
