"""Work that can be stopped: what it looks at between bands of rows, and where it says how far it is."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, TypeVar

T = TypeVar("T")

PATIENCE = 0.02  # seconds between looks of what waits for something else


class Stopped(BaseException):
    """The work in this thread is to end; no ``except Exception`` takes it for an error of a backend."""


class Watch:
    """What a thread's work is watched by: another thread asks it to stop and reads how far it is.

    The flag is a word in memory: compiled code looks at it too.

    Attributes
    ----------
    deadline : when it ends at the latest, on the clock `time.monotonic`; None: never
    processors : how many threads the work may use: others use the rest; None: all
    where : the backend that the last filter runs on
    steps : how many filters there are; 0 if that is not known
    held : memory that takes long to free, until the next filter begins or it has been told that the work is done
    """

    __slots__ = (
        *("_done", "_flag", "_part", "_share", "_shares", "_steps_done"),
        *("deadline", "held", "processors", "steps", "where"),
    )

    def __init__(self, steps: int = 0) -> None:
        self._flag = ctypes.c_int64(0)
        self.deadline: float | None = None
        self.processors: int | None = None
        self.where = ""
        self.steps = steps
        self.held: object = None
        self._steps_done = 0
        self._shares: dict[Hashable, float] = {}
        self._done = self._share = self._part = 0.0

    def stop(self) -> None:
        self._flag.value = 1

    @property
    def is_stopped(self) -> bool:
        """Whether the work is to end at the next look."""
        return self._flag.value != 0

    @property
    def address(self) -> int:
        """Where the flag lies in memory; it is not 0 once the work is to end."""
        return ctypes.addressof(self._flag)

    def beside(self) -> Watch:
        """A watch for another thread that helps with the work, which stops with it."""
        other = Watch()
        other._flag, other.deadline, other.processors = self._flag, self.deadline, self.processors
        return other

    def look(self) -> None:
        """End the work if it is to stop, or is too late."""
        if self.is_stopped or (self.deadline is not None and time.monotonic() > self.deadline):
            raise Stopped

    def begin(self, where: str) -> None:
        """A filter begins on a backend."""
        self.where = where
        self.held = None
        self._shares = {}
        self._done = self._share = self._part = 0.0

    def plan(self, work: Mapping[Hashable, float]) -> None:
        """Say what the parts of a filter's work are, and what each costs in comparison with the others."""
        total = sum(work.values()) or 1.0
        self._shares = {part: cost / total for part, cost in work.items()}
        self._done = self._share = self._part = 0.0

    def enter(self, part: Hashable) -> None:
        """A part begins; one that was not planned belongs to the part before."""
        self.look()
        share = self._shares.get(part)
        if share is not None:
            self._done, self._share, self._part = self._done + self._share, share, 0.0

    def end(self) -> None:
        """A filter has ended."""
        self._steps_done += 1
        self._done = self._share = self._part = 0.0

    @property
    def progress(self) -> float:
        """The share of the work that is done, from 0 to 1; of several filters each counts the same."""
        within = min(self._done + self._share * self._part, 1.0)
        steps = max(self.steps, self._steps_done + 1)
        return min((self._steps_done + within) / steps, 1.0)


class _Local(threading.local):
    watch: Watch | None = None
    interrupt: Watch | None = None
    stopper: Watch | None = None  # the watch, else the interrupt


local = _Local()  # for those who look in each call; others call the functions below
_unset = ctypes.c_int64(0)
UNSET = ctypes.addressof(_unset)  # the flag of work that nobody watches


@contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
    """A context whose work in this thread looks at ``watch``."""
    outer, local.watch = local.watch, watch
    local.stopper = watch or local.interrupt
    try:
        yield
    finally:
        local.watch = outer
        local.stopper = outer or local.interrupt


def watch() -> Watch | None:
    """What watches this thread's work."""
    return local.watch


def flag() -> int:
    """The address of the flag that this thread's work looks at."""
    found = local.stopper
    return UNSET if found is None else found.address


def look() -> None:
    """End the work if it is to stop."""
    found = local.stopper
    if found is not None:
        found.look()


def within(done: float) -> None:
    """Say which share of the present part of the work is done, and end it if it is to stop."""
    found = local.stopper
    if found is not None:
        found._part = done
        found.look()


@contextmanager
def interrupted_by(watch: Watch) -> Iterator[None]:
    """A context whose work in this thread stops with ``watch``, but is not divided more finely for it."""
    outer, local.interrupt = local.interrupt, watch
    local.stopper = local.watch or watch
    try:
        yield
    finally:
        local.interrupt = outer
        local.stopper = local.watch or outer


def handles_signals() -> bool:
    """Whether this is the thread that signals come to, and nobody else may stop its work."""
    return local.watch is None and threading.current_thread() is threading.main_thread()


def _call_beside(function: Callable[[], None]) -> bool:
    """Call a function in a thread of its own, soon; False if there can be none.

    The thread ends with the call, and the threads that OpenMP has started for it do too. If they were kept, GNU OpenMP
    would have more threads than there are processors, and let those of all other callers sleep between calls: to wake
    one takes longer than most filters of a small image. What is called here is long.
    """
    if sys.is_finalizing():
        return False
    try:
        threading.Thread(target=function, daemon=True, name="gpuimg work").start()
    except RuntimeError as error:
        if "new thread" not in str(error):  # of a signal's handler
            raise
        return False  # the system has none left, or the interpreter ends
    return True


def interruptibly(function: Callable[[], T], watch: Watch) -> T:
    """Call a function in another thread while this one handles signals.

    What a handler raises stops the work, which looks at ``watch``; it is raised once the function has returned.
    """
    ended = threading.Lock()
    ended.acquire()
    begun: list[None] = []
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            begun.append(None)  # before the look: either it is stopped in time, or it is waited for
            with interrupted_by(watch):
                watch.look()
                results.append(function())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.release()

    try:
        if not _call_beside(work):
            return function()
        while not ended.acquire(timeout=PATIENCE):  # on Windows a signal does not end it
            pass
    except BaseException as interrupt:
        watch.stop()
        _wait_for(ended, begun, interrupt)
    if errors:
        raise errors.pop()  # out of the list: no cycle holds what the traceback does
    return results.pop()


def _wait_for(ended: threading.Lock, begun: list[None], interrupt: BaseException) -> NoReturn:
    """Raise an interrupt, or the last one that comes meanwhile, once the work has ended or if it never begins."""
    while begun:
        try:
            if ended.acquire(timeout=PATIENCE):
                break
        except BaseException as another:
            interrupt = another
    raise interrupt
