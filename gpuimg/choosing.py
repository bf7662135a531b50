"""Choose the backend for a graph, and run the graph on it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from importlib import import_module
from typing import Any

from gpuimg import dispatch, memory, stopping
from gpuimg.backend.base import Backend, speed_key
from gpuimg.backend.walk import Bound
from gpuimg.dispatch import BACKENDS, Estimate, Job, Step
from gpuimg.errors import BackendFailed, BackendUnavailable, FallbackWarning, NoScratch, warn
from gpuimg.images import Source
from gpuimg.machine import WORTH_LEARNING, Figures, figures
from gpuimg.plans.graph import Graph
from gpuimg.plans.nodes import Loop, Node
from gpuimg.plans.value import Value
from gpuimg.stopping import local

log = logging.getLogger("gpuimg")

Call = Callable[[Backend], Any]
IN_PROCESS = ("single", "multicore")  # backends that call a compiled kernel by its address


@cache
def backend_named(name: str) -> Backend:
    """Return a backend's object, importing its module at first use."""
    module = import_module(f"gpuimg.backend.{name}")
    return getattr(module, name.capitalize())()  # type: ignore[no-any-return]


def place_of(name: str) -> tuple[str, str]:
    """Return a backend's name and a description of its device."""
    return name, backend_named(name).detail()


def job_of(graph: Graph, on_device: bool, images: int = 1) -> Job:
    """Return the input of the cost model for a graph and a number of images."""
    found = graph.jobs.get((on_device, images))
    if found is None:
        found = graph.jobs[on_device, images] = _made_job(graph, on_device, images)
    return found


def _made_job(graph: Graph, on_device: bool, images: int) -> Job:
    ends = [value for value in (*graph.inputs, *graph.results) if isinstance(value, Value)]
    transfer = sum(math.prod(end.shape) * end.dtype.itemsize for end in ends)
    together = images > 1 and graph.whole is not None
    chains = tuple([len(group.nodes) for group in graph.chained if len(group.nodes) > 1])
    return Job(tuple(_steps(graph)), transfer, on_device, images, together, chains)


def job_for(source: Source, graph: Graph) -> Job:
    """Return the input of the cost model for a graph and this image or stack."""
    return job_of(graph, source.on_device, 1 if source.axes is None else math.prod(source.stack))


def _steps(graph: Graph, rounds: float = 1.0) -> Iterator[Step]:
    for node in graph.nodes:
        if isinstance(node, Loop):
            yield from _steps(node.body, rounds * node.rounds)
        elif isinstance(node, Node):
            image = node.image
            read = math.prod(image.shape)
            written = [(math.prod(shape), dtype.itemsize) for shape, dtype in node.results]
            elements = read + sum([count for count, _ in written])
            nbytes = read * image.dtype.itemsize + sum([count * size for count, size in written])
            yield Step(speed_key(node.kernel, image.dtype, node.dtype), elements, nbytes, node.work * rounds)


# Elements of the nodes of a graph that one thread may do where all cores are asked for.
ALONE_UP_TO = 4 * WORTH_LEARNING


def is_alone(name: str, graph: Graph) -> bool:
    """Whether a graph that has run on the CPU is done by one thread for this backend: waking others takes time too."""
    if name == "single":
        return True
    if name not in ("multicore", "auto"):
        return False
    known = figures()
    found = graph.alone.get(name)
    if found is None or found[0] is not known or found[1] != known.revision:
        found = graph.alone[name] = known, known.revision, _pays_alone(name, graph, known)
    return found[2]


def _pays_alone(name: str, graph: Graph, known: Figures) -> bool:
    job = job_of(graph, False)
    if name == "auto":
        return _ranked(job, known, known.revision)[0].backend == "single"
    if sum([step.elements for step in job.steps]) > ALONE_UP_TO:
        return False
    return dispatch.choose(job, known, IN_PROCESS)[0].backend == "single"


def run_on(name: str, source: Source, bound: Bound, call: Call) -> Any:
    """Call a function with the backend of this name, or with the fastest one for "auto"."""
    if source.on_device:
        if name not in ("auto", "cuda"):
            raise BackendUnavailable(name, "the image is in GPU memory; copy it to the host first (cupy.asnumpy)")
        name = "cuda"
    if name == "auto":
        return _run_auto(job_for(source, bound.graph), bound, call)
    if name == "multicore" and source.axes is None and local.stopper is None and is_alone(name, bound.graph):
        name = "single"
    if not (bound.graph.direct and name in IN_PROCESS):  # a graph that has run directly is compiled
        reason = refusal(name, bound)
        if reason is not None:
            raise BackendUnavailable(name, reason)
    return _timed(name, bound, call)


def _run_auto(job: Job, bound: Bound, call: Call) -> Any:
    best = candidates(job, bound)[0].backend
    if best != "cuda":
        return _timed(best, bound, call)
    try:
        return _timed(best, bound, call)
    except Exception as error:  # any error of CuPy or the driver; errors of the call itself are raised again below
        message = str(error) if isinstance(error, BackendFailed | BackendUnavailable) else repr(error)
        warn(f"ran on multicore instead of cuda: {message}", FallbackWarning)
        return _timed("multicore", bound, call)


def _timed(name: str, bound: Bound, call: Call) -> Any:
    """Call a function with a backend; if out of memory, release the memory kept for later results and call it again.

    The backend is reported to the watch, and the run time to the log.
    """
    if local.watch is not None or log.isEnabledFor(logging.DEBUG):
        call = partial(_noted, name, bound, call)
    backend = backend_named(name)
    try:
        return call(backend)
    except (MemoryError, NoScratch):
        memory.release()
    return call(backend)


def _noted(name: str, bound: Bound, call: Call, backend: Backend) -> Any:
    start = time.perf_counter()
    watch = stopping.watch()
    if watch is not None:
        watch.begin(name)
    result = call(backend)
    if watch is not None:
        watch.end()
    if log.isEnabledFor(logging.DEBUG):
        kernels, shape = ", ".join(bound.graph.kernels), bound.arrays[0].shape
        log.debug("%s of %s on %s: %.6f s", kernels, shape, name, time.perf_counter() - start)
    return result


def refusal(name: str, bound: Bound) -> str | None:
    """Return why a backend cannot run this graph on this machine, or None."""
    found = backend_named(name)
    return found.unusable() or found.missing(bound.graph.kernels)


def candidates(job: Job, bound: Bound) -> list[Estimate]:
    """Return the backends that can run a job, by predicted seconds, the fastest first.

    Whether there is a GPU is checked only if it would be the fastest: the first check takes a second.
    """
    known = figures()
    ranked = _ranked(job, known, known.revision)
    while ranked[0].backend == "cuda" and not job.on_device and refusal("cuda", bound) is not None:
        ranked = ranked[1:]
    return ranked


@lru_cache(maxsize=1024)
def _ranked(job: Job, known: Figures, _revision: int) -> list[Estimate]:
    return dispatch.choose(job, known, BACKENDS)
