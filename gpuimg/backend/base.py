"""The interface of a backend, and what the CPU backends share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpuimg.backend import walk as walking
from gpuimg.backend.walk import Bound, Lookup, flat, one_by_one, walk
from gpuimg.kernels import uncompilable
from gpuimg.machine import figures
from gpuimg.memory import new_array
from gpuimg.plans.nodes import Fold, Node

Array = np.ndarray[Any, Any]


class Backend(Protocol):
    """Where graphs run."""

    name: str

    def unusable(self) -> str | None:
        """Why this backend cannot run here and what would help, or None."""

    def missing(self, kernels: Sequence[str]) -> str | None:
        """Why this backend cannot run these kernels (one that is not written yet), or None."""

    def detail(self) -> str:
        """What it runs on: threads, workers, the device."""

    def run(self, bound: Bound, out: Any | None) -> Any:
        """Run a graph and return its result; ``out`` is contiguous and fits it."""


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

    def missing(self, kernels: Sequence[str]) -> str | None:
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

    def run(self, bound: Bound, out: Array | None) -> Any:
        return walk(bound, _Walking(self), out)

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
        slabs = self._slabs(image, size)
        parts = self.empty((slabs, size), node.dtype)
        args = walking.arguments(node, value_of)
        seconds = self.fill(node.kernel, flat(image), parts, args, slabs, slabs)
        self.learn(speed_key(node.kernel, image.dtype, parts.dtype), node.work, image.size + size, seconds)
        return combined(node, parts)

    def learn(self, key: str, work: float, elements: int, seconds: float) -> None:
        """Take what a kernel took for so many elements read and written."""
        if elements > WORTH_LEARNING:
            figures().learn(key, seconds * self.speedup(), elements * work)

    def _slabs(self, image: Array, size: int) -> int:
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
