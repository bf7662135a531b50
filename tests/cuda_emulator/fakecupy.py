"""As much of CuPy as `gpuimg.backend.cupygpu` uses, over the emulated device: its calls are checked without a GPU.

Copies are carried out at once; that pinned memory is not touched before its event has been waited for is checked by
carrying out asynchronous copies as late as the event allows. Copies of pageable memory are synchronous, as CUDA's.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
import threading
import time
import types
import weakref
from importlib.machinery import ModuleSpec
from struct import Struct
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np

from .emulator import DeviceArray, EmulatedGpu, EmulatedOutOfMemory


class Pointer:
    """cupy.cuda.MemoryPointer"""

    device_id = 0

    def __init__(self, array: ndarray) -> None:
        self.ptr = array.ctypes.data


class ndarray(DeviceArray):
    """cupy.ndarray"""

    __module__ = "cupy"

    @property
    def data(self) -> Pointer:
        return Pointer(self)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"version": 3, "shape": self.shape, "typestr": self.dtype.str, "data": (self.ctypes.data, False)}

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

    def synchronize(self) -> None:
        late.flush()


class Late:
    """Asynchronous copies that have not been carried out yet."""

    def __init__(self) -> None:
        self.copies: list[tuple[int, int, int]] = []
        self.log: list[tuple[Any, ...]] = []  # what was put into which stream, and what was waited for
        self.lock = threading.RLock()
        self.pinned: dict[int, int] = {}  # sizes of pinned arrays, by their addresses
        self.registered: dict[int, int] = {}

    def memcpy_async(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        assert kind in (1, 2)
        assert any(stream == known.ptr for known in Stream.known)
        host = source if kind == 1 else target
        with self.lock:
            self.copies.append((target, source, size))
            where = "pinned" if _lies_in(self.pinned, host, size) else "pageable"
            if _lies_in(self.registered, host, size):
                where = "registered"
            self.log.append(("send" if kind == 1 else "receive", stream, where))
            if where == "pageable":
                self.flush()

    def empty_pinned(self, shape: Any, dtype: Any) -> np.ndarray:
        """cupyx.empty_pinned"""
        array = np.full(shape, 0xEE, dtype)
        self.pinned[array.ctypes.data] = array.nbytes
        weakref.finalize(array, self._unpin, array.ctypes.data, array.nbytes).atexit = False
        return array

    def _unpin(self, address: int, size: int) -> None:
        del self.pinned[address]
        self.check_idle(address, size)

    def register(self, address: int, size: int, flags: int) -> None:
        """cupy.cuda.runtime.hostRegister"""
        assert flags == 1
        assert address % 4096 == size % 4096 == 0
        assert not any(address < first + each and first < address + size for first, each in self.registered.items())
        self.registered[address] = size
        self.log.append(("register", size))

    def unregister(self, address: int) -> None:
        """cupy.cuda.runtime.hostUnregister"""
        self.check_idle(address, self.registered.pop(address))
        self.log.append(("unregister",))

    def check_idle(self, address: int, size: int) -> None:
        """Nothing is under way in memory that is let go."""
        for target, source, length in self.copies:
            assert not any(each < address + size and address < each + length for each in (target, source))

    def memset_async(self, target: int, value: int, size: int, stream: int) -> None:
        assert any(stream == known.ptr for known in Stream.known)
        self.flush()
        ctypes.memset(target, value, size)

    def flush(self, until: list[tuple[int, int, int]] | None = None) -> None:
        """Carry out all copies, or those up to the last one of ``until``."""
        with self.lock:
            count = None if until is None else sum(copy in until for copy in self.copies)
            done = self.copies[:count]
            del self.copies[:count]
            for target, source, size in done:
                ctypes.memmove(target, source, size)


def _lies_in(ranges: dict[int, int], address: int, size: int) -> bool:
    return any(first <= address and address + size <= first + each for first, each in ranges.items())


late = Late()


class Event:
    """cupy.cuda.Event"""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.recorded: list[tuple[int, int, int]] = []

    def record(self, stream: Stream | None = None) -> None:
        self.recorded = list(late.copies)
        self.stream = (stream or Stream.current()).ptr
        late.log.append(("record", self.stream, self))
        self.seconds = time.perf_counter()

    def synchronize(self) -> None:
        late.log.append(("synchronize", self.stream if self.recorded else None))
        late.flush(self.recorded)


class Stream:
    """cupy.cuda.Stream; everything but copies is carried out at once, whatever the stream."""

    known: ClassVar[list[Stream]] = []
    _entered = threading.local()

    def __init__(self, non_blocking: bool = False) -> None:
        self.ptr = len(self.known)
        self.known.append(self)

    @classmethod
    def current(cls) -> Stream:
        entered = getattr(cls._entered, "streams", None)
        return entered[-1] if entered else cls.known[0]

    def __enter__(self) -> Stream:
        self._entered.streams = [*getattr(self._entered, "streams", ()), self]
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.streams = self._entered.streams[:-1]

    def wait_event(self, event: Event) -> None:
        late.log.append(("wait", self.ptr, event.stream))

    def synchronize(self) -> None:
        late.flush()


Stream()  # the default stream


class Module:
    """cupy.cuda.function.Module: the "code" is a kernel's stem and name, for the emulator."""

    gpu: EmulatedGpu
    functions: ClassVar[WeakValueDictionary[int, Any]] = WeakValueDictionary()  # by their pointers
    granted: ClassVar[dict[int, int]] = {}  # bytes of shared memory, by a function's pointer

    @classmethod
    def set_attribute(cls, function: int, attribute: int, value: int) -> None:
        assert attribute == 8
        assert value <= 227 << 10, "more shared memory than a block can have"
        cls.granted[function] = value

    def load(self, code: bytes) -> None:
        self.stem, self.name = code.decode().rstrip("\0").split("|")

    def get_function(self, lowered: str) -> Any:
        assert lowered == f"mangled {self.name}"
        start = self.gpu.load(self.stem, self.name)

        def function(grid: Any, block: Any, layout: Struct, values: Any, shared_mem: int) -> None:
            assert shared_mem <= self.granted.get(id(function), 0), "shared memory that was not granted"
            late.flush()
            start(grid, block, layout, values, shared_mem)

        function.ptr = id(function)
        self.functions[function.ptr] = function
        return function

    @classmethod
    def launch(cls, function: int, *args: int) -> None:
        """cupy.cuda.driver.launchKernel, with the arguments in one block of bytes."""
        *extents, shared_mem, stream, params, extra = args
        assert all(type(number) is int for number in args)
        assert any(stream == known.ptr for known in Stream.known)
        late.log.append(("launch", stream))
        assert params == 0
        head = (ctypes.c_uint64 * 5).from_address(extra)
        assert (head[0], head[2], head[4]) == (1, 2, 0)
        size = ctypes.c_uint64.from_address(head[3]).value
        layout = Struct(f"={size // 8}Q")
        values = layout.unpack(ctypes.string_at(head[1], size))
        if function not in cls.functions:
            raise DriverFailure("CUDA_ERROR_INVALID_HANDLE: its module has been unloaded")
        cls.functions[function](extents[:3], extents[3:], layout, values, shared_mem)


class Pool:
    """cupy.cuda.MemoryPool, which keeps no memory."""

    def __init__(self, gpu: EmulatedGpu) -> None:
        self.gpu = gpu

    def free_all_blocks(self) -> None:
        pass

    def set_limit(self, size: int) -> None:
        self.gpu.limit, self.gpu.peak = size or None, self.gpu.used

    def used_bytes(self) -> int:
        return self.gpu.used

    def total_bytes(self) -> int:
        return self.gpu.peak


class RawKernel:
    """cupy.RawKernel of a kernel that changes nothing."""

    def __init__(self, code: str, name: str) -> None:
        assert f"void {name}(" in code

    def __call__(self, grid: Any, block: Any, args: Any) -> None:
        assert all(isinstance(arg, np.generic) for arg in args)


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


def _scipy() -> types.ModuleType:
    """cupyx.scipy: SciPy's filters of the host, for arrays of the emulated device."""
    module = types.ModuleType("cupyx.scipy")

    def host(name: str) -> Any:
        def call(image: ndarray, *args: Any, **given: Any) -> np.ndarray:
            return getattr(importlib.import_module("scipy.ndimage"), name)(np.asarray(image), *args, **given)

        return call

    names = ("gaussian_filter", "uniform_filter", "median_filter", "minimum_filter", "maximum_filter", "sobel")
    names += (
        "grey_erosion",
        "grey_dilation",
        "grey_opening",
        "white_tophat",
        "laplace",
        "percentile_filter",
        "convolve",
    )
    module.ndimage = types.SimpleNamespace(**{name: host(name) for name in names})
    return module


def modules(gpu: EmulatedGpu) -> dict[str, types.ModuleType]:
    """What to put into sys.modules."""
    Module.gpu = gpu

    def empty(shape: Any, dtype: Any) -> ndarray:
        return gpu.empty(shape, dtype).view(ndarray)

    def asarray(array: np.ndarray) -> ndarray:
        return array if isinstance(array, ndarray) else gpu.put(array).view(ndarray)

    def copyto(target: ndarray, source: ndarray) -> None:
        late.flush()
        np.copyto(target, source)

    def from_dlpack(image: Any) -> ndarray:
        image.__dlpack__(stream=Stream.current().ptr)
        return image.array

    def asnumpy(array: ndarray) -> np.ndarray:
        return array.get()

    def elapsed(first: Event, last: Event) -> float:
        return 1e3 * (last.seconds - first.seconds)

    properties = {"name": b"Emulated", "totalGlobalMem": 8 << 30, "major": 9, "minor": 0, "l2CacheSize": 1 << 12}
    pool = Pool(gpu)
    cuda = types.SimpleNamespace(
        Device=Device,
        Event=Event,
        Stream=Stream,
        get_current_stream=Stream.current,
        get_elapsed_time=elapsed,
        set_allocator=lambda allocator: None,
        memory=types.SimpleNamespace(OutOfMemoryError=EmulatedOutOfMemory),
        function=types.SimpleNamespace(Module=Module),
        nvrtc=_nvrtc(),
        driver=types.SimpleNamespace(
            CUDADriverError=DriverFailure, funcSetAttribute=Module.set_attribute, launchKernel=Module.launch
        ),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=RuntimeFailure,
            memcpyHostToDevice=1,
            memcpyDeviceToHost=2,
            memcpyAsync=late.memcpy_async,
            hostRegister=late.register,
            hostUnregister=late.unregister,
            memsetAsync=late.memset_async,
            getDevice=lambda: 0,
            setDevice=lambda device: None,
            deviceSynchronize=late.flush,
            getDeviceCount=lambda: 1,
            driverGetVersion=lambda: 13000,
            runtimeGetVersion=lambda: 13000,
            getDeviceProperties=lambda device: properties,
        ),
    )
    cupy, cupyx = types.ModuleType("cupy"), types.ModuleType("cupyx")
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.__dict__.update(
        __version__="emulated",
        cuda=cuda,
        ndarray=ndarray,
        empty=empty,
        asarray=asarray,
        asnumpy=asnumpy,
        from_dlpack=from_dlpack,
        copyto=copyto,
        ascontiguousarray=lambda array: array if array.flags.c_contiguous else asarray(np.ascontiguousarray(array)),
        RawKernel=RawKernel,
        flip=np.flip,
        hypot=np.hypot,
        invert=np.invert,
        rot90=np.rot90,
        get_default_memory_pool=lambda: pool,
        get_default_pinned_memory_pool=lambda: pool,
    )
    cupyx.__dict__.update(empty_pinned=late.empty_pinned)
    return {"cupy": cupy, "cupyx": cupyx, "cupyx.scipy": _scipy()}


def install(monkeypatch: Any, gpu: EmulatedGpu) -> None:
    """Let ``import cupy`` find the emulated device."""
    for name, module in modules(gpu).items():
        monkeypatch.setitem(sys.modules, name, module)
