"""The service's handling of a request, independent of the web framework."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import gpuimg
from gpuimg import stopping
from gpuimg.errors import GpuimgError, one_line
from gpuimg.files import Format
from gpuimg.jobs.chains import Chain
from gpuimg.jobs.pool import Job, Pool, QueueFull
from gpuimg.service.access import Access
from gpuimg.service.bodies import Body
from gpuimg.service.cache import Answer, Cache, key
from gpuimg.service.limits import Limits
from gpuimg.service.loads import Loads
from gpuimg.service.metrics import Metrics
from gpuimg.service.pace import Pace, Part, wait
from gpuimg.service.problems import Problem, busy, over
from gpuimg.service.work import Made, Request, Room, StepTime, perform, read_accept, read_axes, read_chain
from gpuimg.typing import Backend

log = logging.getLogger("gpuimg.service")

HASHED_AT_ONCE = 1 << 16  # bytes
NICENESS = 10  # of the worker threads: the event loop and clients on this machine come first
READ = 2.0  # factor on the waiting limit for requests whose bodies have been read
LEFT = 0.1  # remaining fraction of a job's expected seconds, if it takes longer


class Query(NamedTuple):
    """A parsed request: filters, formats of the answer in order of preference, and the axes of a stack."""

    chain: Chain | None
    formats: Sequence[Format | None]
    axes: str

    def key(self, digest: bytes) -> str:
        """Return the key of the result for a body with this SHA-256 digest; equivalent queries have equal keys."""
        texts = self.chain.texts() if self.chain is not None else []
        formats = [form.name if form is not None else "*" for form in self.formats]
        return key(digest, f"{self.axes}|{'|'.join(texts)}", ",".join(formats))


class Expected(NamedTuple):
    """Expected seconds of waiting and of running of a job."""

    wait: float
    run: float


class Reply(NamedTuple):
    """A result.

    Attributes
    ----------
    how : source of the result: "hit", "remote", "joined", "made"
    seconds : time of the parts ``queue``, ``decode``, ``compute`` and ``encode``, if computed for this request
    steps : filters that ran for this request
    """

    answer: Answer
    key: str
    how: str
    seconds: dict[str, float]
    steps: list[StepTime]


@dataclass
class Service:
    """The state shared by the requests of one process; create it in the event loop that uses it.

    Attributes
    ----------
    limits : limits of requests
    token : token that clients must send; empty for none
    access : accepted Host headers and origins
    cache : cache of results
    backend : backend that runs the filters
    loads : loads of all processes of the service; those that run jobs share the processors
    is_draining : whether it is about to end
    is_warm : whether the filters are compiled
    held_bytes : bytes of bodies and answers held for clients
    reading : number of requests whose bodies are being read

    Examples
    --------
    >>> import asyncio
    >>> from gpuimg.demo import photo
    >>> from gpuimg.service.work import encoded
    >>> async def main():
    ...     service = Service()
    ...     try:
    ...         reply = await service.apply(encoded(photo(0.01), "PNG"), ["gaussian:sigma=2", "threshold_otsu"])
    ...     finally:
    ...         await service.close()
    ...     return reply.answer.content_type
    >>> asyncio.run(main())
    'application/json'
    """

    limits: Limits = field(default_factory=Limits)
    token: str = ""
    access: Access = field(default_factory=Access)
    cache: Cache = field(default_factory=lambda: Cache(0))
    backend: Backend = "auto"
    loads: Loads = field(default_factory=Loads)
    is_draining: bool = False
    is_warm: bool = True
    metrics: Metrics = field(default_factory=Metrics)
    held_bytes: int = 0
    reading: int = 0

    def __post_init__(self) -> None:
        limits = self.limits
        self.pool = Pool(limits.running, limits.queued, limits.queued_bytes, self._processors, NICENESS)
        self.jobs: dict[Job, Expected] = {}  # first in, first out
        self.pace = Pace()
        self.hashers = ThreadPoolExecutor(1, "gpuimg-digest")
        self.readers = ThreadPoolExecutor(2, "gpuimg-header")  # of files' headers, which can be long
        self.room = Room(limits.working_bytes)
        self.metrics.places.set(limits.running)

    def _processors(self) -> int:
        """Return the processors for this process's jobs; rounded up, as an idle processor costs more."""
        return -(-self.limits.processors // max(self.loads.processes_at_work(), 1))

    async def close(self) -> None:
        """Wait for running work, and end all threads and connections."""
        await self.pool.aclose()
        await self.cache.close()
        self.hashers.shutdown(wait=False, cancel_futures=True)
        self.readers.shutdown(wait=False, cancel_futures=True)

    def query(self, steps: Sequence[str], accept: str = "*/*", axes: Sequence[str] = ()) -> Query:
        """Parse a client's request; raise a `Problem` if it is invalid."""
        return Query(read_chain(steps, self.limits.steps), read_accept(accept), read_axes(axes))

    async def apply(self, body: bytes, steps: Sequence[str], accept: str = "*/*") -> Reply:
        """Run filters over an image file.

        Parameters
        ----------
        body : the file
        steps : filters and their parameters, such as ``gaussian:sigma=2``
        accept : an HTTP Accept header, which selects the format of the result

        Raises
        ------
        Problem : the error and its HTTP status
        """
        query = self.query(steps, accept)
        if len(body) > self.limits.body_bytes:
            raise over("body_bytes", self.limits.body_bytes, len(body), "bytes of the body")
        file = Body(body)
        return await self.reply(file, await self.digest(file), query)

    async def digest(self, body: Body) -> bytes:
        """Return the SHA-256 digest of a body; large bodies are hashed in a thread."""

        def compute() -> bytes:
            return hashlib.sha256(body.getbuffer()).digest()

        if len(body) < HASHED_AT_ONCE:
            return compute()
        return await asyncio.get_running_loop().run_in_executor(self.hashers, compute)

    async def reply(self, body: Body, digest: bytes, query: Query) -> Reply:
        """Return the result for a body with this digest; cancelling stops the work unless others wait for it."""
        made: list[Made] = []
        seconds: dict[str, float] = {}
        asked = query.key(digest)

        async def make() -> Answer:
            made.append(await self._make(body, query, seconds))
            return made[0].answer

        answer, how = await self.cache.get_or_make(asked, make)
        self.metrics.cache.labels(how).inc()
        return Reply(answer, asked, how, seconds, made[0].steps if made else [])

    async def _make(self, body: Body, query: Query, seconds: dict[str, float]) -> Made:
        """Compute a result that is not cached."""
        # The client is answered at the deadline, even if the running work does not check it for a while.
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._compute(body, query, seconds)
        except TimeoutError:
            late = f"the work took longer than {self.limits.seconds:g} s"
            raise Problem(504, late, limit="seconds") from None

    async def _compute(self, body: Body, query: Query, seconds: dict[str, float]) -> Made:
        # Without a cache, this was checked before the body was read; after that, the request may wait longer.
        patience = 1.0 if self.cache.keeps else READ
        self.check_wait(patience)
        end = time.monotonic() + self.limits.seconds
        watch = stopping.Watch()
        try:
            request = await asyncio.get_running_loop().run_in_executor(self.readers, self._read, body, query, watch)
        finally:
            watch.stop()  # a header is read only while a request waits for it
        planned = self.check_wait(patience)
        self.loads.jobs += 1
        try:
            return await self._run(request, seconds, planned, end)
        finally:
            self.loads.jobs -= 1

    async def _run(self, request: Request, seconds: dict[str, float], planned: float, end: float) -> Made:
        try:
            with gpuimg.use_backend(self.backend):
                job = self.pool.submit_nowait(perform, request, deadline=end - time.monotonic())
        except QueueFull:
            raise busy("the maximum number of requests is waiting") from None
        self.metrics.running.inc()
        self.jobs[job] = expected = Expected(planned, self.pace.expect(_parts(request), request.nbytes))
        try:
            made: Made = await job
        except MemoryError:
            raise busy("there is not enough memory at the moment") from None
        except GpuimgError as error:
            log.exception("a request failed")
            raise Problem(500, f"the service failed at this request: {one_line(error)}") from error
        finally:
            self.metrics.running.dec()
            del self.jobs[job]
        self.pace.learn_wait(expected.wait, job.seconds.queued)
        self.pace.learn(_taken(request, made), request.nbytes)
        seconds |= {"queue": job.seconds.queued, **made.seconds}
        self.metrics.made(made, {"queue": job.seconds.queued, "running": job.seconds.running})
        return made

    def check_wait(self, patience: float = 1.0) -> float:
        """Return the expected seconds of the jobs ahead; raise if the wait exceeds ``patience`` times the limit."""
        if len(self.jobs) < self.limits.running:
            return 0.0
        running, waiting = [], []
        for job, expected in self.jobs.items():
            taken = job.seconds.running
            if taken:
                running.append(max(expected.run - taken, LEFT * expected.run))
            else:
                waiting.append(expected.run)
        planned = wait(running, waiting, max(self.limits.running, len(running)))
        seconds = planned * self.pace.lateness
        most = patience * self.limits.waiting_seconds
        if seconds > most:
            why = f"a request would wait for about {seconds:.1f} s, over the limit of {most:g} s"
            raise busy(why, seconds, limit="waiting_seconds")
        return planned

    def _read(self, body: Body, query: Query, watch: stopping.Watch) -> Request:
        seconds = self.limits.header_seconds
        watch.deadline = time.monotonic() + seconds
        try:
            with stopping.watched(watch):
                body.seek(0)
                return Request(body, query.chain, query.formats, query.axes, self.limits, self.room)
        except stopping.Stopped:
            raise Problem(422, f"its header takes longer than {seconds:g} s to read", limit="header_seconds") from None


def _parts(request: Request) -> list[Part]:
    """Return the parts of the work for a request, as far as known in advance."""
    own = request.image.format
    wanted = request.formats[0] if request.formats else None
    steps = request.chain.steps if request.chain is not None else ()
    return [
        ("decode", own.name),
        *[("filter", entry.name) for entry, _ in steps],
        ("encode", (wanted or own).media_type),
    ]


def _taken(request: Request, made: Made) -> list[tuple[Part, float]]:
    """Return the parts of the work that were done for a request, and their seconds."""
    return [
        (("decode", request.image.format.name), made.seconds["decode"]),
        *[(("filter", step.name), step.seconds) for step in made.steps],
        (("encode", made.answer.content_type), made.seconds["encode"]),
    ]
