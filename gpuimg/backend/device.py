"""CUDA kernels: their sources, how each is launched, and the interface of a device.

The first comment lines of a kernel's file declare how it is launched and its instances::

    // launch: tile 32x8, pixels 4x1      a thread fills 4 columns and 1 row, a block has 32 x 8 threads
    // launch: flat, bytes 32             a thread fills as many elements as 32 bytes of the wider type hold
    // launch: slabs, threads 256         a block fills one row of a reduction's result from its slab of the image
    // launch: slabs, threads 256, added  many blocks add to one row, which is zero before
    // instances: sobel<T, A>; ...        see `instances`

Every parameter of a kernel takes eight bytes: a pointer, a ``long long`` or a ``double``. An array is passed as its
pointer and then its shape, an integer as ``long long``, a float as ``double``. A stem that needs several launches or
scratch memory has a ``<stem>_launch.py`` next to the ``.cu`` with ``launch(gpu, src, dst, top, bottom, *args)``. If
that calls ``gpu.get`` because later launches depend on results, it sets ``READS_BACK = True``.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from inspect import signature
from struct import Struct
from threading import RLock
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg import kernels
from gpuimg.errors import BackendFailed
from gpuimg.images import DTYPES, MODES

Grid: TypeAlias = tuple[int, ...]
# Called with the grid and block (three extents each), the arguments' layout, the arguments, and bytes of shared memory.
Launcher: TypeAlias = Callable[[Grid, Grid, Struct, Sequence[Any], int], None]

CTYPES = {
    np.dtype(name): ctype
    for name, ctype in {
        "bool": "unsigned char",
        "uint8": "unsigned char",
        "int8": "signed char",
        "uint16": "unsigned short",
        "int16": "short",
        "uint32": "unsigned int",
        "int32": "int",
        "uint64": "unsigned long long",
        "int64": "long long",
        "float32": "float",
        "float64": "double",
    }.items()
}

# Compiler options for devices and tests. Without contraction, sums equal the CPU's bit for bit.
OPTIONS = ("-std=c++17", "-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true", "-default-device")

FLAT_THREADS = 256
MAX_GRID = 65535  # blocks in y and z
CONSTANTS_KEPT = 512  # arrays of weights and the like kept on the device


class DeviceFailed(BackendFailed):
    """The device, or the compiler for it, reported an error."""


class OutOfDeviceMemory(BackendFailed):
    """The work does not fit into the device's memory, not even tile by tile."""


# ---------------------------------------------------------------- sources


@cache
def source(stem: str) -> str:
    """Return the whole source of a kernel: the codes of the border modes, then the file with its headers included."""
    modes = "".join(f"#define MODE_{name.upper()} {mode.code}\n" for name, mode in MODES.items())
    return modes + _joined(f"{stem}.cu", set())


def _joined(name: str, seen: set[str]) -> str:
    """Return a file with every ``#include "header.cuh"`` replaced by the header, once."""
    lines = [f'#line 1 "{name}"']
    path = kernels.find(name)
    if path is None:
        raise FileNotFoundError(f"there is no kernel source {name}")
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        header = re.fullmatch(r'\s*#include "(\w+\.cuh)"\s*', line)
        if line.strip() == "#pragma once":
            lines.append("")
        elif header is None:
            lines.append(line)
        elif header[1] not in seen:
            seen.add(header[1])
            lines += [_joined(header[1], seen), f'#line {number + 1} "{name}"']
        else:
            lines.append("")
    return "\n".join(lines)


@cache
def digest(stem: str) -> str:
    """Return a hash of a kernel's whole source, the key of its compiled code."""
    return hashlib.sha256(source(stem).encode()).hexdigest()[:16]


def exists(stem: str) -> bool:
    """Whether a kernel exists for CUDA, as a ``.cu`` file or as launch code only."""
    return any(kernels.find(name) is not None for name in (f"{stem}.cu", f"{stem}{kernels.LAUNCH}.py"))


_INTEGERS = tuple(CTYPES[dtype] for dtype in DTYPES if dtype.kind in "iu")
_FLOATS = tuple(CTYPES[dtype] for dtype in DTYPES if dtype.kind == "f")
_SETS = {
    "T": _INTEGERS + _FLOATS,
    "I": _INTEGERS,
    "F": _FLOATS,
    "U": (*_INTEGERS, *_FLOATS, "long long"),
    "L": (*_INTEGERS, "int", *_FLOATS),
    "M": tuple(CTYPES[np.dtype(f"u{size}")] for size in (1, 2, 4, 8)),
}


@cache
def instances(stem: str) -> tuple[str, ...]:
    """Return all instances that a kernel's file names, with the placeholders replaced.

    ``T`` stands for every pixel type, ``I`` for the integer and ``F`` for the floating-point ones, ``L`` also for those
    of labels, ``M`` for unsigned integers of every size, ``U`` for every type of a result; ``A`` is the type that the
    other one is accumulated in: double for double, otherwise float.
    """
    found: list[str] = []
    for line in re.findall(r"^// instances: (.*)$", source(stem), re.MULTILINE):
        for pattern in line.split(";"):
            found += _filled(pattern.strip())
    return tuple(dict.fromkeys(found))


@cache
def instance_for(stem: str, source_type: str, result_type: str) -> str:
    """Return the instance of a kernel for images and results of these types."""
    start = f"{stem}<{source_type}, {result_type}"
    for name in instances(stem):
        if name.startswith(start) and name[len(start)] in ",>":
            return name
    raise DeviceFailed(f"{stem}.cu has no instance {start}>")


def _filled(pattern: str) -> list[str]:
    for letter, ctypes in _SETS.items():
        if re.search(rf"\b{letter}\b", pattern):
            return [
                name
                for ctype in ctypes
                for name in _filled(_put(_put(pattern, letter, ctype), "A", _wide(letter, ctype)))
            ]
    return [pattern]


def _wide(letter: str, ctype: str) -> str:
    return "A" if letter == "U" else "double" if ctype == "double" else "float"


def _put(pattern: str, letter: str, text: str) -> str:
    return re.sub(rf"\b{letter}\b", text, pattern)


KERNEL = re.compile(
    r"(?:template\s*<(?P<types>[^>]*)>\s*)?(?:extern\s+\"C\"\s*)?__global__\s+(?:__launch_bounds__\([^)]*\)\s*)?"
    r"void\s+(?:__launch_bounds__\([^)]*\)\s*)?(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)"
)


@cache
def parameters(stem: str, name: str) -> tuple[str, ...]:
    """Return the types of an instance's parameters as named by `Gpu.pack`; ``"?*"`` is a pointer to another type."""
    base, _, chosen = name.rstrip(">").partition("<")
    for kernel in KERNEL.finditer(source(stem)):
        if kernel["name"] != base:
            continue
        names = [part.split()[-1] for part in (kernel["types"] or "").split(",") if part.strip()]
        bound = dict(zip(names, (part.strip() for part in chosen.split(",")), strict=False))
        return tuple(_parameter(text, bound) for text in kernel["parameters"].split(",") if text.strip())
    raise DeviceFailed(f"{stem}.cu has no kernel {base!r}")


def _parameter(text: str, bound: dict[str, str]) -> str:
    words = re.sub(r"\bconst\b|\b__restrict__\b", " ", text).replace("*", " * ").split()
    pointer = "*" in words
    ctype = " ".join(words[:-1]).replace(" *", "")
    ctype = bound.get(ctype, ctype)
    if not pointer:
        return ctype
    return f"{ctype}*" if ctype in CTYPES.values() else "?*"


# ---------------------------------------------------------------- launches


class Launch(NamedTuple):
    """The launch configuration of a kernel, from the first lines of its file."""

    kind: str
    block: tuple[int, int]
    pixels: tuple[int, int]
    bytes: int = 0
    added: bool = False

    def grid(self, src: Any, dst: Any, top: int, bottom: int, multiprocessors: int) -> Grid:
        """Return the blocks in x and y for rows [top, bottom) of ``dst``."""
        rows, cols = bottom - top, dst.shape[1]
        if self.kind == "tile":
            return _ceil(cols, self.block[0] * self.pixels[0]), _ceil(rows, self.block[1] * self.pixels[1])
        if self.kind == "flat":
            each = self.pixels[0] or self.bytes // max(src.dtype.itemsize, dst.dtype.itemsize)
            # An unaligned result may need one element more.
            return (_ceil(rows * cols + each, self.block[0] * each), 1)
        if not self.added:
            return (1, rows)
        return (min(_ceil(src.shape[0] * src.shape[1], self.block[0] * 64), 4 * multiprocessors), rows)

    @property
    def rows(self) -> int:
        """Maximum number of rows of one launch."""
        return MAX_GRID * (self.block[1] * self.pixels[1] if self.kind == "tile" else 1)


def _ceil(amount: int, size: int) -> int:
    return -(-amount // size)


_LAUNCHES = (
    (r"tile (\d+)x(\d+), pixels (\d+)x(\d+)", lambda a, b, c, d: Launch("tile", (a, b), (c, d))),
    (r"flat, pixels (\d+)", lambda a: Launch("flat", (FLAT_THREADS, 1), (a, 1))),
    (r"flat, bytes (\d+)", lambda a: Launch("flat", (FLAT_THREADS, 1), (0, 1), a)),
    (r"slabs, threads (\d+)", lambda a: Launch("slabs", (a, 1), (1, 1))),
    (r"slabs, threads (\d+), added", lambda a: Launch("slabs", (a, 1), (1, 1), added=True)),
)


@cache
def launch_of(stem: str) -> Launch:
    """Return the launch configuration that a kernel's file declares."""
    line = re.search(r"^// launch: (.*)$", source(stem), re.MULTILINE)
    for pattern, make in _LAUNCHES:
        fits = re.fullmatch(pattern, line[1].strip()) if line else None
        if fits:
            return make(*map(int, fits.groups()))
    raise DeviceFailed(f"{stem}.cu must have a known '// launch:' line, got {line and line[1]!r}")


@cache
def own_launch(stem: str) -> Callable[..., None] | None:
    """Return the launch code of a kernel that needs more than one launch, or None."""
    name = stem + kernels.LAUNCH
    return getattr(kernels.load(name), "launch", None) if kernels.find(f"{name}.py") is not None else None


@cache
def reads_back(stem: str) -> bool:
    """Whether a kernel's launch code depends on results on the device, so that it must run again for each call."""
    name = stem + kernels.LAUNCH
    return kernels.find(f"{name}.py") is not None and getattr(kernels.load(name), "READS_BACK", False)


IMAGES_AND_ROWS = 8  # first parameters of a kernel: two images with their shapes, and the rows to fill


@cache
def check_names(stem: str) -> None:
    """Raise unless a kernel's parameters have the same names and order as the CPU kernel's."""
    try:
        wanted = kernels.parameters(stem)
    except FileNotFoundError:  # a kernel without a CPU version
        return
    launch = own_launch(stem)
    if launch is not None:
        where, names = f"launch in {stem}_launch.py", tuple(signature(launch).parameters)[5:]
    else:
        where, names = f"{stem}.cu", _own_names(stem, wanted)
    if names != wanted:
        raise DeviceFailed(f"{where} has the parameters {', '.join(names)}; the CPU's kernel has {', '.join(wanted)}")


def _own_names(stem: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a kernel's parameters without the extents that follow each array."""
    kernel = next(found for found in KERNEL.finditer(source(stem)) if found["name"] == stem)
    names: list[str] = []
    is_extent = False
    for text in kernel["parameters"].split(",")[IMAGES_AND_ROWS:]:
        name = text.split()[-1].lstrip("*")
        is_extent = is_extent and "long long" in text and "*" not in text and name not in wanted
        if not is_extent:
            names.append(name)
        is_extent = is_extent or "*" in text
    return tuple(names)


# ---------------------------------------------------------------- devices


@lru_cache(maxsize=1024)
def _array_slots(dtype: np.dtype[Any], dimensions: int) -> tuple[str, ...]:
    """Return the types of an array's slots: its pointer and its extents."""
    return f"{CTYPES[dtype]}*", *["long long"] * dimensions


class Rows:
    """Some rows of an image in device memory, under the row numbers of the whole image.

    Attributes
    ----------
    held : the array that holds the rows
    first : number of its first row
    shape : shape of the whole image, as flat rows
    address : where row 0 would be
    """

    __slots__ = ("address", "dtype", "first", "held", "shape")

    def __init__(self, held: Any, first: int, rows: int, address: int) -> None:
        self.held = held
        self.first = first
        self.shape = (rows, held.shape[1])
        self.dtype = held.dtype
        self.address = (address - first * held.shape[1] * held.dtype.itemsize) % (1 << 64)


def extents(given: Grid) -> Grid:
    """Return a grid or a block with all three dimensions."""
    return (*given, 1, 1)[:3]


def _layout(form: Sequence[str]) -> Struct:
    """Return the memory layout of arguments, eight bytes each."""
    letters = {"long long": "q", "double": "d"}
    return Struct("=" + "".join([letters.get(each, "Q") for each in form]))


class Kernel:
    """An instance of a kernel on a device; checks its arguments, as CUDA does not."""

    def __init__(self, gpu: Gpu, stem: str, name: str) -> None:
        self._pack = gpu.pack
        self.start = gpu.load(stem, name)
        self._name = name
        self._parameters = parameters(stem, name)
        self._layouts: dict[tuple[str, ...], Struct] = {}

    def __call__(self, grid: Grid, block: Grid, args: Sequence[Any], shared_mem: int = 0) -> None:
        form, values = self._pack(args)
        self.start(extents(grid), extents(block), self.layout(form), values, shared_mem)

    def layout(self, form: tuple[str, ...]) -> Struct:
        """Return the memory layout of arguments of these types, after checking that the kernel takes them."""
        layout = self._layouts.get(form)
        if layout is None:
            self._check(form)
            layout = self._layouts[form] = _layout(form)
        return layout

    def _check(self, form: tuple[str, ...]) -> None:
        if len(form) != len(self._parameters):
            raise TypeError(f"{self._name} takes {len(self._parameters)} arguments {self._parameters}, got {form}")
        for number, (given, declared) in enumerate(zip(form, self._parameters, strict=True)):
            if given != declared and not (declared == "?*" and given.endswith("*")):
                raise TypeError(f"argument {number} of {self._name} must be {declared}, got {given}")


class Device(ABC):
    """The device interface for launch code: a device that launches, or one that records (`gpuimg.backend.prepared`)."""

    @property
    @abstractmethod
    def multiprocessors(self) -> int:
        """Return the minimum number of blocks that keeps the device busy."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Allocate device memory for an array."""

    @abstractmethod
    def zero(self, array: Any) -> None:
        """Set an array on the device to zeros."""

    @abstractmethod
    def address(self, array: Any) -> Any:
        """Return the address of an array on the device."""

    @abstractmethod
    def rows(self, held: Any, first: int, rows: int) -> Any:
        """Return flat rows ``held`` as the rows from ``first`` of an image with ``rows``."""

    @abstractmethod
    def kernel(self, stem: str, name: str) -> Callable[..., None]:
        """Return an instance, as in ``kernel("sobel", "sobel<short, float>")``; call it with grid, block, args."""

    def ctype(self, dtype: Any) -> str:
        """Return the CUDA C++ name of a dtype."""
        return CTYPES[np.dtype(dtype)]

    def pack(self, args: Sequence[Any]) -> tuple[tuple[str, ...], list[Any]]:
        """Return the types and values of packed arguments: arrays as pointer and shape, numbers in 64 bits."""
        form: list[str] = []
        values: list[Any] = []
        for arg in args:
            kind = type(arg)
            if kind is int or isinstance(arg, np.integer):
                form.append("long long")
                values.append(arg)
            elif isinstance(arg, float):
                form.append("double")
                values.append(arg)
            else:
                form += _array_slots(arg.dtype, len(arg.shape))
                values.append(arg.address if kind is Rows else self.address(arg))
                values += arg.shape
        return tuple(form), values

    def slabs(self, stem: str, rows: int) -> int:
        """Return the number of slabs for a reduction over ``rows``."""
        if own_launch(stem) is not None or launch_of(stem).added:
            return 1
        return max(1, min(rows, 8 * self.multiprocessors))

    def launch(self, stem: str, src: Any, dst: Any, top: int, bottom: int, *args: Any) -> None:
        """Fill rows [top, bottom) of ``dst`` with a kernel; all arrays are on the device, images as flat rows."""
        check_names(stem)
        launch = own_launch(stem)
        if launch is not None:
            launch(self, src, dst, top, bottom, *args)
            return
        if launch_of(stem).added:
            self.zero(dst[top:bottom])
        self.fill_rows(
            stem, instance_for(stem, self.ctype(src.dtype), self.ctype(dst.dtype)), src, dst, top, bottom, *args
        )

    def fill_rows(self, stem: str, name: str, src: Any, dst: Any, top: int, bottom: int, *args: Any) -> None:
        """Fill rows [top, bottom) of ``dst`` with one instance, launched as the stem's file declares."""
        how = launch_of(stem)
        kernel = self.kernel(stem, name)
        for first in range(top, bottom, how.rows):
            last = min(first + how.rows, bottom)
            grid = how.grid(src, dst, first, last, self.multiprocessors)
            kernel(grid, how.block, (src, dst, first, last, *args))


class Gpu(Device):
    """The backend's interface to a device: memory, copies and kernels."""

    out_of_memory: type[Exception] = MemoryError
    errors: tuple[type[Exception], ...] = ()  # exceptions of the device's library

    def __init__(self) -> None:
        self._kernels: dict[tuple[Any, str, str], Kernel] = {}
        self._constants: dict[tuple[Any, int], tuple[Any, Any]] = {}
        self.prepared: dict[tuple[Any, Any], Any] = {}  # by device and node, see `gpuimg.backend.prepared`
        self.evictions = 0  # of prepared launches and constants
        self._lock = RLock()  # signal handlers may call filters

    @abstractmethod
    def load(self, stem: str, name: str) -> Launcher:
        """Compile an instance of a kernel, or load it from a cache."""

    @abstractmethod
    def put(self, host: np.ndarray[Any, Any]) -> Any:
        """Copy an array to the device."""

    @abstractmethod
    def get(self, array: Any, out: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
        """Copy an array to the host, into ``out`` if given (also bytes into a mask), and wait for it."""

    @abstractmethod
    def copy(self, source: Any, target: Any) -> None:
        """Copy an array on the device into another of the same shape and item size."""

    def addresses(self, arrays: Sequence[Any]) -> list[int]:
        """Return the addresses of arrays on the device."""
        return list(map(self.address, arrays))

    def resident(self, arrays: Sequence[Any], place: Any) -> list[int] | None:
        """Return the addresses of arrays; None if one of them is not on the device ``place``."""
        return self.addresses(arrays) if all(map(self.owns, arrays)) else None

    @abstractmethod
    def owns(self, array: Any) -> bool:
        """Whether an array is on the device."""

    @abstractmethod
    def clear(self, address: int, nbytes: int) -> None:
        """Set ``nbytes`` bytes on the device to zero."""

    def zero(self, array: Any) -> None:
        self.clear(self.address(array), array.nbytes)

    def trim(self) -> None:
        """Free memory kept for reuse."""
        self.let_constants_go()

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all work in this thread's stream is done."""

    @abstractmethod
    def wait_for_all(self) -> None:
        """Wait until all work in all streams of all devices is done."""

    @abstractmethod
    def describe(self) -> str:
        """Return the device's name and memory size."""

    def elsewhere(self, arrays: Iterable[Any]) -> Any | None:
        """Return a context with the device of the first device array current; None if it already is."""
        return None

    def is_here(self, array: Any) -> bool:
        """Whether an array is on the host or the current device."""
        return True

    def brought(self, array: Any) -> Any:
        """Return the array, or its copy on the current device if it is on another one."""
        return array

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[Any]:
        """Return a context for work in bands: a device of the same kind whose ``get`` may complete only at its end."""
        yield self

    def place(self) -> Any:
        """Return the current device's key: kernels are cached per device."""
        return None

    def kernel(self, stem: str, name: str) -> Kernel:
        """Return an instance, as in ``kernel("sobel", "sobel<short, float>")``; call it with grid, block, args."""
        key = (self.place(), stem, name)
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels.setdefault(key, Kernel(self, stem, name))
        return found

    def constant(self, table: np.ndarray[Any, Any]) -> Any:
        """Return a copy on the device of an array that never changes, kept for later calls."""
        key = (self.place(), id(table))
        kept = self._constants.get(key)
        if kept is None:
            there = self.put(table)
            # Other streams may use it too, so its copy must be complete; it is freed only when nothing runs.
            self.synchronize()
            with self._lock:
                kept = self._constants.setdefault(key, (table, there))
            if len(self._constants) > CONSTANTS_KEPT:
                self.let_constants_go()
        return kept[1]

    def let_constants_go(self) -> None:
        """Drop the constants, and the prepared launches that hold them, once no work under way reads them."""
        with self._lock:
            held = self._constants, self.prepared
            self._constants, self.prepared = {}, {}
            self.evictions += 1
            self.wait_for_all()
            del held

    def rows(self, held: Any, first: int, rows: int) -> Rows:
        """Return flat rows ``held`` as the rows from ``first`` of an image with ``rows``."""
        return Rows(held, first, rows, self.address(held))
