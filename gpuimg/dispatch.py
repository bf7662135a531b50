"""Selection of a backend: the cost model, and the name given by the caller, a context or the environment.

`choose` predicts the seconds that each backend would take for a job and ranks them. It is a pure function, so that it
can be tested with the figures of other machines.
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
    """One node, as input of the cost model.

    Attributes
    ----------
    key : kernel and types, the key of measured speeds
    elements : number of input and output elements
    nbytes : their size in bytes
    work : relative number of operations for each element; see `gpuimg.plans.nodes.Node`
    """

    key: str
    elements: int
    nbytes: int
    work: float


class Job(NamedTuple):
    """A graph for an image or a stack, as input of the cost model.

    Attributes
    ----------
    steps : the nodes for one image
    transfer : bytes to and from a GPU for one image
    on_device : whether the image is in GPU memory
    images : number of images in the stack
    together : whether one call computes all images, on the backends that run in this process
    chains : number of nodes of each group that these backends run a few rows at a time, by one call
    """

    steps: tuple[Step, ...]
    transfer: int
    on_device: bool = False
    images: int = 1
    together: bool = False
    chains: tuple[int, ...] = ()


class Estimate(NamedTuple):
    """Predicted seconds on one backend; sorts by seconds."""

    seconds: float
    backend: str


def predict(job: Job, figures: Figures) -> dict[str, float]:
    """Predict the seconds of a job on each backend, usable or not."""
    alone = fixed = moved = 0.0
    for step in job.steps:
        alone += step.elements * step.work * figures.speed(step.key, step.nbytes)
        fixed += figures.overhead(step.key)
        moved += step.nbytes * max(1.0, step.work / figures.gpu_work_per_byte)
    count, images = len(job.steps), job.images
    together = fixed + alone / figures.multicore_speedup
    device = figures.gpu_call + figures.gpu_launch * count + moved / figures.gpu_bandwidth
    calls = 1 / images if job.together else 1
    groups = count - sum(job.chains) + len(job.chains)
    single = calls * figures.single_call * groups + fixed + alone
    multicore = calls * figures.multicore_call * groups + together
    if images > 1 and not job.together:  # many images are distributed whole, few in bands
        multicore = figures.multicore_call / images + min(single / figures.multicore_speedup, multicore)
    return {
        "single": images * single,
        "multicore": images * multicore,
        "processes": images * (figures.processes_call * count + together + job.transfer / figures.copy_bandwidth),
        "cuda": images * (device if job.on_device else device + job.transfer / figures.pcie_bandwidth),
    }


def choose(job: Job, figures: Figures, usable: Sequence[str]) -> list[Estimate]:
    """Rank the usable backends by their seconds for a job, measured or otherwise predicted, the fastest first.

    Parameters
    ----------
    job : sizes of the nodes of a graph
    figures : the machine's measured speeds
    usable : names of the backends that can run the job; for an image in GPU memory only "cuda" is considered
    """
    seconds = predict(job, figures) | figures.measured.get(job, {})
    return sorted([Estimate(seconds[name], name) for name in usable if name == "cuda" or not job.on_device])


def check_name(name: object, where: str = "backend") -> Backend:
    """Check a backend's name."""
    if not isinstance(name, str) or name not in CHOICES:
        raise ValueError(f"{where} must be one of {', '.join(CHOICES)}, got {name!r}")
    return name


def requested(backend: Backend | None) -> Backend:
    """Return the backend requested by the call, by `use_backend` or by ``GPUIMG_BACKEND``, in this order, or "auto"."""
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


_key: Any = getattr(os.environ, "encodekey", str)(VARIABLE)  # the key of the variable in `os.environ`


@contextmanager
def use_backend(name: Backend) -> Iterator[None]:
    """Run the filters called in this context on one backend.

    Parameters
    ----------
    name : "auto", "cuda", "multicore", "processes" or "single"

    Raises
    ------
    ValueError : not a backend's name. Whether the backend is available is checked when a filter is called.

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
