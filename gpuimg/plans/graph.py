"""The graph of a plan: its nodes in order, which of them run together, and when each value is last used."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg.keeping import kept
from gpuimg.plans.nodes import AnyNode, Fold, Host, Loop, Node, Parts, Spec, View, Window
from gpuimg.plans.value import Small, Value

AnyValue: TypeAlias = Value | Small
Plan: TypeAlias = "Callable[..., AnyValue | tuple[AnyValue, ...]]"


GRAPHS_KEPT = 128  # as far as their tables, as long as an image has rows and columns, are not too large together
NEVER = 1 << 60  # later than any group


class Group(NamedTuple):
    """Nodes that run one after the other.

    Attributes
    ----------
    nodes : one node; or several that can run some rows at a time, the last of which makes the only values that are used
        outside
    is_filled : whether an executor fills memory for them
    makes : these values
    targets : for each of them, which of the graph's results has the same memory; None: neither of them
    in_place : for each image that the last node changes, whether that may be done in place
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
    """What a plan made of its inputs.

    Attributes
    ----------
    inputs, results : values
    is_single : whether the plan returned one value, not a tuple
    written : for each result, whether a group makes it in the memory that is given for it
    kept : for each result, whether it is the input of the same place, changed in place
    nodes : in an order in which they can run
    chained : groups of nodes that run some rows at a time
    separate : each node as a group
    kernels : in the order of their nodes, those of loops once
    only : the node whose results are those of the graph, or views of them, where that is all there is to do
    read : the values that it reads, inputs or views of them, and their numbers among the inputs
    made_as : shapes and dtypes of the results, if there is an only node
    jobs : what it amounts to for the cost rule; see `gpuimg.choosing.job_of`
    direct : on the CPU, worked out at the first run if the graph is one call; see `gpuimg.backend.calls.Direct`
    alone : for each backend that was asked for, whether it does a short graph on one thread; see `gpuimg.choosing`
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
    jobs: dict[tuple[bool, int], Any] = field(default_factory=dict)
    direct: list[Any] = field(default_factory=list)
    alone: dict[str, Any] = field(default_factory=dict)


def _kernels(node: AnyNode) -> tuple[str, ...]:
    if isinstance(node, Loop):
        return node.body.kernels
    return (node.kernel,) if isinstance(node, Node) else ()


def _table_bytes(graph: Graph) -> int:
    """Bytes of the arrays among the arguments of a graph's kernels."""
    total = 0
    for node in graph.nodes:
        if isinstance(node, Loop):
            total += _table_bytes(node.body)
        elif isinstance(node, Node):
            total += sum([each.nbytes for each in node.arguments if isinstance(each, np.ndarray)])
    return total


@kept(GRAPHS_KEPT, _table_bytes)
def graph_of(plan: Plan, specs: tuple[Spec, ...], tables: int, parameters: tuple[Hashable, ...]) -> Graph:
    """The graph of a plan for images of these shapes and dtypes, some tables, and parameters."""
    inputs: tuple[AnyValue, ...] = (
        *[Value(shape, _plain(dtype)) for shape, dtype in specs],
        *[Small(index=index) for index in range(tables)],
    )
    return made_graph(inputs, plan(*inputs, *map(_plain, parameters)))


def _plain(given: Any) -> Any:
    """A dtype without its metadata, which is not compared: it would get into the results for other images."""
    return np.dtype(given.str) if isinstance(given, np.dtype) and given.metadata else given


def made_graph(inputs: tuple[AnyValue, ...], made: AnyValue | tuple[AnyValue, ...], owned: int = 0) -> Graph:
    """The graph that makes one or several values of the inputs, the first ``owned`` of which may be overwritten."""
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
    return Graph(inputs, results, single, written, kept, nodes, chained, separate, kernels, only, read, made_as)


def _only(groups: tuple[Group, ...], results: tuple[AnyValue, ...]) -> Node | None:
    """The only node of a graph besides views, where all that it makes are the results in their order, and it changes no
    image."""
    group = _besides_views(groups)
    if group is not None:
        (node,) = group.nodes
        made = [root_of(result) for result in results]
        if [(value.node, value.index) for value in made] == [(node, number) for number in range(_count(node))]:
            return node  # type: ignore[return-value]
    return None


def only_group(graph: Graph) -> Group | None:
    """The group that a graph consists of, besides views, if it reads images and makes results in the given memory."""
    group = _besides_views(graph.chained)
    return group if group is not None and all(graph.written) and None not in group.targets else None


def _besides_views(groups: tuple[Group, ...]) -> Group | None:
    """The only group besides views, if memory is filled for it and it changes no image."""
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
    """Repeat a plan on its results until it says stop.

    Parameters
    ----------
    body : called with values like those of ``state`` and ``constants``; returns a new state of the same shapes and
        dtypes, and a `Small`: 0 stops
    state : the values before the first round; each round may overwrite them
    constants : further values that the body reads
    limit : the most rounds; more raise an error when the graph is run
    rounds : how many the cost rule reckons with
    begins : a number: 0 means not even one round

    Returns
    -------
    the state after the last round
    """
    own = tuple([Value(value.shape, value.dtype) for value in state])
    others = tuple([_like(value, number) for number, value in enumerate(constants)])
    made = body(*own, *others)
    if not isinstance(made, tuple) or len(made) != len(state) + 1 or not isinstance(made[-1], Small):
        raise TypeError(f"the body of a loop over {len(state)} values must return as many and a small one")
    for before, after in zip(state, made[:-1], strict=True):
        if not isinstance(after, Value) or (after.shape, after.dtype) != (before.shape, before.dtype):
            raise TypeError(f"the body of a loop must keep the state's shape {before.shape} and dtype {before.dtype}")
    node = Loop(made_graph((*own, *others), made, len(own)), state, constants, limit, rounds, begins)
    return tuple([Value(value.shape, value.dtype, node, index) for index, value in enumerate(state)])


def _like(value: AnyValue, number: int) -> AnyValue:
    return Small(index=number) if isinstance(value, Small) else Value(value.shape, value.dtype)


def _in_order(value: AnyValue, seen: set[AnyNode]) -> Iterator[AnyNode]:
    """The node that makes a value, behind all that it depends on, without those that were seen."""
    node = value.node
    if node is not None and node not in seen:
        seen.add(node)
        for needed in operands(node):
            yield from _in_order(needed, seen)
        yield node


def all_nodes(value: AnyValue) -> tuple[AnyNode, ...]:
    """All nodes that a value is made by, in an order in which they can run."""
    return tuple(_in_order(value, set()))


def operands(node: AnyNode) -> list[AnyValue]:
    """The values that a node reads."""
    if isinstance(node, View):
        return [node.image, *node.after]
    if isinstance(node, Loop):
        return [*node.state, *node.constants, *([] if node.begins is None else [node.begins])]
    given = [argument for argument in node.arguments if isinstance(argument, Value | Small)]
    return [node.image, *given] if isinstance(node, Node) else list(given)


def _uses(nodes: tuple[AnyNode, ...]) -> dict[AnyNode, set[AnyNode]]:
    """For each node, the nodes that read what it makes."""
    found: dict[AnyNode, set[AnyNode]] = {node: set() for node in nodes}
    for node in nodes:
        for value in operands(node):
            if value.node is not None:
                found[value.node].add(node)
    return found


def _grouped(
    nodes: tuple[AnyNode, ...], uses: dict[AnyNode, set[AnyNode]], results: tuple[AnyValue, ...]
) -> list[tuple[AnyNode, ...]]:
    """Groups of nodes in an order in which they can run."""
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
    """Whether a node can run with a group that reads what it makes, some rows at a time."""
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
    """The images that a node changes in place, if their memory is free."""
    if isinstance(node, Loop):
        return node.state
    return (node.image,) if isinstance(node, Parts) and node.changes else ()


Members: TypeAlias = "Sequence[tuple[AnyNode, ...]]"


class _Order(NamedTuple):
    """Groups of nodes in the order in which they run, and the number of the group in which each value is last used."""

    members: Members
    ends: dict[AnyValue, int]


def _last_uses(members: Members, results: tuple[AnyValue, ...]) -> dict[AnyValue, int]:
    """The group in which each value is last used, without those that are made and used inside of a group."""
    inner = {node for nodes in members for node in nodes[:-1]}
    ends: dict[AnyValue, int] = {}
    for number, nodes in enumerate(members):
        for node in nodes:
            ends |= {value: number for value in operands(node) if value.node not in inner}
    return ends | dict.fromkeys(results, NEVER)


def root_of(value: AnyValue) -> AnyValue:
    """The value whose memory a view shows."""
    while isinstance(value.node, View):
        value = value.node.image
    return value


class _Memory:
    """Which images may be changed in place, and which nodes make the memory of results.

    Attributes
    ----------
    targets : by a node and the place of what it makes, the result that lies in that memory
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
        """For each node that changes images, whether it owns them and nothing reads them afterwards."""
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
        """The value whose memory a value lies in; None where that is not known before the graph is run."""
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
    """Groups in this order, with what each makes and uses for the last time."""
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
    """A result that nothing reads."""
    return Value(*node.results[place], node, place) if isinstance(node, Node) else Small(index=place)


def _count(node: AnyNode) -> int:
    """How many results a node has."""
    if isinstance(node, Node):
        return len(node.results)
    return len(node.state) if isinstance(node, Loop) else node.count if isinstance(node, Host) else 1
