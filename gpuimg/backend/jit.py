"""Machine code by Numba's public interface, cached on disk in gpuimg's folder.

Numba caches compiled code next to a function's source file. To keep it in gpuimg's folder, valid until a dependency
changes, a function is presented to Numba as one from a copy of its source file in that folder. Numba's key includes the
processor and its features.
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
    """Return Numba's version without the last number."""
    major, minor = numba.__version__.split(".")[:2]
    return int(major), int(minor)


def warn_if_untested() -> None:
    """Warn once if Numba is newer than any version that gpuimg was tested with."""
    global _warned
    if version() > NEWEST and not _warned:
        _warned = True
        tested = ".".join(map(str, NEWEST))
        message = f"Numba {numba.__version__} is newer than {tested}, the newest that gpuimg was tested with"
        warn(message, UntestedVersionWarning)


@cache
def code_digest() -> str:
    """Return a digest of all that compiled code depends on apart from Numba's version and target, which its key has."""
    here = Path(__file__).parent
    glue = [here / "jit.py", here / "jit_fast.py", here / "driver.py", here / "native.py", Path(images.__file__)]
    return hashlib.sha256(b"".join([kernels.cpu_digest().encode(), *map(Path.read_bytes, glue)])).hexdigest()[:16]


def code_folder() -> Path:
    """Return the folder of compiled code that is valid for this version."""
    return cache_folder() / f"cpu-{code_digest()}"


# Compiled by Numba; the names it uses are set for each kernel.
def _entry(slots: int, top: int, bottom: int) -> int:
    arguments = unpack(slots)  # type: ignore[name-defined]  # noqa: F821
    fill(arguments[0], arguments[1], top, bottom, *arguments[2:])  # type: ignore[name-defined]  # noqa: F821
    return DONE  # type: ignore[name-defined,no-any-return]  # noqa: F821


# For kernels that check the stop flag themselves, as parts of their work may take long.
def _entry_with_stop(slots: int, top: int, bottom: int) -> int:
    arguments = unpack(slots)  # type: ignore[name-defined]  # noqa: F821
    stop = load_word(slots - FLAG_BYTES)  # type: ignore[name-defined]  # noqa: F821
    fill(arguments[0], arguments[1], top, bottom, stop, *arguments[2:])  # type: ignore[name-defined]  # noqa: F821
    return DONE  # type: ignore[name-defined,no-any-return]  # noqa: F821


def entry(name: str, kernel: pytypes.ModuleType, fill: str, unpack: Any) -> Callable[[int, int, int], int]:
    """Return the function that Numba compiles for a kernel and a form of arguments."""
    function = getattr(kernel, fill)
    names = {"unpack": unpack, "fill": function, "DONE": kernels.DONE, "__name__": kernel.__name__}
    if kernels.STOP not in inspect.signature(function).parameters:
        return named(_entry, name, names)
    names |= {"load_word": kernels.load("addresses").load_word, "FLAG_BYTES": kernels.FLAG_BYTES}
    return named(_entry_with_stop, name, names)


def named(function: Callable[..., Any], name: str, names: dict[str, Any]) -> Callable[..., Any]:
    """Return a copy of a function with another name and other globals."""
    assert isinstance(function, pytypes.FunctionType)
    made = pytypes.FunctionType(function.__code__.replace(co_name=name, co_qualname=name), names, name)
    made.__module__, made.__qualname__ = names["__name__"], name
    return made


def cfunc(function: Callable[..., Any]) -> Any:
    """Compile an entry to a C function."""
    signature = types.int64(types.int64, types.int64, types.int64)
    return kept(lambda each, cached: numba.cfunc(signature, cache=cached, error_model="numpy")(each), function)


def kept(build: Callable[[Callable[..., Any], bool], Any], function: Callable[..., Any]) -> Any:
    """Compile with ``build(function, cache)``, using Numba's disk cache if it works."""
    try:
        return _built_in_folder(build, function)
    except (OSError, RuntimeError) as error:  # a full disk, or no writable folder for us or Numba
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
            log.info("compiled code of %s is damaged and is compiled again", name)
        forget(name)
    try:
        made = build(copied, True)
    except OSError:
        raise
    except Exception as error:  # unpickling code from before an update of another package can raise anything
        if not forget(name):
            raise
        log.warning("compiled code of %s could not be used and is compiled again: %r", name, error)
        made = build(copied, True)
    if _digests(name) != found:
        _seal(name)
    return made


def _folder_of(name: str) -> Path:
    """Return the folder of one function, which holds only what was compiled from it."""
    return code_folder() / name


def _in_folder(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function as one from a copy of its source file in our folder; raise OSError if it is not writable."""
    assert isinstance(function, pytypes.FunctionType)
    source = Path(function.__code__.co_filename)
    target = caching.own(_folder_of(function.__name__)) / source.name
    if not caching.digest_of(target):
        caching.remove(target)
        part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}")
        shutil.copy2(source, part)  # some versions of Numba also check the file's time
        part.chmod(0o600)
        part.replace(target)
    made = pytypes.FunctionType(
        function.__code__.replace(co_filename=str(target)), function.__globals__, function.__name__
    )
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__
    return made


def _numba_folders(name: str) -> list[Path]:
    """Return Numba's cache folders of a function, which it names after the source file's."""
    if numba.config.CACHE_DIR:
        of_this_name = f"{name}_" + 40 * "[0-9a-f]"
        return [path for path in Path(numba.config.CACHE_DIR).glob(of_this_name) if path.is_dir()]
    return [_folder_of(name) / "__pycache__"]


def _kept_files(name: str) -> list[Path]:
    return [path for folder in _numba_folders(name) for path in folder.glob("*.nb[ic]")]


def _digests(name: str) -> dict[str, str]:
    """Return a digest of each cached file of a function."""
    return {f"{path.parent.name}/{path.name}": caching.digest_of(path) for path in _kept_files(name)}


def _seal_path(name: str) -> Path:
    return _folder_of(name) / "digests"


def _seal(name: str) -> None:
    """Record the digests of a function's cached files, for a check before loading."""
    for path in _kept_files(name):
        path.chmod(0o600)  # Numba's files follow the umask, which may allow others to write
    readable = {path: digest for path, digest in _digests(name).items() if digest}
    caching.write_sealed(_seal_path(name), json.dumps(readable).encode())


def _sealed(name: str) -> dict[str, str]:
    try:
        return dict(json.loads(caching.read_sealed(_seal_path(name))))
    except (OSError, ValueError):
        return {}


def is_kept(name: str) -> bool:
    """Whether there is intact compiled code of a function on disk, perhaps for another processor."""
    found = _digests(name)
    return bool(found) and found == _sealed(name)


def can_keep() -> bool:
    """Whether there is a folder for compiled code."""
    with contextlib.suppress(OSError):
        return os.access(caching.own(code_folder()), os.W_OK)
    return False


def forget(name: str) -> bool:
    """Remove a function from Numba's disk cache; return whether it was there."""
    found = _kept_files(name)
    for path in found:
        caching.remove(path)
    return bool(found)


def alone_with(name: str, look: Callable[[], None]) -> AbstractContextManager[None]:
    """Hold back other processes that need the same code: one compiles it and the others find it on disk."""
    return caching.locked(_folder_of(name) / "lock", look)


def member_types(form: str) -> list[Any]:
    """Return Numba's types of the arguments of a form."""
    found = []
    for part in form.split("_"):
        scalar = _SCALARS[part[:2]]
        found.append(types.Array(scalar, int(part[2:]), "C") if part[2:] else scalar)
    return found


def slots_from(builder: Any, address: Any) -> Callable[[], Any]:
    """Return a function that loads the next slot."""
    base = builder.inttoptr(address, WORD.as_pointer())
    following = count()
    return lambda: builder.load(builder.gep(base, [WORD(next(following))]))


def from_bits(builder: Any, bits: Any, scalar: Any) -> Any:
    """Convert the bits of a slot to a number."""
    return builder.bitcast(bits, ir.DoubleType()) if scalar == types.float64 else bits


def unpacker(form: str) -> Any:
    """Return ``unpack(slots)``, which returns the arguments as a tuple in compiled code."""
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
