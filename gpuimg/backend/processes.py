"""Worker processes: the same compiled kernels, with pixels in shared memory and only row numbers in messages.

Workers are spawned, never forked, and kept for the next call. The parent alone creates and unlinks shared memory. A
worker that dies is replaced and its band done again, once.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing import connection, get_context
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from gpuimg.backend.base import Array, CpuBackend
from gpuimg.backend.compiled import DONE, prepare
from gpuimg.backend.single import check_done
from gpuimg.backend.walk import Bound
from gpuimg.errors import BackendFailed
from gpuimg.machine import processor_count
from gpuimg.memory import new_array

BANDS_PER_WORKER = 4  # so that a slow worker does not hold up the others
START_SECONDS = 60.0


class Shared(NamedTuple):
    """An array in shared memory, as a message names it."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Task(NamedTuple):
    """A kernel with its arguments; sent to each worker once, before its first band."""

    number: int
    kernel: str
    src: Shared
    dst: Shared
    args: tuple[Any, ...]


def reserve(nbytes: int) -> SharedMemory:
    """Create shared memory that is really there: writing to more than the system has would kill the process."""
    memory = SharedMemory(create=True, size=max(1, nbytes))
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(memory._fd, 0, max(1, nbytes))  # type: ignore[attr-defined]
    except OSError as error:
        memory.close()
        memory.unlink()
        raise BackendFailed(
            f"no shared memory for {nbytes} bytes ({error.strerror}): enlarge /dev/shm (docker run --shm-size)"
        ) from None
    return memory


def _array(memory: SharedMemory, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.ndarray(shape, dtype, memory.buf)


class Arena:
    """The shared memory of one call."""

    def __init__(self) -> None:
        self._blocks: dict[str, SharedMemory] = {}

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        memory = reserve(math.prod(shape) * dtype.itemsize)
        self._blocks[memory.name] = memory
        return _array(memory, shape, dtype)

    def describe(self, array: Array) -> Shared:
        """How a message names an array of this arena."""
        name = self._block_of(array)
        if name is None:
            raise KeyError("the array does not lie in this arena")
        return Shared(name, array.shape, array.dtype.str)

    def shared(self, array: Array) -> Array:
        """The array itself if it lies in this arena, else a copy that does."""
        if self._block_of(array) is not None:
            return array
        copied = self.empty(array.shape, array.dtype)
        np.copyto(copied, array)
        return copied

    def argument(self, value: Any) -> Any:
        """A kernel's argument for a message: an array of this arena by name, all else as it is."""
        return self.describe(value) if isinstance(value, np.ndarray) and self._block_of(value) else value

    def _block_of(self, array: Array) -> str | None:
        address = array.ctypes.data
        for name, memory in self._blocks.items():
            if _array(memory, (1,), np.dtype(np.uint8)).ctypes.data == address:
                return name
        return None

    def close(self) -> None:
        for memory in self._blocks.values():
            memory.unlink()
            with contextlib.suppress(BufferError):  # an array still looks at it: the mapping goes with that array
                memory.close()
        self._blocks.clear()


def work(messages: connection.Connection) -> None:
    """What a worker does: take a task, fill bands of rows, say when each is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it stops the workers
    with contextlib.suppress(EOFError, OSError), contextlib.ExitStack() as attached:
        while True:
            message = messages.recv()
            try:
                if isinstance(message, Task):
                    attached.close()
                    run_band = attached.enter_context(_attached(message))
                else:
                    messages.send(run_band(*message))
            except Exception as error:
                messages.send(error)


def _bands_of(kernel: str, arguments: tuple[Any, ...]) -> Callable[[int, int], tuple[int, float]]:
    src, dst, *args = arguments
    code, packed = prepare(kernel, src, dst, tuple(args))

    def run_band(top: int, bottom: int) -> tuple[int, float]:
        start = time.perf_counter()
        done = code.call(packed.address, top, bottom)
        return done, time.perf_counter() - start

    return run_band


@contextlib.contextmanager
def _attached(task: Task) -> Iterator[Any]:
    memories = []
    try:
        arguments: list[Any] = []
        for argument in (task.src, task.dst, *task.args):
            if isinstance(argument, Shared):
                memories.append(SharedMemory(argument.name))
                argument = _array(memories[-1], argument.shape, np.dtype(argument.dtype))
            arguments.append(argument)
        run_band = _bands_of(task.kernel, tuple(arguments))
        del argument, arguments
        yield run_band
        del run_band
    finally:
        for memory in memories:
            with contextlib.suppress(BufferError):
                memory.close()


class Worker:
    """A worker process and the parent's end of its messages."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.messages, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True, name="gpuimg worker")
        self.process.start()
        theirs.close()
        self.task = 0
        self.band: tuple[int, int] | None = None

    def give(self, task: Task, band: tuple[int, int]) -> None:
        self.band = band
        if self.task != task.number:
            self.messages.send(task)
            self.task = task.number
        self.messages.send(band)

    def stop(self) -> None:
        self.messages.close()
        self.process.kill()
        self.process.join(5)


class Round:
    """One pass over an image: which bands wait, which were done again, and the seconds spent in compiled code."""

    def __init__(self, task: Task, bands: list[tuple[int, int]]) -> None:
        self.task = task
        self.waiting = deque(bands)
        self.repeated: set[tuple[int, int]] = set()
        self.seconds = 0.0

    def repeat(self, band: tuple[int, int], exit_code: int | None) -> None:
        """Put a band back whose worker died, once."""
        if band in self.repeated:
            raise BackendFailed(
                f"a worker process died twice at rows {band[0]} to {band[1]} (exit code {exit_code}); in a script, "
                'calls that start processes must stand under `if __name__ == "__main__":`'
            )
        self.repeated.add(band)
        self.waiting.appendleft(band)


class Workers:
    """The worker processes of this process, started at first use."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []
        self._lock = threading.Lock()
        self._count = 0

    def fill(self, task: Task, bands: list[tuple[int, int]], count: int) -> float:
        """Fill all bands; gives the seconds that compiled code took, all workers together."""
        with self._lock:
            self._count += 1
            current = Round(task._replace(number=self._count), bands)
            try:
                self._fill(current, count)
            except BaseException:
                self.stop()
                raise
            return current.seconds

    def _fill(self, current: Round, count: int) -> None:
        while len(self._workers) < count:
            self._workers.append(Worker())
        for worker in self._workers[: len(current.waiting)]:
            self._hand_out(worker, current)
        while busy := {worker.messages: worker for worker in self._workers if worker.band is not None}:
            for ready in connection.wait(list(busy), timeout=1.0):
                self._take(busy[ready], current)  # type: ignore[index]

    def _take(self, worker: Worker, current: Round) -> None:
        try:
            answer = worker.messages.recv()
        except (EOFError, OSError):
            self._replace(worker, current)
            return
        if isinstance(answer, Exception):
            raise BackendFailed(f"a worker process failed in the kernel {current.task.kernel!r}: {answer}") from answer
        done, seconds = answer
        check_done(current.task.kernel, done, DONE)
        current.seconds += seconds
        worker.band = None
        if current.waiting:
            self._hand_out(worker, current)

    def _hand_out(self, worker: Worker, current: Round) -> None:
        try:
            worker.give(current.task, current.waiting.popleft())
        except OSError:
            self._replace(worker, current)

    def _replace(self, worker: Worker, current: Round) -> None:
        worker.process.join(1)
        assert worker.band is not None
        current.repeat(worker.band, worker.process.exitcode)
        worker.stop()
        fresh = Worker()
        self._workers[self._workers.index(worker)] = fresh
        self._hand_out(fresh, current)

    def stop(self) -> None:
        """End all workers; the next call starts new ones."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.stop()

    def forget(self) -> None:
        """In a forked child: the workers are the parent's."""
        self.__init__()  # type: ignore[misc]


_workers = Workers()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.forget)


class Processes(CpuBackend):
    """Worker processes, one for each processor."""

    name = "processes"

    def __init__(self) -> None:
        self._arenas = threading.local()

    @property
    def workers(self) -> int:
        return processor_count()

    def detail(self) -> str:
        return f"{self.workers} worker processes, started at first use"

    def unusable(self) -> str | None:
        import multiprocessing

        if multiprocessing.current_process().daemon:
            return "this process is itself a daemonic worker, which may not start processes"
        return None

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        arena: Arena = self._arenas.current
        return arena.empty(shape, dtype)

    def take(self, image: Array) -> Array:
        source = self.empty(image.shape, image.dtype)
        np.copyto(source, image)
        return source

    def shared(self, other: Array) -> Array:
        arena: Arena = self._arenas.current
        return arena.shared(other)

    def run(self, passes: Any, image: Array, out: Array | None) -> Any:
        arena = self._arenas.current = Arena()
        try:
            # A graph's images are taken as the walk comes to them.
            source = image if isinstance(passes, Bound) else self.take(image)
            result = super().run(passes, source, None)
            if not isinstance(result, np.ndarray) or result.base is None:
                return result
            if out is None:
                out = new_array(result.shape, result.dtype)
            np.copyto(out, result.view(out.dtype))  # a mask's result is bytes
            return out
        finally:
            del self._arenas.current
            source = result = None  # type: ignore[assignment]
            arena.close()

    def fill(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], rows: int, bands: int) -> float:
        arena: Arena = self._arenas.current
        prepare(kernel, src, dst, args)  # compiled once, on disk, before all workers want it
        count = 1 if bands == 1 else min(rows, self.workers * BANDS_PER_WORKER)
        edges = [rows * band // count for band in range(count + 1)]
        sent = tuple([arena.argument(arg) for arg in args])
        task = Task(0, kernel, arena.describe(src), arena.describe(dst), sent)
        seconds = _workers.fill(task, list(pairwise(edges)), self.workers)
        return seconds / self.speedup()
