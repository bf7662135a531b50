"""A Redis cache of answers for several workers; if it fails, answers are computed, which is slower but always right."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import random
import secrets
import struct
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio as redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from gpuimg.service.cache import Answer

log = logging.getLogger("gpuimg")

PREFIX = "gpuimg:"
MAGIC = b"gpuimg 1"  # the framing's version
HEADER = struct.Struct(f">{len(MAGIC)}s32sH")  # magic, SHA-256, length of the media type
TOO_LARGE = b"gpuimg 1 too large"  # stored in place of an answer, so that other workers do not wait
CONNECTIONS = 8
RATE = 16e6  # bytes per second of additional time for large values, since the event loop has more to do
FAILURES = 5  # consecutive failures after which Redis is not used for a while
FIRST_REST, LONGEST_REST = 0.25, 30.0  # seconds
FIRST_POLL, LONGEST_POLL = 0.01, 0.1  # seconds
UNLOCK = 'if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0'


class Redis:
    """A Redis server as a cache of answers: each command has a short time-out, and no errors are raised.

    After a few consecutive failures Redis is not used for a while, which grows with every further failure; then a
    single request tries it again. One line is logged when it fails and one when it works again.

    Parameters
    ----------
    url : ``redis://``, ``rediss://`` (TLS) or ``unix://``, with the password and the database if needed
    max_bytes : maximum size of a cached body, in bytes
    seconds : time that an answer is kept, in seconds
    timeout : seconds for each command, including connecting if needed; large values get more
    lock_seconds : maximum time that a worker waits for another one that computes the same answer

    Raises
    ------
    ValueError : ``url`` is invalid, or a number is out of its range

    Examples
    --------
    >>> remote = Redis("redis://:secret@localhost:6379/0", max_bytes=1_000_000, seconds=600)
    >>> remote.address
    'localhost:6379'
    """

    def __init__(
        self,
        url: str,
        *,
        max_bytes: int = 4 * 2**20,
        seconds: float = 3600.0,
        timeout: float = 0.05,
        lock_seconds: float = 2.0,
    ) -> None:
        for name, value in (("seconds", seconds), ("timeout", timeout), ("lock_seconds", lock_seconds)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if max_bytes < 0:
            raise ValueError(f"max_bytes must not be negative, got {max_bytes}")
        self._pool, self.address = _connect_to(url, timeout)
        self._client = redis.Redis(connection_pool=self._pool)
        self.lock_seconds = lock_seconds
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._timeout = timeout
        self._breaker = _Breaker()
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._commands: set[asyncio.Task[Any]] = set()
        self._is_refusing = self._is_closed = False

    @property
    def is_up(self) -> bool:
        """Whether Redis is used; False for a while after several consecutive failures."""
        return not self._breaker.is_open

    def lease(self, key: str) -> _Lease:
        """Return a lease of a key for one request; see `gpuimg.service.cache.Lease`."""
        return _Lease(self, PREFIX + key)

    async def find(self, key: str) -> Answer | None:
        """Return the answer if Redis has it, without waiting for one that is being computed."""
        with suppress(_Unusable):
            return await self.read(PREFIX + key)
        return None

    async def close(self) -> None:
        """Wait for pending commands and close all connections."""
        self._is_closed = True
        if self._commands:
            await asyncio.wait(self._commands)
        with suppress(RedisError, OSError):  # the connection was already broken
            await self._pool.disconnect()

    async def read(self, key: str) -> Answer | None:
        """Return the answer in Redis; None if there is none or it is invalid."""
        try:
            nbytes = await self._ask("STRLEN", key)
            if not isinstance(nbytes, int) or not 0 < nbytes <= HEADER.size + 0xFFFF + self._max_bytes:
                return None
            value = await self._ask("GET", key, nbytes=nbytes)
        except _Refused as error:
            if error.is_wrong_type:
                return None
            raise
        if value == TOO_LARGE:
            raise _Unusable
        return unframe(key, value)

    async def write(self, key: str, answer: Answer) -> None:
        value = frame(key, answer) if len(answer.body) <= self._max_bytes else TOO_LARGE
        await self._set(key, value, self._seconds)
        if self._is_refusing:
            self._is_refusing = False
            log.info("Redis at %s keeps answers again", self.address)

    async def lock(self, key: str, token: str) -> bool:
        """Acquire the lock for a token; return whether it was free."""
        return await self._set(f"{key}:lock", token, self.lock_seconds, "NX") is True

    async def unlock(self, key: str, token: str) -> None:
        await self._ask("EVAL", UNLOCK, 1, f"{key}:lock", token)

    async def _set(self, key: str, value: bytes | str, seconds: float, *options: str) -> Any:
        try:
            milliseconds = math.ceil(seconds * 1000)
            return await self._ask("SET", key, value, "PX", milliseconds, *options, nbytes=len(value))
        except _Refused as error:
            if not self._is_refusing:
                self._is_refusing = True
                log.warning("Redis at %s keeps no more answers: %s", self.address, error)
            raise

    async def _ask(self, *command: Any, nbytes: int = 0) -> Any:
        """Run a command that transfers ``nbytes``, and return the response as parsed by the client library.

        Raises
        ------
        _Unusable : Redis does not work, or is not used at the moment
        _Refused : Redis responded with an error
        """
        try:
            async with asyncio.timeout(self._limit(self._max_bytes)):
                await self._slots.acquire()
        except TimeoutError:
            raise _Unusable from None
        ticket = None if self._is_closed else self._breaker.enter()
        if ticket is None:
            self._slots.release()
            raise _Unusable
        # Not in this task: cancelling it during a command would close the connection.
        task = asyncio.get_running_loop().create_task(self._attempt(ticket, command, self._limit(nbytes)))
        self._commands.add(task)
        task.add_done_callback(self._end)
        found = await asyncio.shield(task)
        if isinstance(found, _Unusable):
            raise found
        return found

    def _limit(self, nbytes: int) -> float:
        return self._timeout + nbytes / RATE

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._commands.discard(task)
        self._slots.release()

    async def _attempt(self, ticket: int, command: tuple[Any, ...], limit: float) -> Any:
        """Return the response or the error, which is not raised, as the caller may have been cancelled."""
        try:
            async with asyncio.timeout(limit):
                found = await self._client.execute_command(*command)
        except ResponseError as error:
            found = _Refused(_reason(error))
            found.is_wrong_type = str(error).startswith("WRONGTYPE")
            if command[0] in ("STRLEN", "GET") and not found.is_wrong_type:
                self._fail(ticket, error)
                return found
        except Exception as error:  # if the server is not Redis, the client library may raise any error
            self._fail(ticket, error)
            return _Unusable()
        if self._breaker.succeed(ticket):
            log.info("Redis at %s works again", self.address)
        return found

    def _fail(self, ticket: int, error: Exception) -> None:
        if self._breaker.fail(ticket):
            log.warning("Redis at %s is left alone for a while: %s", self.address, _reason(error))


class _Lease:
    """One request's access to Redis: it finds the answer, or gets the lock to compute it while others wait."""

    def __init__(self, remote: Redis, key: str) -> None:
        self._remote = remote
        self._key = key
        self._token = secrets.token_hex(8)
        self._may_write = self._may_hold_lock = False

    async def find(self) -> Answer | None:
        try:
            return await self._read_or_lock()
        except _Unusable:
            return None

    async def settle(self, answer: Answer | None) -> None:
        with suppress(_Unusable):
            if answer is not None and self._may_write:
                with suppress(_Refused):
                    await self._remote.write(self._key, answer)
            if self._may_hold_lock:
                await self._remote.unlock(self._key, self._token)

    async def _read_or_lock(self) -> Answer | None:
        """Return the answer; None if no other worker computes it, or takes too long."""
        end = time.monotonic() + self._remote.lock_seconds
        pause = FIRST_POLL
        while True:
            found = await self._remote.read(self._key)
            if found is not None:
                return found
            is_late = time.monotonic() > end
            if await self._lock():
                found = await self._remote.read(self._key)  # written between reading and locking
                self._may_write = found is None
                return found
            if is_late:
                self._may_write = True
                return None
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_POLL)

    async def _lock(self) -> bool:
        self._may_hold_lock = True  # also if this is cancelled, or Redis' reply is lost
        try:
            self._may_hold_lock = await self._remote.lock(self._key, self._token)
        except _Refused:
            self._may_hold_lock = False
            raise
        return self._may_hold_lock


class _Breaker:
    """A circuit breaker: after several consecutive failures it allows single attempts at growing intervals.

    Every attempt has a ticket. Tickets from before the last change of state are ignored: of a hundred attempts that
    fail at the same time, five open the breaker and the others do not prolong the pause.
    """

    def __init__(self) -> None:
        self._ticket = self._failures = 0
        self._rest = self._until = 0.0

    @property
    def is_open(self) -> bool:
        return self._rest > 0

    def enter(self) -> int | None:
        """Return a ticket for an attempt; None if none is allowed now."""
        if self.is_open:
            if time.monotonic() < self._until:
                return None
            self._postpone()  # the others wait for what this attempt finds; it may also be lost
        return self._ticket

    def succeed(self, ticket: int) -> bool:
        """Count a success; return whether it ends the pause."""
        if ticket != self._ticket:
            return False
        was_open, self._failures, self._rest = self.is_open, 0, 0.0
        return was_open

    def fail(self, ticket: int) -> bool:
        """Count a failure; return whether it begins a pause."""
        if ticket != self._ticket:
            return False
        self._failures += 1
        if self._failures < FAILURES:
            return False
        was_open = self.is_open
        self._rest = min(2 * self._rest, LONGEST_REST) if was_open else FIRST_REST
        self._postpone()
        return not was_open

    def _postpone(self) -> None:
        self._ticket += 1
        self._until = time.monotonic() + self._rest * random.uniform(0.5, 1.0)


class _Unusable(Exception):
    """Redis is not available for this request."""


class _Refused(_Unusable):
    """Redis responded with an error."""

    is_wrong_type = False


def frame(key: str, answer: Answer) -> bytes:
    """Encode an answer as one value: magic, checksum, length of the media type, media type, body."""
    media_type = answer.content_type.encode("latin-1", "replace")
    content = media_type + answer.body
    return HEADER.pack(MAGIC, _checksum(key, len(media_type), content), len(media_type)) + content


def unframe(key: str, value: object) -> Answer | None:
    """Decode the answer in a value; None if the value is damaged, of another key, or not an answer."""
    if not isinstance(value, bytes) or len(value) < HEADER.size:
        return None
    magic, checksum, length = HEADER.unpack_from(value)
    content = memoryview(value)[HEADER.size :]
    if magic != MAGIC or checksum != _checksum(key, length, content):
        return None
    return Answer(bytes(content[length:]), str(content[:length], "latin-1"))


def _checksum(key: str, length: int, content: bytes | memoryview) -> bytes:
    found = hashlib.sha256(f"{key} {length} ".encode())
    found.update(content)
    return found.digest()


def _connect_to(url: str, timeout: float) -> tuple[redis.ConnectionPool, str]:
    """Return a pool of connections, not yet opened, and their address without credentials."""
    try:
        parts = urlsplit(url)
        if "@" in parts.path + parts.query or parts.fragment:
            raise ValueError("a password with reserved characters, which would be taken for something else")
        options: dict[str, Any] = {
            **parse_url(url),
            "max_connections": CONNECTIONS,
            "socket_timeout": None,  # `Redis` limits the whole of each command
            "socket_connect_timeout": timeout,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": False,
            "health_check_interval": 0,
            "protocol": 2,
        }
        pool = redis.ConnectionPool(**options)
        pool.make_connection()  # refuses unknown options; connects to nothing
    except (ValueError, TypeError, AttributeError, RedisError):  # they may contain the password
        raise ValueError(
            "url must be redis://, rediss:// or unix:// with options that redis-py knows, "
            "and user name and password percent-encoded"
        ) from None
    return pool, options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"


def _reason(error: Exception) -> str:
    """Return the kind of an error, without text from the server, which may repeat data sent to it."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return f"{type(error).__name__}, {cause.strerror}"
    return type(error).__name__
