"""The one parallel loop: calls any compiled kernel by its address for bands of rows on all cores.

It is compiled once and kept on disk; kernels have no parallel twin of their own. Numba's threads are used where their
layer lets several Python threads in at once (OpenMP, TBB); elsewhere, and in a forked child, where GNU OpenMP would be
killed, a thread pool of our own calls the same addresses.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any

from gpuimg import kernels
from gpuimg.backend.compiled import Compiled
from gpuimg.machine import processor_count

_forked = False


def _after_fork() -> None:
    global _forked, _pool
    _forked = True
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@cache
def numba_layer() -> str:
    """The threading layer that Numba's parallel loops use here; "" where it is not safe for several threads."""
    import numba

    try:
        return _initialised_layer(numba)
    except ValueError:  # no parallel loop has run yet
        pass
    for layer in _layers_in_order(numba.config):
        if layer == "workqueue":
            return ""
        try:
            import_module(f"numba.np.ufunc.{layer}pool")
            numba.get_num_threads()
        except ImportError:
            continue
        except ValueError:  # a layer that was asked for by its qualities is not there
            return ""
        return str(layer)
    return ""


def _layers_in_order(config: Any) -> list[str]:
    """The layers that Numba will try, in its order."""
    wanted = config.THREADING_LAYER
    if wanted in ("default", "safe", "threadsafe"):
        return list(config.THREADING_LAYER_PRIORITY)
    return ["tbb" if wanted == "forksafe" else wanted]


def _initialised_layer(numba: Any) -> str:
    layer = str(numba.threading_layer())
    return "" if layer == "workqueue" else layer


def numba_is_safe() -> bool:
    """Whether Numba's threads may be used in this process now."""
    return not _forked and numba_layer() != ""


def _parallel_loop(address: int, slots: int, top: int, bottom: int, bands: int) -> int:  # compiled by Numba
    done = 0
    for band in prange(bands):  # type: ignore[name-defined]  # noqa: F821
        first = top + (bottom - top) * band // bands
        done += call(address, slots, first, top + (bottom - top) * (band + 1) // bands)  # type: ignore[name-defined]  # noqa: F821
    return done


@cache
def parallel_loop() -> Any:
    """Numba's parallel loop over bands: ``loop(address, slots, top, bottom, bands)`` gives how many bands were done."""
    import numba
    from numba import types

    from gpuimg.backend import jit

    def build(function: Any, cached: bool) -> Any:
        loop = numba.njit(parallel=True, nogil=True, error_model="numpy", cache=cached)(function)
        loop.compile((types.int64,) * 5)
        loop.disable_compile()
        return loop

    # A function of its own globals, for a closure over `call` would miss the disk cache in every new process.
    names = {"prange": numba.prange, "call": kernels.load("addresses").call_entry, "__name__": __name__}
    return jit.kept(build, jit.named(_parallel_loop, "_parallel_loop", names))


_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def thread_pool() -> ThreadPoolExecutor:
    """Our own threads, started at first use; a forked child starts its own."""
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(processor_count(), thread_name_prefix="gpuimg")
        return _pool


def fill_bands(code: Compiled, slots: int, top: int, bottom: int, bands: int) -> int:
    """Fill rows [top, bottom) in ``bands`` pieces on all cores; gives how many pieces were done."""
    if numba_is_safe():
        return int(parallel_loop()(code.address, slots, top, bottom, bands))
    edges = [top + (bottom - top) * band // bands for band in range(bands + 1)]
    pool = thread_pool()
    running: list[Future[int]] = []
    try:
        running.extend(pool.submit(code.call, slots, *band) for band in pairwise(edges))
        return sum(future.result() for future in running)
    finally:
        wait(running)  # the arrays must outlive the threads that write to them, also after Ctrl-C


def thread_count() -> int:
    """How many threads `fill_bands` uses."""
    if numba_is_safe():
        import numba

        return int(numba.get_num_threads())
    return processor_count()
