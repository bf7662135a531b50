"""As much of CuPy as `gpuimg.backend.cupygpu` uses, over the emulated device: its calls are checked without a GPU.

Copies are carried out at once; that pinned memory is not touched before its event has been waited for is checked by
carrying out asynchronous copies as late as the event allows.
"""

from __future__ import annotations

import ctypes
import sys
import types
from typing import Any

import numpy as np

from .emulator import DeviceArray, EmulatedGpu, EmulatedOutOfMemory


class Pointer:
    """cupy.cuda.MemoryPointer"""

    def __init__(self, array: ndarray) -> None:
        self.ptr = array.ctypes.data

    def memset_async(self, value: int, size: int) -> None:
        late.flush()
        ctypes.memset(self.ptr, value, size)


class ndarray(DeviceArray):
    """cupy.ndarray"""

    @property
    def data(self) -> Pointer:
        return Pointer(self)

    @property
    def device(self) -> Device:
        return Device(0)

    def get(self, out: np.ndarray | None = None) -> np.ndarray:
        late.flush()
        host = np.empty(self.shape, self.dtype) if out is None else out
        assert host.flags.c_contiguous
        assert host.dtype == self.dtype
        np.copyto(host, self.view(np.ndarray))
        return host


class Device:
    """cupy.cuda.Device"""

    compute_capability = "90"
    attributes = {"MultiProcessorCount": 3}  # noqa: RUF012

    def __init__(self, number: int | None = None) -> None:
        self.id = number or 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Late:
    """Asynchronous copies that have not been carried out yet."""

    def __init__(self) -> None:
        self.copies: list[tuple[int, int, int]] = []

    def memcpy_async(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        assert kind in (1, 2)
        assert stream == 0
        self.copies.append((target, source, size))

    def flush(self, count: int | None = None) -> None:
        done = self.copies[:count]
        del self.copies[:count]
        for target, source, size in done:
            ctypes.memmove(target, source, size)


late = Late()


class Event:
    """cupy.cuda.Event"""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.recorded: list[tuple[int, int, int]] = []

    def record(self, stream: Stream) -> None:
        self.recorded = list(late.copies)

    def synchronize(self) -> None:
        late.flush(sum(copy in self.recorded for copy in late.copies))


class Stream:
    """cupy.cuda.Stream"""

    ptr = 0

    def synchronize(self) -> None:
        late.flush()


class Module:
    """cupy.cuda.function.Module: the "code" is a kernel's stem and name, for the emulator."""

    gpu: EmulatedGpu

    def load(self, code: bytes) -> None:
        self.stem, self.name = code.decode().rstrip("\0").split("|")

    def get_function(self, lowered: str) -> Any:
        assert lowered == f"mangled {self.name}"
        start = self.gpu.load(self.stem, self.name)

        def function(grid: Any, block: Any, args: Any, shared_mem: int = 0) -> None:
            assert all(len(extents) == 3 for extents in (grid, block))
            assert all(isinstance(arg, np.generic) for arg in args)
            late.flush()
            start(grid, block, args, shared_mem)

        return function


class Pool:
    """cupy.cuda.MemoryPool"""

    def free_all_blocks(self) -> None:
        pass


class RuntimeFailure(RuntimeError):
    """cupy.cuda.runtime.CUDARuntimeError"""


class DriverFailure(RuntimeError):
    """cupy.cuda.driver.CUDADriverError"""


class CompilerFailure(RuntimeError):
    """cupy.cuda.nvrtc.NVRTCError"""


def _nvrtc() -> types.SimpleNamespace:
    def compile_program(program: dict[str, str], options: tuple[str, ...]) -> None:
        assert options[-1] == "-arch=sm_90"
        assert "-fmad=false" in options
        if "#error" in program["source"]:
            raise CompilerFailure

    return types.SimpleNamespace(
        NVRTCError=CompilerFailure,
        getVersion=lambda: (13, 5),
        getSupportedArchs=lambda: (75, 80, 86, 90, 120),
        createProgram=lambda source, name, headers, names: {"source": source, "stem": name.removesuffix(".cu")},
        addNameExpression=lambda program, name: program.update(name=name),
        compileProgram=compile_program,
        getProgramLog=lambda program: "an error was found",
        getCUBIN=lambda program: f"{program['stem']}|{program['name']}".encode(),
        getLoweredName=lambda program, name: f"mangled {name}",
        destroyProgram=lambda program: program.clear(),
    )


def modules(gpu: EmulatedGpu) -> dict[str, types.ModuleType]:
    """What to put into sys.modules."""
    Module.gpu = gpu

    def empty(shape: Any, dtype: Any) -> ndarray:
        return gpu.empty(shape, dtype).view(ndarray)

    def asarray(host: np.ndarray) -> ndarray:
        return gpu.put(host).view(ndarray)

    def copyto(target: ndarray, source: ndarray) -> None:
        late.flush()
        np.copyto(target, source)

    properties = {"name": b"Emulated", "totalGlobalMem": 8 << 30, "major": 9, "minor": 0}
    cuda = types.SimpleNamespace(
        Device=Device,
        Event=Event,
        get_current_stream=Stream,
        memory=types.SimpleNamespace(OutOfMemoryError=EmulatedOutOfMemory),
        function=types.SimpleNamespace(Module=Module),
        nvrtc=_nvrtc(),
        driver=types.SimpleNamespace(CUDADriverError=DriverFailure),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=RuntimeFailure,
            memcpyHostToDevice=1,
            memcpyDeviceToHost=2,
            memcpyAsync=late.memcpy_async,
            getDevice=lambda: 0,
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda device: properties,
        ),
    )
    cupy, cupyx = types.ModuleType("cupy"), types.ModuleType("cupyx")
    cupy.__dict__.update(
        cuda=cuda,
        ndarray=ndarray,
        empty=empty,
        asarray=asarray,
        copyto=copyto,
        ascontiguousarray=np.ascontiguousarray,
        get_default_memory_pool=Pool,
        get_default_pinned_memory_pool=Pool,
    )
    cupyx.__dict__.update(empty_pinned=lambda shape, dtype: np.full(shape, 0xEE, dtype))
    return {"cupy": cupy, "cupyx": cupyx}


def install(monkeypatch: Any, gpu: EmulatedGpu) -> None:
    """Let ``import cupy`` find the emulated device."""
    for name, module in modules(gpu).items():
        monkeypatch.setitem(sys.modules, name, module)
