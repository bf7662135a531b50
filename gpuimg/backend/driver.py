"""The parallel loop that calls any compiled kernel by its address for bands of rows on all cores.

It is compiled once and kept on disk; kernels have no parallel version. Numba's threads are used if their layer is safe
for several Python threads (OpenMP, TBB). Otherwise, and in a forked child, which GNU OpenMP would abort, gpuimg's own
threads call the same addresses.
"""

from __future__ import annotations

import contextlib
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

from gpuimg import kernels, stopping
from gpuimg.backend.compiled import Compiled, Packed, Slots, made
from gpuimg.backend.compiling import compilers
from gpuimg.machine import processor_count

_forked = False


def _after_fork() -> None:
    global _forked, _helpers
    _forked = True
    _helpers = Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@cache
def numba_layer() -> str:
    """Return the threading layer of Numba's parallel loops; "" if it is not safe for several threads."""
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
        except ValueError:  # a layer requested by its properties is not available
            return ""
        return str(layer)
    return ""


def _layers_in_order(config: Any) -> list[str]:
    """Return the layers that Numba will try, in its order."""
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


def _parallel_loop(  # compiled by Numba
    address: int, slots: int, top: int, bottom: int, bands: int, threads: int
) -> int:
    done, rounds = 0, max(1, bands // threads)
    flag = load_word(slots - FLAG_BYTES)  # type: ignore[name-defined]  # noqa: F821
    for place in prange(bands):  # type: ignore[name-defined]  # noqa: F821
        # A thread takes adjacent places: they stand for bands from all parts of the image.
        band = place if place >= rounds * threads else place % rounds * threads + place // rounds
        if not is_set(flag):  # type: ignore[name-defined]  # noqa: F821
            first = top + (bottom - top) * band // bands
            done += call(address, slots, first, top + (bottom - top) * (band + 1) // bands)  # type: ignore[name-defined]  # noqa: F821
    return done


@cache
def parallel_loop() -> Any:
    """Numba's parallel loop over bands: ``loop(address, slots, top, bottom, bands, threads)`` returns the bands done.

    No band is started once the work should stop.
    """
    return made((_parallel_loop.__name__,), _parallel_loop.__name__, compile_loop)


@cache
def compile_loop() -> Any:
    """Compile `parallel_loop` in this thread, or load it from the disk cache."""
    import numba
    from numba import types

    from gpuimg.backend import jit

    def build(function: Any, cached: bool) -> Any:
        loop = numba.njit(parallel=True, nogil=True, error_model="numpy", cache=cached)(function)
        loop.compile((types.int64,) * 6)
        loop.disable_compile()
        return loop

    # With separate globals: a closure over `call` would miss the disk cache in every new process.
    addresses = kernels.load("addresses")
    names = {"prange": numba.prange, "call": addresses.call_entry, "__name__": __name__}
    names |= {"load_word": addresses.load_word, "is_set": addresses.is_set, "FLAG_BYTES": kernels.FLAG_BYTES}
    name = _parallel_loop.__name__
    with jit.alone_with(name, compilers.look):
        return jit.kept(build, jit.named(_parallel_loop, name, names))


class Shares(ABC):
    """Work in pieces that threads take one after the other until none is left.

    Its queues are changed by atomic operations only: an interrupt may come anywhere in the calling thread.
    """

    def __init__(self, pieces: Iterable[Any]) -> None:
        self._waiting = deque(pieces)
        self._busy: deque[None] = deque()
        self._left: SimpleQueue[None] = SimpleQueue()

    @abstractmethod
    def do(self, piece: Any) -> None:
        """Do one piece."""

    def hurry(self) -> None:  # noqa: B027
        """Let threads stop within a piece, if they can: the results are no longer needed."""

    def work(self) -> None:
        """Process pieces until none is left."""
        while True:
            try:
                piece = self._waiting.popleft()
            except IndexError:
                return
            self.do(piece)

    def help(self) -> None:
        """Run `work` in a thread other than the caller's."""
        self._busy.append(None)  # before a piece is taken: `finish` must not miss it
        try:
            self.work()
        finally:
            self._busy.pop()
            self._left.put(None)

    def finish(self) -> None:
        """Wait until no other thread works on a piece, despite interrupts; then raise the last interrupt."""
        self._waiting.clear()
        interrupt: BaseException | None = None
        while self._busy:
            try:
                self._left.get()
            except BaseException as error:
                interrupt = error
                self.hurry()
        if interrupt is not None:
            raise interrupt

    def share(self, count: int) -> None:
        """Process the pieces in up to ``count`` threads, all of which have finished when this returns or raises."""
        try:
            _helpers.offer(self, count - 1)
            self.work()
        finally:
            self.finish()


class Bands(Shares):
    """Bands of rows. Each holds references to the arrays, so no memory is reused while a thread writes to it."""

    def __init__(self, code: Compiled, packed: Packed | Slots, edges: list[int]) -> None:
        super().__init__((packed, *band) for band in pairwise(edges))
        self._call = code.call
        self._watch = stopping.watch()
        self._done: deque[int] = deque()

    def do(self, piece: tuple[Packed | Slots, int, int]) -> None:
        if self._watch is not None and self._watch.is_stopped:
            return
        packed, top, bottom = piece
        self._done.append(self._call(packed.address, top, bottom))

    def count(self) -> int:
        """Return how many bands were filled."""
        return sum(self._done)


class Calls(Shares):
    """Calls of one function; after an error no more are started."""

    def __init__(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> None:
        super().__init__(enumerate(arguments))
        self._function = function
        self._watch = stopping.watch()
        self._interrupt = stopping.Watch()
        self._errors: deque[BaseException] = deque()
        self._results: list[Any] = [None] * len(arguments)

    def help(self) -> None:
        with stopping.interrupted_by(self._interrupt), stopping.watched(self._watch and self._watch.for_helper()):
            super().help()

    def hurry(self) -> None:
        self._interrupt.stop()

    def do(self, piece: tuple[int, tuple[Any, ...]]) -> None:
        place, arguments = piece
        try:
            self._results[place] = self._function(*arguments)
        except BaseException as error:
            self._errors.append(error)
            self._waiting.clear()
            self.hurry()

    def results(self) -> list[Any]:
        """Return the results, or raise the first error again."""
        if self._errors:
            raise self._errors[0]
        return self._results


class Helpers:
    """Threads that help a caller with its work, started at first use."""

    def __init__(self) -> None:
        self._offers: SimpleQueue[Shares] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0

    def offer(self, work: Shares, count: int) -> None:
        """Let up to ``count`` threads help."""
        with self._lock, contextlib.suppress(RuntimeError):  # no thread can be started: the caller works alone
            while self._started < min(count, processor_count() - 1):
                # Daemons, as they wait forever; a caller waits for those that work for it.
                threading.Thread(target=self._help, daemon=True, name=f"gpuimg {self._started}").start()
                self._started += 1
        for _ in range(min(count, self._started)):
            self._offers.put(work)

    def _help(self) -> None:
        while True:
            self._offers.get().help()  # no variable, which would hold its arrays until the next offer


_helpers = Helpers()


def fill_bands(code: Compiled, packed: Packed | Slots, top: int, bottom: int, bands: int) -> int:
    """Fill rows [top, bottom) in ``bands`` pieces on all cores and return the number of pieces done.

    No piece is started once this thread's work should stop. When this returns or raises, also after Ctrl-C, no thread
    writes to the arrays any more.
    """
    if numba_is_safe():
        limit, threads = _limit(), thread_count()
        if limit is None:
            return int(parallel_loop()(code.address, packed.address, top, bottom, bands, threads))
        with _numba_threads(limit):
            return int(parallel_loop()(code.address, packed.address, top, bottom, bands, threads))
    shared = Bands(code, packed, [top + (bottom - top) * band // bands for band in range(bands + 1)])
    shared.share(bands)
    return shared.count()


def call_each(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], threads: int) -> list[Any]:
    """Call a function with each of these arguments in several threads; return the results in order."""
    calls = Calls(function, arguments)
    calls.share(min(threads, len(arguments)))
    return calls.results()


@contextlib.contextmanager
def _numba_threads(limit: int) -> Iterator[None]:
    """Return a context that limits the threads of Numba's loops."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(min(limit, before))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def most_threads() -> int:
    """Return how many threads `fill_bands` uses if no limit is set."""
    return numba_threads()() if numba_is_safe() else processor_count()


@cache
def numba_threads() -> Callable[[], int]:
    """Return a function that returns how many threads Numba's loops use in this thread.

    `numba.get_num_threads` takes a lock. An error in a signal handler may leave it locked, and all other threads would
    wait forever.
    """
    import numba

    numba.get_num_threads()  # starts the threads
    parallel = import_module("numba.np.ufunc.parallel")
    found: Callable[[], int] = getattr(parallel, "_get_num_threads", numba.get_num_threads)
    return found


def thread_count() -> int:
    """Return how many threads `fill_bands` uses."""
    most, limit = most_threads(), _limit()
    return most if limit is None else min(most, limit)


def _limit() -> int | None:
    """Return the thread limit of the work in this thread, or None."""
    watch = stopping.watch()
    return None if watch is None else watch.processors
