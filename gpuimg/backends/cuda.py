"""One NVIDIA GPU: kernels in CUDA C++, compiled at first use for the device that is there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from gpuimg.backends.base import Array, arguments, combine, flat, result_of
from gpuimg.backends.device import (
    OPTIONS,
    DeviceFailed,
    Gpu,
    Launcher,
    OutOfDeviceMemory,
    digest,
    exists,
    source,
)
from gpuimg.images import MODES
from gpuimg.machine import cache_folder
from gpuimg.passes import Pass, Reduction, Sweep

WRAP = MODES["wrap"].code

# Copies between host and device pass through two pinned buffers of this size: one is filled while the other travels.
STAGE_BYTES = 16 << 20
# CuPy's own pinned copy serves smaller arrays.
STAGED_FROM = 1 << 20


class Cuda:
    """The backend: passes as launches on a device. ``gpu`` is a device to use instead of CuPy's current one."""

    name = "cuda"

    def __init__(self, gpu: Gpu | None = None) -> None:
        self._gpu = gpu
        self._reason: str | None = None
        self._tried = False
        self._process = os.getpid()
        self._lock = RLock()

    @property
    def gpu(self) -> Gpu:
        """The device, looked for at first use."""
        reason = self.unusable()
        if self._gpu is None or reason is not None:
            raise DeviceFailed(reason or "no GPU was found")
        return self._gpu

    def unusable(self) -> str | None:
        if os.getpid() != self._process:
            return "CUDA does not work in a forked process: start it with the method 'spawn' or 'forkserver'"
        with self._lock:
            if not self._tried:
                self._reason = self._try()
                self._tried = True
        return self._reason

    def _try(self) -> str | None:
        if self._gpu is None:
            try:
                self._gpu = CupyGpu()
            except ImportError as error:
                return f"CuPy cannot be imported ({error}): pip install 'gpuimg[cuda13]', or cuda12 for an older driver"
            except Exception as error:
                return f"no usable NVIDIA GPU or driver was found ({error})"
        try:
            return self._probe(self._gpu)
        except Exception as error:
            return f"a test kernel failed on the GPU: {str(error).strip() or type(error).__name__}"

    def _probe(self, gpu: Gpu) -> str | None:
        """Add numbers up: a device may be listed and yet neither compile nor run."""
        numbers = np.arange(5000, dtype=np.uint32).reshape(5, 1000)
        total = gpu.empty((1, 1), np.uint64)
        gpu.launch("probe", gpu.put(numbers), total, 0, 1)
        found, right = int(gpu.get(total)[0, 0]), int(numbers.sum())
        return None if found == right else f"a test kernel gave the sum {found} instead of {right}"

    def missing(self, passes: Sequence[Pass]) -> str | None:
        absent = sorted({task.kernel for task in passes if not exists(task.kernel)})
        return f"not written for CUDA yet: {', '.join(absent)}" if absent else None

    def detail(self) -> str:
        return self.gpu.describe()

    def run(self, passes: Sequence[Pass], image: Any, out: Any | None) -> Any:
        gpu = self.gpu
        with gpu.using(image):
            try:
                if out is not None and gpu.owns(out) and overlap(gpu, image, out):
                    gpu.copy(self._run(passes, image, None), out)
                    return out
                return self._run(passes, image, out)
            except gpu.errors as error:
                raise DeviceFailed(f"the GPU reported: {error}") from error

    def _run(self, passes: Sequence[Pass], image: Any, out: Any | None) -> Any:
        gpu = self.gpu
        for _ in range(2):
            # Outside of the handler nothing holds the arrays of the failed attempt any longer.
            with contextlib.suppress(gpu.out_of_memory):
                return run_whole(gpu, passes, image, out)
            gpu.trim()
        return run_tiled(gpu, passes, image, out)


def overlap(gpu: Gpu, image: Any, out: Any) -> bool:
    """Whether a result on the device would be written over the image it is made of."""
    if not gpu.owns(image):
        return False
    first, second = gpu.address(image), gpu.address(out)
    return first < second + out.nbytes and second < first + image.nbytes


def on_device(gpu: Gpu, args: Sequence[Any]) -> list[Any]:
    """A kernel's own arguments with arrays copied to the device."""
    return [gpu.put(arg) if isinstance(arg, np.ndarray) and not gpu.owns(arg) else arg for arg in args]


def reduce_on(gpu: Gpu, task: Reduction, image: Any, args: Sequence[Any]) -> Array:
    """The partial results of a reduction, on the host."""
    slabs = gpu.slabs(task.kernel, image.shape[0])
    parts = gpu.empty((slabs, int(np.prod(task.shape))), task.dtype)
    gpu.launch(task.kernel, flat(image), parts, 0, slabs, *on_device(gpu, args))
    return gpu.get(parts)


def finished(task: Reduction, parts: Array) -> Any:
    """The result of a reduction out of its partial results."""
    whole = combine(task, parts)
    return whole if task.then is None else task.then(whole)


# ---------------------------------------------------------------- the whole image at once


def run_whole(gpu: Gpu, passes: Sequence[Pass], image: Any, out: Any | None, reduced: Any = None) -> Any:
    """Run passes with the whole image in the device's memory; what lies between them stays there."""
    host = not gpu.owns(image)
    current = gpu.put(image) if host else image
    result: Any = None
    for number, task in enumerate(passes):
        args = arguments(task, current, reduced)
        if isinstance(task, Reduction):
            result = reduced = finished(task, reduce_on(gpu, task, current, args))
            continue
        shape, dtype = result_of(task, current.shape, current.dtype)
        given = out is not None and not host and number == len(passes) - 1
        result = out if given else gpu.empty(shape, dtype)
        gpu.launch(task.kernel, flat(current), flat(result), 0, shape[0], *on_device(gpu, args))
        current = result
    return gpu.get(result, out) if host and gpu.owns(result) else result


# ---------------------------------------------------------------- tile by tile


def run_tiled(gpu: Gpu, passes: Sequence[Pass], image: Any, out: Any | None) -> Any:
    """Run passes in bands of rows, as many rows at a time as fit into the device's memory."""
    current, reduced, result = image, None, None
    for number, chain in enumerate(parts_of := chains(passes)):
        into = out if number == len(parts_of) - 1 else None
        result = _run_chain(gpu, chain, current, into, reduced)
        if isinstance(chain[-1], Reduction):
            reduced = result
        else:
            current = result
    return result


def chains(passes: Sequence[Pass]) -> list[list[Pass]]:
    """Split passes into runs that can be done band by band: sweeps whose rows are 1:1, and a reduction at the end."""
    found: list[list[Pass]] = []
    is_open = False
    for task in passes:
        banded = isinstance(task, Reduction) or (isinstance(task, Sweep) and task.halo is not None)
        # What follows a reduction starts again from the image that was reduced.
        if is_open and isinstance(task, Sweep) and banded:
            found[-1].append(task)
        elif is_open and isinstance(task, Reduction) and False:
            pass
        else:
            found.append([task])
        is_open = isinstance(task, Sweep) and banded
    return found


def rows_needed(task: Pass, top: int, bottom: int, rows: int) -> tuple[int, int]:
    """The rows of an image with ``rows`` that a sweep reads for the rows [top, bottom) of its result."""
    if not isinstance(task, Sweep) or task.halo is None:
        return top, bottom
    low, high = top - task.halo[0], bottom + task.halo[0]
    if task.border is not None and task.border[0] == WRAP and (low < 0 or high > rows):
        return 0, rows
    # All other modes find what lies beyond an edge among the rows that the halo reaches inside of it.
    return max(low, 0), min(high, rows)
