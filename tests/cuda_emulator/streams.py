"""Streams of emulated devices: what is put into one is carried out as late as possible, when something waits for it.

So a kernel that does not wait for what it reads finds memory as it was before, and a copy reads what pinned memory
holds by then. Memory that is let go belongs to the stream in which it was requested, as in CuPy's pool: with the next
request there that stream is carried out and the memory overwritten, while others that may still read it lag behind.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

LET_GO = 0xA5  # the byte that memory holds afterwards


class HostCopy(NamedTuple):
    """A copy from or to the host's memory."""

    target: int
    source: int
    size: int


class Queue:
    """What has been put into a stream of a device and is still to be done."""

    def __init__(self, device: int) -> None:
        self.device = device
        self.waiting: deque[tuple[Callable[[], object], HostCopy | None]] = deque()
        self.begun = 0
        self.done = 0


class Memory(NamedTuple):
    """An allocation on a device."""

    first: int
    size: int
    queue: Queue
    held: bytearray


class Streams:
    """All streams and all memory."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []  # what was put into which stream, and what was waited for
        self.lock = threading.RLock()
        self._queues: list[Queue] = []
        self._memory: dict[int, Memory] = {}
        self._let_go: deque[Memory] = deque()
        self._dead: list[Memory] = []  # which what is still to be done may read

    def queue(self, device: int) -> Queue:
        """A new stream of a device."""
        made = Queue(device)
        self._queues.append(made)
        return made

    def put(self, queue: Queue, work: Callable[[], object], copy: HostCopy | None = None) -> None:
        with self.lock:
            queue.waiting.append((work, copy))
            queue.begun += 1

    def carry_out(self, queue: Queue, until: int | None = None) -> None:
        """Do what was put into a stream, or so much of it."""
        with self.lock:
            self._run(queue, queue.begun if until is None else until)

    def carry_out_all(self, device: int | None = None) -> None:
        for queue in list(self._queues):
            if device is None or queue.device == device:
                self.carry_out(queue)

    def _run(self, queue: Queue, until: int) -> None:
        while queue.done < until:
            work, _ = queue.waiting.popleft()
            queue.done += 1
            work()

    def wait(self, queue: Queue, other: Queue, until: int) -> None:
        """Let a stream wait for so much of another one."""
        self.put(queue, lambda: self._run(other, until))

    @property
    def copies(self) -> list[HostCopy]:
        """Copies from and to the host's memory that are under way."""
        with self.lock:
            return [copy for queue in self._queues for _, copy in queue.waiting if copy is not None]

    # ------------------------------------------------------------ memory

    def reserve(self, queue: Queue, size: int, fill: int) -> np.ndarray:
        """Memory that stays while anything under way may read it."""
        held = bytearray([fill]) * size
        array = np.frombuffer(held, np.uint8)
        memory = Memory(array.ctypes.data, size, queue, held)
        with self.lock:
            self._overwrite(queue)
            self._memory[memory.first] = memory
            # Whatever had this memory before may still have to write to it there: other streams have to wait.
            self.put(queue, partial(ctypes.memset, memory.first, fill, size))
        # Arrays die in any thread, and while the lock is held.
        weakref.finalize(array, self._let_go.append, memory).atexit = False
        return array

    def memory_at(self, address: int) -> Memory | None:
        """The allocation that an address lies in."""
        with self.lock:
            firsts = sorted(self._memory)
            number = bisect_right(firsts, address) - 1
            found = self._memory[firsts[number]] if number >= 0 else None
            return found if found is not None and address < found.first + found.size else None

    def _overwrite(self, queue: Queue) -> None:
        """Use memory again that was let go in a stream, as early as other streams allow."""
        for _ in range(len(self._let_go)):
            memory = self._let_go.popleft()
            if memory.queue is not queue:
                self._let_go.append(memory)
                continue
            self._run(queue, queue.begun)
            ctypes.memset(memory.first, LET_GO, memory.size)
            del self._memory[memory.first]
            self._dead.append(memory)
        if not any(each.waiting for each in self._queues):
            self._dead.clear()
