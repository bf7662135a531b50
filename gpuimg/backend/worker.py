"""A worker process: maps shared memory, fills bands of rows, reports when each is done.

The parent runs this file as a script, so that no module of the user is imported or run again. Messages go both ways on
one connection, on POSIX systems the standard input; when its other end is closed, the worker ends, whatever it is
doing. Until gpuimg is imported, only the standard library is available.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from multiprocessing import connection
from queue import SimpleQueue
from typing import Any, NamedTuple

PING = "ping"  # answered by the same, even during a band


class Shared(NamedTuple):
    """An array in shared memory: the number of its block in the task, its shape and dtype."""

    block: int
    shape: tuple[int, ...]
    dtype: str


class Task(NamedTuple):
    """A kernel with its arguments, sent to each worker before its first band.

    Attributes
    ----------
    arguments : source, destination and the kernel's other arguments; arrays in shared memory as `Shared`
    blocks : tag and bytes of each block of shared memory; tags are empty where blocks are sent as open files
    """

    kernel: str
    arguments: tuple[Any, ...]
    blocks: tuple[tuple[str, int], ...]


def _socket_of(messages: Any) -> contextlib.closing[Any]:
    """Return the connection as a socket."""
    # No interrupt can come between the copy of the descriptor and its owner: `next` makes both.
    return contextlib.closing(next(map(partial(socket.SocketType, -1, -1, -1), map(os.dup, (messages.fileno(),)))))


def send_task(messages: Any, task: Task, files: Sequence[int]) -> None:
    """Send a task, followed by the open files of its blocks."""
    messages.send(task)
    if files:
        with _socket_of(messages) as channel:
            socket.send_fds(channel, [b"\0"], files)


def _receive_files(messages: Any, count: int) -> list[int]:
    if sys.platform == "win32" or count == 0:
        return [-1] * count
    with _socket_of(messages) as channel:
        return socket.recv_fds(channel, 1, count)[1]


def map_block(tag: str, nbytes: int, file: int) -> mmap.mmap:
    """Map a block of shared memory, on Windows by its tag."""
    if sys.platform == "win32":
        return mmap.mmap(-1, nbytes, tagname=tag)
    return mmap.mmap(file, nbytes)


def _map_blocks(task: Task, files: list[int]) -> list[mmap.mmap]:
    try:
        if len(files) != len(task.blocks):
            raise OSError("too many open files")
        return [map_block(*block, file) for block, file in zip(task.blocks, files, strict=True)]
    finally:
        if sys.platform != "win32":
            for file in files:
                os.close(file)


def _bands_of(task: Task, files: list[int]) -> Callable[[int, int], tuple[int, float]]:
    """Return a function that fills rows [top, bottom) and returns the kernel's result and the seconds."""
    import numpy as np

    from gpuimg.backend.compiled import prepare

    memory = _map_blocks(task, files)
    src, dst, *args = [
        np.ndarray(each.shape, each.dtype, memory[each.block]) if isinstance(each, Shared) else each
        for each in task.arguments
    ]
    code, packed = prepare(task.kernel, src, dst, tuple(args))

    def run_band(top: int, bottom: int) -> tuple[int, float]:
        start = time.perf_counter()
        done = code.call(packed.address, top, bottom)
        return done, time.perf_counter() - start

    return run_band


def _listen(messages: Any, send: Callable[[Any], None], hand_on: Callable[[Any], None]) -> None:
    """Pass messages to the main thread until the parent is gone."""
    try:
        while True:
            message = messages.recv()
            if message == PING:
                send(PING)
            elif isinstance(message, Task):
                hand_on((message, _receive_files(messages, len(message.blocks))))
            else:
                hand_on(message)
    finally:
        os._exit(0)


def work(messages: Any) -> None:
    """Receive a task with its files, then bands of rows; None ends the task."""
    inbox: SimpleQueue[Any] = SimpleQueue()
    sending = threading.Lock()

    def send(answer: Any) -> None:
        with sending, contextlib.suppress(OSError):  # the parent is gone: the other thread ends the process
            messages.send(answer)

    threading.Thread(target=_listen, args=(messages, send, inbox.put), daemon=True).start()
    run_band: Any = None
    while True:
        message = inbox.get()
        try:
            if message is None:
                run_band = None  # releases the shared memory too
            elif isinstance(message[0], Task):
                run_band = _bands_of(*message)
            else:
                send(run_band(*message))
        except Exception as error:
            send(f"{type(error).__name__}: {error}")


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and stops the workers
    if sys.platform == "win32":
        messages: Any = connection.PipeConnection(int(sys.argv[1]))
    else:
        messages = connection.Connection(0)
    try:
        home, parents_path = messages.recv()
    except (EOFError, OSError):
        return
    sys.path += [folder for folder in parents_path if folder and folder not in sys.path]
    # Import the parent's gpuimg, but do not leave its folder ahead of the standard library's.
    sys.path.insert(0, home)
    package = import_module("gpuimg.backend.worker")  # unpickled objects are of its classes, not of this script's
    sys.path.remove(home)
    package.work(messages)


if __name__ == "__main__":
    _main()
