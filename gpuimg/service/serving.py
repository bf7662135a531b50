"""One process of the service: listen, answer, and finish accepted requests on shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from gpuimg.errors import ServeError, one_line
from gpuimg.extras import remedy
from gpuimg.service.loads import CLOSED, Loads
from gpuimg.service.workers import BEAT_SECONDS, READY, Parent

try:
    from tornado.httpserver import HTTPServer
    from tornado.httputil import (
        HTTPConnection,
        HTTPHeaders,
        HTTPMessageDelegate,
        HTTPServerRequest,
        RequestStartLine,
        ResponseStartLine,
    )
    from tornado.iostream import IOStream
    from tornado.web import Application, OutputTransform
except ModuleNotFoundError as error:
    raise ServeError(f"the service needs {error.name}: {remedy('serve')}") from error

BACKLOG = 1024  # backlog of the listening sockets; the system may allow fewer
ACCEPTED_AT_ONCE = 128
SPARE_FILES = 64  # reserved for files other than connections
MOST_FILES = 1 << 16
PAUSE_SECONDS = 0.5  # pause in accepting, when the system has no file or memory for a connection
TURN_SECONDS = 0.005  # time in which workers with fewer connections may accept one first

_log = logging.getLogger("gpuimg.service")


# Listening ---------------------------------------------------------------------------------------------------------


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind a port.

    Parameters
    ----------
    host
        Name or address, IPv4 or IPv6; "" for all addresses of this machine.
    port
        From 0 to 65535; 0 for any free port.

    Returns
    -------
    list of socket.socket
        One listening socket per address of ``host``.

    Raises
    ------
    ServeError
        If the port cannot be bound.

    Examples
    --------
    >>> from gpuimg.service.serving import listen, url
    >>> (listener,) = listen("127.0.0.1", 0)
    >>> url("127.0.0.1", [listener]) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    True
    >>> listener.close()
    """
    if not 0 <= port <= 65535:
        raise ServeError(f"port must be from 0 to 65535, got {port}")
    with contextlib.ExitStack() as failed:
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            addresses = list(dict.fromkeys((family, address) for family, *_, address in found))
            bound = _bind(addresses, port, failed)
            for each in bound:
                each.listen(BACKLOG)
        except (OSError, UnicodeError) as error:
            raise ServeError(_why(error, host, port)) from error
        failed.pop_all()
    return bound


def _bind(
    addresses: Sequence[tuple[int, tuple[Any, ...]]], port: int, failed: contextlib.ExitStack
) -> list[socket.socket]:
    """Bind one socket per address, all on one port."""
    bound: list[socket.socket] = []
    for family, address in addresses:
        each = failed.enter_context(socket.socket(family, socket.SOCK_STREAM))
        each.setblocking(False)
        if os.name == "posix":  # on Windows it would share a port that is in use
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 uses a separate socket
        try:
            each.bind((address[0], port, *address[2:]))
        except OSError as error:
            # A name may have an address of a family that this machine does not use, as "localhost" and "" often have.
            if error.errno == errno.EADDRNOTAVAIL and len(addresses) > 1:
                each.close()
                continue
            raise
        port = each.getsockname()[1]
        bound.append(each)
    if not bound:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return bound


def url(host: str, sockets: Sequence[socket.socket]) -> str:
    """Return the URL of ``sockets`` for display.

    Parameters
    ----------
    host
        As passed to `listen`.
    sockets
        As returned by `listen`.

    Returns
    -------
    str
    """
    address, port = sockets[0].getsockname()[:2]
    name = host or address
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _why(error: Exception, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"host {host!r} is not known"
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return f"port {port} of {host or 'this machine'} is in use: choose another one, or 0 for any"
        case errno.EACCES:
            return f"port {port} requires privileges: choose one from 1024"
        case errno.EADDRNOTAVAIL:
            return f"host {host!r} is not an address of this machine"
    return f"port {port} of {host or 'this machine'} cannot be bound: {one_line(error)}"


# Serving -----------------------------------------------------------------------------------------------------------


async def serve(
    app: Application,
    *,
    sockets: Sequence[socket.socket],
    parent: Parent | None = None,
    drain_seconds: float = 30.0,
    idle_seconds: float = 5.0,
    on_ready: Callable[[], object] = lambda: None,
    on_drain: Callable[[], object] = lambda: None,
    on_end: Callable[[], Awaitable[object]] | None = None,
    **options: Any,
) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish the accepted ones; in the main thread.

    After the signal, ``app.settings["draining"]`` is true, no connections are accepted, and answers carry
    ``Connection: close``. A second signal ends the process immediately; under a supervisor it is ignored, as some
    tools signal every process of a service. SIGHUP, which replaces workers, is ignored without a supervisor.

    Parameters
    ----------
    app
        The Tornado application.
    sockets
        Listening sockets; closed at the end.
    parent
        The supervisor, if any. When it ends, so does this process.
    drain_seconds
        Time limit for accepted requests after the signal; then their connections are closed.
    idle_seconds
        Time that idle connections are kept open after the signal: a request may be on its way.
    on_ready
        Called when requests are answered.
    on_drain
        Called at the signal.
    on_end
        Awaited after the last answer.
    **options
        Options of `tornado.httpserver.HTTPServer`, such as ``max_body_size``.
    """
    server = Server(app, loads=parent.loads if parent is not None else None, **options)
    app.settings["draining"] = False
    app.add_transform(_Closing)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(told.set)

    with _signals(tell, repeated=parent is None):
        server.add_sockets(sockets)
        if parent is not None:
            parent.watch(tell, drain_seconds + 5.0)
            parent.beat(READY)
        beating = asyncio.create_task(_beat(parent)) if parent is not None else None
        on_ready()
        await told.wait()
        app.settings["draining"] = True
        on_drain()
        await server.drain(drain_seconds, idle_seconds)
        if on_end is not None:
            await on_end()
        if beating is not None:
            beating.cancel()


async def _beat(parent: Parent) -> None:
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        parent.beat()


@contextlib.contextmanager
def _signals(tell: Callable[[], None], repeated: bool) -> Iterator[None]:
    """Call ``tell`` at a signal that ends the process; end at once at the second one if ``repeated``."""
    count = 0

    def handle(number: int, _: object) -> None:
        nonlocal count
        count += 1
        tell()
        if count > 1 and repeated:
            os._exit(128 + number)

    with contextlib.ExitStack() as after:
        for number in (signal.SIGTERM, signal.SIGINT):
            after.callback(signal.signal, number, signal.signal(number, handle))
        if not repeated:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # for the supervisor
        elif os.name == "posix" and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            after.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, _explain))
        yield


def _explain(number: int, _: object) -> None:
    """Log why a process without a supervisor does not restart."""
    _log.warning("%s does nothing: one process cannot restart without a pause", signal.Signals(number).name)


def most_connections() -> int:
    """Raise the process's limit of open files to the maximum, and return how many connections it allows."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return MOST_FILES
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    if allowed != resource.RLIM_INFINITY and allowed < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            allowed = most
    return max(most if allowed == resource.RLIM_INFINITY else int(allowed) - SPARE_FILES, 1)


class _Closing(OutputTransform):
    """Adds ``Connection: close`` to answers while the server drains."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self._params = cast(Any, request.server_connection).params

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        if self._params.no_keep_alive:
            headers["Connection"] = "close"
        return status_code, headers, chunk


class Server(HTTPServer):
    """An HTTP server that can finish accepted requests on shutdown.

    Takes the arguments of `tornado.httpserver.HTTPServer`, and

    connections : maximum number of connections. A further one closes the oldest idle connection; if there is none, it
        waits to be accepted
    loads : loads of all processes that accept from the same sockets. A process with more connections than another
        briefly leaves the next one to it
    """

    def initialize(self, *args: Any, connections: int | None = None, loads: Loads | None = None, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._loads = Loads() if loads is None else loads
        self._most = most_connections() if connections is None else connections
        self._is_accepting = False
        self._listeners: list[socket.socket] = []
        self._requests: dict[object, _Request] = {}  # by connection, including awaited ones
        self._count = 0
        self._all_closed = asyncio.Event()
        self._idle_seconds: float | None = None  # set while it drains

    async def drain(self, seconds: float, idle_seconds: float) -> None:
        """Stop accepting, and return when all connections have ended.

        Parameters
        ----------
        seconds
            Time after which connections are closed.
        idle_seconds
            Time after which idle connections are closed.
        """
        self._pause()
        self._accept_waiting()
        self.stop()
        self.conn_params.no_keep_alive = True
        self._idle_seconds = idle_seconds
        self._loads.connections = CLOSED
        for request in self._requests.values():
            request.expire(idle_seconds)
        if self._count:
            try:
                await asyncio.wait_for(self._all_closed.wait(), seconds)
            except TimeoutError:
                _log.warning("%d connections are cut off after %g s", self._count, seconds)
                await self.close_all_connections()

    def _accept_waiting(self) -> None:
        """Accept the pending connections, which closing the socket would reset."""
        for listener in self._listeners:
            with contextlib.suppress(OSError):  # including BlockingIOError: no more connections
                while True:
                    self._take(listener)

    def _take(self, listener: socket.socket) -> None:
        connection, address = listener.accept()
        stream = IOStream(connection, max_buffer_size=self.max_buffer_size, read_chunk_size=self.read_chunk_size)
        self.handle_stream(stream, address)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        # Unlike Tornado, which retries and logs endlessly if the process has no file descriptors left.
        self._listeners = list(sockets)
        for listener in self._listeners:
            self._sockets[listener.fileno()] = listener
            self._handlers[listener.fileno()] = self._pause
        self._note_connections()
        self._resume()

    def _note_connections(self) -> None:
        if self._idle_seconds is None:
            self._loads.connections = self._count

    def _take_turn(self) -> None:
        """Accept a connection that was left to other processes and that none of them accepted."""
        self._resume()
        if self._is_accepting:
            for listener in self._listeners:
                self._accept(listener, is_turn=True)

    def _accept(self, listener: socket.socket, is_turn: bool = False) -> None:
        """Accept waiting connections, up to the limit, if it is this process's turn."""
        for _ in range(ACCEPTED_AT_ONCE):
            if not is_turn and self._loads.connections > self._loads.fewest_connections():
                self._pause()
                asyncio.get_running_loop().call_later(TURN_SECONDS, self._take_turn)
                return
            is_turn = False
            idle = self._oldest_idle() if self._count >= self._most else None
            if self._count >= self._most and idle is None:
                self._pause()
                return
            try:
                self._take(listener)
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                idle = self._oldest_idle()
                if idle is not None:
                    idle.close_idle()
                    continue
                _log.warning("no connection is accepted for %g s: %s", PAUSE_SECONDS, one_line(error))
                self._pause()
                asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._resume)
                return
            if idle is not None:
                idle.close_idle()

    def _oldest_idle(self) -> _Request | None:
        """Return the awaited request of the oldest idle connection."""
        return next((each for each in self._requests.values() if each.is_idle), None)

    def _pause(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            for listener in self._listeners:
                asyncio.get_running_loop().remove_reader(listener)

    def _resume(self) -> None:
        if not self._is_accepting and not self._stopped:
            self._is_accepting = True
            for listener in self._listeners:
                asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        self._count += 1
        self._note_connections()
        self._all_closed.clear()
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        request = _Request(super().start_request(server_conn, request_conn), cast(Any, request_conn).stream)
        self._requests[server_conn] = request
        self._resume()
        if self._idle_seconds is not None:
            request.expire(self._idle_seconds)
        return request

    def on_close(self, server_conn: object) -> None:
        super().on_close(server_conn)
        del self._requests[server_conn]
        self._count -= 1
        self._note_connections()
        self._resume()
        if not self._count:
            self._all_closed.set()


class _Request(HTTPMessageDelegate):
    """A request that is awaited or has begun.

    Attributes
    ----------
    is_idle : whether it is awaited, on an open connection
    """

    def __init__(self, delegate: HTTPMessageDelegate, stream: IOStream) -> None:
        self._delegate = delegate
        self._stream = stream
        self.is_idle = True

    def expire(self, seconds: float) -> None:
        """Close the connection at this time, unless the request has begun."""
        asyncio.get_running_loop().call_later(seconds, self.close_idle)

    def close_idle(self) -> None:
        if self.is_idle:
            self.is_idle = False
            self._stream.close()

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self.is_idle = False
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()
