"""Backends that call compiled kernels in this process. Chains of sweeps run some rows at a time: what lies between the
passes never becomes an image in memory."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gpuimg.backend import walk as walking
from gpuimg.backend.base import Array, CpuBackend, arguments, result_of, speed_key
from gpuimg.backend.compiled import Compiled, Packed, prepare
from gpuimg.backend.walk import Lookup, flat
from gpuimg.images import MODES
from gpuimg.machine import figures
from gpuimg.passes import Beside, Pass, Sweep, branches
from gpuimg.plan.nodes import Node
from gpuimg.plan.value import Small, Value

SCRATCH_BYTES = 1 << 19  # of rows between passes, for each thread
ROWS_PER_HALO = 8  # at least: rows of a halo are made again for the next rows
WRAP = MODES["wrap"].code


class Stage(NamedTuple):
    """A pass of a chain.

    Attributes
    ----------
    source, beside : the stages that make its image, and another one beside it; None: they lie in memory
    slot : where the other image stands among the kernel's slots
    args : the kernel's, arrays of other images being outlines where a stage makes them
    shape, dtype : of its result
    memory : its image where it lies in memory; None: the image of the chain
    """

    task: Sweep | Node
    source: int | None
    beside: int | None
    slot: int
    args: tuple[Any, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    memory: Array | None = None


def is_chain(passes: Sequence[Pass]) -> bool:
    """Whether passes can run some rows at a time: more than one, all sweeps that need a few rows around each."""
    stages = [task for task in passes if isinstance(task, Sweep)]
    if len(stages) < len(passes) or not all(map(_is_banded, stages)):
        return False
    others = [branch for task in stages for branch in branches(task)]
    if len(stages) < 2 and not others:
        return False
    # Beyond the first or last row "wrap" finds the rows at the other end, which are not there.
    wraps = any(task.border is not None and task.border[0] == WRAP and task.halo != (0, 0) for task in stages[1:])
    return not wraps and all(len(branch) == 1 or is_chain(branch) for branch in others)


def _is_banded(task: Sweep) -> bool:
    return task.halo is not None and task.shape is None and task.parts is None and not task.in_place


@lru_cache(maxsize=64)
def outline(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array's shape and dtype without its memory; it must not be read."""
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, _strides(shape, dtype.itemsize))


def _strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.insert(0, strides[0] * extent)
    return tuple(strides)


def stages_of(passes: Sequence[Pass], image: Array, original: Array, reduced: Any) -> list[Stage]:
    """The stages of a chain, each behind those it depends on."""
    found: list[Stage] = []

    def add(chain: Sequence[Pass], start: Array) -> int:
        source, current = None, start
        for task in chain:
            assert isinstance(task, Sweep)
            made: list[int] = []
            own = arguments(task, current, reduced, _maker(original, made, add, found))
            shape, dtype = result_of(task, current.shape, current.dtype)
            slot = _slot_of(own, found, made)
            found.append(Stage(task, source, made[0] if made else None, slot, own, shape, dtype))
            source, current = len(found) - 1, outline(shape, dtype)
        assert source is not None
        return source

    add(passes, image)
    return found


def _maker(
    original: Array, made: list[int], add: Callable[[Sequence[Pass], Array], int], found: list[Stage]
) -> Callable[[Beside], Array]:
    def beside(other: Beside) -> Array:
        if not other.passes:
            return flat(original if other.array is None else other.array)  # type: ignore[no-any-return]
        made.append(add(other.passes, original))
        return flat(outline(found[-1].shape, found[-1].dtype))  # type: ignore[no-any-return]

    return beside


def _slot_of(own: tuple[Any, ...], found: list[Stage], made: list[int]) -> int:
    """The slot of the first argument that is another stage's result; arrays take one for each extent more."""
    if not made:
        return -1
    assert len(made) == 1, "a pass has one other image that passes make"
    wanted = flat(outline(found[made[0]].shape, found[made[0]].dtype))
    slot = 6
    for arg in own:
        if isinstance(arg, np.ndarray):
            if arg.ctypes.data == wanted.ctypes.data:
                return slot
            slot += arg.ndim
        slot += 1
    raise AssertionError("the other image is not among the arguments")


def group_stages(nodes: Sequence[Node], value_of: Lookup) -> tuple[list[Stage], Array]:
    """The stages of a group of nodes, and one of the images that they read from memory."""
    places = {node: number for number, node in enumerate(nodes)}
    image: Array | None = None

    def found(value: Value | Small) -> Any:
        if isinstance(value, Value) and value.node in places:
            return outline(value.shape, value.dtype)
        return value_of(value)

    stages: list[Stage] = []
    for node in nodes:
        source = places.get(node.image.node)  # type: ignore[arg-type]
        memory = found(node.image) if source is None else None
        image = memory if image is None else image
        own = walking.arguments(node, found)
        beside, slot = _beside(node, own, places)
        stages.append(Stage(node, source, beside, slot, own, node.shape, node.dtype, memory))
    assert image is not None
    return stages, image


def _beside(node: Node, own: tuple[Any, ...], places: dict[Node, int]) -> tuple[int | None, int]:
    """Which stage makes another image for a node, and the slot of its address."""
    slot = 6
    for given, argument in zip(node.arguments, own, strict=True):
        if isinstance(given, Value) and given.node in places:
            return places[given.node], slot
        slot += 1 + getattr(argument, "ndim", 0)
    return None, -1


def prepare_chain(stages: Sequence[Stage], image: Array, result: Array) -> tuple[Compiled, Packed]:
    """Machine code that runs a chain, and its arguments in slots."""
    plan = np.empty((len(stages), 8), np.int64)
    keep: list[Any] = []
    bytes_a_row = halo = 0
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        first = stages[stage.source] if stage.source is not None else None
        memory = image if stage.memory is None else stage.memory
        src = flat(memory if first is None else outline(first.shape, first.dtype))
        dst = flat(result if last else outline(stage.shape, stage.dtype))
        code, packed = prepare(stage.task.kernel, src, dst, stage.args)
        row_bytes = 0 if last else dst.shape[1] * dst.itemsize
        assert stage.task.halo is not None
        plan[number] = (
            code.address,
            packed.address,
            len(packed.keep[0]) // 8,
            -1 if stage.source is None else stage.source,
            stage.task.halo[0],
            row_bytes,
            stage.slot,
            -1 if stage.beside is None else stage.beside,
        )
        keep.append(packed)
        bytes_a_row += row_bytes
        halo += stage.task.halo[0]
    rows = image.shape[0]
    at_once = min(rows, max(SCRATCH_BYTES // max(bytes_a_row, 1), ROWS_PER_HALO * halo, 1))
    code, packed = prepare("chain", plan, plan, (rows, at_once))
    return code, packed._replace(keep=(*packed.keep, keep, plan))


class InProcess(CpuBackend):
    """Calls compiled kernels by their addresses; in how many threads is each backend's own."""

    @abstractmethod
    def call(self, kernel: str, code: Compiled, packed: Packed, rows: int, elements: int, bands: int) -> float:
        """Call compiled code for all rows, ``bands`` of them at a time; gives the seconds it took.

        ``elements`` are read and written in all; ``kernel`` is named in errors.
        """

    def fill(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], rows: int, bands: int) -> float:
        code, packed = prepare(kernel, src, dst, args)
        return self.call(kernel, code, packed, rows, src.size + dst.size, bands)

    def run_chain(
        self, passes: Sequence[Pass], image: Array, original: Array, reduced: Any, out: Array | None
    ) -> Array | None:
        if not is_chain(passes):
            return None
        stages = stages_of(passes, image, original, reduced)
        last = stages[-1]
        result = self.empty(last.shape, last.dtype) if out is None else out
        code, packed = prepare_chain(stages, image, result)
        work = [_work(stage, stages, image) for stage in stages]
        rows, elements = len(image), sum(elements for _, elements in work)
        kernels = ", ".join(stage.task.kernel for stage in stages)
        seconds = self.call(kernels, code, packed, rows, elements, min(rows, self.workers))
        self._share_out(stages, work, seconds)
        return result

    def run_group(self, nodes: Sequence[Node], value_of: Lookup, result: Array) -> bool:
        stages, image = group_stages(nodes, value_of)
        code, packed = prepare_chain(stages, image, result)
        work = [_work(stage, stages, image) for stage in stages]
        rows, elements = len(result), sum(elements for _, elements in work)
        kernels = ", ".join(node.kernel for node in nodes)
        seconds = self.call(kernels, code, packed, rows, elements, min(rows, self.workers))
        self._share_out(stages, work, seconds)
        return True

    def _share_out(self, stages: Sequence[Stage], work: Sequence[tuple[str, int]], seconds: float) -> None:
        """Learn the kernels' speeds from the seconds of them all, by what is known of each."""
        known = figures()
        each = [
            elements * stage.task.work * known.speeds.get(key, known.seconds_per_work)
            for stage, (key, elements) in zip(stages, work, strict=True)
        ]
        for stage, (key, elements), part in zip(stages, work, each, strict=True):
            self.learn(key, stage.task.work, elements, seconds * part / sum(each))


def _work(stage: Stage, stages: Sequence[Stage], image: Array) -> tuple[str, int]:
    """The key of a stage's speed, and how many elements it reads and writes."""
    memory = image if stage.memory is None else stage.memory
    source = memory if stage.source is None else outline(stages[stage.source].shape, stages[stage.source].dtype)
    elements = source.size + math.prod(stage.shape)
    return speed_key(stage.task.kernel, source.dtype, stage.dtype), elements
