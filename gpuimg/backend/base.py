"""The interface of a backend, and what the CPU backends share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpuimg.backend import walk as walking
from gpuimg.backend.walk import Bound, Lookup, flat, one_by_one, walk
from gpuimg.kernels import uncompilable
from gpuimg.machine import figures
from gpuimg.memory import new_array
from gpuimg.passes import Beside, Pass, Reduction, all_of, chains, writer
from gpuimg.plan.nodes import Fold, Node

Array = np.ndarray[Any, Any]


class Backend(Protocol):
    """Where passes run."""

    name: str

    def unusable(self) -> str | None:
        """Why this backend cannot run here and what would help, or None."""

    def missing(self, passes: Sequence[Pass] | Bound) -> str | None:
        """Why this backend cannot run these passes (a kernel that is not written yet), or None."""

    def detail(self) -> str:
        """What it runs on: threads, workers, the device."""

    def run(self, passes: Sequence[Pass] | Bound, image: Any, out: Any | None) -> Any:
        """Run passes one after the other and give the last one's result; ``out`` is contiguous and fits it."""


def kernels_of(passes: Sequence[Pass] | Bound) -> list[str]:
    """The kernels of all passes or of a graph's nodes."""
    return passes.graph.kernels if isinstance(passes, Bound) else [task.kernel for task in all_of(passes)]


def arguments(task: Pass, image: Any, reduced: Any, beside: Callable[[Beside], Any]) -> tuple[Any, ...]:
    """What a kernel gets after the rows to fill; ``beside`` makes flat rows of a `Beside`."""
    own = task.args(reduced) if callable(task.args) else task.args
    own = tuple([beside(arg) if isinstance(arg, Beside) else arg for arg in own])
    edge = getattr(task, "border", None)
    if edge is None:
        return own
    return (image.shape[2] if image.ndim == 3 else 1, *edge, *own)


def result_of(task: Pass, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of what a pass makes out of an image."""
    if isinstance(task, Reduction):
        return task.shape, task.dtype
    return task.shape or shape, task.dtype or dtype


def combine(task: Reduction, parts: Array) -> Array:
    """Put the partial results of all slabs together."""
    if task.combine == "sum":
        total: Array = parts.sum(axis=0, dtype=task.dtype).reshape(task.shape)
        return total
    return np.array([parts[:, 0].min(), parts[:, 1].max()])


def combined(node: Fold, parts: Array) -> Array:
    """The result of a fold from the partial results of all slabs."""
    if node.combine == "sum":
        total: Array = parts.sum(axis=0, dtype=node.dtype).reshape(node.shape)
        return total
    return np.array([parts[:, 0].min(), parts[:, 1].max()])


def speed_key(kernel: str, dtype: np.dtype[Any], result: np.dtype[Any]) -> str:
    """The name under which a kernel's measured speed is kept, for one pair of dtypes."""
    return f"{kernel}-{dtype.char}{result.char}"


# A smaller image says more about the cost of a call than about the kernel.
WORTH_LEARNING = 1 << 20


class CpuBackend(ABC):
    """Runs compiled kernels over bands of rows; how the bands are shared out is each backend's own."""

    name: str

    def unusable(self) -> str | None:
        return uncompilable()

    def missing(self, passes: Sequence[Pass] | Bound) -> str | None:
        return None

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many bands are worked on at a time."""

    @abstractmethod
    def detail(self) -> str: ...

    @abstractmethod
    def fill(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], rows: int, bands: int) -> float:
        """Fill all rows of ``dst`` (or do as many parts of another kind), ``bands`` of them at a time; gives the
        seconds that the compiled code took."""

    def speedup(self) -> float:
        """How many times faster than one thread this backend fills, by the machine's figures."""
        return figures().multicore_speedup

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Memory for a result or an intermediate one."""
        return new_array(shape, dtype)

    def shared(self, other: Array) -> Array:
        """Another image where all that fill can read it."""
        return other

    def run(self, passes: Sequence[Pass] | Bound, image: Array, out: Array | None) -> Any:
        if isinstance(passes, Bound):
            return walk(passes, _Walking(self), out)
        reduced: Any = None
        original = image
        last = writer(passes)

        def beside(other: Beside) -> Array:
            if other.passes:
                return self.shared(flat(CpuBackend.run(self, other.passes, original, None)))
            return self.shared(flat(original if other.array is None else other.array))

        number = 0
        for group in chains(passes):
            into = out if number <= last < number + len(group) else None
            made = self.run_chain(group, image, original, reduced, into)
            if made is not None:
                result = image = made
                number += len(group)
                continue
            for task in group:
                args = arguments(task, image, reduced, beside)
                if isinstance(task, Reduction):
                    parts = self.empty((self._slabs(task, image), math.prod(task.shape)), task.dtype)
                    seconds = self.fill(task.kernel, flat(image), parts, args, len(parts), len(parts))
                    key = speed_key(task.kernel, image.dtype, parts.dtype)
                    self.learn(key, task.work, image.size + parts[0].size, seconds)
                    reduced = combine(task, parts)
                    if task.then is not None:
                        reduced = task.then(reduced)
                    result = reduced
                else:
                    shape, dtype = result_of(task, image.shape, image.dtype)
                    if task.in_place:
                        result = image
                    else:
                        result = out if number == last and out is not None else self.empty(shape, dtype)
                    rows = task.parts or shape[0]
                    seconds = self.fill(task.kernel, flat(image), flat(result), args, rows, min(rows, self.workers))
                    self.learn(speed_key(task.kernel, image.dtype, dtype), task.work, image.size + result.size, seconds)
                    image = result
                number += 1
        return result

    def take(self, image: Array) -> Array:
        """An image where all that fill can read it."""
        return image

    def run_node(self, node: Node, value_of: Lookup, result: Array) -> None:
        """Run one node over all rows of its result."""
        image = flat(value_of(node.image))
        args, pieces = walking.arguments(node, value_of), node.pieces
        seconds = self.fill(node.kernel, image, flat(result), args, pieces, min(pieces, self.workers))
        key = speed_key(node.kernel, image.dtype, result.dtype)
        self.learn(key, node.work, image.size + result.size, seconds)

    def run_group(self, nodes: Sequence[Node], value_of: Lookup, result: Array) -> bool:
        """Run several nodes some rows at a time, without images between them; False: they must run one by one."""
        return False

    def fold(self, node: Fold, value_of: Lookup) -> Array:
        image = value_of(node.image)
        size = math.prod(node.shape)
        slabs = self._slabs_of(image, size)
        parts = self.empty((slabs, size), node.dtype)
        args = walking.arguments(node, value_of)
        seconds = self.fill(node.kernel, flat(image), parts, args, slabs, slabs)
        self.learn(speed_key(node.kernel, image.dtype, parts.dtype), node.work, image.size + size, seconds)
        return combined(node, parts)

    def run_chain(
        self, passes: Sequence[Pass], image: Array, original: Array, reduced: Any, out: Array | None
    ) -> Array | None:
        """Run sweeps some rows at a time, without an image between them; None: they must run one after the other.

        ``original`` is what the first of all passes got, ``reduced`` what the last reduction gave.
        """
        return None

    def learn(self, key: str, work: float, elements: int, seconds: float) -> None:
        """Take what a kernel took for so many elements read and written."""
        if elements > WORTH_LEARNING:
            figures().learn(key, seconds * self.speedup(), elements * work)

    def _slabs(self, task: Reduction, image: Array) -> int:
        return self._slabs_of(image, math.prod(task.shape))

    def _slabs_of(self, image: Array, size: int) -> int:
        # Partial results must stay small in comparison with the image they are made from.
        affordable = max(1, image.size // (4 * size))
        return min(self.workers, affordable, len(image))


class _Walking(NamedTuple):
    """A CPU backend as the walk's executor."""

    backend: CpuBackend

    def take(self, image: Array) -> Array:
        return self.backend.take(image)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return self.backend.empty(shape, dtype)

    def copy(self, image: Array) -> Array:
        copied = self.empty(image.shape, image.dtype)
        np.copyto(copied, image)
        return copied

    def fold(self, node: Fold, value_of: Lookup) -> Array:
        return self.backend.fold(node, value_of)

    def fill(self, nodes: Sequence[Node], value_of: Lookup, result: Array) -> None:
        if len(nodes) > 1 and self.backend.run_group(nodes, value_of, result):
            return
        one_by_one(nodes, value_of, result, self.backend.empty, self.backend.run_node)
