"""The device of a step: CuPy's current one, or the emulated one under CuPy's names."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
POISON = 0xA5
ALIGNMENT = 16  # bytes of the widest access

_SPIN = r"""
extern "C" __global__ void spin(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {}
}
"""
CYCLES_PER_SECOND = 1.7e9

_current: Device | None = None


def current() -> Device | None:
    """Return the device in use in this process, or None."""
    return _current


def device(rehearse: bool) -> Device:
    """Return the device, set up at the first call."""
    global _current
    if _current is None:
        if rehearse:
            _emulate()
        _current = Device(rehearse)
    return _current


def _emulate() -> None:
    """Make ``import cupy`` find the emulated device, with a separate cache for its machine code."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from gpuimg.backend import cupygpu
    from tests.cuda_emulator import fakecupy
    from tests.cuda_emulator.emulator import EmulatedGpu

    folder = Path(tempfile.mkdtemp(prefix="gpuimg-rehearsal-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cupygpu.cache_folder = lambda: folder
    sys.modules.update(fakecupy.modules(EmulatedGpu()))


class Device:
    """The part of CuPy that the steps use.

    Attributes
    ----------
    backend, gpu : gpuimg's backend "cuda", and its device
    """

    def __init__(self, rehearse: bool) -> None:
        from gpuimg.choosing import backend_named

        self.rehearse = rehearse
        self.cupy: Any = import_module("cupy")
        self.backend: Any = backend_named("cuda")
        self.gpu: Any = self.backend.gpu
        self._spin: Any = None

    def is_healthy(self) -> bool:
        """Whether a small kernel still returns the right result."""
        try:
            return self.backend._probe(self.gpu) is None
        except Exception:
            return False

    def synchronize(self) -> None:
        self.cupy.cuda.Device().synchronize()

    # ------------------------------------------------------------ arrays

    def put(self, host: Array, offset: int = 0) -> Any:
        """Copy to the device, at ``offset`` bytes after an aligned address."""
        if offset == 0:
            return self.cupy.asarray(host)
        raw = self.cupy.empty((host.nbytes + offset,), np.uint8)
        array = raw[offset:].view(host.dtype).reshape(host.shape)
        array[...] = self.cupy.asarray(host)
        return array

    def get(self, result: Any) -> Any:
        """Copy a result to the host: an array, a number, or several of them."""
        if isinstance(result, tuple):
            return tuple(self.get(part) for part in result)
        return self.cupy.asnumpy(result) if isinstance(result, self.cupy.ndarray) else result

    def poisoned(self, shape: tuple[int, ...], dtype: Any, offset: int = 0) -> Any:
        """Return an array on the device filled with a pattern that reveals unwritten pixels."""
        dtype = np.dtype(dtype)
        host = np.full(int(np.prod(shape)) * dtype.itemsize, POISON, np.uint8)
        return self.put(host.view(np.uint8 if dtype.kind == "b" else dtype).reshape(shape), offset).view(dtype)

    def poison_free_memory(self, nbytes: int) -> None:
        """Fill the pool's memory for the next results with a pattern."""
        blocks = [self.cupy.empty((nbytes,), np.uint8) for _ in range(3)]
        for block in blocks:
            block.fill(POISON)

    # ------------------------------------------------------------ time

    def spin(self, seconds: float) -> None:
        """Keep the current stream busy."""
        if self._spin is None:
            self._spin = self.cupy.RawKernel(_SPIN, "spin")
        self._spin((1,), (1,), (np.int64(seconds * CYCLES_PER_SECOND),))

    def times(self, calls: list[Callable[[], Any]], rounds: int, hold: float = 0.0) -> list[float]:
        """Return the seconds on the device of each call, in turns of ``rounds``.

        The stream is first kept busy for ``hold`` seconds, so that launches are queued and Python's time between them
        does not count.
        """
        events = self.cupy.cuda
        found = []
        for _ in range(rounds):
            for call in calls:
                first, last = events.Event(), events.Event()
                if hold:
                    self.spin(hold)
                first.record()
                call()
                last.record()
                last.synchronize()
                found.append(events.get_elapsed_time(first, last) / 1e3)
        return found

    @contextmanager
    def stream(self) -> Iterator[Any]:
        """Return a context with a non-blocking stream as the current one."""
        stream = self.cupy.cuda.Stream(non_blocking=True)
        with stream:
            yield stream
        stream.synchronize()


def workers() -> int:
    """Return the number of processes for CPU work that do not slow down the device."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
