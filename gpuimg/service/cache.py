"""Cache of results by content: in memory, shared by requests in flight, and by all workers through Redis."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from cachetools import LRUCache

from gpuimg import __version__

ENTRY_BYTES = 400  # bytes of an answer in addition to its body: its key, its type, its entries in two tables


class Answer(NamedTuple):
    """A cached answer: the encoded image and its media type."""

    body: bytes
    content_type: str


class Lease(Protocol):
    """One request's access to a cache shared by several workers. No method raises."""

    async def find(self) -> Answer | None:
        """Return the answer, or None if this request must compute it."""

    async def settle(self, answer: Answer | None) -> None:
        """Store the computed answer, None if there is none, and release those waiting for it."""


class Remote(Protocol):
    """A cache shared by several workers, such as `gpuimg.service.remote.Redis`."""

    def lease(self, key: str) -> Lease:
        """Return a lease of a key for one request."""

    async def find(self, key: str) -> Answer | None:
        """Return the answer if it is cached; never raises."""

    async def close(self) -> None:
        """Close all connections."""


def key(digest: bytes, chain: str, media_type: str) -> str:
    """Return the key of an answer, which depends on everything that determines the answer.

    Parameters
    ----------
    digest : SHA-256 of the request's body
    chain : the filters and their parameters, normalised
    media_type : media type of the result

    Returns
    -------
    str : 64 hexadecimal digits, different for each version of gpuimg

    Examples
    --------
    >>> import hashlib
    >>> digest = hashlib.sha256(b"an image").digest()
    >>> key(digest, "sobel", "image/png") == key(digest, "sobel", "image/tiff")
    False
    """
    found = hashlib.sha256()
    for part in (__version__.encode(), digest, chain.encode(), media_type.encode()):
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


class Cache:
    """A cache of answers, for the coroutines of one event loop.

    Parameters
    ----------
    nbytes : maximum memory of the answers in bytes: the least recently used are dropped, and an answer larger than a
        quarter is not cached. 0: nothing is cached; identical requests in flight are still computed once
    remote : a cache shared with other workers

    Raises
    ------
    ValueError : ``nbytes`` is negative

    Examples
    --------
    >>> import asyncio
    >>> async def make():
    ...     await asyncio.sleep(0.01)
    ...     return Answer(b"pixels", "image/png")
    >>> async def main():
    ...     cache = Cache(1_000_000)
    ...     both = await asyncio.gather(*(cache.get_or_make("a", make) for _ in range(2)))
    ...     return [how for _, how in [*both, await cache.get_or_make("a", make)]]
    >>> asyncio.run(main())
    ['made', 'joined', 'hit']
    """

    def __init__(self, nbytes: int, remote: Remote | None = None) -> None:
        if nbytes < 0:
            raise ValueError(f"nbytes must not be negative, got {nbytes}")
        self._kept: LRUCache[str, Answer] = LRUCache(nbytes, getsizeof=_nbytes)
        self._remote = remote
        self._in_flight: dict[str, asyncio.Future[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def used(self) -> int:
        """Memory of the cached answers in bytes."""
        return int(self._kept.currsize)

    @property
    def keeps(self) -> bool:
        """Whether answers are cached, here or remotely."""
        return self._kept.maxsize > 0 or self._remote is not None

    async def get_or_make(self, key: str, make: Callable[[], Awaitable[Answer]]) -> tuple[Answer, str]:
        """Return the answer for a key, computing it at most once for concurrent requests.

        Parameters
        ----------
        key : key of the answer, from `key`
        make : computes the answer. It runs in the caller's task: cancelling that task cancels it, and the next task
            that waits for the same answer then calls its ``make``

        Returns
        -------
        Answer
        str : source of the answer: ``"hit"`` (this cache), ``"remote"`` (the remote cache), ``"joined"`` (a request in
            flight) or ``"made"``

        Raises
        ------
        Exception : raised by ``make``, in all tasks that waited for it; it is not cached
        """
        while True:
            kept = self._kept.get(key)
            if kept is not None:
                return kept, "hit"
            shared = self._in_flight.get(key)
            if shared is None:
                return await self._lead(key, make)
            await asyncio.wait([shared])  # unlike `await shared`, this leaves it alone when this task is cancelled
            try:
                if not shared.cancelled():
                    return shared.result(), "joined"
            finally:
                del shared  # an error's traceback holds this frame

    async def get(self, key: str) -> Answer | None:
        """Return the answer for a key if it is cached, here or remotely."""
        answer = self._kept.get(key)
        if answer is None and self._remote is not None:
            answer = await self._remote.find(key)
            if answer is not None:
                self._keep(key, answer)
        return answer

    async def close(self) -> None:
        """Finish sending to the remote cache, and close it."""
        remote, self._remote = self._remote, None
        if self._tasks:
            await asyncio.wait(self._tasks)
        if remote is not None:
            await remote.close()

    async def _lead(self, key: str, make: Callable[[], Awaitable[Answer]]) -> tuple[Answer, str]:
        """Compute the answer and deliver it to all tasks that wait for it."""
        shared = self._in_flight[key] = asyncio.get_running_loop().create_future()
        try:
            answer, how = await self._find_or_make(key, make)
        except Exception as error:
            shared.set_exception(error)
            shared.exception()  # mark as retrieved, in case no task waits
            raise
        except BaseException:
            shared.cancel()
            raise
        else:
            self._keep(key, answer)
            shared.set_result(answer)
            return answer, how
        finally:
            del self._in_flight[key], shared

    async def _find_or_make(self, key: str, make: Callable[[], Awaitable[Answer]]) -> tuple[Answer, str]:
        if self._remote is None:
            return await make(), "made"
        lease = self._remote.lease(key)
        made = None
        try:
            found = await lease.find()
            if found is not None:
                return found, "remote"
            made = await make()
            return made, "made"
        finally:
            # In a separate task: the answer does not wait for it, and a cancelled request releases its lock.
            self._start(lease.settle(made))

    def _keep(self, key: str, answer: Answer) -> None:
        if _nbytes(answer) <= self._kept.maxsize // 4:
            self._kept[key] = answer

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _nbytes(answer: Answer) -> int:
    return len(answer.body) + ENTRY_BYTES
