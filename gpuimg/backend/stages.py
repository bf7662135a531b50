"""Copies between the host and a CUDA device: direct if the host memory is page-locked, else through pinned memory.

The host's memory limits a call on a large image: a copy by the cores takes about as long as one over the bus, and so do
both directions together. So results go to page-locked memory, and one thread is enough for the other copies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpuimg import memory
from gpuimg.backend.base import Array
from gpuimg.backend.compiled import prepare
from gpuimg.backend.driver import fill_bands, thread_count

STAGE_BYTES = 4 << 20  # small enough for the device to read them from the processor's cache
STAGES = 4  # one being filled, one being copied, others waited for
AHEAD = 3  # bands being sent or received, in addition to the one being processed
ROW_BYTES = 1 << 16  # of one row in a copy by several threads
SHARED_FROM = 1 << 20  # bytes; smaller copies use one thread


def copy_bytes(source: Array, target: Array) -> None:
    """Copy bytes with all cores: one core is slower than the bus."""
    rows = source.size // ROW_BYTES if source.size >= SHARED_FROM else 0
    shared = rows * ROW_BYTES
    if rows:
        both = source[:shared].reshape(rows, ROW_BYTES), target[:shared].reshape(rows, ROW_BYTES)
        fill_bands(*prepare("copy", *both, ()), 0, rows, min(rows, thread_count()))
    target[shared:] = source[shared:]


class Stage:
    """A pinned buffer for one copy at a time."""

    def __init__(self, cupy: Any, cupyx: Any) -> None:
        self.memory: Array = cupyx.empty_pinned((STAGE_BYTES,), np.uint8)
        self.address: int = self.memory.ctypes.data
        self.event = cupy.cuda.Event(disable_timing=True)
        self._landing: Array | None = None

    def wait(self) -> None:
        """Wait for the copy, and move received bytes to their destination."""
        self.event.synchronize()
        if self._landing is not None:
            copy_bytes(self.memory[: self._landing.size], self._landing)
        self._landing = None

    def expect(self, landing: Array) -> None:
        """Set the destination of the bytes."""
        self._landing = landing


class Copies:
    """Copies in one direction, in one stream; ``locker`` page-locks gpuimg's memory, see `gpuimg.memory.lock`."""

    def __init__(self, cupy: Any, cupyx: Any, locker: memory.Locker) -> None:
        self._cupy, self._cupyx, self._locker = cupy, cupyx, locker
        self._runtime = cupy.cuda.runtime
        self._locked: dict[memory.Block, bool] = {}
        self._stages: deque[Stage] = deque()  # in order of use
        self._most = STAGES
        self._last: Any = None

    def send(self, host: Array, array: Any, stream: Any) -> Any:
        """Copy an array to the device; return the event after which it is there."""
        for piece, address, stage in self._ways(host, array):
            where = piece.ctypes.data
            if stage is not None:
                copy_bytes(piece, stage.memory[: piece.size])
                where = stage.address
            self._runtime.memcpyAsync(address, where, piece.size, self._runtime.memcpyHostToDevice, stream.ptr)
            if stage is not None:
                stage.event.record(stream)
        return self._recorded(stream)

    def receive(self, array: Any, out: Array, stream: Any) -> Any:
        """Start copying an array to the host, complete after `finish`; return the event after which it was read."""
        for piece, address, stage in self._ways(out, array):
            where = piece.ctypes.data if stage is None else stage.address
            self._runtime.memcpyAsync(where, address, piece.size, self._runtime.memcpyDeviceToHost, stream.ptr)
            if stage is not None:
                stage.event.record(stream)
                stage.expect(piece)
        return self._recorded(stream)

    def finish(self) -> None:
        """Wait for all copies, in order."""
        for stage in self._stages:
            stage.wait()
        if self._last is not None:
            self._last.synchronize()

    def _recorded(self, stream: Any) -> Any:
        self._last = self._cupy.cuda.Event(disable_timing=True)
        self._last.record(stream)
        return self._last

    def _ways(self, host: Array, array: Any) -> Iterator[tuple[Array, int, Stage | None]]:
        """Yield the bytes of a host array, their addresses on the device, and a stage if needed."""
        contents = host.reshape(-1).view(np.uint8)
        straight = self._is_locked(contents)
        size = contents.size if straight else STAGE_BYTES
        for first in range(0, contents.size, size):
            # Without a stage, the driver copies through its own buffer and waits.
            yield contents[first : first + size], array.data.ptr + first, None if straight else self._next()

    def _is_locked(self, contents: Array) -> bool:
        block = memory.block_of(contents)
        if block is None:
            return False
        if block not in self._locked:
            self._locked[block] = memory.lock(block, self._locker)
        return self._locked[block]

    def _next(self) -> Stage | None:
        """Return a free stage; None if there is no pinned memory."""
        if len(self._stages) < self._most:
            try:
                self._stages.append(Stage(self._cupy, self._cupyx))
                return self._stages[-1]
            except (MemoryError, self._runtime.CUDARuntimeError):
                self._most = len(self._stages)
        if not self._stages:
            return None
        self._stages.rotate(-1)
        self._stages[-1].wait()
        return self._stages[-1]


class Pipeline:
    """A device for successive bands: the next ones are sent and the last ones received while one is processed.

    Kernels run in the current stream; everything else is delegated to the device.
    """

    def __init__(self, gpu: Any, cupy: Any, cupyx: Any, down: Any, up: Any) -> None:
        self._gpu = gpu
        self._cupy = cupy
        self._down, self._up = down, up
        self._compute = cupy.cuda.get_current_stream()
        self._sending, self._receiving = (Copies(cupy, cupyx, gpu.lock_memory) for _ in range(2))
        # Arrays for the next kernels; those of earlier bands, with the events after which they have been read; results,
        # with the events after which they have been copied.
        self._reading: list[Any] = []
        self._read: deque[tuple[list[Any], Any]] = deque()
        self._received: deque[tuple[Any, Any]] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gpu, name)

    def put(self, host: Array) -> Any:
        """Copy an array to the device for the next kernels."""
        while len(self._read) >= AHEAD:
            # The next copies overwrite the memory freed here.
            self._down.wait_event(self._read.popleft()[1])
        with self._down:
            array = self._gpu.empty(host.shape, host.dtype)
        self._reading.append(array)
        self._compute.wait_event(self._sending.send(host, array, self._down))
        return array

    def get(self, array: Any, out: Array) -> Array:
        """Start copying a result to the host."""
        made = self._cupy.cuda.Event(disable_timing=True)
        made.record(self._compute)
        self._up.wait_event(made)
        while len(self._received) >= AHEAD:
            # The next kernels overwrite the memory freed here.
            self._compute.wait_event(self._received.popleft()[1])
        self._received.append((array, self._receiving.receive(array, out, self._up)))
        if self._reading:
            self._read.append((self._reading, made))
            self._reading = []
        return out

    def finish(self) -> None:
        """Wait for the results."""
        self._receiving.finish()

    def close(self) -> None:
        """Wait until no copy is under way."""
        for stream in (self._down, self._compute, self._up):
            stream.synchronize()


@contextmanager
def waited_for(cupy: Any, cupyx: Any, locker: memory.Locker) -> Iterator[tuple[Copies, Any]]:
    """Return a context for copies in the current stream, complete at its end."""
    copies, stream = Copies(cupy, cupyx, locker), cupy.cuda.get_current_stream()
    try:
        yield copies, stream
        copies.finish()
    finally:
        stream.synchronize()
