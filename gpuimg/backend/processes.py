"""Worker processes: the same compiled kernels, with pixels in shared memory and only row numbers in messages.

Workers are started as `gpuimg.backend.worker`, never forked, and kept for the next call. Shared memory is unnamed, and
workers end with their connection, so nothing is left behind however a process ends. A worker that dies or is silent is
replaced and its band done again.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import math
import mmap
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, deque
from itertools import pairwise
from multiprocessing import Pipe, connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np

from gpuimg import stopping
from gpuimg.backend.base import Array, CpuBackend
from gpuimg.backend.compiled import DONE, prepare
from gpuimg.backend.single import check_done
from gpuimg.backend.walk import Bound, Outs, walk
from gpuimg.backend.worker import PING, Shared, Task, map_block, send_task
from gpuimg.errors import BackendFailed
from gpuimg.machine import processor_count
from gpuimg.memory import copy_pixels, nbytes_of, new_array
from gpuimg.plans.graph import AnyValue
from gpuimg.plans.value import Small

SCRIPT = Path(__file__).with_name("worker.py")
BANDS_PER_WORKER = 4  # so that a slow worker does not hold up the others
MOST_DEATHS = 3  # at one band, with no other band finished in between
SILENT_SECONDS = 30.0  # a worker that does not answer for this long is stopped or stuck
LOOKS = 10  # checks of silent workers in that time
LARGEST_SENT = 1 << 14  # bytes of an array in a message: sending must not wait for a stopped worker
RESERVED_AT_ONCE = 1 << 23  # bytes; an interrupted reservation is repeated
CHECKED = 1 << 26  # bytes; larger blocks are checked against the available memory


def _available() -> float:
    """Return the bytes of memory still available, as far as the system reports them."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return found["MemAvailable"] + found["SwapFree"]
    return math.inf


def _unnamed_file(nbytes: int) -> io.FileIO:
    """Create a file in memory that is freed when its last holder closes it."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # forbidden in some containers
            # No interrupt can come between the two calls: `next` makes both.
            file = next(map(io.FileIO, map(os.memfd_create, ("gpuimg",)), ("r+",)))
            file.truncate(nbytes)
            return file
    memory = SharedMemory(create=True, size=nbytes)
    memory.unlink()
    file = io.FileIO(os.dup(memory._fd), "r+")  # type: ignore[attr-defined]
    memory.close()
    return file


class Block:
    """Shared memory reserved in advance: writing to memory that the system lacks would kill the process."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = max(1, nbytes)
        self.tag = f"gpuimg-{uuid.uuid4()}" if sys.platform == "win32" else ""
        self.file = None if self.tag else _unnamed_file(self.nbytes)
        try:
            self.memory = self._reserve()
        except BaseException:
            self.close()
            raise

    def _reserve(self) -> mmap.mmap:
        if self.file is None:
            return map_block(self.tag, self.nbytes, -1)
        memory = map_block("", self.nbytes, self.file.fileno())
        try:
            if hasattr(os, "posix_fallocate"):
                for start in range(0, self.nbytes, RESERVED_AT_ONCE):
                    stopping.look()
                    os.posix_fallocate(self.file.fileno(), start, min(RESERVED_AT_ONCE, self.nbytes - start))
        except stopping.Stopped:  # freeing memory takes long: report to those who wait first
            raise
        except BaseException:
            memory.close()
            raise
        return memory

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return np.ndarray(shape, dtype, self.memory)

    def close(self) -> None:
        """Close the file; the memory is freed with the last array on it."""
        if self.file is not None:
            self.file.close()


def reserve(nbytes: int) -> Block:
    """Return shared memory of this many bytes; raise `BackendFailed` with the reason if there is none."""
    try:
        if nbytes > CHECKED and nbytes > _available():
            raise MemoryError("not enough memory")
        return Block(nbytes)
    except (OSError, MemoryError) as error:
        raise BackendFailed(
            f"no shared memory for {nbytes} bytes ({getattr(error, 'strerror', None) or error}): raise the memory "
            "limit, enlarge /dev/shm (docker run --shm-size), or use backend='multicore', which needs none"
        ) from None


class Arena:
    """The shared memory of one call."""

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}  # key: address

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        block = reserve(nbytes_of(shape, dtype))
        array = block.array(shape, dtype)
        self._blocks[array.ctypes.data] = block
        return array

    def shared(self, array: Array) -> Array:
        """Return the array if it is in this arena, otherwise a copy there."""
        if array.ctypes.data in self._blocks:
            return array
        copied = self.empty(array.shape, array.dtype)
        copy_pixels(array, copied)
        return copied

    def memory(self) -> list[mmap.mmap]:
        """The memory of all arrays."""
        return [block.memory for block in self._blocks.values()]

    def job(self, kernel: str, arguments: tuple[Any, ...]) -> Job:
        """Return a kernel's call as a job to send."""
        used: dict[int, int] = {}

        def sent(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            array = self.shared(value) if value.nbytes > LARGEST_SENT else value
            address = array.ctypes.data
            if address not in self._blocks:
                return array
            return Shared(used.setdefault(address, len(used)), array.shape, array.dtype.str)

        described = tuple([sent(argument) for argument in arguments])
        blocks = [self._blocks[address] for address in used]
        return Job(Task(kernel, described, tuple([(block.tag, block.nbytes) for block in blocks])), blocks)

    def close(self) -> None:
        for block in self._blocks.values():
            block.close()
        self._blocks.clear()


class Job:
    """A task and the files to send with it."""

    def __init__(self, task: Task, blocks: list[Block]) -> None:
        self.task = task
        self.files = [block.file.fileno() for block in blocks if block.file is not None]


def _start(theirs: Any) -> subprocess.Popen[bytes]:
    """Start a worker on its end of a connection.

    Its module search path is the interpreter's, without the current folder. A separate process group protects it from
    Ctrl-C while it starts.
    """
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = [sys.executable, *flags, "-P", str(SCRIPT)]
    if sys.platform == "win32":
        os.set_handle_inheritable(theirs.fileno(), True)
        return subprocess.Popen(
            [*command, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            startupinfo=subprocess.STARTUPINFO(lpAttributeList={"handle_list": [theirs.fileno()]}),
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
    return subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, process_group=0)


class Worker:
    """A worker process and the parent's end of its connection."""

    def __init__(self) -> None:
        self.messages, theirs = Pipe()
        try:
            self.process = _start(theirs)
        except OSError as error:
            raise BackendFailed(f"no worker process could be started with {sys.executable}: {error}") from error
        finally:
            theirs.close()
        self.has_task = False
        self.band: tuple[int, int] | None = None
        self.silent = 0  # checks since its last message
        with contextlib.suppress(OSError):  # it died already: its first band will report that
            self.messages.send((str(SCRIPT.parents[2]), sys.path))

    def give(self, job: Job, band: tuple[int, int]) -> None:
        self.band = band
        self.silent = 0
        if not self.has_task:
            send_task(self.messages, job.task, job.files)
            self.has_task = True
        self.messages.send(band)

    def end_task(self) -> None:
        """Release the task's memory."""
        if self.has_task:
            self.has_task = False
            with contextlib.suppress(OSError):  # it died since: the next call will report that
                self.messages.send(None)

    def kill(self) -> None:
        self.messages.close()
        self.process.kill()

    def stop(self) -> None:
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)


def _started() -> Worker:
    """Start a worker in another thread, where no signal handler can run and leak an open file."""
    workers: list[Worker] = []
    errors: list[BaseException] = []

    def start() -> None:
        try:
            workers.append(Worker())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=start, name="gpuimg worker start")
    try:
        thread.start()
    finally:
        with contextlib.suppress(RuntimeError):  # interrupted before it began
            thread.join()  # interrupts wait too; the worker then ends with its connection
    if errors:
        raise errors.pop()  # removed from the list: no reference cycle keeps the traceback's objects alive
    return workers.pop()


class Round:
    """One pass over an image: bands waiting, deaths of workers per band, and seconds spent in compiled code."""

    def __init__(self, job: Job, bands: list[tuple[int, int]]) -> None:
        self.job = job
        self.waiting = deque(bands)
        self.deaths: Counter[tuple[int, int]] = Counter()
        self.seconds = 0.0
        self.count, self.done = len(bands), 0

    def finish(self, seconds: float) -> None:
        self.done += 1
        self.seconds += seconds
        self.deaths.clear()

    def repeat(self, band: tuple[int, int], why: str) -> None:
        """Queue a band again whose worker died; raise after `MOST_DEATHS` with no other band finished in between."""
        self.deaths[band] += 1
        if self.deaths[band] >= MOST_DEATHS:
            raise BackendFailed(
                f"{MOST_DEATHS} worker processes in a row died at rows {band[0]} to {band[1]} of the kernel "
                f"{self.job.task.kernel!r} ({why}); the system may have killed them for lack of memory"
            )
        self.waiting.appendleft(band)


class Workers:
    """The worker processes of this process, started at first use."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []
        self._killed: list[Worker] = []  # not yet waited for
        self._lock = threading.RLock()
        self._busy = False
        self._looked = 0.0

    def fill(self, job: Job, bands: list[tuple[int, int]], count: int) -> float:
        """Fill all bands and return the seconds spent in compiled code, summed over workers."""
        with self._lock:
            if self._busy:  # called from a signal handler during another call in this thread
                return self._fill_apart(job, bands, count)
            current = Round(job, bands)
            try:
                self._busy = True
                self._fill(current, count)
                for worker in self._workers:
                    worker.end_task()
            except stopping.Stopped:  # soon: workers still write only to this call's memory
                self._kill()
                raise
            except BaseException:
                self.stop()
                raise
            finally:
                self._busy = False
            return current.seconds

    @staticmethod
    def _fill_apart(job: Job, bands: list[tuple[int, int]], count: int) -> float:
        others = Workers()
        try:
            return others.fill(job, bands, count)
        finally:
            others.stop()

    def _fill(self, current: Round, count: int) -> None:
        self._killed = [worker for worker in self._killed if worker.process.poll() is None]
        while len(self._workers) < count:
            self._workers.append(_started())
        for worker in self._workers[: len(current.waiting)]:
            self._hand_out(worker, current)
        while busy := {worker.messages: worker for worker in self._workers if worker.band is not None}:
            for ready in connection.wait(list(busy), timeout=min(SILENT_SECONDS / LOOKS, stopping.PATIENCE)):
                self._take(busy[ready], current)  # type: ignore[index]
            self._look(current)
            stopping.within(current.done / max(current.count, 1))

    def _take(self, worker: Worker, current: Round) -> None:
        try:
            answer = worker.messages.recv()
        except (EOFError, OSError):
            self._replace(worker, current)
            return
        worker.silent = 0
        if answer == PING:
            return
        kernel = current.job.task.kernel
        if isinstance(answer, str):
            raise BackendFailed(f"a worker process failed in the kernel {kernel!r}: {answer}")
        done, seconds = answer
        check_done(kernel, done, DONE)
        current.finish(seconds)
        worker.band = None
        if current.waiting:
            self._hand_out(worker, current)

    def _look(self, current: Round) -> None:
        """Replace stopped workers. Checks are counted, not seconds, as this process may have been stopped too."""
        now = time.monotonic()
        if now - self._looked < SILENT_SECONDS / LOOKS:
            return
        self._looked = now
        for worker in [worker for worker in self._workers if worker.band is not None]:
            worker.silent += 1
            if worker.silent > LOOKS:
                self._replace(worker, current, f"silent for {SILENT_SECONDS:g} s")
            elif worker.silent == 2:
                with contextlib.suppress(OSError):  # it died: its connection will report that
                    worker.messages.send(PING)

    def _hand_out(self, worker: Worker, current: Round) -> None:
        try:
            worker.give(current.job, current.waiting.popleft())
        except OSError:
            self._replace(worker, current)

    def _replace(self, worker: Worker, current: Round, why: str = "") -> None:
        assert worker.band is not None
        if not why:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(1)
        current.repeat(worker.band, why or f"exit code {worker.process.returncode}")
        worker.stop()
        fresh = _started()
        self._workers[self._workers.index(worker)] = fresh
        self._hand_out(fresh, current)

    def stop(self) -> None:
        """End all workers; the next call starts new ones."""
        self._kill()
        killed, self._killed = self._killed, []
        for worker in killed:
            worker.stop()

    def _kill(self) -> None:
        """Kill all workers without waiting."""
        self._killed += self._workers
        self._workers = []
        for worker in self._killed:
            worker.kill()

    def exit(self) -> None:
        """End all workers at exit; those that a thread still uses end with their connection."""
        if self._lock.acquire(blocking=False):
            self.stop()

    def forget(self) -> None:
        """Reset in a forked child: the workers are the parent's."""
        for worker in self._workers + self._killed:
            worker.messages.close()
            worker.process.returncode = 0  # not a child of this process: nothing to wait for
        self.__init__()  # type: ignore[misc]


_workers = Workers()
atexit.register(_workers.exit)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.forget)


class Processes(CpuBackend):
    """Worker processes, one per processor."""

    name = "processes"

    def __init__(self) -> None:
        self._arenas = threading.local()

    @property
    def workers(self) -> int:
        return processor_count()

    def detail(self) -> str:
        return f"{self.workers} worker processes, started at first use"

    def unusable(self) -> str | None:
        if getattr(sys, "frozen", False) or not sys.executable:
            return "there is no Python interpreter to start workers with, as in a frozen application"
        return super().unusable()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        arena: Arena = self._arenas.current
        return arena.empty(shape, dtype)

    def take(self, image: Array) -> Array:
        source = self.empty(image.shape, image.dtype)
        copy_pixels(image, source)
        return source

    def run(self, bound: Bound, outs: Outs | None = None) -> tuple[Any, ...]:
        interrupted = getattr(self._arenas, "current", None)  # of a call that a signal handler interrupted
        arena = self._arenas.current = Arena()
        try:
            targets = outs or (None,) * len(bound.graph.results)
            return tuple(map(_out_of_arena, bound.graph.results, walk(bound, self), targets))
        finally:
            self._arenas.current = interrupted
            watch = stopping.watch()
            if watch is not None:
                watch.held = arena.memory()
            arena.close()

    def fill_rows(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], rows: int, halo: int = 0) -> float:
        arena: Arena = self._arenas.current
        prepare(kernel, src, dst, args)  # compiled once, on disk, before all workers need it
        count = 1 if self.workers == 1 else min(rows, self.workers * BANDS_PER_WORKER)
        edges = [rows * band // count for band in range(count + 1)]
        job = arena.job(kernel, (src, dst, *args))
        seconds = _workers.fill(job, list(pairwise(edges)), self.workers)
        return seconds / self.speedup()


def _out_of_arena(value: AnyValue, result: Any, out: Array | None) -> Any:
    """Return a result in the caller's memory."""
    if isinstance(value, Small):
        return result
    if out is None:
        out = new_array(result.shape, result.dtype)
    copy_pixels(result.view(out.dtype), out)  # a mask is stored as bytes
    return out
