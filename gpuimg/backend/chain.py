"""Backends that call compiled kernels in this process.

The nodes of a group run a few rows at a time, so intermediate images are never stored whole.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from operator import call as called
from typing import Any, NamedTuple

import numpy as np

from gpuimg import stopping
from gpuimg.backend import walk as walking
from gpuimg.backend.base import Array, CpuBackend
from gpuimg.backend.calls import (
    RESULT,
    RESULT_ROWS,
    Call,
    Share,
    call_of,
    direct_calls,
    share_of,
    slots_for,
)
from gpuimg.backend.compiled import (
    DST_SLOT,
    SRC_SLOT,
    Compiled,
    Packed,
    Slots,
    Task,
    address_of,
    argument_slots,
    new_task,
    prepare,
)
from gpuimg.backend.walk import Bound, Lookup, Outs, as_dtype, flat
from gpuimg.kernels import FLAG_BYTES
from gpuimg.machine import figures
from gpuimg.plans.graph import AnyValue, Group, root_of
from gpuimg.plans.nodes import AnyNode, Fold, Node, Output, View
from gpuimg.plans.value import Small, Value
from gpuimg.stopping import local

SCRATCH_BYTES = 1 << 19  # of intermediate rows, per thread
LONG_WORK = 1 << 28  # elements times work, about 0.2 s; longer calls run in another thread, so that signals are handled
FIRST_PIECE_ELEMENTS = 1 << 22  # of work in pieces, per thread
ROWS_PER_HALO = 8  # at least, since halo rows are recomputed for the next rows
ALONE = np.array([[-1], [-1], [0]], np.int64)  # the places of a single image: no stage has this number
_effort: Callable[[Node], float] = attrgetter("effort")  # a comprehension costs more for one node


class Stage(NamedTuple):
    """One node of a chain.

    Attributes
    ----------
    source, second : the stages that compute its image and a second image; None: these are in memory
    slot : index of the second image among the kernel's slots
    args : of the kernel; images computed by other stages are outlines
    memory : its image, if in memory
    """

    node: Node
    source: int | None
    second: int | None
    slot: int
    args: tuple[Any, ...]
    memory: Array | None


@lru_cache(maxsize=64)
def outline(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array with this shape and dtype but without memory; it must not be read."""
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, _strides(shape, dtype.itemsize))


def _strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.insert(0, strides[0] * extent)
    return tuple(strides)


def stages_of(nodes: Sequence[Node], value_of: Lookup, results: Sequence[Array]) -> list[Stage]:
    """Return the stages of a group of nodes; the last computes the results."""
    places = {node: number for number, node in enumerate(nodes)}

    def found(value: Value | Small) -> Any:
        if isinstance(value, Value) and value.node in places:
            return outline(value.shape, value.dtype)
        return value_of(value)

    stages: list[Stage] = []
    for node in nodes:
        source = places.get(node.image.node)  # type: ignore[arg-type]
        memory = found(node.image) if source is None else None
        arguments = walking.arguments(node, found, results)
        second, slot = _second(node, arguments, places)
        stages.append(Stage(node, source, second, slot, arguments, memory))
    return stages


def _second(node: Node, arguments: tuple[Any, ...], places: dict[Node, int]) -> tuple[int | None, int]:
    """Return the stage that computes a node's second image, and the slot of its address."""
    for slot, given in argument_slots(node.arguments, arguments):
        if isinstance(given, Value) and given.node in places:
            return places[given.node], slot
    return None, -1


def prepare_chain(stages: Sequence[Stage], result: Array, places: Array = ALONE) -> tuple[Compiled, Packed]:
    """Compile a chain and pack its arguments; ``places`` are those of the images of a stack."""
    plan = np.empty((len(stages), 8), np.int64)
    keep: list[Any] = []
    bytes_a_row = halo = 0
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        src = flat(_image_of(stage, stages))
        dst = flat(result if last else outline(stage.node.shape, stage.node.dtype))
        code, packed = prepare(stage.node.kernel, src, dst, stage.args)
        row_bytes = 0 if last else dst.shape[1] * dst.itemsize
        plan[number] = (
            code.address,
            packed.address,
            (len(packed.keep[0]) - FLAG_BYTES) // 8,
            -1 if stage.source is None else stage.source,
            stage.node.reach_rows,
            row_bytes,
            stage.slot,
            -1 if stage.second is None else stage.second,
        )
        keep.append(packed)
        bytes_a_row += row_bytes
        halo += stage.node.reach_rows
    rows = stages[-1].node.pieces
    at_once = min(rows, max(SCRATCH_BYTES // max(bytes_a_row, 1), ROWS_PER_HALO * halo, 1))
    code, packed = prepare("chain", plan, places, (rows, at_once))
    return code, packed._replace(keep=(*packed.keep, keep))


def _lookup(bound: Bound) -> Lookup:
    """Look up the images and tables of a graph whose other values are all views of them."""
    held = dict(zip(bound.graph.inputs, bound.arrays, strict=True))

    def found(value: AnyValue) -> Any:
        if isinstance(value, Value) and isinstance(value.node, View):
            return found(value.node.image).view(value.dtype)
        return held[value]

    return found


class Stack:
    """Images on which the same group of nodes is run.

    Attributes
    ----------
    nodes, value_of, results : those of the first image
    count : number of images
    """

    def __init__(self, group: Group, bounds: Sequence[Bound], outs: Sequence[Outs]) -> None:
        self.nodes: tuple[Node, ...] = group.nodes  # type: ignore[assignment]
        self.count = len(bounds)
        self.value_of = _lookup(bounds[0])
        targets = [int(target) for target in group.targets if target is not None]
        made = zip(targets, self.nodes[-1].results, strict=True)
        self.results = [as_dtype(outs[0][target], dtype) for target, (_, dtype) in made]
        self._inputs = bounds[0].graph.inputs
        self._targets = targets
        self._arrays = [(*bound.arrays, *out) for bound, out in zip(bounds, outs, strict=True)]

    @property
    def is_contiguous(self) -> bool:
        """Whether kernels can read and write the images in place."""
        return all(array.flags.c_contiguous for array in self._arrays[0])

    def places(self, stages: Sequence[Stage]) -> Array:
        """Return the stage, the slot and the addresses in all images of each array that differs between images."""
        stages, slots, used = zip(*_uses(stages), strict=True)
        arrays = [self._index(each) for each in used]
        addresses = [[address_of(given[array]) for array in arrays] for given in self._arrays]
        return np.array([stages, slots, *addresses], np.int64)

    def _index(self, used: Value | Output) -> int:
        if isinstance(used, Output):
            return len(self._inputs) + self._targets[used.index]
        return self._inputs.index(root_of(used))


def _uses(stages: Sequence[Stage]) -> Iterator[tuple[int, int, Value | Output]]:
    """Yield the stage and slot of each image that a chain reads from memory, and of each result that it writes."""
    nodes = [stage.node for stage in stages]
    for number, stage in enumerate(stages):
        if stage.source is None:
            yield number, SRC_SLOT, stage.node.image
        if number == len(stages) - 1:
            yield number, DST_SLOT, Output(0)
        for slot, given in argument_slots(stage.node.arguments, stage.args):
            if isinstance(given, Output) or (isinstance(given, Value) and given.node not in nodes):
                yield number, slot, given


def chain_call(nodes: tuple[Node, ...]) -> Call | None:
    """Return the call of a group of several nodes, prepared at first use; None if they read numbers that vary."""
    known: dict[tuple[AnyNode, ...], Call] = nodes[-1].chained
    before = nodes[:-1]  # not the last node: a reference cycle would keep the graph's tables
    found = known.get(before)
    if found is not None or not all(node.is_prepared for node in nodes):
        return found
    # No caller's arrays: they would be kept alive.
    results = [outline(*spec) for spec in nodes[-1].results]
    stages = stages_of(nodes, lambda value: outline(value.shape, value.dtype), results)  # type: ignore[union-attr]
    uses = list(_uses(stages))
    table = np.array([(stage, slot, 0) for stage, slot, _ in uses], np.int64).T
    code, packed = prepare_chain(stages, results[0])
    slots = np.frombuffer(packed.keep[0], np.int64).copy()
    begin = slots.size
    slots[RESULT + 1 : RESULT + 3] = table.shape
    content = np.concatenate([slots, table.ravel()]).tobytes()
    words = [(begin + 2 * len(uses) + number, used) for number, (_, _, used) in enumerate(uses)]
    (image, source), *images = [(word, used) for word, used in words if isinstance(used, Value)]
    (result, _), *outputs = [(word, used.index) for word, used in words if isinstance(used, Output)]
    shares = tuple(map(share_of, nodes))
    effort, task = sum(map(_effort, nodes)), _chain_task(nodes, code, shares)
    inner = (RESULT, begin)
    call = Call(
        task, content, source, image, result, tuple(images), tuple(outputs), (), [], effort, shares, inner, packed
    )
    return known.setdefault(before, call)


def _chain_task(nodes: Sequence[Node], code: Compiled, shares: Sequence[Share], images: int = 1) -> Task:
    """Return the task of a chain's call for a number of images."""
    kernels = ", ".join([node.kernel for node in nodes])
    elements = sum([elements for _, _, elements in shares])
    halo = sum([node.reach_rows for node in nodes])
    return new_task(kernels, code, images * nodes[-1].pieces, images * elements, halo)


class InProcess(CpuBackend):
    """Calls compiled kernels by address; the backend chooses the number of threads."""

    @abstractmethod
    def call(self, task: Task, packed: Packed | Slots) -> float:
        """Call compiled code for all rows, one band per worker at a time.

        Returns the seconds it took, or 0 if they should not be recorded.
        """

    chains = True

    def fill_rows(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], rows: int, halo: int = 0) -> float:
        code, packed = prepare(kernel, src, dst, args)
        return self.call(new_task(kernel, code, rows, src.size + dst.size, halo), packed)

    def run(self, bound: Bound, outs: Outs | None = None) -> tuple[Any, ...]:
        graph, arrays = bound
        if not graph.direct or local.watch is not None:
            made = super().run(bound, outs)
            if not graph.direct:
                graph.direct.extend([each for each in direct_calls(graph) if each.call.effort < LONG_WORK])
            return made
        # The walk for a single call that nobody watches.
        direct = graph.direct[0]
        call, image, others, varying, memory = direct
        if outs is not None:
            made = direct.results(outs)
        else:
            made = (memory[0](),) if len(memory) == 1 else tuple(map(called, memory))
        src = arrays[image]
        more = [arrays[place] for place in others] if others else ()
        numbers = [arrays[place] for place in varying] if varying else ()
        slots = slots_for(call, src, more, numbers, made)
        if slots is None:
            return super().run(bound, outs)
        seconds = self._called(call, call.task, slots)
        if seconds:
            self._share_out(call.shares, seconds)
        return made

    def fill(self, nodes: Sequence[Node], value_of: Lookup, results: Sequence[Array]) -> None:
        """Run one node over all rows of its results, or several nodes a few rows at a time, without storing images."""
        if len(nodes) == 1 and nodes[0].effort < LONG_WORK:
            super().fill(nodes, value_of, results)
            return
        if self._longest_call(nodes) < LONG_WORK or not stopping.handles_signals():
            self._fill(nodes, value_of, results)
            return
        # Compiled here: while another thread runs, it would be compiled in another process.
        if len(nodes) == 1:
            arguments = walking.arguments(nodes[0], value_of, results)
            prepare(nodes[0].kernel, flat(value_of(nodes[0].image)), flat(results[0]), arguments)
        elif chain_call(tuple(nodes)) is None:
            prepare_chain(stages_of(nodes, value_of, results), results[0])
        stopping.interruptibly(lambda: self._fill(nodes, value_of, results), stopping.Watch())

    def _longest_call(self, nodes: Sequence[Node], images: int = 1) -> float:
        """Return elements times work of the nodes' first piece; the sizes of later pieces follow its time."""
        effort = images * sum(map(_effort, nodes))
        if effort < LONG_WORK:
            return effort
        elements = images * sum([math.prod(node.image.shape) + math.prod(node.shape) for node in nodes])
        halo = sum([node.reach_rows for node in nodes])
        share = self.workers * max(FIRST_PIECE_ELEMENTS / elements, max(halo, 1) / max(images * nodes[-1].pieces, 1))
        return effort * min(share, 1.0)

    def run_each(self, bounds: Sequence[Bound], outs: Sequence[Outs]) -> list[tuple[Any, ...]]:
        """Run the images of a stack as one, if the graph needs no memory between its nodes."""
        group = bounds[0].graph.whole if len(bounds) > 1 else None
        if group is None:
            return self.run_apart(bounds, outs)
        stack = Stack(group, bounds, outs)
        if not stack.is_contiguous:
            return self.run_apart(bounds, outs)
        watch = stopping.watch()
        if watch is not None:
            watch.plan({group: 1.0})
            watch.enter(group)
        if self._longest_call(stack.nodes, stack.count) < LONG_WORK or not stopping.handles_signals():
            self._fill_stack(stack)
        else:
            prepare_chain(stages_of(stack.nodes, stack.value_of, stack.results), stack.results[0], ALONE)
            stopping.interruptibly(lambda: self._fill_stack(stack), stopping.Watch())
        return [tuple(out) for out in outs]

    def run_apart(self, bounds: Sequence[Bound], outs: Sequence[Outs]) -> list[tuple[Any, ...]]:
        """Run the images of a stack one by one."""
        return super().run_each(bounds, outs)

    def fold(self, node: Fold, value_of: Lookup) -> Array:
        if node.effort < LONG_WORK or not stopping.handles_signals():
            return super().fold(node, value_of)
        partial = np.empty((1, math.prod(node.shape)), node.dtype)
        prepare(node.kernel, flat(value_of(node.image)), partial, walking.arguments(node, value_of))
        return stopping.interruptibly(lambda: super(InProcess, self).fold(node, value_of), stopping.Watch())

    def _fill(self, nodes: Sequence[Node], value_of: Lookup, results: Sequence[Array]) -> None:
        if len(nodes) == 1:
            super().fill(nodes, value_of, results)
            return
        call = chain_call(tuple(nodes))
        if call is None:
            self._fill_chain(stages_of(nodes, value_of, results), results[0], ALONE, 1)
            return
        slots = slots_for(call, value_of(call.source), [value_of(value) for _, value in call.images], (), results)
        seconds = self._called(call, call.task, slots)  # type: ignore[arg-type]  # no numbers vary
        if seconds:
            self._share_out(call.shares, seconds)

    def _fill_stack(self, stack: Stack) -> None:
        stages = stages_of(stack.nodes, stack.value_of, stack.results)
        self._fill_chain(stages, stack.results[0], stack.places(stages), stack.count)

    def _fill_chain(self, stages: Sequence[Stage], result: Array, places: Array, images: int) -> None:
        code, packed = prepare_chain(stages, result, places)
        nodes = [stage.node for stage in stages]
        shares = [share_of(node) for node in nodes]
        seconds = self.call(_chain_task(nodes, code, shares, images), packed)
        self._share_out(shares, seconds / images)

    def fill_node(self, node: Node, value_of: Lookup, results: Sequence[Array], rows: int) -> float:
        call = node.calls[0] if node.calls else call_of(node, value_of, results, rows)
        if call is None:
            return super().fill_node(node, value_of, results, rows)
        others = [value_of(value) for _, value in call.images]
        varying = [value_of(small) for _, small, _ in call.varying]
        slots = slots_for(call, value_of(node.image), others, varying, results)
        if slots is None:
            return super().fill_node(node, value_of, results, rows)
        kernel, code, known_rows, elements, halo, _ = task = call.task
        if rows != known_rows:  # for a fold, the number of slabs
            task = new_task(kernel, code, rows, elements, halo)
        slots.words[RESULT_ROWS] = len(results[0])
        return self._called(call, task, slots)

    def _called(self, call: Call, task: Task, slots: Slots) -> float:
        seconds = self.call(task, slots)
        slots.arrays = ()
        call.spare.append(slots)
        return seconds

    def _share_out(self, shares: Sequence[Share], seconds: float) -> None:
        """Learn the kernels' speeds from their total seconds, divided in proportion to expected times."""
        known = figures()
        each = [elements * work * known.speed(key) for key, work, elements in shares]
        for (key, work, elements), part in zip(shares, each, strict=True):
            self.learn(key, work, elements, seconds * part / sum(each))


def _image_of(stage: Stage, stages: Sequence[Stage]) -> Array:
    """Return the image that a stage reads: in memory, or the outline of another stage's result."""
    if stage.source is None:
        assert stage.memory is not None
        return stage.memory
    maker = stages[stage.source].node
    return outline(maker.shape, maker.dtype)
