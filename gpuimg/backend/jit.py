"""Machine code by Numba's public interface, kept on disk in gpuimg's folder.

Numba keeps compiled code next to the source file of a function. So that it lies in our folder, and is found as long as
nothing has changed that it depends on, a function is shown to Numba as one from a copy of its source file there. The
processor and its features are in Numba's key.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import logging
import os
import shutil
import threading
import types as pytypes
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuimg import caching, images, kernels
from gpuimg.caching import cache_folder
from gpuimg.errors import UntestedVersionWarning, warn

log = logging.getLogger("gpuimg")

OLDEST, NEWEST = (0, 62), (0, 68)  # versions of Numba that gpuimg is tested with
WORD = ir.IntType(64)

_warned = False
_SCALARS = {"u1": types.uint8, "u2": types.uint16, "u4": types.uint32, "u8": types.uint64}
_SCALARS |= {"i1": types.int8, "i2": types.int16, "i4": types.int32, "i8": types.int64}
_SCALARS |= {"f4": types.float32, "f8": types.float64}


def version() -> tuple[int, int]:
    """Numba's, without the last number."""
    major, minor = numba.__version__.split(".")[:2]
    return int(major), int(minor)


def warn_if_untested() -> None:
    """Warn once where Numba is newer than any that gpuimg was tested with."""
    global _warned
    if version() > NEWEST and not _warned:
        _warned = True
        tested = ".".join(map(str, NEWEST))
        message = f"Numba {numba.__version__} is newer than {tested}, the newest that gpuimg was tested with"
        warn(message, UntestedVersionWarning)


@cache
def code_digest() -> str:
    """What compiled code depends on besides Numba's version and the target, which Numba's key holds."""
    here = Path(__file__).parent
    glue = [here / "jit.py", here / "jit_fast.py", here / "driver.py", here / "native.py", Path(images.__file__)]
    return hashlib.sha256(b"".join([kernels.cpu_digest().encode(), *map(Path.read_bytes, glue)])).hexdigest()[:16]


def code_folder() -> Path:
    """Where compiled code is kept that is still valid."""
    return cache_folder() / f"cpu-{code_digest()}"


# Compiled by Numba; the names it uses are set for each kernel.
def _entry(slots: int, top: int, bottom: int) -> int:
    arguments = unpack(slots)  # type: ignore[name-defined]  # noqa: F821
    fill(arguments[0], arguments[1], top, bottom, *arguments[2:])  # type: ignore[name-defined]  # noqa: F821
    return DONE  # type: ignore[name-defined,no-any-return]  # noqa: F821


# Instead, where a kernel looks at the stop flag itself: parts of its work may take long.
def _entry_with_stop(slots: int, top: int, bottom: int) -> int:
    arguments = unpack(slots)  # type: ignore[name-defined]  # noqa: F821
    stop = load_word(slots - FLAG_BYTES)  # type: ignore[name-defined]  # noqa: F821
    fill(arguments[0], arguments[1], top, bottom, stop, *arguments[2:])  # type: ignore[name-defined]  # noqa: F821
    return DONE  # type: ignore[name-defined,no-any-return]  # noqa: F821


def entry(name: str, kernel: pytypes.ModuleType, fill: str, unpack: Any) -> Callable[[int, int, int], int]:
    """The function that Numba compiles for a kernel and a form of arguments."""
    function = getattr(kernel, fill)
    names = {"unpack": unpack, "fill": function, "DONE": kernels.DONE, "__name__": kernel.__name__}
    if kernels.STOP not in inspect.signature(function).parameters:
        return named(_entry, name, names)
    names |= {"load_word": kernels.load("addresses").load_word, "FLAG_BYTES": kernels.FLAG_BYTES}
    return named(_entry_with_stop, name, names)


def named(function: Callable[..., Any], name: str, names: dict[str, Any]) -> Callable[..., Any]:
    """A function under another name, with other global names."""
    assert isinstance(function, pytypes.FunctionType)
    made = pytypes.FunctionType(function.__code__.replace(co_name=name, co_qualname=name), names, name)
    made.__module__, made.__qualname__ = names["__name__"], name
    return made


def cfunc(function: Callable[..., Any]) -> Any:
    """Compile an entry to a C function."""
    signature = types.int64(types.int64, types.int64, types.int64)
    return kept(lambda each, cached: numba.cfunc(signature, cache=cached, error_model="numpy")(each), function)


def kept(build: Callable[[Callable[..., Any], bool], Any], function: Callable[..., Any]) -> Any:
    """Compile by ``build(function, cache)``, with Numba's disk cache wherever it works."""
    try:
        return _built_in_folder(build, function)
    except (OSError, RuntimeError) as error:  # a full disk, or no folder that is ours or that Numba can write to
        log.info("compiled code of %s is not kept on disk: %r", function.__name__, error)
    return build(function, False)


def _built_in_folder(build: Callable[[Callable[..., Any], bool], Any], function: Callable[..., Any]) -> Any:
    name = function.__name__
    copied = _in_folder(function)
    if numba.config.CACHE_DIR:
        caching.own(Path(numba.config.CACHE_DIR))
    for folder in _numba_folders(name):
        caching.own(folder)
    found = _digests(name)
    if found != _sealed(name):
        if found:
            log.info("compiled code of %s is damaged and is made anew", name)
        forget(name)
    try:
        made = build(copied, True)
    except OSError:
        raise
    except Exception as error:  # what an update of another package left raises whatever unpickling it comes upon
        if not forget(name):
            raise
        log.warning("compiled code of %s could not be used and is made anew: %r", name, error)
        made = build(copied, True)
    if _digests(name) != found:
        _seal(name)
    return made


def _folder_of(name: str) -> Path:
    """The folder of one function: whatever lies in it was compiled from this function, or does not belong there."""
    return code_folder() / name


def _in_folder(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as one from a copy of its source file in our folder; OSError where that cannot be written."""
    assert isinstance(function, pytypes.FunctionType)
    source = Path(function.__code__.co_filename)
    target = caching.own(_folder_of(function.__name__)) / source.name
    if not caching.digest_of(target):
        caching.remove(target)
        part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}")
        shutil.copy2(source, part)  # some versions of Numba also ask for the time of the file
        part.chmod(0o600)
        part.replace(target)
    made = pytypes.FunctionType(
        function.__code__.replace(co_filename=str(target)), function.__globals__, function.__name__
    )
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__
    return made


def _numba_folders(name: str) -> list[Path]:
    """Where Numba keeps what it compiles: it names a folder of its own after the source file's."""
    if numba.config.CACHE_DIR:
        of_this_name = f"{name}_" + 40 * "[0-9a-f]"
        return [path for path in Path(numba.config.CACHE_DIR).glob(of_this_name) if path.is_dir()]
    return [_folder_of(name) / "__pycache__"]


def _kept_files(name: str) -> list[Path]:
    return [path for folder in _numba_folders(name) for path in folder.glob("*.nb[ic]")]


def _digests(name: str) -> dict[str, str]:
    """A digest of each file that is kept for a function."""
    return {f"{path.parent.name}/{path.name}": caching.digest_of(path) for path in _kept_files(name)}


def _seal_path(name: str) -> Path:
    return _folder_of(name) / "digests"


def _seal(name: str) -> None:
    """Write down what is kept for a function, to be compared before it is loaded."""
    for path in _kept_files(name):
        path.chmod(0o600)  # Numba lets everybody write it where the process does so
    readable = {path: digest for path, digest in _digests(name).items() if digest}
    caching.write_sealed(_seal_path(name), json.dumps(readable).encode())


def _sealed(name: str) -> dict[str, str]:
    try:
        return dict(json.loads(caching.read_sealed(_seal_path(name))))
    except (OSError, ValueError):
        return {}


def is_kept(name: str) -> bool:
    """Whether there is sound compiled code of a function on disk, perhaps for another processor."""
    found = _digests(name)
    return bool(found) and found == _sealed(name)


def can_keep() -> bool:
    """Whether there is a folder for compiled code."""
    with contextlib.suppress(OSError):
        return os.access(caching.own(code_folder()), os.W_OK)
    return False


def forget(name: str) -> bool:
    """Remove what Numba's disk cache holds for a function; tells whether there was something."""
    found = _kept_files(name)
    for path in found:
        caching.remove(path)
    return bool(found)


def alone_with(name: str, look: Callable[[], None]) -> AbstractContextManager[None]:
    """Hold other processes back that want the same code, so that one compiles it and the rest find it on disk."""
    return caching.locked(_folder_of(name) / "lock", look)


def member_types(form: str) -> list[Any]:
    """Numba's types of the arguments of a form."""
    found = []
    for part in form.split("_"):
        scalar = _SCALARS[part[:2]]
        found.append(types.Array(scalar, int(part[2:]), "C") if part[2:] else scalar)
    return found


def slots_from(builder: Any, address: Any) -> Callable[[], Any]:
    """A function that loads one slot after the other."""
    base = builder.inttoptr(address, WORD.as_pointer())
    following = count()
    return lambda: builder.load(builder.gep(base, [WORD(next(following))]))


def from_bits(builder: Any, bits: Any, scalar: Any) -> Any:
    """A number as it lies in a slot."""
    return builder.bitcast(bits, ir.DoubleType()) if scalar == types.float64 else bits


def unpacker(form: str) -> Any:
    """``unpack(slots)``, which returns the arguments to compiled code as a tuple."""
    members = member_types(form)
    parts = [
        types.Tuple((types.CPointer(each.dtype), types.UniTuple(types.int64, each.ndim)))
        if isinstance(each, types.Array)
        else each
        for each in members
    ]
    result = types.Tuple(parts)

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        slot = slots_from(builder, arguments[0])
        values = []
        for part in parts:
            if isinstance(part, types.BaseTuple):
                data = builder.inttoptr(slot(), context.get_data_type(part[0]))
                shape = context.make_tuple(builder, part[1], [slot() for _ in range(part[1].count)])
                values.append(context.make_tuple(builder, part, [data, shape]))
            else:
                values.append(from_bits(builder, slot(), part))
        return context.make_tuple(builder, result, values)

    @intrinsic  # type: ignore[untyped-decorator]
    def load_parts(_context: Any, slots: Any) -> Any:
        return result(types.int64), build

    joined = kernels.load("addresses").joined

    @numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def unpack(slots: int) -> Any:
        return joined(load_parts(slots))

    return unpack
