"""A worker process: maps shared memory, fills bands of rows, says when each is done.

The parent runs this file as a script, so that nothing of the user's is imported or run again. Messages come and go on
one connection, on POSIX systems the standard input; when its other end is closed, the worker ends, whatever it does.
Before gpuimg can be imported, only the standard library is there.
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

PING = "ping"  # answered by the same, also in mid-band


class Shared(NamedTuple):
    """An array in shared memory: the number of its block in the task, its shape and dtype."""

    block: int
    shape: tuple[int, ...]
    dtype: str


class Task(NamedTuple):
    """A kernel with its arguments, sent to each worker before its first band.

    Attributes
    ----------
    arguments : source, destination and what else the kernel takes; arrays in shared memory as `Shared`
    blocks : tag and bytes of each block of shared memory; tags are empty where blocks are sent as open files
    """

    kernel: str
    arguments: tuple[Any, ...]
    blocks: tuple[tuple[str, int], ...]


def _socket_of(messages: Any) -> contextlib.closing[Any]:
    """The connection as a socket."""
    # No interrupt can come between the copy of the descriptor and its owner: `next` makes both.
    return contextlib.closing(next(map(partial(socket.SocketType, -1, -1, -1), map(os.dup, (messages.fileno(),)))))


def send_task(messages: Any, task: Task, files: Sequence[int]) -> None:
    """Send a task, and after it the open files that its blocks are."""
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
    """Map a block of shared memory; on Windows it is known by its tag."""
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
    """A function of ``top`` and ``bottom`` that fills these rows; returns the kernel's result and the seconds."""
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
    """Hand messages on to the main thread until there is no parent any more."""
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
    """Take a task with its files, then bands of rows; None ends the task."""
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
                run_band = None  # and with it the shared memory
            elif isinstance(message[0], Task):
                run_band = _bands_of(*message)
            else:
                send(run_band(*message))
        except Exception as error:
            send(f"{type(error).__name__}: {error}")


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it stops the workers
    if sys.platform == "win32":
        messages: Any = connection.PipeConnection(int(sys.argv[1]))
    else:
        messages = connection.Connection(0)
    try:
        home, parents_path = messages.recv()
    except (EOFError, OSError):
        return
    sys.path += [folder for folder in parents_path if folder and folder not in sys.path]
    # The parent's gpuimg and no other; but its folder must not come before the standard library's for good.
    sys.path.insert(0, home)
    package = import_module("gpuimg.backend.worker")  # what is unpickled are its classes, not this script's
    sys.path.remove(home)
    package.work(messages)


if __name__ == "__main__":
    _main()
