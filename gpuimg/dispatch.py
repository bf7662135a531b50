"""Which backend: the cost rule, one pure function, and the name that the caller, a context or the environment gave.

`choose` predicts the seconds that each backend would need for a job on this machine and takes the minimum. All it knows
comes in as arguments, so it can be tested with the figures of machines that are not here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, get_args

from gpuimg.machine import Figures
from gpuimg.typing import Backend

CHOICES: tuple[Backend, ...] = get_args(Backend)
BACKENDS = CHOICES[1:]  # without "auto"

VARIABLE = "GPUIMG_BACKEND"
_chosen: ContextVar[Backend | None] = ContextVar("gpuimg_backend", default=None)


class Step(NamedTuple):
    """One node as the cost rule sees it.

    Attributes
    ----------
    key : names the kernel and its types; measured speeds are kept under it
    elements : input and output elements
    nbytes : bytes of them
    work : operations for each of them, relative; see `gpuimg.plans.nodes.Node`
    """

    key: str
    elements: int
    nbytes: int
    work: float


class Job(NamedTuple):
    """What is to be done, as the cost rule sees it.

    Attributes
    ----------
    steps : for one image
    transfer : bytes to and from a GPU for it
    on_device : whether it lies in GPU memory
    images : how many of them are in a stack
    together : whether one call fills them all, on the backends that run in this process
    """

    steps: tuple[Step, ...]
    transfer: int
    on_device: bool = False
    images: int = 1
    together: bool = False


class Estimate(NamedTuple):
    """Predicted seconds on one backend; sorts by them."""

    seconds: float
    backend: str


def predict(job: Job, figures: Figures) -> dict[str, float]:
    """Predicted seconds of a job on each backend, usable or not."""
    alone = moved = 0.0
    for step in job.steps:
        alone += step.elements * step.work * figures.speed(step.key)
        moved += step.nbytes * max(1.0, step.work / figures.gpu_work_per_byte)
    count, images = len(job.steps), job.images
    together = alone / figures.multicore_speedup
    device = figures.gpu_call + figures.gpu_launch * count + moved / figures.gpu_bandwidth
    calls = 1 / images if job.together else 1
    single = calls * figures.single_call * count + alone
    multicore = calls * figures.multicore_call * count + together
    if images > 1 and not job.together:  # many images are shared out whole, few in bands
        multicore = figures.multicore_call / images + min(single / figures.multicore_speedup, multicore)
    return {
        "single": images * single,
        "multicore": images * multicore,
        "processes": images * (figures.processes_call * count + together + job.transfer / figures.copy_bandwidth),
        "cuda": images * (device if job.on_device else device + job.transfer / figures.pcie_bandwidth),
    }


def choose(job: Job, figures: Figures, usable: Sequence[str]) -> list[Estimate]:
    """The usable backends with their seconds, measured for this very job or else predicted, the best first.

    Parameters
    ----------
    job : the nodes of a graph, as sizes
    figures : the machine's measured speeds
    usable : names of the backends that can run the job; an image in GPU memory stays there, so only "cuda" counts then
    """
    seconds = predict(job, figures) | figures.measured.get(job, {})
    return sorted([Estimate(seconds[name], name) for name in usable if name == "cuda" or not job.on_device])


def check_name(name: object, where: str = "backend") -> Backend:
    """Check a backend's name, wherever it came from."""
    if not isinstance(name, str) or name not in CHOICES:
        raise ValueError(f"{where} must be one of {', '.join(CHOICES)}, got {name!r}")
    return name


def requested(backend: Backend | None) -> Backend:
    """The backend asked for: by the call, else by `use_backend`, else by ``GPUIMG_BACKEND``, else "auto"."""
    if backend is not None:
        return check_name(backend)
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    known = getattr(os.environ, "_data", None)
    if type(known) is dict and _key not in known:  # `os.environ` itself takes ten times as long to say so
        return "auto"
    named = os.environ.get(VARIABLE)
    return check_name(named, f"the variable {VARIABLE}") if named else "auto"


_key: Any = getattr(os.environ, "encodekey", str)(VARIABLE)  # what `os.environ` keeps the variable by


@contextmanager
def use_backend(name: Backend) -> Iterator[None]:
    """Run the filters called in this context on one backend.

    Parameters
    ----------
    name : "auto", "cuda", "multicore", "processes" or "single"

    Raises
    ------
    ValueError : not a backend's name. Whether it can run here shows when a filter is called.

    Notes
    -----
    Contexts nest, and each thread and each asyncio task has a separate one. A filter's ``backend=`` overrides the
    context, the context overrides the variable ``GPUIMG_BACKEND``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> with gpuimg.use_backend("single"):
    ...     gpuimg.invert(np.zeros((1, 3), np.uint8))
    array([[255, 255, 255]], dtype=uint8)
    """
    token = _chosen.set(check_name(name, "name"))
    try:
        yield
    finally:
        _chosen.reset(token)
