"""CuPy's current device: its memory pool, the current stream, and kernels compiled by NVRTC with gpuimg's flags.

CuPy's `RawModule` would add ``-ftz=true``, so that subnormal float32 results would differ from the CPU's.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np

from gpuimg import caching, memory
from gpuimg.backend.base import Array
from gpuimg.backend.device import OPTIONS, DeviceFailed, Gpu, Grid, Launcher, digest, source
from gpuimg.backend.stages import Pipeline, waited_for
from gpuimg.caching import cache_folder
from gpuimg.images import copied_to, finish_on
from gpuimg.memory import new_array

# Smaller arrays use CuPy's own copy.
STAGED_FROM = 1 << 20
LANDING_BYTES = 1 << 16  # of smaller results, copied through pinned memory of each thread

MOST_SLOTS = 96  # arguments of eight bytes
_HEAD = 6
_PORTABLE = 1  # cudaHostRegisterPortable: for all devices
_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

_pointer = attrgetter("data.ptr")


class _Slots(threading.local):
    """Per-thread memory for the arguments of a launch, one block of bytes for the driver."""

    def __init__(self, start_thread: Callable[[], None]) -> None:
        start_thread()
        self.memory = bytearray(8 * (_HEAD + MOST_SLOTS))
        held = np.frombuffer(self.memory, np.uint64)
        self.address = address = int(held.ctypes.data)
        # CU_LAUNCH_PARAM_BUFFER_POINTER, the block, CU_LAUNCH_PARAM_BUFFER_SIZE, the address of its size,
        # CU_LAUNCH_PARAM_END, and the size.
        held[: _HEAD - 1] = 1, address + 8 * _HEAD, 2, address + 8 * (_HEAD - 1), 0
        self.size = memoryview(self.memory).cast("Q")[_HEAD - 1 : _HEAD]


class _Landing(threading.local):
    """Per-thread pinned memory for small results: the driver copies to pageable memory through a buffer.

    If none can be allocated, results are left to the driver.
    """

    def __init__(self, cupyx: Any, refusals: tuple[type[Exception], ...]) -> None:
        self.memory: Array = np.empty(LANDING_BYTES, np.uint8)
        with contextlib.suppress(*refusals):
            self.memory = cupyx.empty_pinned((LANDING_BYTES,), np.uint8)
        self.address = self.memory.ctypes.data


class CupyGpu(Gpu):
    """CuPy's current device, its memory pool and the current stream."""

    def __init__(self) -> None:
        super().__init__()
        cupy: Any = import_module("cupy")
        self._cupy = cupy
        self._ndarray = cupy.ndarray
        self._cupyx: Any = import_module("cupyx")
        self._function: Any = cupy.cuda.function
        self._nvrtc: Any = cupy.cuda.nvrtc
        self._runtime = cupy.cuda.runtime
        self._runtime.getDeviceCount()
        self.out_of_memory = cupy.cuda.memory.OutOfMemoryError
        self.errors = (self._runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError, self._nvrtc.NVRTCError)
        self._counts: dict[int, int] = {}
        self._loaded: list[Any] = []
        self._streams = threading.local()  # of `pipeline`, per thread
        self._landing = _Landing(self._cupyx, (MemoryError, self._runtime.CUDARuntimeError))
        # The driver can launch only in a thread with a context, which the runtime creates.
        self._slots = _Slots(lambda: self._runtime.setDevice(self.place()))

    # ------------------------------------------------------------ the device

    @property
    def multiprocessors(self) -> int:
        device = self.place()
        if device not in self._counts:
            self._counts[device] = self._cupy.cuda.Device(device).attributes["MultiProcessorCount"]
        return self._counts[device]

    def place(self) -> int:
        return int(self._runtime.getDevice())

    def elsewhere(self, arrays: Iterable[Any]) -> Any | None:
        for array in arrays:
            if isinstance(array, self._ndarray):
                return None if self.is_here(array) else array.device
        return None

    def is_here(self, array: Any) -> bool:
        return not isinstance(array, self._ndarray) or array.data.device_id == self._runtime.getDevice()

    def brought(self, array: Any) -> Any:
        return array if self.is_here(array) else copied_to(array, self._cupy.cuda.Device())

    def synchronize(self) -> None:
        self._cupy.cuda.get_current_stream().synchronize()

    def wait_for_all(self) -> None:
        for place in {place for place, *_ in list(self._kernels)}:
            with self._cupy.cuda.Device(place):
                self._runtime.deviceSynchronize()

    def describe(self) -> str:
        properties = self._runtime.getDeviceProperties(self.place())
        name = properties["name"].decode()
        return f"{name}, {properties['totalGlobalMem'] / 2**30:.0f} GiB, sm_{properties['major']}{properties['minor']}"

    # ------------------------------------------------------------ memory

    def owns(self, array: Any) -> bool:
        return isinstance(array, self._ndarray)

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def addresses(self, arrays: Sequence[Any]) -> list[int]:
        return list(map(_pointer, arrays))

    def resident(self, arrays: Sequence[Any], place: Any) -> list[int] | None:
        begins = []
        for array in arrays:
            if not isinstance(array, self._ndarray):
                return None
            data = array.data
            if data.device_id != place:
                return None
            begins.append(data.ptr)
        return begins

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._cupy.empty(shape, dtype)

    def clear(self, address: int, nbytes: int) -> None:
        self._runtime.memsetAsync(address, 0, nbytes, self._cupy.cuda.get_current_stream().ptr)

    def copy(self, source: Any, target: Any) -> None:
        target = target.view(source.dtype)
        if self.is_here(target):
            self._cupy.copyto(target, source)
            return
        finish_on(target.device)
        self._cupy.copyto(target, source)
        self.synchronize()  # the other device's streams do not wait for this device's

    def trim(self) -> None:
        super().trim()
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()
        memory.release_locked()

    def put(self, host: Array) -> Any:
        if host.nbytes < STAGED_FROM:
            return self._cupy.asarray(host)
        array = self.empty(host.shape, host.dtype)
        with waited_for(self._cupy, self._cupyx, self.lock_memory) as (copies, stream):
            copies.send(host, array, stream)
        return array

    def get(self, array: Any, out: Array | None = None) -> Array:
        if out is None:
            out = new_array(array.shape, array.dtype)
        if array.nbytes <= min(LANDING_BYTES, STAGED_FROM):
            self._land(array, out)
            return out
        if array.nbytes < STAGED_FROM:
            array.get(out=out.view(array.dtype))  # a mask is stored as bytes
            return out
        with waited_for(self._cupy, self._cupyx, self.lock_memory) as (copies, stream):
            copies.receive(array, out, stream)
        return out

    def lock_memory(self, address: int, size: int) -> Callable[[], object]:
        """Page-lock host memory for direct copies; return a function that unlocks it."""
        self._runtime.hostRegister(address, size, _PORTABLE)
        return partial(self._runtime.hostUnregister, address)

    def _land(self, array: Any, out: Array) -> None:
        stream, landing, nbytes = self._cupy.cuda.get_current_stream(), self._landing, array.nbytes
        kind = self._runtime.memcpyDeviceToHost
        self._runtime.memcpyAsync(landing.address, array.data.ptr, nbytes, kind, stream.ptr)
        stream.synchronize()
        np.copyto(out.view(array.dtype), landing.memory[:nbytes].view(array.dtype).reshape(array.shape))

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[Any]:
        place = self.place()
        known = self._streams.__dict__.setdefault("known", {})
        if place not in known:
            known[place] = [self._cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
        down, compute, up = known[place]
        with compute:
            pipeline = Pipeline(self, self._cupy, self._cupyx, down, up)
            try:
                yield pipeline
                pipeline.finish()
            finally:
                pipeline.close()

    # ------------------------------------------------------------ kernels

    def load(self, stem: str, name: str) -> Launcher:
        code, lowered = self._compiled(stem, name)
        module = self._function.Module()
        module.load(code)
        function = module.get_function(lowered)
        # By default a block has at most 48 KiB, including the kernel's static shared memory.
        pointer, granted, granting = function.ptr, 0, threading.RLock()
        self._loaded.append(function)  # without it, its module would be unloaded and the pointer dangle
        driver, current_stream, slots = self._cupy.cuda.driver, self._cupy.cuda.get_current_stream, self._slots

        def start(grid: Grid, block: Grid, layout: Struct, values: Sequence[Any], shared_mem: int) -> None:
            nonlocal granted
            if shared_mem > granted:
                with granting:  # other threads may need less
                    if shared_mem > granted:
                        driver.funcSetAttribute(pointer, _DYNAMIC_SHARED, shared_mem)
                        granted = shared_mem
            slots.size[0] = layout.size
            layout.pack_into(slots.memory, 8 * _HEAD, *values)
            driver.launchKernel(pointer, *grid, *block, shared_mem, current_stream().ptr, 0, slots.address)

        return start

    def _compiled(self, stem: str, name: str) -> tuple[bytes, str]:
        """Return machine code for the current device and the kernel's name in it, compiled or from the disk cache."""
        target = self._target()
        key = "\n".join((digest(stem), name, target, *OPTIONS, str(self._nvrtc.getVersion())))
        path = cache_folder() / "cuda" / f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.cubin"
        kept = _read_kept(path)
        if kept is None:
            kept = self._compile(stem, name, target)
            _keep(path, *kept)
        return kept

    def _target(self) -> str:
        """Return the architecture to compile for: the device's, or PTX for the newest that this NVRTC supports."""
        wanted = int(self._cupy.cuda.Device().compute_capability)
        known = self._nvrtc.getSupportedArchs()
        return f"sm_{wanted}" if wanted in known else f"compute_{max(arch for arch in known if arch < wanted)}"

    def _compile(self, stem: str, name: str, target: str) -> tuple[bytes, str]:
        nvrtc = self._nvrtc
        program = nvrtc.createProgram(source(stem), f"{stem}.cu", (), ())
        try:
            nvrtc.addNameExpression(program, name)
            try:
                nvrtc.compileProgram(program, (*OPTIONS, f"-arch={target}"))
            except nvrtc.NVRTCError as error:
                log = nvrtc.getProgramLog(program)
                raise DeviceFailed(f"{stem}.cu does not compile for {target}: {log or error}") from error
            code = nvrtc.getCUBIN(program) if target.startswith("sm_") else nvrtc.getPTX(program)
            lowered = nvrtc.getLoweredName(program, name)
        finally:
            nvrtc.destroyProgram(program)
        # CuPy drops the last byte as a terminating zero.
        return (code.encode() if isinstance(code, str) else code + b"\0"), str(lowered)


def _read_kept(path: Path) -> tuple[bytes, str] | None:
    """Read compiled code and the kernel's name in it; None if missing or damaged."""
    try:
        name, _, code = caching.read_sealed(path).partition(b"\n")
    except (OSError, ValueError):
        return None
    return code, name.decode()


def _keep(path: Path, code: bytes, name: str) -> None:
    with contextlib.suppress(OSError):
        caching.write_sealed(path, name.encode() + b"\n" + code)
