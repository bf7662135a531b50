"""`explain` and `backends`: which backend a filter would run on, and why."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from html import escape
from time import perf_counter
from typing import Any

import numpy as np

from gpuimg import choosing, dispatch
from gpuimg.backend.walk import Bound
from gpuimg.dispatch import BACKENDS, Job
from gpuimg.filters import all_filters, filter_named
from gpuimg.images import DTYPES
from gpuimg.machine import figures
from gpuimg.plans.graph import Graph
from gpuimg.plans.nodes import AnyNode, Host, Loop, Spec, View
from gpuimg.plans.value import Value
from gpuimg.registry import arguments
from gpuimg.run import planned

ROUNDS = 3  # of each backend, if `explain` measures


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """A row of `backends`: whether a backend can run here, why not and the remedy, and its threads or device."""

    name: str
    usable: bool
    reason: str
    detail: str


def backends() -> list[BackendStatus]:
    """List the backends and whether each is usable on this machine.

    Returns
    -------
    list of `BackendStatus` with ``name``, ``usable``, ``reason`` (why not, with the remedy) and ``detail``

    Notes
    -----
    A GPU counts as usable only if a tiny kernel compiles, runs and returns the right result, so the first call may take
    a second.

    Examples
    --------
    >>> import gpuimg
    >>> [status.name for status in gpuimg.backends()]
    ['single', 'multicore', 'processes', 'cuda']
    """
    return [_status(name) for name in BACKENDS]


def _status(name: str) -> BackendStatus:
    backend = choosing.backend_named(name)
    reason = backend.unusable()
    if reason is not None:
        return BackendStatus(name, False, reason, "")
    absent = ", ".join(each for each in all_filters() if unwritten(each, name))
    return BackendStatus(name, True, "", f"{backend.detail()}; without {absent}" if absent else backend.detail())


@cache
def unwritten(name: str, backend: str = "cuda") -> str | None:
    """Return which kernels of a filter are not written for a backend yet, as a message, or None."""
    found = all_filters()[name]
    shape = (16, 16, 3) if found.color else (16, 16)
    images = [np.zeros(shape, dtype) for dtype in DTYPES if dtype.kind in found.kinds]
    bounds = [
        planned(found.function, image, arguments(example, image))[1] for image in images for example in found.examples
    ]
    return choosing.backend_named(backend).missing([kernel for bound in bounds for kernel in bound.graph.kernels])


@dataclass(frozen=True, slots=True)
class Row:
    """One backend in an `Explanation`: predicted seconds, measured ones if any, or why it cannot run."""

    backend: str
    predicted: float | None
    measured: float | None
    reason: str

    @property
    def seconds(self) -> float:
        """The seconds that "auto" compares; infinite if the backend cannot run."""
        known = self.predicted if self.measured is None else self.measured
        return math.inf if known is None else known


@dataclass(frozen=True, slots=True)
class Explanation:
    """The result of `explain`; ``str()`` is the table, ``chosen`` the backend, ``why`` the reason."""

    filter: str
    image: str
    chosen: str
    requested: str
    rows: tuple[Row, ...]
    passes: tuple[str, ...]

    @property
    def why(self) -> str:
        """The reason why this backend was chosen."""
        if self.requested != "auto":
            return f"{self.chosen}: asked for by name"
        first, second = self.rows[:2]
        if second.reason:
            return f"{first.backend}: no other backend can run it ({second.reason})"
        kind = "estimated" if first.measured is None else "measured"
        words = (
            f"{first.backend}: {_seconds(first.seconds)} {kind} against {_seconds(second.seconds)} on {second.backend}"
        )
        estimated = min(self.rows, key=lambda row: math.inf if row.predicted is None else row.predicted)
        if estimated is not first:
            words += f"; {estimated.backend} was estimated to be faster, but measured times now decide for such calls"
        return words

    def __str__(self) -> str:
        lines = [self.why, *self._notes()]
        for name, predicted, measured, remark in (COLUMNS, *self._cells()):
            lines.append(f"{name:<12}{predicted:>12}{measured:>12}  {remark}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the table as HTML, for Jupyter."""
        notes = "<br/>".join(map(escape, (self.why, *self._notes())))
        rows = [_html_row("th", COLUMNS), *[_html_row("td", cells) for cells in self._cells()]]
        return f"<p>{notes}</p><table>{''.join(rows)}</table>"

    def _notes(self) -> tuple[str, str]:
        return f"{self.filter} of {self.image}", f"passes: {' -> '.join(self.passes)}"

    def _cells(self) -> Iterator[tuple[str, str, str, str]]:
        for row in self.rows:
            remark = "<- chosen" if row.backend == self.chosen else row.reason
            yield row.backend, _seconds(row.predicted), _seconds(row.measured), remark


COLUMNS = ("backend", "predicted", "measured", "")


def _html_row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join([f'<{tag}>{escape(cell)}</{tag}>' for cell in cells])}</tr>"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 1e-3:
        return f"{value * 1e6:.1f} us"
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"


def explain(
    filter: Callable[..., Any] | str,
    image: Any,
    /,
    *,
    measure: bool = False,
    **params: Any,
) -> Explanation:
    """Explain which backend a filter would run on, and the seconds behind the choice.

    Parameters
    ----------
    filter : a filter or its name
    image : the image to filter; it is not filtered unless ``measure`` is true
    measure : whether to run the filter on every usable backend as well and show the median seconds. They replace the
        predicted ones in this process, so that "auto" then uses the fastest measured backend for such images.
    **params : the filter's parameters

    Returns
    -------
    Explanation : with ``chosen``, ``why`` and ``rows``; its ``str()`` is the reason followed by a table

    Raises
    ------
    ValueError : no filter has that name; also any error that the filter raises for these arguments

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> print(gpuimg.explain(gpuimg.invert, np.zeros((64, 64), np.uint8)).chosen)
    single
    """
    function = _function(filter)
    backend = params.pop("backend", None)
    source, bound = planned(function, image, params)
    requested: str = dispatch.requested(backend)
    job = choosing.job_for(source, bound.graph)
    rows = [_row(name, job, bound) for name in BACKENDS]
    if measure:
        usable = [row.backend for row in rows if row.predicted is not None]
        measured = {name: _measured(partial(function, image, backend=name, **params)) for name in usable}
        figures().record(job, measured)
        rows = [replace(row, measured=measured.get(row.backend)) for row in rows]
    rows.sort(key=lambda row: row.seconds)
    return Explanation(
        filter=function.__name__,
        image=f"{_shape(source.array.shape)} {source.dtype}",
        chosen=rows[0].backend if requested == "auto" else requested,
        requested=requested,
        rows=tuple(rows),
        passes=bound.graph.kernels,
    )


def _function(wanted: Callable[..., Any] | str) -> Callable[..., Any]:
    return filter_named(wanted).function if isinstance(wanted, str) else wanted


@dataclass(frozen=True, slots=True)
class Description:
    """The result of `plan`; ``str()`` is a table of the nodes.

    Attributes
    ----------
    filter : name of the filter
    graph : `gpuimg.plans.graph.Graph`
    stack : shape of the stack of images; () for one image
    backend : the backend that "auto" would choose
    """

    filter: str
    graph: Graph
    stack: tuple[int, ...]
    backend: str

    def __str__(self) -> str:
        image, *_ = self.graph.inputs
        assert isinstance(image, Value)
        count = f"{_shape(self.stack)} images of " if self.stack else ""
        head = f"{self.filter} of {count}{_shape(image.shape)} {image.dtype} on {self.backend}"
        lines = [head, f"{'':3}{'node':<10}{'kernel':<20}{'result':<37} halo"]
        return "\n".join([*lines, *_table(self.graph, "")])


def _table(graph: Graph, indent: str) -> list[str]:
    """Return a line per node; nodes with one number run together, a few rows at a time, without images between them."""
    lines = []
    for number, group in enumerate(graph.chained, 1):
        for place, node in enumerate(group.nodes):
            lines.append(f"{indent}{number if place == 0 else '':<3}{_described(node)}".rstrip())
            if isinstance(node, Loop):
                lines += _table(node.body, indent + "   ")
    return lines


def _described(node: AnyNode) -> str:
    kind = type(node).__name__.lower()
    if isinstance(node, Host):
        return f"{kind:<10}{_name_of(node.function):<20}"
    if isinstance(node, View):
        return f"{kind:<10}{'':<20}{_shape(node.image.shape)} {node.dtype}"
    if isinstance(node, Loop):
        return f"{kind:<10}{'':<20}{_listed([(value.shape, value.dtype) for value in node.state])}"
    halo = "" if node.halo is None else "x".join(map(str, node.halo))
    return f"{kind:<10}{node.kernel:<20}{_listed(node.results):<37} {halo}"


def _listed(results: Sequence[Spec]) -> str:
    return ", ".join([f"{_shape(shape)} {dtype}" for shape, dtype in results])


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "func", function).__name__.strip("_")


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def plan(
    filter: Callable[..., Any] | str,
    shape: tuple[int, ...],
    dtype: Any,
    /,
    *,
    axes: str | None = None,
    **params: Any,
) -> Description:
    """Describe the graph that a filter runs for images of a shape and dtype, without computing.

    Parameters
    ----------
    filter : a filter or its name
    shape : (H, W) or (H, W, C), or as ``axes`` specifies
    dtype : of the image
    axes : meaning of the axes, see `gpuimg.filters`
    **params : the filter's parameters

    Returns
    -------
    Description : its ``graph`` holds the nodes; ``str()`` shows them with their kernels, results and halos. Nodes under
    one number run together, a few rows at a time.

    Raises
    ------
    ValueError : no filter has that name; also any error that the filter raises for these arguments

    Examples
    --------
    >>> import gpuimg
    >>> print(gpuimg.plan("threshold", (480, 640), "uint8", value=100, backend="single"))
    threshold of 480x640 uint8 on single
       node      kernel              result                      halo
    1  point     threshold           480x640 bool                0x0
    """
    function = _function(filter)
    backend: str = dispatch.requested(params.pop("backend", None))
    source, bound = planned(function, np.zeros(shape, dtype), {"axes": axes, **params})
    if backend == "auto":
        backend = choosing.candidates(choosing.job_for(source, bound.graph), bound)[0].backend
    return Description(function.__name__, bound.graph, source.stack, backend)


def _row(name: str, job: Job, bound: Bound) -> Row:
    reason = choosing.refusal(name, bound)
    if reason is None and job.on_device and name != "cuda":
        reason = "the image is in GPU memory"
    if reason is not None:
        return Row(name, None, None, reason)
    known = figures()
    return Row(name, dispatch.predict(job, known)[name], known.measured.get(job, {}).get(name), "")


def _measured(call: Callable[[], Any]) -> float:
    """Return the median seconds of a call."""
    call()  # compile, start threads and workers
    taken = []
    for _ in range(ROUNDS):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return statistics.median(taken)
