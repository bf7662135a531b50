"""The walk over a graph: the order in which nodes run, and the lifetimes of their results."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from itertools import starmap
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from gpuimg import stopping
from gpuimg.errors import BackendFailed
from gpuimg.plans.graph import AnyValue, Graph, Group, Plan, changed_by, graph_of
from gpuimg.plans.nodes import AnyNode, Fold, Host, Loop, Node, Output, Spec, View, Window
from gpuimg.plans.value import Small, Value

Held: TypeAlias = Any  # an array in the executor's memory: host, shared or device memory
Lookup: TypeAlias = "Callable[[AnyValue], Any]"
Outs: TypeAlias = "tuple[Any | None, ...]"  # memory for each result, or None


class Bound(NamedTuple):
    """A graph with its input images and tables."""

    graph: Graph
    arrays: tuple[Any, ...]

    def on(self, backend: Any, outs: Outs | None = None) -> tuple[Any, ...]:
        """Run the graph on a backend and return the results, in the memory ``outs`` if given."""
        return backend.run(self, outs)  # type: ignore[no-any-return]


def bound_to(plan: Plan, *images: Any, tables: tuple[Any, ...] = (), parameters: tuple[Hashable, ...] = ()) -> Bound:
    """Return the graph of a plan for these images, tables and parameters."""
    specs = tuple([(image.shape, image.dtype) for image in images])
    return Bound(graph_of(plan, specs, len(tables), parameters), (*images, *tables))


class Executor(Protocol):
    """The part of a backend that the walk uses to run nodes.

    ``chains`` is whether several nodes can be filled together, a few rows at a time.
    """

    chains: bool

    def take(self, image: Any) -> Held:
        """Return the caller's image in the executor's memory."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Held:
        """Allocate memory for a result."""

    def copy(self, image: Held, target: Held) -> None:
        """Copy an image into memory of the same size."""

    def on_host(self, image: Held) -> np.ndarray[Any, Any]:
        """Return an image in the host's memory, without a copy if it is there."""

    def fill(self, nodes: Sequence[Node], value_of: Lookup, results: Sequence[Held]) -> None:
        """Run the nodes of a group, the last of which fills ``results``."""

    def fold(self, node: Fold, value_of: Lookup) -> np.ndarray[Any, Any]:
        """Return the combined array of a fold, on the host."""


def walk(bound: Bound, executor: Executor, outs: Outs | None = None) -> tuple[Any, ...]:
    """Run a graph; return its results in the executor's memory, or on the host if they are small arrays.

    ``outs`` is memory for the results, if it may be written to while the images are read.
    """
    graph = bound.graph
    held: dict[AnyValue, Any] = {}
    for value, image in zip(graph.inputs, bound.arrays, strict=True):
        held[value] = image if isinstance(value, Small) else executor.take(image)
    watch = stopping.watch()
    if watch is not None:
        watch.plan({group: _work(group) for group in (graph.chained if executor.chains else graph.separate)})
    return _run(graph, held, executor, outs, watch)


def _run(
    graph: Graph, held: dict[AnyValue, Any], executor: Executor, outs: Outs | None, watch: stopping.Watch | None
) -> tuple[Any, ...]:
    """Return the results of a graph; ``held`` are its inputs, each released after its last use."""
    for group in graph.chained if executor.chains else graph.separate:
        if watch is not None:
            watch.enter(group)
        nodes, is_filled, makes, _, _, expired = group
        if is_filled:
            if outs is None and not group.in_place:
                results: Sequence[Any] = list(starmap(executor.empty, nodes[-1].results))  # type: ignore[union-attr]
            else:
                results = _memory(group, held, executor, outs)
            executor.fill(nodes, held.__getitem__, results)  # type: ignore[arg-type]
        else:
            results = _computed(group, held, executor, outs)
        if len(makes) == 1:  # takes half the time
            (held[makes[0]],) = results
        else:
            held.update(zip(makes, results, strict=True))
        for value in expired:
            del held[value]
    made = tuple(map(held.__getitem__, graph.results))
    if outs is None:
        return made
    for result, out, written in zip(made, outs, graph.written, strict=True):
        if out is not None and not written:
            executor.copy(result, as_dtype(out, result.dtype))
    return tuple(map(_either, outs, made))


def _work(group: Group) -> float:
    """Return the relative cost of a group."""
    return sum([_cost(node) for node in group.nodes])


def _cost(node: AnyNode) -> float:
    if isinstance(node, Loop):
        return node.rounds * sum([_cost(each) for each in node.body.nodes])
    return node.work * math.prod(node.image.shape) if isinstance(node, Node) else 0.0


def _computed(group: Group, held: dict[AnyValue, Any], executor: Executor, outs: Outs | None) -> Sequence[Any]:
    """Return the results of a node that the executor does not fill memory for."""
    (node,) = group.nodes
    if isinstance(node, Fold):
        return [executor.fold(node, held.__getitem__)]
    if isinstance(node, Host):
        given = [executor.on_host(held[value]) if isinstance(value, Value) else held[value] for value in node.arguments]
        made = node.function(*given)
        return [made] if node.count == 1 else made
    if isinstance(node, View):
        return [held[node.image].view(node.dtype)]
    assert isinstance(node, Loop)
    return _repeat(node, group, held, executor, outs)


def _memory(group: Group, held: dict[AnyValue, Any], executor: Executor, outs: Outs | None) -> list[Held]:
    """Return memory for a group's results: new, the caller's, or that of images changed in place."""
    specs = group.nodes[-1].results  # type: ignore[union-attr]
    made = [_changeable(group, place, held, executor, outs) for place in range(len(group.in_place))]
    for place in range(len(made), len(specs)):
        given = _given(outs, group.targets[place])
        made.append(executor.empty(*specs[place]) if given is None else as_dtype(given, specs[place][1]))
    return made


def _given(outs: Outs | None, target: int | None) -> Held | None:
    """Return the caller's memory for a result."""
    return None if outs is None or target is None else outs[target]


def _empty(spec: Spec, given: Held | None, executor: Executor) -> Held:
    return executor.empty(*spec) if given is None else as_dtype(given, spec[1])


def as_dtype(out: Held, dtype: np.dtype[Any]) -> Held:
    """View the same memory as another dtype of the same size."""
    return out if out.dtype == dtype else out.view(dtype)


def _changeable(group: Group, place: int, held: dict[AnyValue, Any], executor: Executor, outs: Outs | None) -> Held:
    """Return the image that a node changes in place, or a copy of it."""
    image = held[changed_by(group.nodes[-1])[place]]
    if group.in_place[place]:
        return image
    copied = _empty((image.shape, image.dtype), _given(outs, group.targets[place]), executor)
    executor.copy(image, copied)
    return copied


def _either(out: Held | None, result: Any) -> Any:
    return result if out is None else out


def _repeat(node: Loop, group: Group, held: dict[AnyValue, Any], executor: Executor, outs: Outs | None) -> list[Any]:
    """Run the body of a loop until its condition ends it."""
    state = [_changeable(group, place, held, executor, outs) for place in range(len(node.state))]
    if node.begins is not None and not held[node.begins]:
        return state
    constants = [held[value] for value in node.constants]
    for value in {*node.state, *node.constants} & set(group.expired):
        held[value] = None  # release what the first round replaces
    watch = stopping.watch()
    for _ in range(node.limit):
        inputs = dict(zip(node.body.inputs, [*state, *constants], strict=True))
        state = []
        *state, again = _run(node.body, inputs, executor, None, watch)
        if not again:
            return state
    raise BackendFailed(f"a loop over {', '.join(node.body.kernels)} did not end within {node.limit} rounds")


def arguments(node: Node, value_of: Lookup, results: Sequence[Held] = ()) -> tuple[Any, ...]:
    """Return a kernel's arguments after the rows to fill: numbers, arrays, images and further results as flat rows."""
    if node.is_constant:
        return node.arguments
    return tuple([_argument(each, value_of, results) for each in node.arguments])


def _argument(given: Any, value_of: Lookup, results: Sequence[Held]) -> Any:
    if isinstance(given, Value):
        return flat(value_of(given))
    if isinstance(given, Output):
        return flat(results[given.index])
    return value_of(given) if isinstance(given, Small) else given


def flat(array: Any) -> Any:
    """Return an image as rows of elements."""
    return array if array.ndim == 2 else array.reshape(array.shape[0], -1)


def rows_read(node: Node, top: int, bottom: int, rows: int) -> tuple[int, int]:
    """Return the rows of its image that a node reads for rows [top, bottom) of its result."""
    low, high = top - node.reach_rows, bottom + node.reach_rows
    if isinstance(node, Window) and node.wraps and (low < 0 or high > rows):
        return 0, rows
    # All other modes take the pixels beyond an edge from the rows within the halo inside of it.
    return max(low, 0), min(high, rows)
