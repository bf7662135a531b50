"""CPU kernels as machine code: one compilation per kernel and dtype serves every CPU backend.

A kernel compiled for its argument types becomes a C function ``int64 entry(slots, top, bottom)``, where ``slots``
points to the packed arguments, preceded by the address of the stop flag. One thread calls it through ctypes, all cores
through one parallel driver compiled once for all kernels, and worker processes load it from the same disk cache.
Packing does not check pointers, so an array that holds some rows of a larger image can be passed with the address that
its row 0 would have.
"""

from __future__ import annotations

import ctypes
import logging
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from gpuimg import kernels, stopping
from gpuimg.backend.compiling import compilers
from gpuimg.errors import BackendFailed
from gpuimg.kernels import DONE as DONE
from gpuimg.kernels import FLAG_BYTES

# First slots of a kernel's image, result and arguments; an array takes slots for its address and shape.
SRC_SLOT, DST_SLOT, FIRST_SLOT = 0, 3, 6

T = TypeVar("T")
log = logging.getLogger("gpuimg")


class Compiled(NamedTuple):
    """Machine code for one kernel and form: its address, also as a ctypes function (releases the GIL)."""

    address: int
    call: Callable[[Any, Any, Any], int]  # takes integers or ctypes objects


class Packed(NamedTuple):
    """Arguments as 64-bit slots.

    Attributes
    ----------
    form : their types, for example ``"u12_f42_i8"``: kind, item size, ndim of an array
    address : of the first slot, after the stop flag's address
    keep : objects that must stay alive while the slots are used; first the slots
    """

    form: str
    address: int
    keep: tuple[Any, ...]

    @property
    def pointer(self) -> int:
        """The address as a ctypes object."""
        return self.address


class Slots:
    """Memory for the packed arguments of successive calls, each of which fills in its addresses.

    Attributes
    ----------
    words, floats : views as 64-bit integers and floats; the first word is the stop flag's address
    address, pointer : of the first slot, after that; as an integer, and as a reusable ctypes object
    arrays : of the current call, which must stay alive
    """

    __slots__ = ("address", "arrays", "floats", "pointer", "words")

    def __init__(self, content: bytes) -> None:
        memory = bytearray(content)
        self.words, self.floats = memoryview(memory).cast("q"), memoryview(memory).cast("d")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + FLAG_BYTES
        self.pointer = ctypes.c_int64(self.address)
        self.arrays: tuple[Any, ...] = ()


class Task(NamedTuple):
    """The work of a call of compiled code, whatever its arrays.

    Attributes
    ----------
    kernel : named in errors
    rows : or parts of another kind
    elements : read and written in total, without the ``halo`` rows above and below each piece
    bottom : the rows as a reusable ctypes object
    """

    kernel: str
    code: Compiled
    rows: int
    elements: int
    halo: int
    bottom: ctypes.c_int64


def new_task(kernel: str, code: Compiled, rows: int, elements: int, halo: int) -> Task:
    """Return the task of a call of compiled code."""
    return Task(kernel, code, rows, elements, halo, ctypes.c_int64(rows))


# Kernels see masks as bytes.
_SHORT = {np.dtype(code): code for code in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")}
_SHORT[np.dtype(bool)] = "u1"


class Prepared(NamedTuple):
    """Shared by all calls of a kernel with the same dtypes of image and result and the same types of numbers."""

    code: Compiled
    layout: struct.Struct


_prepared: dict[tuple[Any, ...], Prepared] = {}


@cache
def _variant(kernel: str) -> Callable[..., str] | None:
    load = partial(kernels.load, kernel)
    # The first kernel imports Numba, which would delay cancelling a job.
    module = load() if stopping.watch() is None else compilers.wait_for(("source", kernel), load)
    return getattr(module, "variant", None)


def has_variants(kernel: str) -> bool:
    """Whether a kernel's function is chosen by its arguments; see `prepare`."""
    return _variant(kernel) is not None


def prepare(
    kernel: str, src: np.ndarray[Any, Any], dst: np.ndarray[Any, Any], args: tuple[Any, ...]
) -> tuple[Compiled, Packed]:
    """Compile a kernel and pack its arguments.

    A kernel's module has a function ``fill``, or several functions and ``variant(src, *args)``, which returns the
    name of the one to use; only that one is compiled.
    """
    choose = _variant(kernel)
    fill = "fill" if choose is None else choose(src, *args)
    key = (kernel, fill, src.dtype, dst.dtype, *map(type, args))
    found = _prepared.get(key)
    if found is None:
        packed = pack((src, dst, *args))
        code = compiled(kernel, packed.form, fill)
        numbers = ["d" if isinstance(arg, float) else "q" for arg in args]
        if not any(isinstance(arg, np.ndarray) for arg in args):
            _prepared[key] = Prepared(code, struct.Struct("qqqqqqq" + "".join(numbers)))
        return code, packed
    flag, source, target = stopping.flag(), address_of(src), address_of(dst)
    slots = bytearray(found.layout.pack(flag, source, *src.shape, target, *dst.shape, *args))
    address = ctypes.addressof(ctypes.c_char.from_buffer(slots)) + FLAG_BYTES
    return found.code, Packed("", address, (slots, src, dst))


def pack(arguments: Sequence[Any]) -> Packed:
    """Pack arguments into slots: an array as its address and shape, an integer by value, a float by its bits."""
    form: list[str] = []
    layout = ["q"]
    slots: list[Any] = [stopping.flag()]
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            if not argument.flags.c_contiguous:
                raise ValueError(f"kernels take C-contiguous arrays, got strides {argument.strides}")
            form.append(f"{_SHORT[argument.dtype]}{argument.ndim}")
            layout.append("qqqq"[: 1 + argument.ndim])
            slots.append(address_of(argument))
            slots.extend(argument.shape)
        elif isinstance(argument, float):
            form.append("f8")
            layout.append("d")
            slots.append(argument)
        else:
            form.append("i8")
            layout.append("q")
            slots.append(argument)
    packed = bytearray(struct.pack("".join(layout), *slots))
    address = ctypes.addressof(ctypes.c_char.from_buffer(packed)) + FLAG_BYTES
    return Packed("_".join(form), address, (packed, arguments))


def argument_slots(given: Sequence[Any], arguments: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the slots of a kernel's arguments, each with the node's argument from ``given``."""
    slot = FIRST_SLOT
    for each, argument in zip(given, arguments, strict=True):
        yield slot, each
        slot += 1 + getattr(argument, "ndim", 0)


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Return the address of an array's memory."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only or empty; three times slower
        return array.ctypes.data


_compiled: dict[tuple[str, str, str], Compiled] = {}


def compiled(kernel: str, form: str, fill: str = "fill") -> Compiled:
    """Return the machine code of ``kernel`` for ``form``, compiled at first use or loaded from the disk cache."""
    key = kernel, form, fill
    found = _compiled.get(key)
    return made(key, _name(*key), partial(_compile_once, *key)) if found is None else found


def _compile_once(kernel: str, form: str, fill: str) -> Compiled:
    key = kernel, form, fill
    found = _compiled.get(key)
    if found is None:
        found = _compiled[key] = compile_here(*key)
    return found


_in_place: int | None = None  # the thread that compiles while there are no others


def made(task: tuple[str, ...], name: str, build: Callable[[], T]) -> T:
    """Return what ``build`` compiles or loads.

    If this thread's work can be stopped, or other threads may need other code meanwhile, another thread builds it, and
    another process compiles it first if it is not on disk under ``name``; see `gpuimg.backend.compiling`.
    """
    global _in_place
    reason = kernels.uncompilable()
    if reason is not None:
        raise BackendFailed(reason)
    me = threading.get_ident()
    if _in_place == me:  # a signal handler interrupted compiling; another thread would wait for this one
        return build()
    if stopping.watch() is not None or threading.active_count() > 1:
        return compilers.wait_for(task, partial(_made_elsewhere, task, name, build))
    try:
        _in_place = me
        with _said_if_long(task[0]):
            return build()
    finally:
        _in_place = None


def begin(task: tuple[str, ...], name: str, build: Callable[[], T]) -> None:
    """Compile or load in the background what no call waits for; at once if this is the program's only thread."""
    if threading.active_count() == 1:
        made(task, name, build)
    else:
        compilers.begin(task, partial(_made_elsewhere, task, name, build))


def _made_elsewhere(task: tuple[str, ...], name: str, build: Callable[[], T]) -> T:
    from gpuimg.backend import jit  # imports Numba

    with _said_if_long(task[0]):
        if compilers.is_usable and not jit.is_kept(name) and jit.can_keep() and compilers.compile(task):
            compilers.is_usable = jit.is_kept(name)  # False if the disk is full
        return build()


def _name(kernel: str, form: str, fill: str) -> str:
    return f"{kernel}-{form}" if fill == "fill" else f"{kernel}.{fill}-{form}"


def compile_here(kernel: str, form: str, fill: str = "fill") -> Compiled:
    """Compile a kernel in this thread, or load it from the disk cache."""
    from gpuimg.backend import jit, jit_fast  # they import Numba

    jit.warn_if_untested()
    name = _name(kernel, form, fill)
    with jit.alone_with(name, compilers.look):
        entry = jit_fast.compile_entry(name, kernels.load(kernel), fill, form)
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    _alive.append(entry)
    return Compiled(entry.address, prototype(entry.address))


SAID_AFTER = 1.0  # seconds
_is_said = False


@contextmanager
def _said_if_long(kernel: str) -> Iterator[None]:
    """Tell the user once that code is being compiled, if it takes long."""
    timer = threading.Timer(SAID_AFTER, _say, (kernel,))
    timer.daemon = True
    with suppress(RuntimeError):  # no more threads can be started
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with suppress(RuntimeError):  # it was not started
            timer.join()  # leave no thread behind: the program counts as single-threaded again


def _say(kernel: str) -> None:
    global _is_said
    message = "compiling filters for this machine, at their first use only; `gpuimg warmup` compiles them in advance"
    if _is_said or not (sys.stderr and (sys.stderr.isatty() or "ipykernel" in sys.modules)):
        log.info("%s (%s)", message, kernel)
        return
    _is_said = True
    print(f"gpuimg: {message}", file=sys.stderr, flush=True)


_alive: list[Any] = []  # compiled code lives as long as its Numba object
