"""`gpuimg serve`: one process, or a supervisor and its workers, according to settings."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from gpuimg import caching
from gpuimg.errors import GpuimgError, ServeError
from gpuimg.extras import remedy
from gpuimg.machine import be_nice, gpu_count, processor_count
from gpuimg.service.access import Access, access
from gpuimg.service.app import SERVER_OPTIONS, make_app
from gpuimg.service.cache import Cache, Remote
from gpuimg.service.core import NICENESS, Service
from gpuimg.service.limits import Limits
from gpuimg.service.loads import Loads
from gpuimg.service.metrics import FOLDER, Metrics, forget
from gpuimg.service.serving import listen, serve, url
from gpuimg.service.workers import Parent, Times, inherited, supervise
from gpuimg.typing import Backend
from gpuimg.warming import warmup

log = logging.getLogger("gpuimg.service")

DEVICES = "CUDA_VISIBLE_DEVICES"
SWITCH_SECONDS = 0.0005  # for which a thread may hold the interpreter: the loop must not wait for decoders and encoders


@dataclass(frozen=True)
class Settings:
    """Settings of `gpuimg serve`.

    Attributes
    ----------
    cache_bytes : memory for cached results, in each worker
    cache_url : URL of a Redis shared by workers and machines; empty for none
    cache_seconds : seconds that a result is kept in Redis
    cache_entry : maximum bytes of a result in Redis
    host_names : accepted names in Host headers; empty for loopback names if ``host`` is loopback, otherwise any
    origins : origins of other web pages that may send requests
    token_file : file with the token that clients must send; empty for none
    is_warmed : whether filters are compiled before the service is ready
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    backend: Backend = "auto"
    cache_bytes: int = 256 << 20
    cache_url: str = ""
    cache_seconds: float = 3600.0
    cache_entry: int = 4 << 20
    host_names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    token_file: str = ""
    drain_seconds: float = 30.0
    is_warmed: bool = True
    limits: Limits = field(default_factory=Limits)


def run(settings: Settings, command: Sequence[str], say: Callable[[str], None]) -> int:
    """Serve until a signal ends it.

    Parameters
    ----------
    command : command line that starts a worker, which calls this function with the same settings
    say : function that prints a line

    Returns
    -------
    int : exit code

    Raises
    ------
    ServeError : the port, the token or the cache cannot be used
    """
    parent = inherited()
    _log_to_stderr()
    sys.setswitchinterval(SWITCH_SECONDS)
    token = read_token(settings.token_file)
    remote_of(settings)
    access_of(settings)
    if parent is not None:
        asyncio.run(_serve(settings, token, parent.sockets, parent, lambda _: None))
        return 0
    bound = listen(settings.host, settings.port)
    address = url(settings.host, bound)
    say(f"listening on {address}")
    if settings.workers == 1:
        asyncio.run(_serve(settings, token, bound, None, say))
        return 0
    folder = tempfile.mkdtemp(prefix="gpuimg-metrics-")
    os.environ[FOLDER] = folder
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # gpuimg may have been found by it only
    try:
        return supervise(
            command,
            bound,
            settings.workers,
            environments=[devices_of(slot) for slot in range(settings.workers)],
            times=Times(drain=settings.drain_seconds),
            on_ready=lambda: say(f"{settings.workers} workers are ready"),
            on_death=lambda _, place: forget(folder, place),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _serve(
    settings: Settings,
    token: str,
    sockets: Sequence[socket.socket],
    parent: Parent | None,
    say: Callable[[str], None],
) -> None:
    """Run one process of the service."""
    _quiet()
    service = Service(
        limits=settings.limits,
        token=token,
        cache=Cache(settings.cache_bytes, remote_of(settings)),
        access=access_of(settings),
        backend=settings.backend,
        loads=parent.loads if parent is not None else Loads(),
        is_warm=not settings.is_warmed,
        metrics=Metrics(parent.place if parent is not None else ""),
    )

    def drain() -> None:
        service.is_draining = True

    if settings.is_warmed:
        threading.Thread(target=_warm, args=(service, say), name="gpuimg-warm", daemon=True).start()
    await serve(
        make_app(service),
        sockets=sockets,
        parent=parent,
        drain_seconds=settings.drain_seconds,
        on_drain=drain,
        on_end=service.close,
        **SERVER_OPTIONS,
    )


def _log_to_stderr() -> None:
    """Log messages for operators to stderr, without decoders' messages about clients' files."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    for name in ("tifffile", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _quiet() -> None:
    """Suppress warnings, so that clients cannot fill the logs: Pillow's contain text from files."""
    warnings.filterwarnings("ignore", module=r"PIL\.|tifffile")


def _warm(service: Service, say: Callable[[str], None]) -> None:
    """Compile filters that are not compiled yet, once for all workers and their successors."""
    be_nice(NICENESS)  # as the threads that filters share will be, which start here
    folder = os.environ.get(FOLDER)
    if folder is None:
        _compile()
    else:
        with caching.locked(Path(folder, "warm.lock"), lambda: None):
            done = Path(folder, "warm")
            if not done.exists():
                _compile()
                done.touch()
    service.is_warm = True
    say("ready")


def _compile() -> None:
    """Compile all filters; a filter that fails raises its error when it is used."""
    try:
        warmed = warmup()
    except (GpuimgError, OSError) as error:
        log.warning("filters were not compiled beforehand: %s", error)
    else:
        for name, why in warmed.failed.items():
            log.warning("%s was not compiled beforehand: %s", name, why)


def read_token(name: str) -> str:
    """Read the token from a file, without surrounding white space."""
    if not name:
        return ""
    try:
        token = Path(name).read_text().strip()
        if os.name == "posix" and Path(name).stat().st_mode & 0o022:
            log.warning("the token in %s can be changed by others: chmod go-w %s", name, name)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise ServeError(f"the token in {name} cannot be read: {why.lower()}") from error
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise ServeError(f"the token in {name} must be one word of at least 16 printable ASCII characters")
    return token


def access_of(settings: Settings) -> Access:
    """Return the access rules for the settings."""
    try:
        return access(settings.host, settings.host_names, settings.origins)
    except ValueError as error:
        raise ServeError(str(error)) from error


def remote_of(settings: Settings) -> Remote | None:
    """Return the cache shared by the workers."""
    if not settings.cache_url:
        return None
    try:
        from gpuimg.service.remote import Redis
    except ModuleNotFoundError as error:
        raise ServeError(f"a cache in Redis needs {error.name}: {remedy('redis')}") from error
    try:
        return Redis(settings.cache_url, max_bytes=settings.cache_entry, seconds=settings.cache_seconds)
    except ValueError as error:
        raise ServeError(str(error)) from error


def worker_count(backend: Backend) -> int:
    """Return the default number of workers: one per GPU, or two that share the processors.

    With two, Python code running in one worker delays only half of the requests.
    """
    if os.name != "posix":
        return 1
    gpus = gpu_count() if backend in ("auto", "cuda") and find_spec("cupy") else 0
    return gpus or min(2, processor_count())


def devices_of(slot: int) -> dict[str, str]:
    """Return the environment variables that assign one GPU to each worker."""
    count = gpu_count()
    given = os.environ.get(DEVICES)
    names = [str(number) for number in range(count)] if given is None else given.split(",")[:count]
    return {DEVICES: names[slot % len(names)]} if count else {}


def worker_command(arguments: Sequence[str], workers: int) -> list[str]:
    """Return the command that starts a worker with this process's arguments."""
    return [sys.executable, "-P", "-m", "gpuimg", *arguments, "--workers", str(workers)]
