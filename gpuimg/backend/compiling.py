"""Compiling in the background: threads that can be waited for interruptibly, and processes that compile for them.

While Numba compiles a function, its process can neither compile nor load another. So code that could hold up others is
compiled by `gpuimg.backend.compiler` in another process, which stores it in the disk cache. Idle processes are kept for
a few seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar

from gpuimg import stopping
from gpuimg.caching import cache_folder
from gpuimg.errors import BackendFailed
from gpuimg.machine import processor_count

log = logging.getLogger("gpuimg")

IDLE_SECONDS = 5.0  # after which an idle process ends
T = TypeVar("T")


def start_python(code: str, **options: Any) -> subprocess.Popen[Any]:
    """Run code in another interpreter with the same module search path; its input and output are pipes."""
    root = str(Path(__file__).parents[2])  # replaces "", the current folder, which may have changed
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each or root for each in sys.path)}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, **options)


def _start_compiler() -> subprocess.Popen[bytes]:
    """Start a process that compiles until its input ends, unaffected by Ctrl-C."""
    options: dict[str, Any] = {"process_group": 0}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    code = "from gpuimg.backend.compiler import serve; serve()"
    return start_python(code, stderr=subprocess.DEVNULL, bufsize=0, **options)


def is_interpreter() -> bool:
    """Whether `sys.executable` is Python and not a program that embeds it."""
    return not getattr(sys, "frozen", False) and "python" in Path(sys.executable or "").name.lower()


class Compilers:
    """Processes that compile, started on demand, and the threads that wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._starting = 0
        self._idle: dict[subprocess.Popen[bytes], threading.Thread] = {}  # and the thread that used it last
        self._threads: set[threading.Thread] = set()
        self._makings: dict[tuple[str, ...], Future[Any]] = {}
        self._is_closed = False
        self.is_usable = is_interpreter()

    # ------------------------------------------------------------ in the thread that needs code

    def wait_for(self, task: tuple[str, ...], make: Callable[[], T]) -> T:
        """Return the result of ``make``, run in a background thread that all callers with the same task share.

        Stopped work ends at once, but the thread goes on: work is often restarted with other parameters and the same
        code, which would never be ready if each stop discarded it.
        """
        making = self.begin(task, make)
        if making is None:
            return make()
        try:
            while stopping.watch() is not None and not wait((making,), stopping.PATIENCE).done:
                stopping.look()
            return making.result()
        finally:
            del making  # an error in it holds this frame

    def begin(self, task: tuple[str, ...], make: Callable[[], T]) -> Future[T] | None:
        """Run ``make`` in a background thread, unless one runs for this task; None if no thread can be started."""
        with self._changed:
            making: Future[T] | None = self._makings.get(task)
            if making is None and not self._is_closed:
                making = self._makings[task] = Future()
                arguments = (task, make, making)
                thread = threading.Thread(target=self._make, args=arguments, daemon=True, name="gpuimg compile")
                self._threads.add(thread)
                try:
                    thread.start()
                except BaseException as error:
                    self._threads.discard(thread)
                    self._makings.pop(task, None)
                    if not isinstance(error, RuntimeError):
                        raise
                    return None
            return making

    def _make(self, task: tuple[str, ...], make: Callable[[], T], making: Future[T]) -> None:
        try:
            made = make()
        except BaseException as error:
            self._forget(task)
            making.set_exception(error)
        else:
            self._forget(task)
            making.set_result(made)
        del making
        self._linger()
        with self._changed:
            self._threads.discard(threading.current_thread())

    def _forget(self, task: tuple[str, ...]) -> None:
        with self._changed:
            self._makings.pop(task, None)

    # ------------------------------------------------------------ in the background thread

    def compile(self, task: tuple[str, ...]) -> bool:
        """Let another process compile a task into the disk cache; return whether it did."""
        if threading.current_thread() not in self._threads:  # no thread would end the process
            return False
        try:
            process = self._take()
        except OSError as error:
            log.info("could not start a process for compiling with %s: %s", sys.executable, error)
            return False
        answer = _ask(process, task)
        if answer is None:
            self._end(process)
            self._check_open()
            self.is_usable = False  # the next one might die as well
        else:
            with self._changed:
                self._idle[process] = threading.current_thread()
                self._changed.notify_all()
        if answer != "":
            log.info("another process could not compile %s: %s", task, answer or "it died")
        return answer == ""

    def look(self) -> None:
        """Raise while waiting for another process, if the work should stop or the program ends."""
        stopping.look()
        if threading.current_thread() in self._threads:
            self._check_open()

    def _check_open(self) -> None:
        if self._is_closed:
            raise BackendFailed("the program ends while a kernel is compiled")

    def _take(self) -> subprocess.Popen[bytes]:
        """Return an idle process, or a new one once their limit allows it."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._idle or len(self._processes) + self._starting < processor_count()
            )
            self._check_open()
            if self._idle:
                process, _ = self._idle.popitem()
                self._changed.notify_all()
                return process
            self._starting += 1
        started = []
        try:
            started.append(_start_compiler())
            return started[0]
        finally:
            with self._changed:
                self._starting -= 1
                self._processes.update(started)
                self._changed.notify_all()
                if self._is_closed:
                    self._kill()

    def _linger(self) -> None:
        """Keep the process that this thread used last for a while, and end it unless it gets other work."""
        me = threading.current_thread()
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or me not in self._idle.values(), IDLE_SECONDS)
            mine = [process for process, thread in self._idle.items() if thread is me]
            for process in mine:
                del self._idle[process]
        for process in mine:
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        with self._changed:
            self._processes.discard(process)
            self._changed.notify_all()

    # ------------------------------------------------------------ at the end

    def exit(self) -> None:
        """End the processes at exit, and wait for the threads, which may be running machine code."""
        with self._changed:
            self._is_closed, self.is_usable = True, False
            threads = list(self._threads)
            self._kill()
            self._changed.notify_all()
        for thread in threads:
            thread.join()

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()

    def forget(self) -> None:
        """Reset in a forked child: processes and threads are the parent's; its pipes would keep the processes alive."""
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.returncode = 0  # not a child of this process: nothing to wait for
        self.__init__()  # type: ignore[misc]


def _ask(process: subprocess.Popen[bytes], task: tuple[str, ...]) -> str | None:
    """Return the answer of a process: "" or why it could not compile; None if it has died."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(json.dumps([str(cache_folder()), *task]).encode() + b"\n")
        return str(json.loads(process.stdout.readline()))
    return None


compilers = Compilers()
atexit.register(compilers.exit)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=compilers.forget)
