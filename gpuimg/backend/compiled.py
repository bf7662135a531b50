"""CPU kernels as machine code: one compilation a kernel and dtype serves every CPU backend.

A kernel compiled for its argument types becomes a C function ``int64 entry(slots, top, bottom)``, where ``slots``
points to the packed arguments. So one thread calls it through ctypes, all cores through one parallel driver that is
compiled once for all kernels, and worker processes load it from the same disk cache. Packing takes pointers as they
are, so an array that stands for some rows of a larger image can be given the address its row 0 would have.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import struct
import types as pytypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from gpuimg import kernels
from gpuimg.machine import cache_folder

log = logging.getLogger("gpuimg")

DONE = 1  # what an entry returns; an exception inside compiled code leaves 0
_lock = RLock()


class Compiled(NamedTuple):
    """Machine code for one kernel and one form: its address, and the same as a ctypes function (releases the GIL)."""

    address: int
    call: Callable[[int, int, int], int]


class Packed(NamedTuple):
    """Arguments as 64-bit slots.

    Attributes
    ----------
    form : their types in short, for example ``"u12_f42_i8"``: kind, bytes, dimensions of an array
    address : of the first slot
    keep : whatever must stay alive while the slots are used
    """

    form: str
    address: int
    keep: tuple[Any, ...]


# A mask's elements are bytes to a kernel.
_SHORT = {np.dtype(code): code for code in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")}
_SHORT[np.dtype(bool)] = "u1"


class Prepared(NamedTuple):
    """What calls of one kernel share whose image and result have certain dtypes, and whose other arguments are numbers
    of certain types."""

    code: Compiled
    layout: struct.Struct


_prepared: dict[tuple[Any, ...], Prepared] = {}


@cache
def _variant(kernel: str) -> Callable[..., str] | None:
    return getattr(kernels.load(kernel), "variant", None)


def prepare(
    kernel: str, src: np.ndarray[Any, Any], dst: np.ndarray[Any, Any], args: tuple[Any, ...]
) -> tuple[Compiled, Packed]:
    """Machine code for a kernel, and its arguments in slots.

    A kernel's module has a function ``fill``; or several, of which a plain function ``variant(src, *args)`` gives the
    name: only what is called for is compiled.
    """
    choose = _variant(kernel)
    fill = "fill" if choose is None else choose(src, *args)
    key = (kernel, fill, src.dtype, dst.dtype, *[type(arg) for arg in args])
    found = _prepared.get(key)
    if found is None:
        packed = pack((src, dst, *args))
        code = compiled(kernel, packed.form, fill)
        numbers = ["d" if isinstance(arg, float) else "q" for arg in args]
        if not any(isinstance(arg, np.ndarray) for arg in args):
            _prepared[key] = Prepared(code, struct.Struct("qqqqqq" + "".join(numbers)))
        return code, packed
    slots = bytearray(found.layout.pack(_address_of(src), *src.shape, _address_of(dst), *dst.shape, *args))
    return found.code, Packed("", ctypes.addressof(ctypes.c_char.from_buffer(slots)), (slots, src, dst))


def pack(arguments: Sequence[Any]) -> Packed:
    """Put arguments into slots: an array as its address and shape, an integer as it is, a float by its bits."""
    form: list[str] = []
    layout: list[str] = []
    slots: list[Any] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            if not argument.flags.c_contiguous:
                raise ValueError(f"kernels take C-contiguous arrays, got strides {argument.strides}")
            form.append(f"{_SHORT[argument.dtype]}{argument.ndim}")
            layout.append("qqqq"[: 1 + argument.ndim])
            slots.append(_address_of(argument))
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
    return Packed("_".join(form), ctypes.addressof(ctypes.c_char.from_buffer(packed)), (packed, arguments))


def _address_of(array: np.ndarray[Any, Any]) -> int:
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only, or without elements; three times as slow
        return array.ctypes.data


# Compiled by Numba; `unpack` and `fill` are set for each kernel.
def _entry(slots: int, top: int, bottom: int) -> int:
    arguments = unpack(slots)  # type: ignore[name-defined]  # noqa: F821
    fill(arguments[0], arguments[1], top, bottom, *arguments[2:])  # type: ignore[name-defined]  # noqa: F821
    return DONE


def _numba_types(form: str) -> list[Any]:
    from numba import types

    scalars = {"u1": types.uint8, "u2": types.uint16, "u4": types.uint32, "i1": types.int8, "i2": types.int16}
    scalars |= {"i4": types.int32, "i8": types.int64, "u8": types.uint64, "f4": types.float32, "f8": types.float64}
    found = []
    for part in form.split("_"):
        scalar = scalars[part[:2]]
        found.append(types.Array(scalar, int(part[2:]), "C") if part[2:] else scalar)
    return found


def _unpacker(form: str) -> Any:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic
    from numba.np.arrayobj import make_array, populate_array

    members = _numba_types(form)
    result = types.Tuple(members)
    word = ir.IntType(64)

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        base = builder.inttoptr(arguments[0], word.as_pointer())
        following = iter(range(1 << 16))

        def slot() -> Any:
            return builder.load(builder.gep(base, [word(next(following))]))

        values = []
        for member in members:
            if isinstance(member, types.Array):
                element = context.get_data_type(member.dtype)
                data = builder.inttoptr(slot(), element.as_pointer())
                shape = [slot() for _ in range(member.ndim)]
                itemsize = word(context.get_abi_sizeof(element))
                strides = [itemsize]
                for extent in reversed(shape[1:]):
                    strides.insert(0, builder.mul(strides[0], extent))
                array = make_array(member)(context, builder)
                populate_array(array, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
                values.append(array._getvalue())
            else:
                bits = slot()
                values.append(builder.bitcast(bits, ir.DoubleType()) if member == types.float64 else bits)
        return context.make_tuple(builder, result, values)

    @intrinsic  # type: ignore[untyped-decorator]
    def unpack(_context: Any, slots: Any) -> Any:
        return result(types.int64), build

    return unpack


def disk_cache(name: str, digest: str) -> Any:
    """A Numba cache for the function ``name`` in gpuimg's own folder, valid as long as ``digest`` is the same."""
    from numba.core import caching

    folder = cache_folder() / f"cpu-{digest}"

    class Locator(caching._CacheLocator):  # type: ignore[misc]
        def get_cache_path(self) -> str:
            return str(folder)

        def get_source_stamp(self) -> str:
            return digest

        def get_disambiguator(self) -> str:
            return name

        @classmethod
        def from_function(cls, _function: Any, _file: str) -> Locator | None:
            locator = cls()
            try:
                locator.ensure_cache_path()
            except OSError:
                return None
            return locator

    class Storage(caching.CompileResultCacheImpl):  # type: ignore[misc]
        _locator_classes = (Locator,)

    class Cache(caching.FunctionCache):  # type: ignore[misc]
        _impl_class = Storage

        def load_overload(self, signature: Any, context: Any) -> Any:
            try:
                return super().load_overload(signature, context)
            except Exception as error:  # a damaged file raises whatever unpickling it comes upon
                log.warning("compiled code of %s could not be read and is made anew: %r", name, error)
                self.flush()
                return None

        def save_overload(self, signature: Any, compiled_code: Any) -> None:
            with contextlib.suppress(OSError):  # a full disk costs time in the next process, nothing else
                super().save_overload(signature, compiled_code)

    return Cache


def own_cache(name: str, digest: str, function: Callable[..., Any]) -> Any:
    """The disk cache for ``function``, or None where no folder is writable."""
    try:
        return disk_cache(name, digest)(function)
    except (RuntimeError, OSError) as error:
        log.debug("no disk cache for compiled kernels: %s", error)
        return None


@cache
def code_digest() -> str:
    """What compiled code depends on besides Numba's version and the processor, which Numba's own key holds."""
    glue = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(kernels.cpu_digest().encode() + b"".join(glue)).hexdigest()[:16]


_compiled: dict[tuple[str, str, str], Compiled] = {}


def compiled(kernel: str, form: str, fill: str = "fill") -> Compiled:
    """Machine code of ``kernel`` for arguments of ``form``, compiled at first use or loaded from the disk cache."""
    found = _compiled.get((kernel, form, fill))
    if found is None:
        with _lock:
            found = _compiled.get((kernel, form, fill)) or _compile(kernel, form, fill)
            _compiled[kernel, form, fill] = found
    return found


@contextlib.contextmanager
def _alone_with(name: str) -> Iterator[None]:
    """Hold other processes back that want the same code, so that one compiles it and the rest find it on disk."""
    with ExitStack() as held:
        with contextlib.suppress(ImportError, OSError):  # no locks on this system, or no writable folder
            import fcntl

            lock = held.enter_context((cache_folder() / f"cpu-{code_digest()}" / f"{name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _plain_counts() -> Any:
    """Numba's reference counting for code that shares no array it allocates with another thread.

    Our kernels do not, and an atomic count at each slice of a scratch row took a fifth of the time of small images.
    """
    from llvmlite import ir
    from numba.core.registry import cpu_target
    from numba.core.runtime import nrtdynmod, rtsys

    def define(module: Any, operation: str, ordering: str) -> Any:
        word = ir.IntType(64)
        function = ir.Function(module, ir.FunctionType(word, [word.as_pointer()]), f"nrt_plain_{operation}")
        builder = ir.IRBuilder(function.append_basic_block())
        count = getattr(builder, operation)(builder.load(function.args[0]), word(1))
        builder.store(count, function.args[0])
        builder.ret(count)
        return function

    rtsys.initialize(cpu_target.target_context)
    real = nrtdynmod._define_atomic_inc_dec
    nrtdynmod._define_atomic_inc_dec = define
    try:
        return nrtdynmod.compile_nrt_functions(cpu_target.target_context)
    finally:
        nrtdynmod._define_atomic_inc_dec = real


@contextlib.contextmanager
def _callees_optimized_with(name: str) -> Iterator[None]:
    """Compile with nothing optimized and made machine code but the library ``name``, once all it calls is linked in.

    Numba does both for each function that is called as well, level by level, which took twice as long in all.
    """
    from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.runtime import rtsys

    optimize, finish = JITCodeLibrary._optimize_final_module, JITCodeLibrary._finalize_final_module
    environments: list[tuple[Any, ...]] = []

    def optimize_outermost(library: Any) -> None:
        if library.name == name:
            optimize(library)

    def finish_outermost(library: Any) -> None:
        if library.name == name:
            finish(library)
        else:
            library._finalize_dynamic_globals()
            library._finalized = True

    with global_compiler_lock, ExitStack() as changes:
        for owner, method, instead in (
            (rtsys, "_library", _plain_counts()),
            (JITCodeLibrary, "_optimize_final_module", optimize_outermost),
            (JITCodeLibrary, "_finalize_final_module", finish_outermost),
            # Where a callee finds its environment is known only once the outermost library has been made.
            (JITCPUCodegen, "set_env", lambda *arguments: environments.append(arguments)),
        ):
            changes.callback(setattr, owner, method, getattr(owner, method))
            setattr(owner, method, instead)
        yield
    for codegen, where, environment in environments:
        if codegen._engine.get_global_value_address(where):
            codegen.set_env(where, environment)


def _compile(kernel: str, form: str, fill: str = "fill") -> Compiled:
    from numba import types
    from numba.core.ccallback import CFunc

    module = kernels.load(kernel)
    name = f"{kernel}-{form}" if fill == "fill" else f"{kernel}.{fill}-{form}"
    function = pytypes.FunctionType(
        _entry.__code__.replace(co_name=name, co_qualname=name),
        {"unpack": _unpacker(form), "fill": getattr(module, fill), "DONE": DONE, "__name__": module.__name__},
        name,
    )
    function.__module__, function.__qualname__ = module.__name__, name
    entry: Any = CFunc(
        function,
        ((types.int64, types.int64, types.int64), types.int64),
        locals={},
        options={"error_model": "numpy"},
    )
    store = own_cache(name, code_digest(), function)
    if store is not None:
        entry._cache = store
    with _alone_with(name), _callees_optimized_with(name):
        entry.compile()
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    _alive.append(entry)
    return Compiled(entry.address, prototype(entry.address))


_alive: list[Any] = []  # compiled code lives as long as its Numba object
