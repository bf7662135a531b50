"""A device that is emulated on the CPU, for gpuimg's launch code and `gpuimg.backend.cuda.Cuda`.

Its memory are NumPy arrays of a class of their own, each with guard bytes before and behind it that are looked at after
every launch (under AddressSanitizer: that may not be touched at all).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuimg import choosing
from gpuimg.backend.cuda import Cuda
from gpuimg.backend.device import Gpu, instances

from . import build as builds

GUARD = 256
ALIGNMENT = 256

_lock = threading.Lock()  # a library has one set of fibers


class EmulationError(RuntimeError):
    """A kernel did what a GPU does not forgive."""


class EmulatedOutOfMemory(MemoryError):
    """The emulated device's memory is used up."""


class DeviceArray(np.ndarray):
    """An array in the emulated device's memory."""


class EmulatedGpu(Gpu):
    """A CUDA device on the CPU.

    Parameters
    ----------
    build : "fast", or with sanitizers "asan" (Address and UndefinedBehavior) or "tsan" (Thread); these need a process
        that was started by `sanitized`, and are the default there
    order : in which order the threads of a block and the blocks run: 0 forwards, 1 backwards, more: shuffled
    limit : bytes of device memory
    offset : elements by which arrays lie off the alignment that CUDA's allocator gives
    fill : the byte that new memory and guards hold
    """

    out_of_memory = EmulatedOutOfMemory

    @property
    def multiprocessors(self) -> int:
        return 2

    def __init__(
        self, build: str | None = None, order: int = 0, limit: int | None = None, offset: int = 0, fill: int = 0xFF
    ) -> None:
        super().__init__()
        self.build = build or os.environ.get("GPUIMG_EMULATOR", "fast")
        self.order = order
        self.limit = limit
        self.offset = offset
        self.fill = fill
        self._taken = 0
        self._freed: list[int] = []
        self.peak = 0
        self.launches: list[str] = []
        self._counting = threading.Lock()
        self._buffers: dict[int, tuple[weakref.ref[np.ndarray], int, int]] = {}
        if self.build == "asan":
            self._sanitizer = ctypes.CDLL(None)

    # ------------------------------------------------------------ memory

    @property
    def used(self) -> int:
        """Bytes of memory that are in use."""
        return self._taken - sum(tuple(self._freed))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        self._count(size)
        raw = self.reserve(size + 2 * GUARD + ALIGNMENT + self.offset * dtype.itemsize)
        first = GUARD + -(raw.ctypes.data + GUARD) % ALIGNMENT + self.offset * dtype.itemsize
        self._own(raw, first, size)
        return raw[first : first + size].view(dtype).reshape(shape).view(DeviceArray)

    def reserve(self, size: int) -> np.ndarray:
        """So many bytes, filled."""
        return np.full(size, self.fill, np.uint8)

    def _count(self, size: int) -> None:
        with self._counting:
            while self._freed:
                self._taken -= self._freed.pop()
            if self.limit is not None and self._taken + size > self.limit:
                raise EmulatedOutOfMemory(f"{size} bytes wanted, {self.limit - self._taken} are free")
            self._taken += size
            self.peak = max(self.peak, self._taken)

    def _own(self, raw: np.ndarray, first: int, size: int) -> None:
        key = raw.ctypes.data
        self._buffers[key] = (weakref.ref(raw), first, size)
        poison = self.build == "asan"
        if poison:
            self._poison("poison", key, first)
            self._poison("poison", key + first + size, raw.nbytes - first - size)
        weakref.finalize(raw, self._disown, key, size, raw.nbytes if poison else 0).atexit = False

    def _disown(self, key: int, size: int, poisoned: int) -> None:
        del self._buffers[key]
        self._freed.append(size)  # not under the lock: memory is let go anywhere, also while it is held
        if poisoned:
            self._poison("unpoison", key, poisoned)

    def _poison(self, verb: str, address: int, size: int) -> None:
        getattr(self._sanitizer, f"__asan_{verb}_memory_region")(ctypes.c_void_p(address), ctypes.c_size_t(size))

    def check_guards(self, name: str) -> None:
        """Raise where a kernel wrote before or behind an array."""
        for reference, first, size in list(self._buffers.values()):
            raw = reference()
            if raw is None:
                continue
            if not ((raw[:first] == self.fill).all() and (raw[first + size :] == self.fill).all()):
                raise EmulationError(f"{name} wrote outside of an array of {size} bytes")

    def clear(self, address: int, nbytes: int) -> None:
        ctypes.memset(address, 0, nbytes)

    def put(self, host: np.ndarray) -> DeviceArray:
        array = self.empty(host.shape, host.dtype)
        np.copyto(array, host)
        return array

    def get(self, array: DeviceArray, out: np.ndarray | None = None) -> np.ndarray:
        if out is None:
            return np.array(array, subok=False)
        np.copyto(out.view(array.dtype), array)
        return out

    def copy(self, source: DeviceArray, target: DeviceArray) -> None:
        np.copyto(target.view(source.dtype), source)

    def address(self, array: DeviceArray) -> int:
        if not self.owns(array):
            raise EmulationError("a kernel was given an array that does not lie on the device")
        return array.ctypes.data

    def owns(self, array: Any) -> bool:
        return isinstance(array, DeviceArray)

    def synchronize(self) -> None:
        pass

    def wait_for_all(self) -> None:
        pass

    def describe(self) -> str:
        return f"emulated on the CPU ({self.build})"

    # ------------------------------------------------------------ kernels

    def load(self, stem: str, name: str) -> Any:
        names = instances(stem)
        if name not in names:
            raise EmulationError(f"{name} is not among the instances that {stem}.cu names: {', '.join(names)}")
        function = getattr(builds.library(stem, self.build), f"emulated_{names.index(name)}")
        function.restype = ctypes.c_char_p

        def start(grid: Any, block: Any, layout: Any, values: Any, shared_mem: int) -> None:
            slots = np.frombuffer(layout.pack(*values), np.uint64)
            self.launches.append(name)
            with _lock:
                problem = function(
                    slots.ctypes.data_as(ctypes.c_void_p), _three(grid), _three(block), shared_mem, self.order
                )
            if problem:
                raise EmulationError(f"{name}: {problem.decode()}")
            if self.build != "asan":
                self.check_guards(name)

        return start


def _three(extents: Any) -> Any:
    return (ctypes.c_uint * 3)(*(*extents, 1, 1)[:3])


@contextlib.contextmanager
def emulated(limit: int | None = None, **options: Any) -> Iterator[EmulatedGpu]:
    """A context in which gpuimg's backend "cuda" runs on an emulated device."""
    gpu = EmulatedGpu(**options)
    backend = Cuda(gpu)
    backend.unusable()  # the probe runs before memory is short
    gpu.limit, gpu.peak = limit, 0
    gpu.launches.clear()
    with as_cuda(backend):
        yield gpu


@contextlib.contextmanager
def as_cuda(backend: Cuda) -> Iterator[None]:
    """A context in which this is gpuimg's backend "cuda"."""
    real = choosing.backend_named
    choosing.backend_named = lambda name: backend if name == "cuda" else real(name)
    try:
        yield
    finally:
        choosing.backend_named = real
