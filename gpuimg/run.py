"""run(image, passes): kind of array -> backend -> result."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Hashable, Sequence
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg import dispatch
from gpuimg.backend.base import Backend, kernels_of, speed_key
from gpuimg.backend.walk import Bound
from gpuimg.dispatch import BACKENDS, Estimate, Job, Step
from gpuimg.errors import BackendFailed, BackendUnavailable, FallbackWarning
from gpuimg.images import BOOL, MODES, Source, check_out
from gpuimg.machine import Figures, figures
from gpuimg.passes import Pass, Reduction, arrays_of, branches
from gpuimg.plan.graph import Graph, graph_of
from gpuimg.plan.graph import Plan as PlanFunction
from gpuimg.plan.nodes import Node
from gpuimg.plan.value import Value

log = logging.getLogger("gpuimg")

PLANNING: ContextVar[bool] = ContextVar("gpuimgPLANNING", default=False)


Work: TypeAlias = "Sequence[Pass] | Bound"
Made: TypeAlias = "tuple[tuple[int, ...], np.dtype[Any]]"
WRAP = MODES["wrap"].code


class Plan(Exception):
    """What a filter would run."""

    def __init__(self, source: Source, passes: Work) -> None:
        super().__init__("planned")
        self.source = source
        self.passes = passes


@cache
def backend_named(name: str) -> Backend:
    """The one object of a backend, its module imported at first use."""
    module = import_module(f"gpuimg.backend.{name}")
    return getattr(module, name.capitalize())()  # type: ignore[no-any-return]


def run(source: Source, passes: Sequence[Pass], *, backend: str | None = None, out: Any | None = None) -> Any:
    """Run passes over an image and give the last one's result in the caller's kind of array.

    Parameters
    ----------
    source : the image, as `gpuimg.images.accept` gave it
    passes : what is to be done
    backend : a name, or None for the one in force
    out : array for the result, of its shape and dtype; any memory layout, and it may overlap the image

    Raises
    ------
    BackendUnavailable : a backend asked for by name cannot run here
    """
    if PLANNING.get():
        raise Plan(source, passes)
    job, result = planned(source, passes)
    return _carry_out(source, passes, job, result, backend, out)


def execute(
    plan: PlanFunction,
    source: Source,
    *parameters: Hashable,
    others: tuple[Any, ...] = (),
    tables: tuple[np.ndarray[Any, Any], ...] = (),
    backend: str | None = None,
    out: Any | None = None,
) -> Any:
    """Run the graph of a plan and return its result in the caller's kind of array.

    Parameters
    ----------
    plan : function of values, one for each image, and parameters; see `gpuimg.plan`
    source : the image, as `gpuimg.images.accept` returned it
    parameters : of the plan
    others : further images, of the same rows and in the same memory
    tables : small arrays, which the plan gets behind the images; their contents are not part of it
    backend, out : as for `run`
    """
    images = (source.array, *others)
    specs = tuple([(array.shape, array.dtype) for array in images])
    graph = graph_of(plan, specs, len(tables), parameters, WRAP)
    bound = Bound(graph, (*images, *tables))
    if PLANNING.get():
        raise Plan(source, bound)
    job = job_of(graph, source.on_device)
    result = graph.result
    made = (result.shape, result.dtype) if isinstance(result, Value) else None
    return _carry_out(source, bound, job, made, backend, out)


@lru_cache(maxsize=1024)
def job_of(graph: Graph, on_device: bool) -> Job:
    """What a graph amounts to for the cost rule."""
    steps = []
    for node in graph.nodes:
        if isinstance(node, Node):
            image = node.image
            read, written = _product(image.shape), _product(node.shape)
            nbytes = read * image.dtype.itemsize + written * node.dtype.itemsize
            steps.append(Step(speed_key(node.kernel, image.dtype, node.dtype), read + written, nbytes, node.work))
    ends = [value for value in (*graph.inputs, graph.result) if isinstance(value, Value)]
    return Job(tuple(steps), sum(_product(end.shape) * end.dtype.itemsize for end in ends), on_device)


def job_for(source: Source, passes: Work) -> Job:
    """What passes, or a graph, over an image amount to for the cost rule."""
    if isinstance(passes, Bound):
        return job_of(passes.graph, source.on_device)
    return planned(source, passes).job


def _carry_out(source: Source, passes: Work, job: Job, made: Made | None, backend: str | None, out: Any | None) -> Any:
    """Check ``out``, choose the backend, run, and hand the result over; ``made`` is None for a number."""
    name = dispatch.requested(backend)
    array = source.array
    if made is None:
        return _run_on(name, job, array, passes, None)
    shape, dtype = made
    if out is not None:
        if source.restore is not None:
            raise TypeError("out works with NumPy and CuPy images only; this image is of another kind")
        check_out(out, shape, dtype, array)
    if array.size == 0:
        return hand_over(source, _empty_result(array, passes, shape, dtype), out)
    if array.dtype == BOOL:
        array = array.view(np.uint8)
    into = out if out is not None and _usable_directly(out, source.array, passes) else None
    result = _run_on(name, job, array, passes, into)
    if dtype == BOOL and result.dtype != BOOL:  # kernels know masks as bytes
        result = result.view(BOOL)
    return hand_over(source, result, out if into is None else None)


def hand_over(source: Source, result: Any, out: Any | None) -> Any:
    """Hand a result over: into ``out``, or in the kind of array that the image had."""
    if out is not None:
        out[...] = result
        return out
    return result if source.restore is None else source.restore(result)


def _usable_directly(out: Any, image: Any, passes: Work) -> bool:
    if not out.flags.c_contiguous:
        return False
    if not isinstance(out, np.ndarray):
        return True
    read = passes.images if isinstance(passes, Bound) else (image, *arrays_of(passes))
    return not any(np.may_share_memory(out, each) for each in read if isinstance(each, np.ndarray))


def _empty_result(array: Any, passes: Work, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    last = None if isinstance(passes, Bound) else passes[-1]
    if not isinstance(last, Reduction):
        if 0 not in shape:
            raise ValueError(f"image is empty, shape {array.shape}: there is nothing to make the shape {shape} of")
        return np.empty_like(array, dtype=dtype, shape=shape)
    zeros = np.zeros(last.shape, last.dtype)
    return zeros if last.then is None else last.then(zeros)


def _run_on(name: str, job: Job, array: Any, passes: Work, out: Any | None) -> Any:
    if job.on_device and name in ("auto", "cuda"):
        name = "cuda"
    elif job.on_device:
        raise BackendUnavailable(name, "the image lies in GPU memory; copy it to the host first (cupy.asnumpy)")
    if name == "auto":
        return _run_auto(job, array, passes, out)
    reason = refusal(name, passes)
    if reason is not None:
        raise BackendUnavailable(name, reason)
    return _timed(name, array, passes, out)


def _run_auto(job: Job, array: Any, passes: Work, out: Any | None) -> Any:
    best = candidates(job, passes)[0].backend
    if best != "cuda":
        return _timed(best, array, passes, out)
    try:
        return _timed(best, array, passes, out)
    except Exception as error:  # whatever CuPy or the driver raises; what is wrong with the call is raised again below
        message = str(error) if isinstance(error, BackendFailed | BackendUnavailable) else repr(error)
        warnings.warn(f"ran on multicore instead of cuda: {message}", FallbackWarning, stacklevel=4)
        return _timed("multicore", array, passes, out)


def refusal(name: str, passes: Work) -> str | None:
    """Why a backend cannot run these passes here, or None."""
    found = backend_named(name)
    return found.unusable() or found.missing(passes)


def candidates(job: Job, passes: Work) -> list[Estimate]:
    """The backends that can run a job, by predicted seconds, the best first.

    A GPU is looked for only where it could win with the shipped figures: asking for it costs a second at first.
    """
    known = figures()
    ranked = _ranked(job, known, known.revision)
    while ranked[0].backend == "cuda" and not job.on_device and refusal("cuda", passes) is not None:
        ranked = ranked[1:]
    return ranked


@lru_cache(maxsize=1024)
def _ranked(job: Job, known: Figures, _revision: int) -> list[Estimate]:
    return dispatch.choose(job, known, BACKENDS)


class Planned(NamedTuple):
    """What passes amount to: a job for the cost rule, and the result's shape and dtype."""

    job: Job
    result: tuple[tuple[int, ...], np.dtype[Any]]


def planned(source: Source, passes: Sequence[Pass]) -> Planned:
    """What passes over an image amount to."""
    return _planned(source.shape, source.dtype, source.on_device, _tasks(passes))


Task: TypeAlias = "tuple[str, tuple[int, ...] | None, np.dtype[Any] | None, float, bool, tuple[Any, ...]]"


def _tasks(passes: Sequence[Pass]) -> tuple[Task, ...]:
    """What the cost of passes depends on; the last part of each are the tasks that make other images for it."""
    return tuple(
        [(task.kernel, task.shape, task.dtype, task.work, type(task) is Reduction, _made(task)) for task in passes]
    )


def _made(task: Pass) -> tuple[tuple[Task, ...], ...]:
    return tuple(map(_tasks, found)) if (found := branches(task)) else ()


@lru_cache(maxsize=1024)
def _planned(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    on_device: bool,
    tasks: tuple[Task, ...],
) -> Planned:
    steps: list[Step] = []
    original = shape, dtype
    size = _product(shape)
    first = size * dtype.itemsize
    for kernel, new_shape, new_dtype, work, reduces, made in tasks:
        for branch in made:
            steps += _planned(*original, on_device, branch).job.steps
        after, kind = new_shape or shape, new_dtype or dtype
        count = _product(after)
        nbytes = size * dtype.itemsize + count * kind.itemsize
        steps.append(Step(speed_key(kernel, dtype, kind), size + count, nbytes, work))
        if not reduces:
            shape, dtype, size = after, kind, count
    return Planned(Job(tuple(steps), first + size * dtype.itemsize, on_device), (after, kind))


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def _timed(name: str, array: Any, passes: Work, out: Any | None) -> Any:
    start = time.perf_counter()
    chosen = backend_named(name)
    result = chosen.run(passes, array, out)
    if log.isEnabledFor(logging.DEBUG):
        kernels = ", ".join(kernels_of(passes))
        log.debug("%s of %s on %s: %.6f s", kernels, array.shape, name, time.perf_counter() - start)
    return result
