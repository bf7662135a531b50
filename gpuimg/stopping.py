"""Work that can be stopped: the flag that it checks between bands of rows, and its progress."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, TypeVar

T = TypeVar("T")

PATIENCE = 0.02  # seconds between checks while waiting


class Stopped(BaseException):
    """Raised to end the work in this thread; not an `Exception`, so that it is not taken for an error of a backend."""


class Watch:
    """Lets another thread stop a thread's work and read its progress.

    The flag is a word in memory, which compiled code checks too.

    Attributes
    ----------
    deadline : time by which the work must end, on the clock `time.monotonic`; None: no deadline
    processors : maximum number of threads for the work; None: all
    where : the backend that runs the last filter
    steps : number of filters; 0 if unknown
    held : memory that is slow to free, kept until the next filter begins or the end of the work has been reported
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
        """Whether the work should end at the next check."""
        return self._flag.value != 0

    @property
    def address(self) -> int:
        """Address of the flag, which is nonzero once the work should end."""
        return ctypes.addressof(self._flag)

    def for_helper(self) -> Watch:
        """Return a watch for another thread that helps with the work and stops with it."""
        other = Watch()
        other._flag, other.deadline, other.processors = self._flag, self.deadline, self.processors
        return other

    def look(self) -> None:
        """Raise `Stopped` if the work should stop or its deadline has passed."""
        if self.is_stopped or (self.deadline is not None and time.monotonic() > self.deadline):
            raise Stopped

    def begin(self, where: str) -> None:
        """Note that a filter begins on a backend."""
        self.where = where
        self.held = None
        self._shares = {}
        self._done = self._share = self._part = 0.0

    def plan(self, work: Mapping[Hashable, float]) -> None:
        """Set the parts of a filter's work and their relative costs."""
        total = sum(work.values()) or 1.0
        self._shares = {part: cost / total for part, cost in work.items()}
        self._done = self._share = self._part = 0.0

    def enter(self, part: Hashable) -> None:
        """Note that a part begins; a part that was not planned belongs to the previous one."""
        self.look()
        share = self._shares.get(part)
        if share is not None:
            self._done, self._share, self._part = self._done + self._share, share, 0.0

    def end(self) -> None:
        """Note that a filter has ended."""
        self._steps_done += 1
        self._done = self._share = self._part = 0.0

    @property
    def progress(self) -> float:
        """Fraction of the work that is done, from 0 to 1; all filters count the same."""
        within = min(self._done + self._share * self._part, 1.0)
        steps = max(self.steps, self._steps_done + 1)
        return min((self._steps_done + within) / steps, 1.0)


class _Local(threading.local):
    watch: Watch | None = None
    interrupt: Watch | None = None
    stopper: Watch | None = None  # the watch, otherwise the interrupt


local = _Local()  # for code that checks in each call; other code calls the functions below
_unset = ctypes.c_int64(0)
UNSET = ctypes.addressof(_unset)  # the flag of work without a watch


@contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
    """Make this thread's work in the context check ``watch``."""
    outer, local.watch = local.watch, watch
    local.stopper = watch or local.interrupt
    try:
        yield
    finally:
        local.watch = outer
        local.stopper = outer or local.interrupt


def watch() -> Watch | None:
    """Return the watch of this thread's work."""
    return local.watch


def flag() -> int:
    """Return the address of the flag that this thread's work checks."""
    found = local.stopper
    return UNSET if found is None else found.address


def look() -> None:
    """Raise `Stopped` if this thread's work should stop."""
    found = local.stopper
    if found is not None:
        found.look()


def within(done: float) -> None:
    """Set the fraction of the current part of the work that is done, and raise `Stopped` if it should stop."""
    found = local.stopper
    if found is not None:
        found._part = done
        found.look()


@contextmanager
def interrupted_by(watch: Watch) -> Iterator[None]:
    """Stop this thread's work in the context with ``watch``, without dividing it into smaller pieces."""
    outer, local.interrupt = local.interrupt, watch
    local.stopper = local.watch or watch
    try:
        yield
    finally:
        local.interrupt = outer
        local.stopper = local.watch or outer


def handles_signals() -> bool:
    """Return whether this is the thread that receives signals, and its work has no watch."""
    return local.watch is None and threading.current_thread() is threading.main_thread()


def _call_in_thread(function: Callable[[], None]) -> bool:
    """Call a function in a new thread; return False if none can be started.

    The thread ends with the call, as do the threads that OpenMP has started for it. If they were kept, GNU OpenMP would
    have more threads than processors, and put those of all other callers to sleep between calls: waking one takes
    longer than most filters of a small image. Functions called here are long.
    """
    if sys.is_finalizing():
        return False
    try:
        threading.Thread(target=function, daemon=True, name="gpuimg work").start()
    except RuntimeError as error:
        if "new thread" not in str(error):  # of a signal's handler
            raise
        return False  # no threads left, or the interpreter is shutting down
    return True


def interruptibly(function: Callable[[], T], watch: Watch) -> T:
    """Call a function in another thread while this one handles signals.

    An exception from a handler stops the work, which checks ``watch``; it is raised once the function has returned.
    """
    ended = threading.Lock()
    ended.acquire()
    begun: list[None] = []
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            begun.append(None)  # before the check: either this is stopped in time, or the other thread waits for it
            with interrupted_by(watch):
                watch.look()
                results.append(function())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.release()

    try:
        if not _call_in_thread(work):
            return function()
        while not ended.acquire(timeout=PATIENCE):  # on Windows, signals do not interrupt it
            pass
    except BaseException as interrupt:
        watch.stop()
        _wait_for(ended, begun, interrupt)
    if errors:
        raise errors.pop()  # removed from the list, so that the traceback is in no reference cycle
    return results.pop()


def _wait_for(ended: threading.Lock, begun: list[None], interrupt: BaseException) -> NoReturn:
    """Raise an interrupt, or the last one in the meantime, once the work has ended or if it has not begun."""
    while begun:
        try:
            if ended.acquire(timeout=PATIENCE):
                break
        except BaseException as another:
            interrupt = another
    raise interrupt
