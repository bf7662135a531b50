"""The walk over a graph: in what order nodes run, and how long what they make is kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from gpuimg.plans.graph import Graph, Plan, graph_of, operands
from gpuimg.plans.nodes import Fold, Host, Node, Parts, View, Window
from gpuimg.plans.value import Small, Value

Held: TypeAlias = Any  # an array where the executor works: host memory, shared memory, the device's
Lookup: TypeAlias = "Callable[[Value | Small], Any]"


class Bound(NamedTuple):
    """A graph with the images and the tables that it is run on."""

    graph: Graph
    arrays: tuple[Any, ...]


def bound_to(plan: Plan, *images: Any, tables: tuple[Any, ...] = (), parameters: tuple[Hashable, ...] = ()) -> Bound:
    """The graph of a plan for these images, tables and parameters."""
    specs = tuple([(image.shape, image.dtype) for image in images])
    return Bound(graph_of(plan, specs, len(tables), parameters), (*images, *tables))


class Executor(Protocol):
    """How nodes are run: all that the walk needs of a backend."""

    def take(self, image: Any) -> Held:
        """An image of the caller's, where the executor works."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Held:
        """Memory for a result."""

    def copy(self, image: Held) -> Held:
        """A copy that may be written to."""

    def fill(self, nodes: Sequence[Node], value_of: Lookup, result: Held) -> None:
        """Run the nodes of a group, the last of which makes ``result``."""

    def fold(self, node: Fold, value_of: Lookup) -> np.ndarray[Any, Any]:
        """The combined array of a fold, on the host."""


def walk(bound: Bound, executor: Executor, out: Held | None) -> Any:
    """Run a graph; returns its result where the executor works, or on the host where that is a small array.

    ``out`` is memory for the result, where it may be written to while the images are read.
    """
    graph = bound.graph
    held: dict[Any, Any] = {}
    for value, image in zip(graph.inputs, bound.arrays, strict=True):
        held[value] = image if isinstance(value, Small) else executor.take(image)

    def value_of(value: Value | Small) -> Any:
        if isinstance(value, Small):
            made = held[value if value.node is None else value.node]
            return made[value.index] if isinstance(value.node, Host) and value.node.count > 1 else made
        return held[value if value.node is None else value.node]

    for nodes, expired in graph.groups:
        last = nodes[-1]
        if isinstance(last, Host):
            held[last] = last.function(*map(value_of, last.arguments))
        elif isinstance(last, View):
            held[last] = value_of(last.image).view(last.dtype)
        elif isinstance(last, Fold):
            held[last] = executor.fold(last, value_of)
        else:
            if isinstance(last, Parts) and last.changes:
                image = value_of(last.image)
                free = last.image in expired and isinstance(last.image.node, Node)
                result = image if free else executor.copy(image)
            elif graph.writer is last and out is not None:
                result = out
            else:
                result = executor.empty(last.shape, last.dtype)
            executor.fill(nodes, value_of, result)  # type: ignore[arg-type]
            held[last] = result
        for value in expired:
            held.pop(value if value.node is None else value.node, None)
    return value_of(graph.result)


def one_by_one(
    nodes: Sequence[Node],
    value_of: Lookup,
    result: Held,
    empty: Callable[[tuple[int, ...], np.dtype[Any]], Held],
    run: Callable[[Node, Lookup, Held], None],
) -> None:
    """Run the nodes of a group each over the whole image."""
    made: dict[Node, Held] = {}

    def found(value: Value | Small) -> Any:
        return made[value.node] if value.node in made else value_of(value)

    for node in nodes:
        made[node] = result if node is nodes[-1] else empty(node.shape, node.dtype)
        run(node, found, made[node])
        for done in [each for each in made if each is not node and not _is_read(each, nodes[nodes.index(node) + 1 :])]:
            del made[done]


def _is_read(node: Node, later: Sequence[Node]) -> bool:
    return any(value.node is node for reader in later for value in operands(reader))


def arguments(node: Node, value_of: Lookup) -> tuple[Any, ...]:
    """What a kernel gets behind the rows to fill: numbers and arrays, images as flat rows."""
    return tuple([_argument(each, value_of) for each in node.arguments])


def _argument(given: Any, value_of: Lookup) -> Any:
    if isinstance(given, Value):
        return flat(value_of(given))
    return value_of(given) if isinstance(given, Small) else given


def flat(array: Any) -> Any:
    """An image as rows of elements."""
    return array if array.ndim == 2 else array.reshape(array.shape[0], -1)


def rows_read(node: Node, top: int, bottom: int, rows: int) -> tuple[int, int]:
    """The rows of its image that a node reads for the rows [top, bottom) of its result."""
    above = node.halo[0] if node.halo else 0
    low, high = top - above, bottom + above
    if isinstance(node, Window) and node.wraps and (low < 0 or high > rows):
        return 0, rows
    # All other modes find what lies beyond an edge among the rows that the halo reaches inside of it.
    return max(low, 0), min(high, rows)
