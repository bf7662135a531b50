"""As much of CuPy as `gpuimg.backend.cupygpu` uses, over the emulated device: its calls are checked without a GPU.

Kernels and copies are carried out as late as what is waited for allows, see `streams`. Copies of pageable memory are
synchronous, as CUDA's. There are two devices.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from struct import Struct
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np

from .emulator import DeviceArray, EmulatedGpu, EmulatedOutOfMemory, EmulationError
from .streams import HostCopy, Queue, Streams

DEVICES = 2


class Pointer:
    """cupy.cuda.MemoryPointer"""

    def __init__(self, array: ndarray) -> None:
        self.ptr = array.ctypes.data

    @property
    def device_id(self) -> int:
        memory = late.memory_at(self.ptr)
        return 0 if memory is None else memory.queue.device


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
        return Device(self.data.device_id)

    def copy(self) -> ndarray:
        made = sys.modules["cupy"].empty(self.shape, self.dtype)
        late.copy(made, self)
        return made

    def __setitem__(self, key: Any, value: ndarray) -> None:
        late.copy(self[key], value)

    def __array_function__(self, function: Any, types: Any, args: Any, given: Any) -> Any:
        """NumPy's functions, which call CuPy's."""
        if function is np.empty_like:
            return sys.modules["cupy"].empty(given["shape"], given["dtype"])
        if function is not np.may_share_memory:
            late.carry_out(Stream.current().queue)
        return super().__array_function__(function, types, args, given)

    def get(self, out: np.ndarray | None = None) -> np.ndarray:
        late.carry_out(Stream.current().queue)
        host = np.empty(self.shape, self.dtype) if out is None else out
        assert host.flags.c_contiguous
        assert host.dtype == self.dtype
        np.copyto(host, self.view(np.ndarray))
        return host


class Device:
    """cupy.cuda.Device"""

    compute_capability = "90"
    attributes = {"MultiProcessorCount": 3}  # noqa: RUF012
    _current = threading.local()

    def __init__(self, number: int | None = None) -> None:
        self.id = self.current() if number is None else number
        self._before: list[int] = []

    @classmethod
    def current(cls) -> int:
        return getattr(cls._current, "number", 0)

    @classmethod
    def use(cls, number: int) -> None:
        assert 0 <= number < DEVICES
        cls._current.number = number

    def __enter__(self) -> Device:
        self._before.append(self.current())
        self.use(self.id)
        return self

    def __exit__(self, *error: object) -> None:
        self.use(self._before.pop())

    def synchronize(self) -> None:
        late.carry_out_all(self.id)


class Late(Streams):
    """What a device does for the runtime's calls."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned: dict[int, int] = {}  # sizes of pinned arrays, by their addresses
        self.registered: dict[int, int] = {}

    def memcpy_async(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        assert kind in (1, 2)
        host, there = (source, target) if kind == 1 else (target, source)
        assert self.memory_at(there) is self.memory_at(there + size - 1) is not None, "no memory of a device"
        queue = Stream.of(stream)
        with self.lock:
            where = "pinned" if _lies_in(self.pinned, host, size) else "pageable"
            if _lies_in(self.registered, host, size):
                where = "registered"
            self.log.append(("send" if kind == 1 else "receive", stream, where))
            if where != "pageable":
                self.put(queue, partial(ctypes.memmove, target, source, size), HostCopy(target, source, size))
            elif kind == 1:
                self.put(queue, partial(ctypes.memmove, target, ctypes.string_at(source, size), size))
            else:
                self.put(queue, partial(ctypes.memmove, target, source, size))
                self.carry_out(queue)

    def copy(self, target: ndarray, source: ndarray) -> None:
        """cupy.copyto, in a stream of the current device"""
        places = target.data.device_id, source.data.device_id
        assert Device.current() in places, "copied in another device's stream"
        self.put(Stream.current().queue, partial(np.copyto, target.view(np.ndarray), source.view(np.ndarray)))

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
        assert self.memory_at(target) is self.memory_at(target + size - 1) is not None, "no memory of a device"
        self.put(Stream.of(stream), partial(ctypes.memset, target, value, size))


def _lies_in(ranges: dict[int, int], address: int, size: int) -> bool:
    return any(first <= address and address + size <= first + each for first, each in ranges.items())


late = Late()


class Event:
    """cupy.cuda.Event"""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.queue: Queue | None = None

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or Stream.current()
        with late.lock:
            self.stream, self.queue, self.until = stream.ptr, stream.queue, stream.queue.begun
            self.has_copies = bool(late.copies)
        late.log.append(("record", self.stream, self))
        self.seconds = time.perf_counter()

    def synchronize(self) -> None:
        if self.queue is None:
            return
        late.log.append(("synchronize", self.stream if self.has_copies else None))
        late.carry_out(self.queue, self.until)


class Stream:
    """cupy.cuda.Stream, of the current device. None waits for the default stream: ask for those that do not."""

    known: ClassVar[list[Stream]] = []
    defaults: ClassVar[dict[int, Stream]] = {}
    _entered = threading.local()

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking
        self._begin(len(self.known) + 1)
        self.known.append(self)

    def _begin(self, ptr: int) -> None:
        self.ptr = ptr
        self.queue = late.queue(Device.current())

    @classmethod
    def default(cls) -> Stream:
        device = Device.current()
        if device not in cls.defaults:
            cls.defaults[device] = made = cls.__new__(cls)
            made._begin(0)
        return cls.defaults[device]

    @classmethod
    def of(cls, ptr: int) -> Queue:
        """A stream that is the current device's by its pointer."""
        queue = (cls.known[ptr - 1] if ptr else cls.default()).queue
        assert queue.device == Device.current(), "a stream of another device"
        return queue

    @classmethod
    def current(cls) -> Stream:
        for stream in reversed(getattr(cls._entered, "streams", [])):
            if stream.queue.device == Device.current():
                return stream
        return cls.default()

    def __enter__(self) -> Stream:
        self._entered.streams = [*getattr(self._entered, "streams", ()), self]
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.streams = self._entered.streams[:-1]

    def wait_event(self, event: Event) -> None:
        assert event.queue is not None
        late.log.append(("wait", self.ptr, event.stream))
        late.wait(self.queue, event.queue, event.until)

    def synchronize(self) -> None:
        late.carry_out(self.queue)


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
        start, device = self.gpu.load(self.stem, self.name), Device.current()

        def function(
            queue: Queue, grid: Any, block: Any, layout: Struct, values: tuple[int, ...], shared_mem: int
        ) -> None:
            assert queue.device == device, "a kernel of another device"
            for memory in filter(None, map(late.memory_at, values)):
                if memory.queue.device != device:
                    raise EmulationError(f"{self.name} was given memory of another device")
            late.put(queue, partial(start, grid, block, layout, values, shared_mem))

        function.ptr = id(function)
        self.functions[function.ptr] = function
        return function

    @classmethod
    def launch(cls, function: int, *args: int) -> None:
        """cupy.cuda.driver.launchKernel, with the arguments in one block of bytes."""
        *extents, shared_mem, stream, params, extra = args
        assert all(type(number) is int for number in args)
        late.log.append(("launch", stream))
        assert params == 0
        head = (ctypes.c_uint64 * 5).from_address(extra)
        assert (head[0], head[2], head[4]) == (1, 2, 0)
        size = ctypes.c_uint64.from_address(head[3]).value
        layout = Struct(f"={size // 8}Q")
        values = layout.unpack(ctypes.string_at(head[1], size))
        if function not in cls.functions:
            raise DriverFailure("CUDA_ERROR_INVALID_HANDLE: its module has been unloaded")
        assert shared_mem <= cls.granted.get(function, 0), "shared memory that was not granted"
        cls.functions[function](Stream.of(stream), extents[:3], extents[3:], layout, values, shared_mem)


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
    gpu.reserve = lambda size: late.reserve(Stream.current().queue, size, gpu.fill)

    def empty(shape: Any, dtype: Any) -> ndarray:
        return gpu.empty(shape, dtype).view(ndarray)

    def asarray(array: np.ndarray) -> ndarray:
        if isinstance(array, ndarray):
            return array
        there = empty(array.shape, array.dtype)
        late.put(Stream.current().queue, partial(ctypes.memmove, there.ctypes.data, array.tobytes(), array.nbytes))
        return there

    def at_once(function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of NumPy's, after what is still to be done for its arguments."""

        def call(*args: Any) -> Any:
            late.carry_out(Stream.current().queue)
            return function(*args)

        return call

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
            getDevice=Device.current,
            setDevice=Device.use,
            deviceSynchronize=lambda: Device().synchronize(),
            getDeviceCount=lambda: DEVICES,
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
        copyto=late.copy,
        ascontiguousarray=lambda array: array if array.flags.c_contiguous else array.copy(),
        RawKernel=RawKernel,
        flip=np.flip,
        hypot=at_once(np.hypot),
        invert=at_once(np.invert),
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
