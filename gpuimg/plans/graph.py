"""The graph of a plan: its nodes in order, which of them run together, and when each value is last used."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg.plans.nodes import AnyNode, Fold, Node, Parts, View, Window
from gpuimg.plans.value import Small, Value

Plan: TypeAlias = "Callable[..., Value | Small]"
Spec: TypeAlias = "tuple[tuple[int, ...], np.dtype[Any]]"


GRAPHS_KEPT = 128  # with their tables, which may be as long as an image has rows and columns


class Group(NamedTuple):
    """Nodes that run one after the other.

    Attributes
    ----------
    nodes : one node; or several that can run some rows at a time, the last of which makes the only value that is used
        outside
    expired : values that are not used afterwards
    """

    nodes: tuple[AnyNode, ...]
    expired: tuple[Value, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Graph:
    """What a plan made of its inputs."""

    inputs: tuple[Value | Small, ...]
    result: Value | Small
    writer: AnyNode | None  # that makes the memory of the result: what follows only changes it
    nodes: tuple[AnyNode, ...]
    groups: tuple[Group, ...]

    @property
    def kernels(self) -> list[str]:
        return [node.kernel for node in self.nodes if isinstance(node, Node)]


@lru_cache(maxsize=GRAPHS_KEPT)
def graph_of(plan: Plan, specs: tuple[Spec, ...], tables: int, parameters: tuple[Hashable, ...]) -> Graph:
    """The graph of a plan for images of these shapes and dtypes, some tables, and parameters."""
    inputs: tuple[Value | Small, ...] = (
        *[Value(shape, dtype) for shape, dtype in specs],
        *[Small(index=index) for index in range(tables)],
    )
    result = plan(*inputs, *parameters)
    nodes = tuple(_in_order(result, set()))
    uses = _uses(nodes)
    writer = result.node
    while isinstance(writer, Parts) and writer.changes:
        writer = writer.image.node
    return Graph(inputs, result, writer, nodes, tuple(_with_ends(_grouped(nodes, uses), result)))


def _in_order(value: Value | Small, seen: set[AnyNode]) -> Iterator[AnyNode]:
    """The node that makes a value, behind all that it depends on, without those that were seen."""
    node = value.node
    if node is not None and node not in seen:
        seen.add(node)
        for needed in operands(node):
            yield from _in_order(needed, seen)
        yield node


def operands(node: AnyNode) -> list[Value | Small]:
    """The values that a node reads."""
    if isinstance(node, View):
        return [node.image]
    given = [argument for argument in node.arguments if isinstance(argument, Value | Small)]
    return [node.image, *given] if isinstance(node, Node) else list(given)


def _uses(nodes: tuple[AnyNode, ...]) -> dict[Any, set[AnyNode]]:
    """For each node, the nodes that read what it makes."""
    found: dict[Any, set[AnyNode]] = {node: set() for node in nodes}
    for node in nodes:
        for value in operands(node):
            if value.node is not None:
                found[value.node].add(node)
    return found


def _grouped(nodes: tuple[AnyNode, ...], uses: dict[Any, set[AnyNode]]) -> list[tuple[AnyNode, ...]]:
    """Groups of nodes in an order in which they can run."""
    groups: dict[AnyNode, set[AnyNode]] = {}
    taken: set[AnyNode] = set()
    for last in reversed(nodes):
        if last in taken:
            continue
        members: set[AnyNode] = {last}
        for node in reversed(nodes[: nodes.index(last)]):
            if node not in taken and _joins(node, members, uses):
                members.add(node)
        taken |= members
        groups[last] = members
    return [tuple([node for node in nodes if node in groups[last]]) for last in nodes if last in groups]


def _joins(node: AnyNode, members: set[AnyNode], uses: dict[Any, set[AnyNode]]) -> bool:
    """Whether a node can run with a group that reads what it makes, some rows at a time."""
    readers = uses[node]
    if not readers or not readers <= members or not _is_banded(node):
        return False
    for reader in readers:
        if not _is_banded(reader):
            return False
        assert isinstance(reader, Node)
        if isinstance(reader, Window) and reader.image.node is node and reader.wraps:
            return False
        # The compiled chain knows one image beside the first that is made on the way.
        made = {value.node for value in reader.arguments if isinstance(value, Value)} & (members | {node})
        if len(made) > 1:
            return False
    return True


def _is_banded(node: AnyNode) -> bool:
    return isinstance(node, Node) and not isinstance(node, Fold) and node.halo is not None


def _with_ends(groups: list[tuple[AnyNode, ...]], result: Value | Small) -> Iterator[Group]:
    last_use: dict[Value, int] = {}
    for number, nodes in enumerate(groups):
        for node in nodes:
            last_use |= {value: number for value in operands(node) if isinstance(value, Value)}
    for number, nodes in enumerate(groups):
        expired = [value for value, end in last_use.items() if end == number and value is not result]
        yield Group(nodes, tuple(expired))
