"""A compiled kernel as a Python function of arrays.

It reads their addresses from an array's second field, as macros of NumPy's headers do. So a call creates no Python
objects but the returned number, and its slots are on the stack: several threads and signal handlers may run it at once.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from gpuimg import kernels
from gpuimg.backend.compiled import begin
from gpuimg.backend.compiling import compilers
from gpuimg.stopping import UNSET

log = logging.getLogger("gpuimg")

MOST_WORDS = 96  # of a call's slots
OVERLAP = 2  # returned without any work if an image overlaps the result
DATA_OFFSET = 16  # of an array's data pointer, after the fields of all objects
METH_FASTCALL = 0x0080
# Words of a function's record. They are followed by the arrays' bytes, by pairs of an array and the word that takes its
# address, and by the content of the slots.
ENTRY, BOTTOM, SAVE_THREAD, RESTORE_THREAD, NEW_NUMBER, ARRAYS, USES, INNER, INNER_AT, WORDS, HEADER = range(11)


# Compiled by Numba; the names it uses are set in `compile_call`.
def _call_entry(function: int, arguments: int, _count: int) -> int:
    record = load_word(function + DATA_OFFSET)  # type: ignore[name-defined]  # noqa: F821
    arrays = load_word(record + 8 * ARRAYS)  # type: ignore[name-defined]  # noqa: F821
    uses = load_word(record + 8 * USES)  # type: ignore[name-defined]  # noqa: F821
    words = load_word(record + 8 * WORDS)  # type: ignore[name-defined]  # noqa: F821
    sizes = record + 8 * HEADER
    content = sizes + 8 * arrays + 16 * uses
    slots = words_on_stack(MOST_WORDS)  # type: ignore[name-defined]  # noqa: F821
    for word in range(words):
        store_word(slots + 8 * word, load_word(content + 8 * word))  # type: ignore[name-defined]  # noqa: F821
    first = last = 0
    for number in range(arrays):
        begin = load_word(load_word(arguments + 8 * number) + DATA_OFFSET)  # type: ignore[name-defined]  # noqa: F821
        end = begin + load_word(sizes + 8 * number)  # type: ignore[name-defined]  # noqa: F821
        if begin < last and first < end:
            return call_with(load_word(record + 8 * NEW_NUMBER), OVERLAP)  # type: ignore[name-defined,no-any-return]  # noqa: F821
        if number == 0:
            first, last = begin, end
    for number in range(uses):
        use = sizes + 8 * arrays + 16 * number
        array = load_word(arguments + 8 * load_word(use))  # type: ignore[name-defined]  # noqa: F821
        store_word(slots + 8 * load_word(use + 8), load_word(array + DATA_OFFSET))  # type: ignore[name-defined]  # noqa: F821
    inner = load_word(record + 8 * INNER)  # type: ignore[name-defined]  # noqa: F821
    if inner != 0:
        store_word(slots + 8 * inner, slots + 8 * load_word(record + 8 * INNER_AT))  # type: ignore[name-defined]  # noqa: F821
    entry, bottom = load_word(record + 8 * ENTRY), load_word(record + 8 * BOTTOM)  # type: ignore[name-defined]  # noqa: F821
    save = load_word(record + 8 * SAVE_THREAD)  # type: ignore[name-defined]  # noqa: F821
    if save == 0:
        done = call_entry(entry, slots + FLAG_BYTES, 0, bottom)  # type: ignore[name-defined]  # noqa: F821
    else:
        state = call_with(save, 0)  # type: ignore[name-defined]  # noqa: F821
        done = call_entry(entry, slots + FLAG_BYTES, 0, bottom)  # type: ignore[name-defined]  # noqa: F821
        call_with(load_word(record + 8 * RESTORE_THREAD), state)  # type: ignore[name-defined]  # noqa: F821
    return call_with(load_word(record + 8 * NEW_NUMBER), done)  # type: ignore[name-defined,no-any-return]  # noqa: F821


class _MethodDef(ctypes.Structure):
    """``PyMethodDef`` of Python's C interface."""

    _fields_ = (
        ("ml_name", ctypes.c_char_p),
        ("ml_meth", ctypes.c_void_p),
        ("ml_flags", ctypes.c_int),
        ("ml_doc", ctypes.c_char_p),
    )


_compiled: list[Any] = []  # `_call_entry`
_methods: list[_MethodDef] = []  # kept alive for functions; concurrent threads each create their own


@cache
def compile_call() -> Any:
    """Compile `_call_entry` in this thread, or load it from the disk cache."""
    from gpuimg.backend import jit  # imports Numba

    addresses = kernels.load("addresses")
    helpers = ("load_word", "store_word", "words_on_stack", "call_with", "call_entry")
    names = {**globals(), **{each: getattr(addresses, each) for each in helpers}, "FLAG_BYTES": kernels.FLAG_BYTES}
    name = _call_entry.__name__
    with jit.alone_with(name, compilers.look):
        compiled = jit.cfunc(jit.named(_call_entry, name, names))
    _compiled.append(compiled)
    return compiled


_failed = False


def is_ready() -> bool:
    """Whether `_call_entry` is compiled; if it is not, that is begun, without delaying calls that can do without it."""
    if not _compiled and not _failed and is_usable():
        try:
            begin((_call_entry.__name__,), _call_entry.__name__, _compile_or_give_up)
        except Exception as error:
            _give_up(error)
    return bool(_compiled)


def _compile_or_give_up() -> None:
    try:
        compile_call()
    except Exception as error:
        _give_up(error)


def _give_up(error: Exception) -> None:
    """Do without native calls: they only save time."""
    global _failed
    _failed = True
    log.info("short calls take longer, without native code: %s", error)


@cache
def _method() -> _MethodDef:
    """Return the method definition that Python calls."""
    method = _MethodDef(b"fill", _compiled[0].address, METH_FASTCALL, None)
    _methods.append(method)
    return method


@cache
def is_usable() -> bool:
    """Whether arrays have their data pointer at `DATA_OFFSET`."""
    if (
        sys.implementation.name != "cpython"
        or object.__basicsize__ != DATA_OFFSET
        or ctypes.sizeof(ctypes.c_void_p) != 8
    ):
        return False
    probes = np.zeros(3, np.int64), np.zeros((2, 5), np.uint8)[1:, 2:]
    return all(ctypes.c_int64.from_address(id(each) + DATA_OFFSET).value == each.ctypes.data for each in probes)


def _address(name: str) -> int:
    """Return the address of a function of Python's C interface."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def function_of(
    entry: int,
    bottom: int,
    content: bytes,
    sizes: Sequence[int],
    uses: Sequence[tuple[int, int]],
    releases: bool,
    inner: tuple[int, int] = (0, 0),
) -> Callable[..., int] | None:
    """Return a Python function of arrays that calls compiled code once.

    Parameters
    ----------
    entry : address of the code
    bottom : number of rows
    content : words of the slots; the first one, the address of the stop flag, is replaced by that of a flag never set
    sizes : bytes of each array
    uses : pairs of an array's number and the word that takes its address
    releases : whether the GIL is released during the call
    inner : the word that takes the address of another word, and this word; (0, 0) if there is none

    Returns
    -------
    A function of the result's array and the images, which must be C-contiguous and have these sizes; it does not check
    them. It returns what the code returns, or `OVERLAP`. None if there are too many words. `is_ready` comes first.
    """
    words = np.frombuffer(content, np.int64).copy()
    words[0] = UNSET
    if words.size > MOST_WORDS:
        return None
    header = np.zeros(HEADER, np.int64)
    header[[ENTRY, BOTTOM, ARRAYS, USES, WORDS]] = entry, bottom, len(sizes), len(uses), words.size
    header[[INNER, INNER_AT]] = inner
    header[NEW_NUMBER] = _address("PyLong_FromLongLong")
    if releases:
        header[[SAVE_THREAD, RESTORE_THREAD]] = _address("PyEval_SaveThread"), _address("PyEval_RestoreThread")
    record = np.concatenate([header, np.array(sizes, np.int64), np.array(uses, np.int64).ravel(), words])
    make = ctypes.pythonapi["PyCFunction_NewEx"]  # not a shared prototype: others may set other types
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    return make(ctypes.addressof(_method()), record, None)  # type: ignore[no-any-return]
