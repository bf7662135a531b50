"""The processes of bench/serve.py: services and Redis servers that end with the benchmark, and their memory."""

from __future__ import annotations

import ctypes
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
START_SECONDS = 600  # including the first compilation of filters
END_SECONDS = 10
SAMPLE_SECONDS = 0.2
READY = re.compile(r"\(pid (\d+)\) is ready")


class Target:
    """A running service.

    Attributes
    ----------
    pid : of the started process
    """

    def __init__(self, name: str, workers: int, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.workers = workers
        self.port = port
        self.pid = process.pid
        self.log = log
        self._process = process

    def __str__(self) -> str:
        return f"{self.name}, {self.workers} worker{'s' if self.workers > 1 else ''}"

    @property
    def processes(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        return []

    @property
    def rss(self) -> int:
        """Return the bytes of memory of all processes; shared memory counts for each."""
        found = 0
        for process in self.processes:
            with suppress(psutil.Error):
                found += process.memory_info().rss
        return found

    def ready_workers(self) -> list[int]:
        """Return the process IDs of live workers, oldest first."""
        ready = [int(found[1]) for found in READY.finditer(self.log.read_text())]
        living = {process.pid for process in self.processes}
        return [pid for pid in ready if pid in living]

    def wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not is_ready(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self} does not answer: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def end(self) -> None:
        processes = self.processes
        with suppress(psutil.Error):
            self._process.terminate()
        psutil.wait_procs(processes, END_SECONDS)
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        self._process.wait()


@contextmanager
def gpuimg_service(*options: str, workers: int = 1, name: str = "gpuimg serve") -> Iterator[Target]:
    """Run `gpuimg serve` with these options."""
    port = free_port()
    command = ["-P", "-m", "gpuimg", "serve", "--port", str(port), "--workers", str(workers), *options]
    with _started(name, workers, port, command) as target:
        yield target


@contextmanager
def peer(name: str, workers: int = 1) -> Iterator[Target]:
    """Run one of the services in bench/serve_peers.py."""
    port = free_port()
    script = str(ROOT / "bench" / "serve_peers.py")
    with _started(name, workers, port, [script, name, "--port", str(port), "--workers", str(workers)]) as target:
        yield target


@contextmanager
def _started(name: str, workers: int, port: int, command: Sequence[str]) -> Iterator[Target]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path]))}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdout=subprocess.DEVNULL,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=environment,
                preexec_fn=end_with_parent,
            )
        target = Target(name, workers, port, process, log)
        try:
            target.wait()
            yield target
        finally:
            target.end()


def end_with_parent() -> None:
    """Let the kernel kill this new process when the benchmark ends."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Redis:
    """A Redis server that can be stopped and started again, without its stored values."""

    def __init__(self, megabytes: int) -> None:
        self.port = free_port()
        self._megabytes = megabytes
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{self._megabytes}mb",
            "maxmemory-policy": "allkeys-lru",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        self._process = subprocess.Popen(
            ["redis-server", *words], stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir(), preexec_fn=end_with_parent
        )

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait()

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def redis(megabytes: int) -> Iterator[Redis]:
    if shutil.which("redis-server") is None:
        raise RuntimeError("redis-server is not installed")
    server = Redis(megabytes)
    try:
        server.start()
        yield server
    finally:
        server.end()


class Memory:
    """Samples the memory of a service in a thread."""

    def __init__(self, target: Target, pause: float = SAMPLE_SECONDS) -> None:
        self.samples: list[tuple[float, int]] = []  # time.monotonic, bytes
        self._target = target
        self._pause = pause
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def peak(self) -> int:
        return max(nbytes for _, nbytes in self.samples)

    def _watch(self) -> None:
        while True:
            self.samples.append((time.monotonic(), self._target.rss))
            if self._done.wait(self._pause):
                return


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def clients_of(pid: int) -> set[int]:
    """Return the ports of the clients connected to a process."""
    with suppress(psutil.Error):
        return {each.raddr.port for each in psutil.Process(pid).net_connections("tcp") if each.raddr}
    return set()
