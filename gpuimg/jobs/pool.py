"""Jobs, and the pool of threads that runs them."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

from gpuimg import stopping
from gpuimg.backend import compiling  # noqa: F401  registered with `atexit` before the pools, so it ends after them
from gpuimg.choosing import place_of
from gpuimg.errors import GpuimgError
from gpuimg.jobs.chains import Chain, filter_of
from gpuimg.machine import be_nice, processor_count
from gpuimg.memory import machine_memory
from gpuimg.run import on_streams_of

QUEUED = 1000
IDLE_SECONDS = 5.0  # after which an idle thread ends


class QueueFull(GpuimgError):
    """Raised when a pool's queue is full."""


class Seconds(NamedTuple):
    """Seconds that a job has waited, and seconds that it has run."""

    queued: float
    running: float


class Job(Future):  # type: ignore[type-arg]
    """The future result of a filter: a `concurrent.futures.Future` that can also be awaited.

    ``await job`` returns the result in any asyncio loop, and in Tornado coroutines; cancelling the task that awaits
    cancels the job. Errors are raised where the result is retrieved, with their traceback.
    """

    def __init__(self, call: Callable[[], Any], *, nbytes: int, steps: int, deadline: float | None) -> None:
        super().__init__()
        self.nbytes = nbytes
        self._call: Callable[[], Any] | None = call
        self._watch = stopping.Watch(steps)
        self._ending = threading.Lock()
        self._has_ended = self._was_stopped = False
        self._pool: Pool | None = None
        self._submitted = time.monotonic()
        self._began: float | None = None
        self._ended: float | None = None
        self._deadline = None if deadline is None else self._submitted + deadline
        self._watch.deadline = self._deadline

    # ------------------------------------------------------------ public interface

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self).__await__()

    def cancel(self) -> bool:
        """Cancel the job: a waiting job is dropped; a running job stops before its next band of rows.

        `result` raises `CancelledError` once the job has stopped; the contents of an array passed as ``out`` are then
        undefined.

        Returns
        -------
        bool : False if the job has already ended
        """
        if super().cancel():
            pool, self._call = self._pool, None
            if pool is not None:
                pool._forget(self)
            return True
        with self._ending:
            if not self._has_ended:
                self._watch.stop()
            return not self._has_ended or self._was_stopped

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call a function with the job once it has ended.

        It is called in the thread that ran the job or, if added in an asyncio loop, in that loop; immediately if the
        job has ended.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            super().add_done_callback(fn)
            return
        super().add_done_callback(fn if self.done() else partial(_call_in, loop, fn))

    def cancelled(self) -> bool:
        """Return whether the job was cancelled and has stopped."""
        return super().cancelled() or (self._was_stopped and self.done())

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception with which the job ended, or None."""
        found = super().exception(timeout)
        if isinstance(found, CancelledError) and self._was_stopped:
            raise found
        return found

    @property
    def progress(self) -> float:
        """Fraction of the work that is done, from 0 to 1; all filters count the same."""
        if self.done():
            return self._watch.progress if self._was_stopped or self._began is None else 1.0
        return self._watch.progress if self._began is not None else 0.0

    @property
    def where(self) -> tuple[str, str] | None:
        """The backend that ran the job's last filter, and its device; None before a filter has begun."""
        return place_of(self._watch.where) if self._watch.where else None

    @property
    def seconds(self) -> Seconds:
        """Seconds that the job has waited in the queue and seconds that it has run, until now or its end."""
        now = time.monotonic()
        end = self._ended if self._ended is not None else now
        began = self._began if self._began is not None else end
        return Seconds(began - self._submitted, end - began)

    def __repr__(self) -> str:
        state = (
            "cancelled" if self.cancelled() else "done" if self.done() else "running" if self.running() else "waiting"
        )
        return f"<gpuimg.Job {state}, {self.progress:.0%}>"

    # ------------------------------------------------------------ for the pool

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _run(self, processors: int) -> Callable[[], None]:
        """Do the work; return a function that delivers the result to those waiting for it."""
        self._began = time.monotonic()
        self._watch.processors = processors
        call, self._call = self._call, None
        result: Any = None
        error: BaseException | None = None
        try:
            assert call is not None
            with stopping.watched(self._watch):
                result = call()
        except BaseException as raised:
            error = raised
        with self._ending:
            self._has_ended = True
            self._was_stopped = self._watch.is_stopped
        self._ended = time.monotonic()
        try:
            if self._was_stopped:
                return partial(self._end_early, CancelledError(), (error, result))
            if isinstance(error, stopping.Stopped):
                return partial(self._end_early, TimeoutError(self._lateness()), error)
            return partial(self.set_result, result) if error is None else partial(self.set_exception, error)
        finally:
            del self, call, error  # the error's traceback references this frame, and with it the job's images

    def _end_early(self, told: BaseException, _held: Any) -> None:
        """Report that the work has stopped; its memory, held by ``_held``, is freed afterwards, which takes long."""
        self.set_exception(told)

    def _lateness(self) -> str:
        assert self._deadline is not None
        return f"the job was not done {self._deadline - self._submitted:g} s after it was submitted"

    def _expire(self) -> None:
        self._ended = time.monotonic()
        self.set_exception(TimeoutError(self._lateness()))


class _Waiting:
    """A job that waits for a place in the queue, and the callback for when it has one."""

    __slots__ = ("job", "tell")

    def __init__(self, job: Job, tell: Callable[[], None]) -> None:
        self.job = job
        self.tell = tell


class Pool:
    """Threads that run jobs, first in, first out, with a bounded queue.

    Parameters
    ----------
    running : maximum number of jobs that run at the same time, by default one per processor. They share the processors:
        a single job uses all of them
    queued : maximum number of waiting jobs
    queued_bytes : maximum bytes of pixels of waiting jobs, by default an eighth of the machine's memory. A single
        larger image is accepted if no other job waits
    processors : number of processors that the jobs share, by default all; or a function that returns it, called
        whenever a job begins
    niceness : increase of the threads' niceness, 0 to 19; higher values favour other work of the program and the
        machine. Linux only; other systems do not support it for threads

    A pool is a context manager, also asynchronous, which waits for its jobs on exit. At the end of the program, jobs
    are waited for as well. In a forked process, a pool is empty.

    Examples
    --------
    >>> import gpuimg
    >>> from gpuimg.demo import photo
    >>> with gpuimg.Pool(running=2) as pool:
    ...     jobs = [pool.submit(gpuimg.gaussian, photo(0.01), sigma=sigma) for sigma in (1, 2, 3)]
    >>> [job.result().shape for job in jobs]
    [(87, 115), (87, 115), (87, 115)]
    """

    def __init__(
        self,
        running: int | None = None,
        queued: int | None = None,
        queued_bytes: int | None = None,
        processors: int | Callable[[], int] | None = None,
        niceness: int = 0,
    ) -> None:
        self.running = _count("running", processor_count() if running is None else running, 1)
        self.queued = _count("queued", QUEUED if queued is None else queued, 0)
        bound = machine_memory() // 8 if queued_bytes is None else queued_bytes
        self.queued_bytes = _count("queued_bytes", bound, 0)
        given = processor_count() if processors is None else processors
        self._processors = given if callable(given) else _count("processors", given, 1)
        self.niceness = _count("niceness", niceness, 0)
        self._start()
        _pools.add(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._todo = threading.Condition(self._lock)  # for threads without work
        self._changed = threading.Condition(self._lock)  # for those who close
        self._queue: deque[Job] = deque()
        self._bytes = 0
        self._waiting: deque[_Waiting] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._busy: set[Job] = set()
        self._is_closed = False

    @property
    def processors(self) -> int:
        """Number of processors that the jobs share."""
        return max(self._processors(), 1) if callable(self._processors) else self._processors

    @property
    def waiting(self) -> int:
        """Number of jobs in the queue."""
        return len(self._queue)

    # ------------------------------------------------------------ submitting

    def submit(self, filter: Any, image: Any, /, *, deadline: float | None = None, **params: Any) -> Job:
        """Run a filter in the background; wait for a place while the queue is full.

        Parameters
        ----------
        filter : a filter, its name, the result of `chain`, or a plain function of an image that calls filters
        image : image for the filter; it must not be changed until the job has ended
        deadline : seconds from now after which the job is stopped, or no longer started, and raises a TimeoutError
        **params : parameters of the filter

        Returns
        -------
        Job

        Raises
        ------
        RuntimeError : the pool is closed
        """
        job = _job(filter, image, params, deadline)
        ready = threading.Event()
        waiting = self._enter(job, ready.set)
        if waiting is not None:
            try:
                ready.wait()
            except BaseException:
                self._leave(waiting)
                raise
        return job

    def submit_nowait(self, filter: Any, image: Any, /, *, deadline: float | None = None, **params: Any) -> Job:
        """Submit a job like `submit`, but raise `QueueFull` instead of waiting."""
        job = _job(filter, image, params, deadline)
        if self._enter(job, None) is not None:
            with self._lock:
                found = f"{len(self._queue)} jobs with {self._bytes} bytes of pixels wait"
            raise QueueFull(f"{found}; at most {self.queued} with {self.queued_bytes} bytes may")
        return job

    async def submit_async(self, filter: Any, image: Any, /, *, deadline: float | None = None, **params: Any) -> Job:
        """Submit a job like `submit`, but wait without blocking the loop."""
        job = _job(filter, image, params, deadline)
        loop = asyncio.get_running_loop()
        ready = loop.create_future()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_resolve, ready)

        waiting = self._enter(job, tell)
        if waiting is not None:
            try:
                await ready
            except BaseException:
                self._leave(waiting)
                raise
        return job

    def _enter(self, job: Job, tell: Callable[[], None] | None) -> _Waiting | None:
        """Put a job in the queue; if that is full, let it wait for a place unless ``tell`` is None."""
        waiting = _Waiting(job, tell or _nothing)
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the pool is closed")
            job._pool = self
            # A job's callback may submit: waiting for a place in the thread that frees places would deadlock.
            if threading.current_thread() in self._threads or (not self._waiting and self._fits(job)):
                self._admit(job)
                return None
            if tell is not None:
                self._waiting.append(waiting)
        return waiting

    def _fits(self, job: Job) -> bool:
        if len(self._busy) + len(self._queue) < self.running:
            return True
        if len(self._queue) + len(self._busy) >= self.queued + self.running:
            return False
        return not self._queue or self._bytes + job.nbytes <= self.queued_bytes

    def _admit(self, job: Job) -> None:
        self._queue.append(job)
        self._bytes += job.nbytes
        if self._idle >= len(self._queue):
            self._todo.notify()
        elif len(self._threads) < self.running:
            thread = threading.Thread(
                target=_work, args=(weakref.ref(self), self.niceness), daemon=True, name="gpuimg job"
            )
            self._threads.add(thread)
            try:
                thread.start()
            except BaseException:
                self._threads.discard(thread)
                if not self._threads:
                    self._queue.pop()
                    self._bytes -= job.nbytes
                    raise

    def _make_place(self) -> list[Callable[[], None]]:
        """Move jobs that wait for a place into the queue, as far as it has places; return their callbacks."""
        told = []
        while self._waiting and self._fits(self._waiting[0].job):
            waiting = self._waiting.popleft()
            self._admit(waiting.job)
            told.append(waiting.tell)
        return told

    def _leave(self, waiting: _Waiting) -> None:
        """Stop waiting for a place."""
        with self._lock, suppress(ValueError):
            self._waiting.remove(waiting)
        waiting.job.cancel()

    def _forget(self, job: Job) -> None:
        """Remove a job that was cancelled while waiting."""
        with self._lock:
            if job in self._queue:
                self._queue.remove(job)
                self._bytes -= job.nbytes
            told = self._make_place()
            self._changed.notify_all()
        _tell(told)

    # ------------------------------------------------------------ running

    def _turn(self) -> tuple[Job, int] | None:
        """Return the next job and its number of processors; None when this thread is to end."""
        while True:
            with self._lock:
                while not self._queue:
                    if self._is_closed or not self._wait_for_work():
                        self._threads.discard(threading.current_thread())
                        self._changed.notify_all()
                        return None
                job = self._queue.popleft()
                self._bytes -= job.nbytes
                is_late, is_wanted = job._is_late(), job.set_running_or_notify_cancel()
                if is_wanted and not is_late:
                    self._busy.add(job)
                told = self._make_place()
                sharing = min(self.running, len(self._busy) + len(self._queue))
            _tell(told)
            if not is_wanted:
                continue
            if not is_late:
                return job, max(1, self.processors // sharing)
            job._expire()

    def _wait_for_work(self) -> bool:
        self._idle += 1
        try:
            return self._todo.wait(IDLE_SECONDS) or bool(self._queue)
        finally:
            self._idle -= 1

    def _ended(self, job: Job) -> None:
        with self._lock:
            self._busy.discard(job)
            told = self._make_place()
            self._changed.notify_all()
        _tell(told)

    # ------------------------------------------------------------ closing

    def close(self, *, cancel: bool = False) -> None:
        """Accept no more jobs and wait for the remaining ones, or with ``cancel`` until they have stopped."""
        self._close(cancel)
        me = threading.current_thread()
        with self._lock:
            while self._threads - {me} or (self._queue and me not in self._threads):
                self._changed.wait(1.0)

    def _close(self, cancel: bool) -> None:
        with self._lock:
            self._is_closed = True
            refused = [*self._waiting]
            self._waiting.clear()
            jobs = [*self._queue, *self._busy] if cancel else []
            self._todo.notify_all()
        for waiting in refused:
            waiting.job.cancel()
            waiting.tell()
        for job in jobs:
            job.cancel()

    async def aclose(self, *, cancel: bool = False) -> None:
        """Close the pool without blocking the loop."""
        self._close(cancel)
        await asyncio.get_running_loop().run_in_executor(None, partial(self.close, cancel=cancel))

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close(cancel=kind is not None)

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self.aclose(cancel=kind is not None)


def _work(reference: weakref.ref[Pool], niceness: int) -> None:
    """Run jobs in a pool's thread; while idle, it references the pool no longer than `IDLE_SECONDS`."""
    be_nice(niceness)
    while True:
        pool = reference()
        turn = None if pool is None else pool._turn()
        if pool is None or turn is None:
            return
        job, processors = turn
        tell = job._run(processors)
        pool._ended(job)  # first, so that callbacks find the place free
        tell()
        job._watch.held = None
        del pool, turn, job, tell


def _tell(those: list[Callable[[], None]]) -> None:
    for tell in those:
        tell()


def _call_in(loop: asyncio.AbstractEventLoop, fn: Callable[[Future[Any]], object], job: Future[Any]) -> None:
    try:
        loop.call_soon_threadsafe(fn, job)
    except RuntimeError:  # the loop is closed
        fn(job)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _nothing() -> None:
    pass


def _count(name: str, value: Any, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return value


def _job(filter: Any, image: Any, params: dict[str, Any], deadline: float | None) -> Job:
    """Create a job that runs a filter, a chain or a function on an image."""
    found = None if isinstance(filter, Chain) else filter_of(filter)
    function = filter if found is None else found.function
    if not callable(function):
        raise TypeError(f"filter must be a filter, its name, a chain or a function, got {filter!r}")
    steps = len(filter) if isinstance(filter, Chain) else 1 if found is not None else 0
    call = partial(on_streams_of(image, _given(filter, params)), partial(function, image, **params))
    call = partial(copy_context().run, call)  # with what holds here, such as `use_backend`
    return Job(call, nbytes=_nbytes(image), steps=steps, deadline=deadline)


def _given(filter: Any, params: dict[str, Any]) -> Iterator[Any]:
    """Return the arguments of a job's filters, other than the image."""
    steps = [each for _, each in filter.steps] if isinstance(filter, Chain) else []
    for each in (params, *steps):
        for value in each.values():
            yield from value if isinstance(value, tuple) else (value,)


def _nbytes(image: Any) -> int:
    """Return the bytes of an image's pixels, 0 if unknown."""
    nbytes = getattr(image, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    size, bands = getattr(image, "size", None), getattr(image, "getbands", None)
    if isinstance(size, tuple) and bands is not None:
        return int(size[0]) * int(size[1]) * len(bands())
    return 0


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_default: Pool | None = None
_lock = threading.Lock()


def default_pool() -> Pool:
    """Return the default pool, created at first use."""
    global _default
    with _lock:
        if _default is None or _default._is_closed:
            _default = Pool()
        return _default


def submit(filter: Any, image: Any, /, *, pool: Pool | None = None, **params: Any) -> Job:
    """Run a filter in the background, in a thread.

    Parameters
    ----------
    filter : a filter, its name, the result of `chain`, or a plain function of an image that calls filters
    image : image for the filter; it must not be changed until the job has ended
    pool : the pool that runs it, by default a shared one
    **params : parameters of the filter

    Returns
    -------
    Job : a `concurrent.futures.Future` that can also be awaited. ``cancel`` stops it, even while it runs; ``progress``
        is the fraction of the work that is done

    Raises
    ------
    RuntimeError : the pool is closed

    Examples
    --------
    >>> import gpuimg
    >>> from gpuimg.demo import photo
    >>> job = gpuimg.submit(gpuimg.gaussian, photo(0.01), sigma=2)
    >>> job.result().dtype
    dtype('uint8')
    """
    return (pool or default_pool()).submit(filter, image, **params)


@atexit.register
def _finish_all() -> None:
    for pool in list(_pools):
        pool.close()


def _forget_all() -> None:
    """Empty the pools in a forked process: threads and jobs belong to the parent."""
    global _lock
    _lock = threading.Lock()
    for pool in list(_pools):
        jobs = [*pool._queue, *pool._busy, *[waiting.job for waiting in pool._waiting]]
        pool._start()
        for job in jobs:
            job._condition = threading.Condition()
            job._ending = threading.Lock()
            job._pool = None
            with suppress(Exception):
                job.set_exception(CancelledError("the job runs in the process that this one was forked from"))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
