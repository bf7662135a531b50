"""One filter over many images, several of them in parallel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any

from gpuimg.jobs.pool import Job, Pool, default_pool


class Stream:
    """The results of a filter over many images, in order; see `stream`."""

    def __init__(
        self, images: Iterable[Any] | AsyncIterable[Any], filter: Any, params: dict[str, Any], pool: Pool, ahead: int
    ) -> None:
        self._images = images
        self._filter = filter
        self._params = params
        self._pool = pool
        self._ahead = ahead
        self._begun: Generator[Any, None, None] | None = None
        self._begun_async: AsyncGenerator[Any, None] | None = None

    # ------------------------------------------------------------ for

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._begun is None:
            if not isinstance(self._images, Iterable):
                raise TypeError("images is an asynchronous iterable: use 'async for'")
            self._begun = self._results(iter(self._images))
        return next(self._begun)

    def close(self) -> None:
        """Stop the running jobs and end the stream."""
        if self._begun is not None:
            self._begun.close()

    def _results(self, images: Iterator[Any]) -> Generator[Any, None, None]:
        found: SimpleQueue[Job | None] = SimpleQueue()
        feed = _Feed(self._pool, self._filter, self._params, self._ahead)
        arguments = (feed.read, images, found.put)
        reader = Thread(target=copy_context().run, args=arguments, daemon=True, name="gpuimg reader")
        reader.start()
        try:
            while (job := found.get()) is not None:
                result = job.result()
                feed.places.release()
                yield result
        finally:
            feed.stop()
            reader.join()

    # ------------------------------------------------------------ async for

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._begun_async is None:
            self._begun_async = self._results_async()
        return await anext(self._begun_async)

    async def aclose(self) -> None:
        """Stop the running jobs and end the stream."""
        if self._begun_async is not None:
            await self._begun_async.aclose()

    async def _results_async(self) -> AsyncGenerator[Any, None]:
        found: asyncio.Queue[Job | None] = asyncio.Queue()
        feed = _Feed(self._pool, self._filter, self._params, self._ahead)
        if isinstance(self._images, AsyncIterable):
            places = asyncio.Semaphore(self._ahead)
            release: Callable[[], None] = places.release
            reading = asyncio.ensure_future(feed.read_async(aiter(self._images), places, found.put_nowait))
        else:
            loop = asyncio.get_running_loop()
            release = feed.places.release

            def put(job: Job | None) -> None:
                loop.call_soon_threadsafe(found.put_nowait, job)

            reading = asyncio.ensure_future(asyncio.to_thread(feed.read, iter(self._images), put))
        try:
            while (job := await found.get()) is not None:
                result = await job
                release()
                yield result
        finally:
            feed.stop()
            if isinstance(self._images, AsyncIterable):
                reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


class _Feed:
    """Reads and submits images, a bounded number ahead of the results."""

    def __init__(self, pool: Pool, filter: Any, params: dict[str, Any], ahead: int) -> None:
        self._pool = pool
        self._filter = filter
        self._params = params
        self._jobs: deque[Job] = deque(maxlen=ahead + 1)
        self._is_stopped = False
        self.places = Semaphore(ahead)

    def read(self, images: Iterator[Any], put: Callable[[Job | None], object]) -> None:
        """Submit the images and put their jobs, then None; an error is put as a failed job."""
        try:
            while self._is_there_place():
                image = next(images, _END)
                if image is _END or self._is_stopped:
                    break
                job = self._pool.submit(self._filter, image, **self._params)
                self._jobs.append(job)
                put(job)
        except BaseException as error:
            put(_failed(error))
        put(None)
        if self._is_stopped:
            self.stop()

    def _is_there_place(self) -> bool:
        self.places.acquire()
        return not self._is_stopped

    async def read_async(
        self, images: AsyncIterator[Any], places: asyncio.Semaphore, put: Callable[[Job | None], object]
    ) -> None:
        """Read as `read` does, from an asynchronous iterable."""
        try:
            while await places.acquire():
                image = await anext(images, _END)
                if image is _END:
                    break
                job = await self._pool.submit_async(self._filter, image, **self._params)
                self._jobs.append(job)
                put(job)
        except Exception as error:
            put(_failed(error))
        put(None)

    def stop(self) -> None:
        """Stop reading, and cancel the running jobs."""
        self._is_stopped = True
        self.places.release()
        for job in list(self._jobs):
            job.cancel()


_END = object()


def _failed(error: BaseException) -> Job:
    """Return a job that has ended with an error."""
    job = Job(_nothing, nbytes=0, steps=0, deadline=None)
    job.set_exception(error)
    return job


def _nothing() -> None:
    pass


def stream(
    images: Iterable[Any] | AsyncIterable[Any],
    filter: Any,
    /,
    *,
    pool: Pool | None = None,
    ahead: int | None = None,
    **params: Any,
) -> Stream:
    """Run a filter over many images, overlapping reading, computing and the use of the results.

    Parameters
    ----------
    images : an iterable of images, read in a separate thread, or an asynchronous iterable, read in the loop
    filter : a filter, its name, the result of `chain`, or a plain function of an image that calls filters
    pool : the pool that runs it, by default a shared one
    ahead : maximum number of images read and computed ahead, by default one more than run in parallel
    **params : parameters of the filter

    Returns
    -------
    Stream : an iterator and asynchronous iterator over the results, in the order of the images. An error is raised in
        place of its result, and ends the stream. ``close`` or ``aclose`` stops the running jobs

    Examples
    --------
    >>> import gpuimg
    >>> from gpuimg.demo import photo
    >>> images = (photo(0.01) + shade for shade in range(3))
    >>> [int(result.min()) for result in gpuimg.stream(images, "threshold", value=300)]
    [0, 0, 0]
    """
    used = pool or default_pool()
    if ahead is None:
        ahead = used.running + 1
    if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 1:
        raise ValueError(f"ahead must be a whole number of at least 1, got {ahead!r}")
    return Stream(images, filter, params, used, ahead)
