"""A short graph as native calls and host functions in a row, prepared once and run again for other arrays.

The numbers that a native call takes are passed like arrays: floats and NumPy's 64-bit numbers have their bits where an
array has its data pointer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg.backend.base import Array
from gpuimg.backend.calls import RELEASED_FROM, RESULT_ROWS, Call, Quick, memory_for, prepared_call, quick_call
from gpuimg.backend.native import DATA_OFFSET, function_of
from gpuimg.backend.walk import Outs, as_dtype
from gpuimg.kernels import DONE
from gpuimg.plans.graph import AnyValue, Graph, Group, changed_by, operands, root_of
from gpuimg.plans.nodes import Fold, Host, Node, View
from gpuimg.plans.value import Value

Held: TypeAlias = "list[Any]"  # values by their places: the graph's inputs, then what the steps make
Form: TypeAlias = "type | tuple[np.dtype[Any], tuple[int, ...]]"  # of a number; dtype and shape of an array

PASSED = (float, np.float64, np.int64)
CONVERTED = (int, bool)  # to int64


class Memory(NamedTuple):
    """Memory for a result of a step.

    Attributes
    ----------
    target : which of the graph's results has the same memory; None: no result
    """

    place: int
    target: int | None
    dtype: np.dtype[Any]
    make: Callable[[], Array]

    def put(self, held: Held, outs: Outs | None) -> None:
        out = None if outs is None or self.target is None else outs[self.target]
        held[self.place] = self.make() if out is None else as_dtype(out, self.dtype)


class Fill(NamedTuple):
    """A native call for a group of nodes.

    Attributes
    ----------
    memory : of the results, except images changed in place
    arguments : returns the arrays that the function takes, then the numbers and small arrays that vary
    kinds : types of those that vary
    tables : indices, dtypes and shapes of small arrays among the arguments
    whole : indices of numbers that are converted to int64
    kept : memory that the call reads
    """

    function: Callable[..., int]
    memory: tuple[Memory, ...]
    arguments: Callable[[Held], tuple[Any, ...]]
    kinds: tuple[type, ...]
    tables: tuple[tuple[int, np.dtype[Any], tuple[int, ...]], ...]
    whole: tuple[int, ...]
    kept: Any

    def run(self, held: Held, outs: Outs | None) -> bool:
        for each in self.memory:
            each.put(held, outs)
        given: Sequence[Any] = self.arguments(held)
        if self.kinds:
            if tuple(map(type, given[-len(self.kinds) :])) != self.kinds:
                return False
            for index, dtype, shape in self.tables:
                table = given[index]
                if table.dtype != dtype or table.shape != shape or not table.flags.c_contiguous:
                    return False
            if self.whole:
                given = [np.int64(each) if index in self.whole else each for index, each in enumerate(given)]
        return self.function(*given) == DONE


class Copy(NamedTuple):
    """A copy of an image that is changed afterwards."""

    image: int
    memory: Memory

    def run(self, held: Held, outs: Outs | None) -> bool:
        self.memory.put(held, outs)
        held[self.memory.place][...] = as_dtype(held[self.image], self.memory.dtype)
        return True


class Called(NamedTuple):
    """A call of a host function; ``begin`` and ``end`` are the places of its results."""

    function: Callable[..., Any]
    arguments: tuple[int, ...]
    begin: int
    end: int

    def run(self, held: Held, outs: Outs | None) -> bool:
        made = self.function(*[held[place] for place in self.arguments])
        if self.end - self.begin == 1:
            held[self.begin] = made
        else:
            held[self.begin : self.end] = made
        return True


class Viewed(NamedTuple):
    """A view of an image as another dtype, for host functions: native calls take any."""

    image: int
    dtype: np.dtype[Any]
    place: int

    def run(self, held: Held, outs: Outs | None) -> bool:
        held[self.place] = held[self.image].view(self.dtype)
        return True


Step: TypeAlias = "Fill | Copy | Called | Viewed"


class Series(NamedTuple):
    """The steps of a graph.

    Attributes
    ----------
    length : number of values
    results : places of the graph's results, and their dtypes if they are views
    """

    steps: tuple[Step, ...]
    length: int
    results: tuple[tuple[int, np.dtype[Any] | None], ...]

    def run(self, arrays: tuple[Any, ...], outs: Outs | None) -> tuple[Any, ...] | None:
        """Return the results for images and tables of the graph's shapes and dtypes, which must be C-contiguous.

        ``outs`` is memory for the results, which the images do not overlap. Return None if a call failed, or if a
        number or table is not like that of the first run.
        """
        held = [*arrays, *[None] * (self.length - len(arrays))]
        for step in self.steps:
            if not step.run(held, outs):
                return None
        if outs is not None:
            return outs
        return tuple([held[place] if dtype is None else held[place].view(dtype) for place, dtype in self.results])


@cache
def _passes_numbers() -> bool:
    """Whether the numbers of the types `PASSED` have their bits at `DATA_OFFSET`."""
    floats, whole = (1.5, np.float64(-2.5)), np.int64(-7)
    return ctypes.c_int64.from_address(id(whole) + DATA_OFFSET).value == whole and all(
        ctypes.c_double.from_address(id(each) + DATA_OFFSET).value == each for each in floats
    )


def native_call(graph: Graph) -> Quick | None:
    """Return the native call, or a series of them, of a short graph that has been run."""
    if graph.direct and graph.is_single and all(isinstance(each, Value) for each in (*graph.inputs, *graph.results)):
        quick = quick_call(graph)
        if quick is not None:
            return quick
    series = series_of(graph)
    return None if series is None else Quick(series.run, None, None)


def series_of(graph: Graph) -> Series | None:
    """Return the steps of a graph that has been run; None if a group of its nodes cannot be a native call."""
    written = zip(graph.results, graph.written, strict=True)
    if not _passes_numbers() or any(isinstance(value, Value) and not each for value, each in written):
        return None
    builder = _Builder(graph)
    for group in graph.chained:
        if not builder.add(group):
            return None
    return builder.series(graph)


class _Builder:
    """Steps and places of values so far."""

    def __init__(self, graph: Graph) -> None:
        self._steps: list[Step] = []
        self._places: dict[AnyValue, int] = {value: place for place, value in enumerate(graph.inputs)}
        self._count = len(graph.inputs)
        self._seen_by_hosts = {value for node in graph.nodes if isinstance(node, Host) for value in operands(node)}

    def series(self, graph: Graph) -> Series:
        results = []
        for value in graph.results:
            root = root_of(value)
            viewed = isinstance(value, Value) and isinstance(root, Value) and value.dtype != root.dtype
            results.append((self._places[root], value.dtype if viewed else None))  # type: ignore[union-attr]
        return Series(tuple(self._steps), self._count, tuple(results))

    def add(self, group: Group) -> bool:
        """Append the step of a group; return False if there is none."""
        node = group.nodes[-1]
        if isinstance(node, View):
            self._view(group, node)
        elif isinstance(node, Host):
            begin = self._new(group.makes)
            places = tuple([self._places[value] for value in node.arguments])
            self._steps.append(Called(node.function, places, begin, self._count))
        elif isinstance(node, Node):
            return self._fill(group, node)
        else:
            return False
        return True

    def _new(self, values: Sequence[AnyValue]) -> int:
        """Assign the next places to values and return the first."""
        begin = self._count
        for value in values:
            self._places[value] = self._count
            self._count += 1
        return begin

    def _view(self, group: Group, node: View) -> None:
        (value,) = group.makes
        image = self._places[root_of(node.image)]
        if node.dtype == root_of(node.image).dtype or value not in self._seen_by_hosts:  # type: ignore[union-attr]
            self._places[value] = image
        else:
            self._steps.append(Viewed(image, node.dtype, self._new([value])))

    def _memory(self, group: Group, node: Node) -> tuple[Memory, ...]:
        """Assign places to the results of a group and return the memory that it needs for them."""
        found = []
        for number, (value, spec) in enumerate(zip(group.makes, node.results, strict=True)):
            changed = changed_by(node)[number : number + 1] if number < len(group.in_place) else ()
            if changed and group.in_place[number]:
                self._places[value] = self._places[root_of(changed[0])]
                continue
            target = group.targets[number]
            memory = Memory(self._new([value]), target, spec[1], memory_for(*spec))
            if changed:
                self._steps.append(Copy(self._places[root_of(changed[0])], memory))
            else:
                found.append(memory)
        return tuple(found)

    def _fill(self, group: Group, node: Node) -> bool:
        memory = self._memory(group, node)
        results = [self._places[value] for value in group.makes]
        call = prepared_call(group.nodes)
        if call is None:  # its kernel is chosen by numbers that vary
            return False
        words = np.frombuffer(call.content, np.int64).copy()
        rows = node.pieces
        if isinstance(node, Fold):  # one slab
            words[RESULT_ROWS] = rows = 1
        uses = [(results[0], call.result), (self._places[root_of(call.source)], call.image)]
        uses += [(self._places[root_of(value)], word) for word, value in call.images]
        uses += [(results[number], word) for word, number in call.outputs]
        varying: list[tuple[int, tuple[int, Form]]] = []
        for word, small, kind in call.varying:
            if isinstance(kind, tuple):
                dtype, ndim = kind
                form: Form = dtype, tuple(words[word + 1 : word + 1 + ndim].tolist())
            elif kind in (*PASSED, *CONVERTED):
                form = kind
            else:
                return False
            varying.append((word, (self._places[root_of(small)], form)))
        return self._append(memory, call, rows, words.tobytes(), uses, varying)

    def _append(
        self,
        memory: tuple[Memory, ...],
        call: Call,
        rows: int,
        content: bytes,
        uses: Sequence[tuple[int, int]],
        varying: Sequence[tuple[int, tuple[int, Form]]],
    ) -> bool:
        words = list(enumerate([word for _, word in uses] + [word for word, _ in varying]))
        # Without sizes, arrays are not checked for overlaps: the memory of results is new or has been checked.
        entry, releases = call.task.code.address, call.effort >= RELEASED_FROM
        function = function_of(entry, rows, content, (), words, releases, call.inner)
        if function is None:
            return False
        arguments = itemgetter(*[place for place, _ in uses], *[place for _, (place, _) in varying])
        forms = list(enumerate([form for _, (_, form) in varying], len(uses)))
        kinds = tuple([np.ndarray if isinstance(form, tuple) else form for _, form in forms])
        tables = tuple([(index, *form) for index, form in forms if isinstance(form, tuple)])
        whole = tuple([index for index, form in forms if form in CONVERTED])
        self._steps.append(Fill(function, memory, arguments, kinds, tables, whole, call.kept))
        return True
