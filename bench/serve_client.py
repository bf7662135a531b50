"""The client of bench/serve.py: requests sent at planned times, and their outcomes."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import math
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

CHUNK = 1 << 18  # bytes sent or received at a time
LONG = 1 << 20  # bytes of a body sent only after the service agrees
HEAD = 1 << 16  # maximum bytes of an answer's head


class Asked(NamedTuple):
    """A request: an image file and the filters to run on it, as text.

    Attributes
    ----------
    expected : required `Outcome.found`, if answers are checked
    kind : kind of request
    work : seconds that such a request takes, if known
    """

    body: bytes
    steps: tuple[str, ...]
    accept: str
    megapixels: float
    expected: str = ""
    kind: Any = None
    work: float = 0.0

    @property
    def expects(self) -> bool:
        """Whether the service is asked before the body is sent, as curl does."""
        return len(self.body) > LONG

    def head(self) -> bytes:
        query = urlencode([("f", step) for step in self.steps], quote_via=quote)
        lines = (
            f"POST /v1/apply?{query} HTTP/1.1",
            "Host: localhost",
            f"Accept: {self.accept}",
            f"Content-Length: {len(self.body)}",
            *(["Expect: 100-continue"] if self.expects else []),
        )
        return "\r\n".join((*lines, "", "")).encode()


class Outcome(NamedTuple):
    """The outcome of a request.

    Attributes
    ----------
    status : the HTTP status; 0 without a complete answer
    planned : planned time of sending, by `time.monotonic`
    seconds : from then to the end of the answer, or until it was given up
    port : the client's port of the connection
    cache : use of the service's cache
    parts : seconds of the parts of the work, as reported by the service
    found : the status and, if answers are checked, the SHA-256 of a complete answer's body
    error : reason for a missing answer
    """

    asked: Asked
    status: int
    planned: float
    seconds: float
    port: int = 0
    cache: str = ""
    parts: Mapping[str, float] = MappingProxyType({})
    found: str = ""
    error: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether an answer is neither the expected one nor a refusal by a busy service."""
        return self.status not in (0, 503) and self.found != self.asked.expected


class Client:
    """Client of a service on this machine; connections are reused if the service allows it.

    Parameters
    ----------
    checks : whether the answers' bodies are checked
    reuses : whether connections are reused
    """

    def __init__(self, port: int, checks: bool = False, reuses: bool = True) -> None:
        self._port = port
        self._checks = checks
        self._reuses = reuses
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.until = math.inf  # when unanswered requests are given up, by time.monotonic

    async def ask(self, asked: Asked, planned: float | None = None) -> Outcome:
        planned = time.monotonic() if planned is None else planned
        port, error = 0, "no answer in time"
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.until - time.monotonic()) if self.until < math.inf else None):
                try:
                    reader, writer = await self._connection()
                    port = writer.get_extra_info("sockname")[1]
                    return await self._exchange(reader, writer, asked, Outcome(asked, 0, planned, 0.0, port))
                except (OSError, EOFError, ValueError) as broken:
                    error = f"{type(broken).__name__}: {broken}"
        return Outcome(asked, 0, planned, time.monotonic() - planned, port, error=error)

    async def close(self) -> None:
        for _, writer in self._idle:
            await _close(writer)
        self._idle.clear()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            await _close(writer)
        return await asyncio.open_connection("127.0.0.1", self._port, limit=HEAD)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked, outcome: Outcome
    ) -> Outcome:
        # Sent while reading: a refusal may arrive before the body is sent.
        may_send = asyncio.Event()
        sending = asyncio.create_task(_send(writer, asked, may_send))
        is_reusable = False
        try:
            status, headers = _read_head(await reader.readuntil(b"\r\n\r\n"))
            if status == 100:
                may_send.set()
                status, headers = _read_head(await reader.readuntil(b"\r\n\r\n"))
            digest = await self._read(reader, int(headers.get("content-length", "0")))
            sent = sending.done() and sending.exception() is None
            is_reusable = self._reuses and sent and headers.get("connection", "").lower() != "close"
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if is_reusable:
                self._idle.append((reader, writer))
            else:
                await _close(writer)
        return outcome._replace(
            status=status,
            seconds=time.monotonic() - outcome.planned,
            cache=headers.get("gpuimg-cache", ""),
            parts=_parts(headers.get("server-timing", "")),
            found=f"200 {digest}" if status == 200 else str(status),
        )

    async def _read(self, reader: asyncio.StreamReader, length: int) -> str:
        """Return the digest of an answer's body, if answers are checked."""
        digest = hashlib.sha256()
        while length:
            part = await reader.read(min(length, CHUNK))
            if not part:
                raise EOFError("the answer is cut off")
            length -= len(part)
            if self._checks:
                digest.update(part)
        return digest.hexdigest()


async def _send(writer: asyncio.StreamWriter, asked: Asked, may_send: asyncio.Event) -> None:
    """Send a request; in pieces, since a transport copies what it cannot send at once."""
    writer.write(asked.head())
    if asked.expects:
        await may_send.wait()
    body = memoryview(asked.body)
    for start in range(0, len(body), CHUNK):
        writer.write(body[start : start + CHUNK])
        await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [line.partition(":") for line in lines if line]
    return int(first.split()[1]), {name.lower(): text.strip() for name, _, text in headers}


def _parts(timing: str) -> dict[str, float]:
    """Return the seconds of each part of a Server-Timing header."""
    found = re.findall(r"([a-z0-9]+);dur=([0-9.]+)", timing)
    return {name: float(milliseconds) / 1e3 for name, milliseconds in found}


# Loads -------------------------------------------------------------------------------------------------------------


def arrivals(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Return times of requests in seconds from the start: a Poisson process with ``rate`` per second."""
    rng = random.Random(seed)
    found: list[float] = []
    at = rng.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += rng.expovariate(rate)
    return found


async def open_loop(
    client: Client, requests: Iterator[Asked], times: Iterable[float], patience: float
) -> list[Outcome]:
    """Send each request at its time, whether or not earlier ones were answered.

    Parameters
    ----------
    times : seconds from now
    patience : seconds after the last time before unanswered requests are given up
    """
    start = time.monotonic()
    tasks: list[asyncio.Task[Outcome]] = []
    times = list(times)
    client.until = start + times[-1] + patience
    for at, asked in zip(times, requests, strict=False):
        await asyncio.sleep(max(0.0, start + at - time.monotonic()))
        tasks.append(asyncio.create_task(client.ask(asked, start + at)))
    return await asyncio.gather(*tasks)


async def closed_loop(
    client: Client, requests: Iterator[Asked], clients: int, seconds: float = math.inf
) -> list[Outcome]:
    """Keep ``clients`` requests under way until the time is over or there are no more."""
    end = time.monotonic() + seconds
    found: list[Outcome] = []

    async def work() -> None:
        while time.monotonic() < end and (asked := next(requests, None)) is not None:
            found.append(await client.ask(asked))

    await asyncio.gather(*[work() for _ in range(clients)])
    return found


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value with at least this fraction of all values at or below it; NaN if there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def probe(port: int, seconds: float, pause: float = 0.05) -> dict[str, list[float]]:
    """Measure the milliseconds that health and metrics take to answer; blocks, so run it in a separate process.

    An answer that is not 200 counts as infinitely late.
    """
    found: dict[str, list[float]] = {"/healthz": [], "/metrics": []}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path, late in found.items():
            start = time.perf_counter()
            late.append(1e3 * (time.perf_counter() - start) if _is_answered(port, path) else math.inf)
        time.sleep(pause)
    return found


def _is_answered(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except OSError:
        return False
    finally:
        connection.close()
