"""The graph of a plan: its nodes in order, grouped to run together, and the last use of each value."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg.keeping import kept
from gpuimg.plans.nodes import AnyNode, Fold, Host, Loop, Node, Parts, Spec, View, Window
from gpuimg.plans.value import Small, Value

AnyValue: TypeAlias = Value | Small
Plan: TypeAlias = "Callable[..., AnyValue | tuple[AnyValue, ...]]"


GRAPHS_KEPT = 128  # fewer if their tables, which may have an entry for each row and column, are too large
NEVER = 1 << 60  # after the last group


class Group(NamedTuple):
    """Nodes that run one after the other.

    Attributes
    ----------
    nodes : one node; or several that can run a band of rows at a time, of which only the last makes values that are
        used outside the group
    is_filled : whether an executor allocates memory for these values
    makes : these values
    targets : for each of these values, which of the graph's results has the same memory; None: no result
    in_place : for each image that the last node changes, whether it may be changed in place
    expired : values that are not used afterwards
    """

    nodes: tuple[AnyNode, ...]
    is_filled: bool
    makes: tuple[AnyValue, ...]
    targets: tuple[int | None, ...]
    in_place: tuple[bool, ...]
    expired: tuple[AnyValue, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Graph:
    """The nodes of a plan.

    Attributes
    ----------
    inputs, results : values
    is_single : whether the plan returned one value, not a tuple
    written : for each result, whether a group writes it to the memory given for it
    kept : for each result, whether it is the input of the same index, changed in place
    nodes : in an order in which they can run
    chained : groups of nodes that run a band of rows at a time
    separate : each node as a group
    kernels : in the order of their nodes, those of loops once
    only : the only node besides views, if its results are those of the graph; otherwise None
    read : the values that the only node reads, inputs or views of them, and their indices among the inputs
    made_as : shapes and dtypes of the results, if there is an only node
    whole : the only group besides views, if it changes no image and writes all results to the given memory
    jobs : inputs of the cost model; see `gpuimg.choosing.job_of`
    direct : cached by the CPU backends at the first run if the graph is one call; see `gpuimg.backend.calls.Direct`
    alone : for each requested backend, whether a small graph runs on one thread; see `gpuimg.choosing.is_alone`
    quick : its native calls, or None if there cannot be any, cached at the second run; see `gpuimg.backend.calls.Quick`
    """

    inputs: tuple[AnyValue, ...]
    results: tuple[AnyValue, ...]
    is_single: bool
    written: tuple[bool, ...]
    kept: tuple[bool, ...]
    nodes: tuple[AnyNode, ...]
    chained: tuple[Group, ...]
    separate: tuple[Group, ...]
    kernels: tuple[str, ...]
    only: Node | None
    read: tuple[tuple[AnyValue, int], ...]
    made_as: tuple[Spec, ...]
    whole: Group | None
    jobs: dict[tuple[bool, int], Any] = field(default_factory=dict)
    direct: list[Any] = field(default_factory=list)
    alone: dict[str, Any] = field(default_factory=dict)
    quick: list[Any] = field(default_factory=list)


def _kernels(node: AnyNode) -> tuple[str, ...]:
    if isinstance(node, Loop):
        return node.body.kernels
    return (node.kernel,) if isinstance(node, Node) else ()


def table_bytes(graph: Graph) -> int:
    """Return the size in bytes of the arrays among the arguments of a graph's kernels."""
    total = 0
    for node in graph.nodes:
        if isinstance(node, Loop):
            total += table_bytes(node.body)
        elif isinstance(node, Node):
            total += sum([each.nbytes for each in node.arguments if isinstance(each, np.ndarray)])
    return total


def graph_of(plan: Plan, specs: tuple[Spec, ...], tables: int, parameters: tuple[Hashable, ...]) -> Graph:
    """Return the graph of a plan for images of these shapes and dtypes, a number of tables, and parameters."""
    return _graph_of(plan, specs, tables, parameters, negative_zeros(parameters) if 0.0 in {*parameters} else ())


def negative_zeros(parameters: tuple[Hashable, ...]) -> tuple[int, ...]:
    """Return the indices of parameters that are -0.0: dictionaries take it for 0.0, but quotients differ."""
    found: tuple[int, ...] = ()
    for index, each in enumerate(parameters):
        if each.__class__ is float and each == 0.0 and math.copysign(1.0, each) < 0:
            found = (*found, index)
    return found


@kept(GRAPHS_KEPT, table_bytes)
def _graph_of(
    plan: Plan, specs: tuple[Spec, ...], tables: int, parameters: tuple[Hashable, ...], _zeros: tuple[int, ...]
) -> Graph:
    inputs: tuple[AnyValue, ...] = (
        *[Value(shape, _plain(dtype)) for shape, dtype in specs],
        *[Small(index=index) for index in range(tables)],
    )
    return made_graph(inputs, plan(*inputs, *map(_plain, parameters)))


graph_of.cache_clear = _graph_of.cache_clear  # type: ignore[attr-defined]


def _plain(given: Any) -> Any:
    """Strip a dtype's metadata, which is ignored by comparisons and would appear in the results for other images."""
    return np.dtype(given.str) if isinstance(given, np.dtype) and given.metadata else given


def made_graph(inputs: tuple[AnyValue, ...], made: AnyValue | tuple[AnyValue, ...], owned: int = 0) -> Graph:
    """Build the graph that computes values from inputs, the first ``owned`` of which may be overwritten."""
    results = made if isinstance(made, tuple) else (made,)
    if len(set(results)) < len(results):
        raise TypeError("a plan must not return the same value twice")
    seen: set[AnyNode] = set()
    nodes = tuple([node for result in results for node in _in_order(result, seen)])
    chains, singles = _grouped(nodes, _uses(nodes), results), [(node,) for node in nodes]
    orders = [_Order(members, _last_uses(members, results)) for members in (chains, singles)]
    memory = _Memory(results, inputs[:owned], orders)
    written = tuple([number in memory.targets.values() for number in range(len(results))])
    kept = tuple([memory.origin(result) is value for result, value in zip(results, inputs, strict=False)])
    chained, separate = (_groups(order, memory) for order in orders)
    kernels = tuple([kernel for node in nodes for kernel in _kernels(node)])
    single, only = not isinstance(made, tuple), _only(separate, results)
    read = () if only is None else tuple([(value, inputs.index(root_of(value))) for value in operands(only)])
    made_as = () if only is None else tuple([(each.shape, each.dtype) for each in results if isinstance(each, Value)])
    whole = _only_filled(chained)
    if whole is not None and (None in whole.targets or not all(written)):
        whole = None
    return Graph(inputs, results, single, written, kept, nodes, chained, separate, kernels, only, read, made_as, whole)


def _only(groups: tuple[Group, ...], results: tuple[AnyValue, ...]) -> Node | None:
    """Return the only node besides views, if its results are those of the graph, in order, and it changes no image."""
    group = _only_filled(groups)
    if group is not None:
        (node,) = group.nodes
        made = [root_of(result) for result in results]
        if [(value.node, value.index) for value in made] == [(node, number) for number in range(_count(node))]:
            return node  # type: ignore[return-value]
    return None


def _only_filled(groups: tuple[Group, ...]) -> Group | None:
    """Return the only group that is not a view, if memory is allocated for it and it changes no image."""
    others = [group for group in groups if not _is_plain_view(group)]
    return others[0] if len(others) == 1 and others[0].is_filled and not others[0].in_place else None


def _is_plain_view(group: Group) -> bool:
    (node,) = group.nodes[-1:]
    return isinstance(node, View) and not node.after


def loop(
    body: Plan,
    *state: Value,
    constants: tuple[AnyValue, ...] = (),
    limit: int,
    rounds: float = 2.0,
    begins: Small | None = None,
) -> tuple[Value, ...]:
    """Repeat a plan on its results until it returns 0.

    Parameters
    ----------
    body : called with values like those of ``state`` and ``constants``; returns a new state of the same shapes and
        dtypes, and a `Small`: 0 ends the loop
    state : the values before the first round; each round may overwrite them
    constants : further values that the body reads
    limit : maximum number of rounds; exceeding it raises an error when the graph is run
    rounds : number of rounds assumed by the cost model
    begins : a number; 0 skips the loop

    Returns
    -------
    the state after the last round
    """
    own = tuple([Value(value.shape, value.dtype) for value in state])
    others = tuple([_like(value, number) for number, value in enumerate(constants)])
    made = body(*own, *others)
    if not isinstance(made, tuple) or len(made) != len(state) + 1 or not isinstance(made[-1], Small):
        raise TypeError(f"the body of a loop over {len(state)} values must return as many values and a Small")
    for before, after in zip(state, made[:-1], strict=True):
        if not isinstance(after, Value) or (after.shape, after.dtype) != (before.shape, before.dtype):
            raise TypeError(f"the body of a loop must keep the state's shape {before.shape} and dtype {before.dtype}")
    node = Loop(made_graph((*own, *others), made, len(own)), state, constants, limit, rounds, begins)
    return tuple([Value(value.shape, value.dtype, node, index) for index, value in enumerate(state)])


def _like(value: AnyValue, number: int) -> AnyValue:
    return Small(index=number) if isinstance(value, Small) else Value(value.shape, value.dtype)


def _in_order(value: AnyValue, seen: set[AnyNode]) -> Iterator[AnyNode]:
    """Yield the node that makes a value, after all nodes that it depends on, except those already seen."""
    node = value.node
    if node is not None and node not in seen:
        seen.add(node)
        for needed in operands(node):
            yield from _in_order(needed, seen)
        yield node


def all_nodes(value: AnyValue) -> tuple[AnyNode, ...]:
    """Return all nodes that compute a value, in an order in which they can run."""
    return tuple(_in_order(value, set()))


def operands(node: AnyNode) -> list[AnyValue]:
    """Return the values that a node reads."""
    if isinstance(node, View):
        return [node.image, *node.after]
    if isinstance(node, Loop):
        return [*node.state, *node.constants, *([] if node.begins is None else [node.begins])]
    given = [argument for argument in node.arguments if isinstance(argument, Value | Small)]
    return [node.image, *given] if isinstance(node, Node) else list(given)


def _uses(nodes: tuple[AnyNode, ...]) -> dict[AnyNode, set[AnyNode]]:
    """Return, for each node, the nodes that read its results."""
    found: dict[AnyNode, set[AnyNode]] = {node: set() for node in nodes}
    for node in nodes:
        for value in operands(node):
            if value.node is not None:
                found[value.node].add(node)
    return found


def _grouped(
    nodes: tuple[AnyNode, ...], uses: dict[AnyNode, set[AnyNode]], results: tuple[AnyValue, ...]
) -> list[tuple[AnyNode, ...]]:
    """Group nodes, in an order in which the groups can run."""
    kept = {value.node for value in results}
    groups: dict[AnyNode, set[AnyNode]] = {}
    taken: set[AnyNode] = set()
    for last in reversed(nodes):
        if last in taken:
            continue
        members: set[AnyNode] = {last}
        for node in reversed(nodes[: nodes.index(last)]):
            if node not in taken and node not in kept and _joins(node, members, uses):
                members.add(node)
        taken |= members
        groups[last] = members
    return [tuple([node for node in nodes if node in groups[last]]) for last in nodes if last in groups]


def _joins(node: AnyNode, members: set[AnyNode], uses: dict[AnyNode, set[AnyNode]]) -> bool:
    """Return whether a node can run with a group that reads its result, a band of rows at a time."""
    readers = uses[node]
    if not readers or not readers <= members or not _is_banded(node) or len(node.results) > 1:  # type: ignore[union-attr]
        return False
    for reader in readers:
        if not _is_banded(reader):
            return False
        assert isinstance(reader, Node)
        if isinstance(reader, Window) and reader.image.node is node and reader.wraps:
            return False
        # The compiled chain supports one intermediate image besides the first.
        made = {value.node for value in reader.arguments if isinstance(value, Value)} & (members | {node})
        if len(made) > 1:
            return False
    return True


def _is_banded(node: AnyNode) -> bool:
    return isinstance(node, Node) and not isinstance(node, Fold) and node.halo is not None


def changed_by(node: AnyNode) -> tuple[Value, ...]:
    """Return the images that a node changes in place, if their memory is free."""
    if isinstance(node, Loop):
        return node.state
    return (node.image,) if isinstance(node, Parts) and node.changes else ()


Members: TypeAlias = "Sequence[tuple[AnyNode, ...]]"


class _Order(NamedTuple):
    """Groups of nodes in the order in which they run, and the index of the last group that uses each value."""

    members: Members
    ends: dict[AnyValue, int]


def _last_uses(members: Members, results: tuple[AnyValue, ...]) -> dict[AnyValue, int]:
    """Return the group in which each value is last used, except values made and used inside a group."""
    inner = {node for nodes in members for node in nodes[:-1]}
    ends: dict[AnyValue, int] = {}
    for number, nodes in enumerate(members):
        for node in nodes:
            ends |= {value: number for value in operands(node) if value.node not in inner}
    return ends | dict.fromkeys(results, NEVER)


def root_of(value: AnyValue) -> AnyValue:
    """Return the value whose memory a view shares."""
    while isinstance(value.node, View):
        value = value.node.image
    return value


class _Memory:
    """Which images may be changed in place, and which nodes write to the memory of results.

    Attributes
    ----------
    targets : by node and index of its result, the graph's result in that memory
    """

    def __init__(self, results: tuple[AnyValue, ...], owned: tuple[AnyValue, ...], orders: Sequence[_Order]) -> None:
        self._owned = owned
        each = [self._changes(*order) for order in orders]
        self._in_place = {
            node: tuple([all(found) for found in zip(*[one[node] for one in each], strict=True)]) for node in each[0]
        }
        self.targets = {
            (origin.node, origin.index): number
            for number, origin in enumerate(map(self.origin, results))
            if isinstance(origin, Value) and origin.node is not None
        }

    def in_place(self, node: AnyNode) -> tuple[bool, ...]:
        return self._in_place.get(node, ())

    def _changes(self, members: Members, ends: dict[AnyValue, int]) -> dict[AnyNode, tuple[bool, ...]]:
        """Return, for each node that changes images, whether it owns them and nothing reads them afterwards."""
        found = {}
        for number, nodes in enumerate(members):
            node = nodes[-1]
            roots = [root_of(value) for value in operands(node)]
            images = [root_of(image) for image in changed_by(node)]
            found[node] = tuple(
                [
                    (root.node is not None or root in self._owned)
                    and roots.count(root) == 1
                    and all(end <= number for value, end in ends.items() if root_of(value) is root)
                    for root in images
                ]
            )
        return {node: changes for node, changes in found.items() if changes}

    def origin(self, value: AnyValue) -> AnyValue | None:
        """Return the value whose memory a value shares; None if unknown before the graph is run."""
        value = root_of(value)
        while isinstance(value, Value) and value.node is not None:
            node, place = value.node, value.index
            if isinstance(node, Loop) and not node.body.kept[place]:
                return None
            if place >= len(self.in_place(node)) or not self.in_place(node)[place]:
                return value
            value = root_of(changed_by(node)[place])
        return value


def _groups(order: _Order, memory: _Memory) -> tuple[Group, ...]:
    """Return the groups in this order, with the values that each makes and uses for the last time."""
    members, ends = order
    used = {(value.node, value.index): value for value in ends}
    groups = []
    for number, nodes in enumerate(members):
        last = nodes[-1]
        places = [(last, place) for place in range(_count(last))]
        made = [used.get(place) or _unused(*place) for place in places]
        expired = [value for value, end in ends.items() if end == number]
        groups.append(
            Group(
                nodes,
                isinstance(last, Node) and not isinstance(last, Fold),
                tuple(made),
                tuple(map(memory.targets.get, places)),
                memory.in_place(last),
                (*expired, *[value for value in made if value not in ends]),
            )
        )
    return tuple(groups)


def _unused(node: AnyNode, place: int) -> AnyValue:
    """Return a value for a result that nothing reads."""
    return Value(*node.results[place], node, place) if isinstance(node, Node) else Small(index=place)


def _count(node: AnyNode) -> int:
    """Return the number of results of a node."""
    if isinstance(node, Node):
        return len(node.results)
    return len(node.state) if isinstance(node, Loop) else node.count if isinstance(node, Host) else 1
