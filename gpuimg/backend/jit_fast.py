"""Changes to Numba's internals that more than halve the time to compile a kernel.

One table lists all private names of Numba. They are used only with tested versions, and only if all exist and work as
expected; otherwise kernels are compiled by the public interface alone, see `jit`.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, reduce
from importlib import import_module
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic

from gpuimg.backend import jit

log = logging.getLogger("gpuimg")

TESTED = tuple((0, minor) for minor in range(jit.OLDEST[1], jit.NEWEST[1] + 1))  # versions of Numba

PRIVATE = {
    "library": ("numba.core.codegen", "JITCodeLibrary"),
    "codegen": ("numba.core.codegen", "JITCPUCodegen"),
    "optimize": ("numba.core.codegen", "JITCodeLibrary._optimize_final_module"),
    "finish": ("numba.core.codegen", "JITCodeLibrary._finalize_final_module"),
    "find_globals": ("numba.core.codegen", "JITCodeLibrary._finalize_dynamic_globals"),
    "finished": ("numba.core.codegen", "JITCodeLibrary._finalized"),
    "set_env": ("numba.core.codegen", "JITCPUCodegen.set_env"),
    "engine": ("numba.core.registry", "cpu_target.target_context._internal_codegen._engine"),
    "lock": ("numba.core.compiler_lock", "global_compiler_lock"),
    "wait_for_lock": ("numba.core.compiler_lock", "global_compiler_lock._lock.acquire"),
    "make_array": ("numba.np.arrayobj", "make_array"),
    "populate_array": ("numba.np.arrayobj", "populate_array"),
}
_broken = False


class NotAsExpected(Exception):
    """Numba's internals differ from the tested ones."""


def private(key: str) -> Any:
    """Return the object of a name in the table."""
    module, path = PRIVATE[key]
    try:
        return reduce(getattr, path.split("."), import_module(module))
    except (ImportError, AttributeError):
        raise NotAsExpected(f"{module} has no {path}") from None


def usable() -> bool:
    """Whether Numba's internals are as tested; log once if not."""
    global _broken
    if not _broken:
        try:
            if jit.version() not in TESTED:
                raise NotAsExpected(f"Numba {numba.__version__} was not tested")
            for key in PRIVATE:
                private(key)
        except NotAsExpected as error:
            _give_up(error)
    return not _broken


def _give_up(error: Exception) -> None:
    global _broken
    _broken = True
    log.info("kernels compile by Numba's public interface, which takes longer: %s", error)


FORK_SECONDS = 60.0  # a thread that compiles may be waiting for the one that forks


def _wait_before_fork() -> None:
    """Fork between compilations: in the child one under way would never end, and Numba's lock would stay locked."""
    with contextlib.suppress(NotAsExpected):
        _, wait = private("lock"), private("wait_for_lock")
        wait(timeout=FORK_SECONDS)


def _after_fork() -> None:
    with contextlib.suppress(NotAsExpected):
        _, lock = private("wait_for_lock"), private("lock")
        if lock.is_locked():  # by this thread
            lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def compile_entry(name: str, kernel: Any, fill: str, form: str) -> Any:
    """Compile a kernel for a form of arguments to a C function, or load it from disk."""
    if usable():
        try:
            return _compile_outermost(jit.entry(name, kernel, fill, unpacker(form)))
        except Exception as error:
            _give_up(error)
            jit.forget(name)
    return jit.cfunc(jit.entry(name, kernel, fill, jit.unpacker(form)))


def _compile_outermost(function: Callable[..., Any]) -> Any:
    # The lock comes first: another thread's changes must not be saved as Numba's own.
    with private("lock"), _callees_optimized_with(function.__name__) as done:
        made = jit.cfunc(function)
    if not made.cache_hits and done[-2:] != ["optimized", "finished"]:
        raise NotAsExpected(f"Numba took other steps: {done}")
    return made


@cache
def _numbas_own() -> tuple[Any, Any, Any]:
    """Save what is changed below: a signal handler may compile while it is changed."""
    return private("optimize"), private("finish"), private("find_globals")


@contextlib.contextmanager
def _callees_optimized_with(name: str) -> Iterator[list[str]]:
    """Optimize and generate code only for the library ``name``, with all callees linked in; yield the steps done.

    Numba also does both for each callee, level by level, which took twice as long in total.
    """
    optimize, finish, find_globals = _numbas_own()
    done: list[str] = []
    environments: list[tuple[Any, ...]] = []

    def optimize_outermost(library: Any) -> None:
        if library.name == name:
            optimize(library)
            done.append("optimized")

    def finish_outermost(library: Any) -> None:
        if library.name == name:
            finish(library)
            done.append("finished")
        else:
            find_globals(library)
            library._finalized = True

    def keep_environment(*arguments: Any) -> None:
        # The address of a callee's environment is known only once the outermost library exists.
        environments.append(arguments)

    with ExitStack() as changes:
        for key, instead in (
            ("optimize", optimize_outermost),
            ("finish", finish_outermost),
            ("set_env", keep_environment),
        ):
            owner, method = private("codegen" if key == "set_env" else "library"), PRIVATE[key][1].rpartition(".")[2]
            changes.callback(setattr, owner, method, getattr(owner, method))
            setattr(owner, method, instead)
        yield done
    for codegen, where, environment in environments:
        if codegen._engine.get_global_value_address(where):
            codegen.set_env(where, environment)


def unpacker(form: str) -> Any:
    """Return `jit.unpacker` without helper functions to compile."""
    members = jit.member_types(form)
    result = types.Tuple(members)
    make_array, populate_array = private("make_array"), private("populate_array")

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        slot = jit.slots_from(builder, arguments[0])
        values = []
        for member in members:
            if isinstance(member, types.Array):
                element = context.get_data_type(member.dtype)
                data = builder.inttoptr(slot(), element.as_pointer())
                shape = [slot() for _ in range(member.ndim)]
                itemsize = jit.WORD(context.get_abi_sizeof(element))
                strides = [itemsize]
                for extent in reversed(shape[1:]):
                    strides.insert(0, builder.mul(strides[0], extent))
                array = make_array(member)(context, builder)
                populate_array(array, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
                values.append(array._getvalue())
            else:
                values.append(jit.from_bits(builder, slot(), member))
        return context.make_tuple(builder, result, values)

    @intrinsic  # type: ignore[untyped-decorator]
    def unpack(_context: Any, slots: Any) -> Any:
        return result(types.int64), build

    return unpack
