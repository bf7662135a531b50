"""Copies between the host and a CUDA device by way of pinned memory, which all cores fill and empty."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import numpy as np

from gpuimg.backend.base import Array
from gpuimg.backend.compiled import prepare
from gpuimg.backend.driver import fill_bands, thread_count

STAGE_BYTES = 16 << 20
STAGES = 3  # one is filled, one under way, one waited for
ROW_BYTES = 1 << 16  # of a copy by several threads
SHARED_FROM = 1 << 20  # bytes, from which on threads are worth waking


def copy_bytes(source: Array, target: Array) -> None:
    """Copy bytes by all cores: one core is slower than the bus."""
    rows = source.size // ROW_BYTES if source.size >= SHARED_FROM else 0
    shared = rows * ROW_BYTES
    if rows:
        both = source[:shared].reshape(rows, ROW_BYTES), target[:shared].reshape(rows, ROW_BYTES)
        fill_bands(*prepare("copy", *both, ()), 0, rows, min(rows, thread_count()))
    target[shared:] = source[shared:]


class Stage:
    """Pinned memory that one copy at a time passes through."""

    def __init__(self, cupy: Any, cupyx: Any) -> None:
        self.memory: Array = cupyx.empty_pinned((STAGE_BYTES,), np.uint8)
        self.event = cupy.cuda.Event(disable_timing=True)
        self._landing: Array | None = None
        self._held: Any = None

    def wait(self) -> None:
        """Wait for the copy, and move what it brought to where it belongs."""
        self.event.synchronize()
        if self._landing is not None:
            copy_bytes(self.memory[: self._landing.size], self._landing)
        self._landing = self._held = None

    def expect(self, landing: Array, held: Any) -> None:
        """Say where the bytes belong, and what must be kept until they are here."""
        self._landing, self._held = landing, held


class Stages:
    """Several of them, which take turns."""

    def __init__(self, cupy: Any, cupyx: Any) -> None:
        self._runtime = cupy.cuda.runtime
        self._stages = [Stage(cupy, cupyx) for _ in range(STAGES)]
        self._turn = cycle(self._stages)
        self._used: deque[Stage] = deque()

    def _next(self) -> Stage:
        stage = next(self._turn)
        if stage in self._used:
            self._used.remove(stage)
            stage.wait()
        self._used.append(stage)
        return stage

    def send(self, host: Array, array: Any, stream: Any) -> Any:
        """Copy an array to the device; return the event after which it is there."""
        stage = None
        for piece, address in _pieces(host, array):
            stage = self._next()
            copy_bytes(piece, stage.memory[: piece.size])
            where = stage.memory.ctypes.data
            self._runtime.memcpyAsync(address, where, piece.size, self._runtime.memcpyHostToDevice, stream.ptr)
            stage.event.record(stream)
        assert stage is not None
        return stage.event

    def receive(self, array: Any, out: Array, stream: Any) -> None:
        """Begin to copy an array to the host; it is there after `finish`."""
        for piece, address in _pieces(out, array):
            stage = self._next()
            where = stage.memory.ctypes.data
            self._runtime.memcpyAsync(where, address, piece.size, self._runtime.memcpyDeviceToHost, stream.ptr)
            stage.event.record(stream)
            stage.expect(piece, array)

    def finish(self) -> None:
        """Wait for all copies, in the order in which they were begun."""
        while self._used:
            self._used.popleft().wait()

    def close(self) -> None:
        """Wait until nothing is under way in the pinned memory any more, which goes back to its pool."""
        for stage in self._stages:
            stage.event.synchronize()


def _pieces(host: Array, array: Any) -> Iterator[tuple[Array, int]]:
    """The bytes of an array on the host, a stage at a time, and their addresses on the device."""
    contents = host.reshape(-1).view(np.uint8)
    for first in range(0, contents.size, STAGE_BYTES):
        yield contents[first : first + STAGE_BYTES], array.data.ptr + first


class Pipeline:
    """A device for bands one after the other: the next ones are sent and the last ones received while one is worked on.

    Kernels run in the current stream; everything else is the device's own.
    """

    def __init__(self, gpu: Any, cupy: Any, cupyx: Any, down: Any, up: Any) -> None:
        self._gpu = gpu
        self._cupy = cupy
        self._down, self._up = down, up
        self._compute = cupy.cuda.get_current_stream()
        self._sending, self._receiving = Stages(cupy, cupyx), Stages(cupy, cupyx)
        # Arrays that the kernels to come read; those of earlier bands, with the events after which they have been read.
        self._reading: list[Any] = []
        self._read: deque[tuple[list[Any], Any]] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gpu, name)

    def put(self, host: Array) -> Any:
        """An array on the device, for the kernels that are launched next."""
        while len(self._read) >= STAGES:
            # The next copies write over what is let go here.
            self._down.wait_event(self._read.popleft()[1])
        with self._down:
            array = self._gpu.empty(host.shape, host.dtype)
        self._reading.append(array)
        self._compute.wait_event(self._sending.send(host, array, self._down))
        return array

    def get(self, array: Any, out: Array) -> Array:
        """Begin to copy a result to the host."""
        made = self._cupy.cuda.Event(disable_timing=True)
        made.record(self._compute)
        self._up.wait_event(made)
        self._receiving.receive(array, out, self._up)
        if self._reading:
            self._read.append((self._reading, made))
            self._reading = []
        return out

    def finish(self) -> None:
        """Wait for the results."""
        self._receiving.finish()

    def close(self) -> None:
        """Wait until nothing is under way."""
        for stream in (self._down, self._compute, self._up):
            stream.synchronize()


@contextmanager
def staged(cupy: Any, cupyx: Any) -> Iterator[Stages]:
    """Stages for copies that are done afterwards."""
    stages = Stages(cupy, cupyx)
    try:
        yield stages
        stages.finish()
    finally:
        stages.close()
