"""The HTTP interface: request handlers, with no long work on the event loop."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from tornado import web

import gpuimg
from gpuimg.service.bodies import Body
from gpuimg.service.core import Reply, Service
from gpuimg.service.metrics import CONTENT_TYPE
from gpuimg.service.problems import MEDIA_TYPE, Problem, busy, over, retry_after
from gpuimg.service.schema import all_schemas, media_types, openapi

log = logging.getLogger("gpuimg.service")

LINGER_SECONDS = 10.0  # for reading the rest of a rejected body: a client still sending might lose the answer
ANY_LENGTH = 1 << 60
# Time for a client to read an answer, and bytes for each additional second.
SENDING_SECONDS, SENDING_RATE = 60.0, 100_000
COPIED_BYTES = 1 << 16
CACHED_SECONDS = 365 * 24 * 3600
QUERY = ("f", "axes")

# Limits of the server for any request; images may be larger and slower, see `Apply`.
SERVER_OPTIONS: dict[str, Any] = {
    "max_header_size": 1 << 16,
    "max_body_size": 1 << 16,
    "max_buffer_size": 1 << 20,
    "body_timeout": 10.0,
    "idle_connection_timeout": 60.0,
}


class Base(web.RequestHandler):
    """Base of all handlers: access, errors as problems, headers."""

    needs_token = True

    @property
    def service(self) -> Service:
        found: Service = self.application.settings["service"]
        return found

    def set_default_headers(self) -> None:
        self.set_header("Server", "gpuimg")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        self._check_access()
        if self.needs_token and self.service.token:
            given = self.request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {self.service.token}".encode()):
                raise Problem(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
        unknown = [name for name in self.request.query_arguments if name not in self.known_arguments()]
        if unknown:
            known = ", ".join(self.known_arguments()) or "none"
            raise Problem(400, f"there is no query parameter {unknown[0][:80]!r}", rule=f"one of: {known}")

    def _check_access(self) -> None:
        access, host = self.service.access, self.request.host
        if not access.knows(host):
            raise Problem(
                421, f"this service is not called {host[:80]!r}", parameter="Host", rule="--host-name names it"
            )
        if self.request.method == "POST" and not access.takes(self.request.headers.get("Origin"), host):
            why = "pages of other origins may not send work here"
            raise Problem(403, why, parameter="Origin", rule="the service's own, or one of --origin")

    def known_arguments(self) -> tuple[str, ...]:
        return ()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        self.write_problem(error if isinstance(error, Problem) else _problem_of(status_code, error))

    def write_problem(self, problem: Problem) -> None:
        self.set_status(problem.status)
        for name, value in problem.headers.items():
            self.set_header(name, value)
        if problem.status == 405:
            methods = [name for name in self.SUPPORTED_METHODS if self._has(name)]
            self.set_header("Allow", ", ".join(methods))
        self.set_header("Content-Type", MEDIA_TYPE)
        self.set_header("Cache-Control", "no-store")
        body = problem.body()
        self.set_header("Content-Length", len(body))
        self.write(b"" if self.request.method == "HEAD" else body)

    def _has(self, method: str) -> bool:
        return getattr(type(self), method.lower()) is not web.RequestHandler._unimplemented_method

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(error.status if isinstance(error, Problem) else status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, Problem | web.HTTPError):
            super().log_exception(typ, value, tb)

    def compute_etag(self) -> str | None:
        return None

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        """Send the answer; close the connection of a client that does not read it in time."""
        stream = cast(Any, self.request.connection).stream
        nbytes = len(chunk) if isinstance(chunk, bytes) else 0
        if nbytes > COPIED_BYTES and self.request.method != "HEAD":
            # Tornado would concatenate the headers and the body, which is slow.
            self.set_header("Content-Length", nbytes)
            self.flush()
        sent = super().finish(chunk)
        if not sent.done():
            self.service.held_bytes += nbytes
            late = asyncio.get_running_loop().call_later(SENDING_SECONDS + nbytes / SENDING_RATE, stream.close)
            sent.add_done_callback(partial(self._sent, nbytes, late))
        return sent

    def _sent(self, nbytes: int, late: asyncio.TimerHandle, _: object) -> None:
        self.service.held_bytes -= nbytes
        late.cancel()

    def on_finish(self) -> None:
        self.service.metrics.answers.labels(str(self.get_status())).inc()

    def write_json(self, value: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(value))


def _problem_of(status: int, error: BaseException | None) -> Problem:
    """Return the problem for an error of Tornado or of the service."""
    if isinstance(error, web.HTTPError):
        details = {404: "there is nothing at this address", 405: "this method is not known here"}
        return Problem(status, details.get(status, error.log_message or "the request is not understood"))
    return Problem(status, "the service failed at this request" if status >= 500 else "the request is not understood")


class NotFound(Base):
    def prepare(self) -> None:
        raise Problem(404, "there is nothing at this address")


class Read(Base):
    """Base of read-only handlers."""

    def head(self, *path: str) -> Any:
        return cast(Any, self).get(*path)


class Healthy(Read):
    """Liveness: the event loop responds."""

    needs_token = False

    def get(self) -> None:
        self.write_json({"status": "ok"})


class Ready(Read):
    """Readiness: requests should be sent here."""

    needs_token = False

    def get(self) -> None:
        if self.service.is_draining or not self.service.is_warm:
            why = "the service is about to end" if self.service.is_draining else "filters are being compiled"
            raise Problem(503, why, headers=retry_after())
        self.write_json({"status": "ready"})


class Numbers(Read):
    def get(self) -> None:
        metrics = self.service.metrics
        metrics.queued.set(self.service.pool.waiting)
        self.set_header("Content-Type", CONTENT_TYPE)
        self.write(metrics.text())


class Filters(Read):
    def get(self) -> None:
        self.write_json({"filters": all_schemas()})


class OpenApi(Read):
    def get(self) -> None:
        prefix = self.settings["prefix"]
        self.write_json({**openapi(), "servers": [{"url": prefix}]} if prefix else openapi())


class Info(Read):
    async def get(self) -> None:
        limits = self.service.limits
        found = await asyncio.get_running_loop().run_in_executor(self.service.readers, gpuimg.backends)
        self.write_json(
            {
                "version": gpuimg.__version__,
                "backends": [
                    {"name": each.name, "usable": each.usable, "detail": each.detail or each.reason} for each in found
                ],
                "limits": {**vars(limits), "formats": list(limits.formats)},
                "media_types": {form: media_types()[form] for form in limits.formats},
            }
        )


@web.stream_request_body
class Apply(Base):
    """`POST /v1/apply`: run filters over the image file in the body."""

    def initialize(self) -> None:
        self.refused: Problem | None = None
        self.task: asyncio.Task[Reply] | None = None
        self.began = time.perf_counter()
        self.body = Body()
        self.received = 0
        self.admitted = 0  # bytes of the body counted by the service
        self.is_counted = False
        self.is_reading = False  # and counted as such
        self.times: dict[str, float] = {}
        self.late: asyncio.TimerHandle | None = None
        self.is_gone = False

    def known_arguments(self) -> tuple[str, ...]:
        return QUERY

    def prepare(self) -> None:
        self.service.metrics.in_progress.inc()
        self.is_counted = True
        if self.request.method != "POST":
            super().prepare()
            return
        try:
            super().prepare()
            self._check_head()
        except Problem as problem:
            self._refuse(problem)
        except web.HTTPError as error:  # from Tornado, if the query is not text
            self._refuse(_problem_of(error.status_code, error))

    def _check_head(self) -> None:
        """Reject invalid requests before the body is read."""
        limits = self.service.limits
        headers = self.request.headers
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem(415, "the body must not be compressed", parameter="Content-Encoding", rule="identity")
        length = self._length()
        if length > limits.body_bytes:
            raise over("body_bytes", limits.body_bytes, length, "bytes of the body")
        if self.service.reading >= limits.reading:
            raise busy("the maximum number of bodies is being read")
        if not self.service.cache.keeps:  # otherwise the result may be cached, for which the body must be read
            self.service.check_wait()
        accept = headers.get("Accept", "*/*")
        self.query = self.service.query(self.get_arguments("f"), accept, self.get_arguments("axes"))
        self._admit(length)
        self.body = Body(expected=length)
        self.service.reading += 1
        self.is_reading = True
        self._allow(limits.reading_seconds)
        self._until(limits.reading_seconds, Problem(408, "the body did not arrive in time"))

    def _length(self) -> int:
        """Return the declared length of the body; 0 if unknown, or not a number, which Tornado rejects."""
        found = self.request.headers.get("Content-Length", "")
        return int(found) if re.fullmatch("[0-9]{1,18}", found) else 0

    def _allow(self, seconds: float) -> None:
        """Lift Tornado's limit on the body's length, and set the time limit for reading it."""
        connection = cast(Any, self.request.connection)
        connection.set_max_body_size(ANY_LENGTH)
        connection.set_body_timeout(
            seconds + 2 * LINGER_SECONDS
        )  # also covers reading the rest of a request answered late

    def _admit(self, nbytes: int) -> None:
        """Reserve memory for bytes of the body."""
        service = self.service
        if service.held_bytes + nbytes > max(service.limits.received_bytes, service.limits.body_bytes):
            raise busy("other requests use all the memory for bodies and answers")
        service.held_bytes += nbytes
        self.admitted += nbytes

    def _until(self, seconds: float, problem: Problem) -> None:
        """Reject the request if it is still being read at this time."""
        if self.late is not None:
            self.late.cancel()
        self.late = asyncio.get_running_loop().call_later(seconds, self._too_late, problem)

    def _too_late(self, problem: Problem) -> None:
        if not self._finished:
            if self.refused is None:
                self.write_problem(problem)
                self.set_header("Connection", "close")
            self.finish()

    def _refuse(self, problem: Problem) -> None:
        """Answer immediately, but read on for a while: closing the connection earlier might lose the answer."""
        self.refused = problem
        self._release()
        self.set_header("Connection", "close")
        self.write_problem(problem)
        self._allow(LINGER_SECONDS)
        if self.request.headers.get("Expect"):
            self.finish()
            return
        self.flush()
        self._until(LINGER_SECONDS, problem)

    def data_received(self, chunk: bytes) -> None:
        self.received += len(chunk)
        if self.refused is not None:
            return
        try:
            if self.received > self.service.limits.body_bytes:
                raise over("body_bytes", self.service.limits.body_bytes, self.received, "bytes of the body")
            if self.received > self.admitted:
                self._admit(self.received - self.admitted)
        except Problem as problem:
            self._refuse(problem)
            return
        self.body.append(chunk)

    async def post(self) -> None:
        self._end_reading()
        if self.late is not None:
            self.late.cancel()
        if self.refused is not None:
            stream = cast(Any, self.request.connection).stream
            self.finish().add_done_callback(lambda _: stream.close())
            return
        self.times["reading"] = time.perf_counter() - self.began
        metrics = self.service.metrics
        metrics.seconds.labels("reading").observe(self.times["reading"])
        metrics.bytes.labels("in").inc(self.received)
        if not self.received:
            raise Problem(400, "the body is empty; it must be an image file", rule="an image file as the body")
        body, self.body = self.body, Body()
        digest = await self.service.digest(body)
        asked = self.query.key(digest)
        if _matches(self.request.headers.get("If-None-Match", ""), asked):
            raise Problem(412, "the client has this result already", headers={"ETag": f'"{asked}"'})
        if self.is_gone:
            return
        self.task = asyncio.ensure_future(self.service.reply(body, digest, self.query))
        del body
        try:
            self._write_reply(await self.task)
        except asyncio.CancelledError:
            if not self.is_gone:
                raise

    def _write_reply(self, reply: Reply) -> None:
        self.set_header("Content-Type", reply.answer.content_type)
        self.set_header("ETag", f'"{reply.key}"')
        self.set_header("Content-Location", f"{self.settings['prefix']}/v1/results/{reply.key}")
        self.set_header("Cache-Control", f"private, max-age={CACHED_SECONDS}, immutable")
        self.set_header("Vary", "Accept")
        self.set_header("Gpuimg-Cache", reply.how)
        timing = [f"{part};dur={1000 * seconds:.3f}" for part, seconds in {**self.times, **reply.seconds}.items()]
        timing += [
            f'f{number};dur={1000 * step.seconds:.3f};desc="{step.name} ({step.backend})"'
            for number, step in enumerate(reply.steps)
        ]
        self.set_header("Server-Timing", ", ".join(timing))
        self.service.metrics.bytes.labels("out").inc(len(reply.answer.body))
        self.service.metrics.seconds.labels("total").observe(time.perf_counter() - self.began)
        self.finish(reply.answer.body)

    def on_connection_close(self) -> None:
        """Stop the work of a client that has disconnected, unless others wait for it."""
        self.is_gone = True
        if self.task is not None:
            self.task.cancel()
        self._end_request()

    def on_finish(self) -> None:
        super().on_finish()
        self._end_request()

    def _release(self) -> None:
        """Release the body's memory."""
        self._end_reading()
        self.body = Body()
        self.service.held_bytes -= self.admitted
        self.admitted = 0

    def _end_reading(self) -> None:
        if self.is_reading:
            self.is_reading = False
            self.service.reading -= 1

    def _end_request(self) -> None:
        if self.late is not None:
            self.late.cancel()
        self._release()
        if self.is_counted:
            self.is_counted = False
            self.service.metrics.in_progress.dec()


def _matches(header: str, asked: str) -> bool:
    """Return whether an If-None-Match header names a result."""
    names = [each.strip().removeprefix("W/") for each in header.split(",")]
    return f'"{asked}"' in names or "*" in names


class Results(Read):
    """`GET /v1/results/...`: a cached result of an earlier request."""

    async def get(self, asked: str) -> None:
        answer = await self.service.cache.get(asked)
        if answer is None:
            raise Problem(404, "this result is not kept any more; send the image again")
        self.set_header("ETag", f'"{asked}"')
        self.set_header("Cache-Control", f"private, max-age={CACHED_SECONDS}, immutable")
        if _matches(self.request.headers.get("If-None-Match", ""), asked):
            self.set_status(304)
            return
        self.set_header("Content-Type", answer.content_type)
        self.finish(answer.body)


class Page(Read):
    """The web page and its files."""

    needs_token = False

    def get(self, name: str) -> None:
        content, media_type = _page_files()[name or "index.html"]
        self.set_header("Content-Type", media_type)
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-cache")
        self.write(content)


CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@cache
def _page_files() -> dict[str, tuple[bytes, str]]:
    folder = files("gpuimg.service") / "page"
    return {
        each.name: (each.read_bytes(), PAGE_TYPES[Path(each.name).suffix])
        for each in folder.iterdir()
        if Path(each.name).suffix in PAGE_TYPES
    }


def make_app(service: Service, prefix: str = "", **settings: Any) -> web.Application:
    """Create the service as a Tornado application, standalone or within another.

    Parameters
    ----------
    service : the service that answers the requests
    prefix : prefix of every path, such as ``/images``, for an application within another
    **settings : settings of `tornado.web.Application`

    Raises
    ------
    ValueError : ``prefix`` does not begin with a slash, or it ends with one

    Examples
    --------
    >>> import asyncio
    >>> from tornado import web
    >>> async def main():
    ...     service = Service()
    ...     outer = web.Application([("/images/.*", make_app(service, "/images"))])
    ...     await service.close()
    >>> asyncio.run(main())
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ValueError(f"prefix must begin with a slash and not end with one, got {prefix!r}")
    handlers = [
        (r"/v1/apply", Apply),
        (r"/v1/results/([0-9a-f]{64})", Results),
        (r"/v1/filters", Filters),
        (r"/v1/info", Info),
        (r"/openapi\.json", OpenApi),
        (r"/healthz", Healthy),
        (r"/readyz", Ready),
        (r"/metrics", Numbers),
        (rf"/({'|'.join(map(re.escape, _page_files()))}|)", Page),
    ]
    return web.Application(
        [(re.escape(prefix) + path, handler) for path, handler in handlers],
        default_handler_class=NotFound,
        service=service,
        prefix=prefix,
        log_function=_log_request,
        **settings,
    )


def _log_request(handler: web.RequestHandler) -> None:
    log.debug("%s %s %d", handler.request.method, handler.request.path, handler.get_status())
