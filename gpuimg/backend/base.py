"""The interface of a backend, and what the CPU backends share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gpuimg import stopping
from gpuimg.backend import walk as walking
from gpuimg.backend.walk import Bound, Lookup, Outs, flat, walk
from gpuimg.kernels import uncompilable
from gpuimg.machine import WORTH_LEARNING, figures
from gpuimg.memory import copy_pixels, new_array
from gpuimg.plans.nodes import Fold, Node

Array = np.ndarray[Any, Any]


class Backend(Protocol):
    """A place to run graphs."""

    name: str

    def unusable(self) -> str | None:
        """Return why this backend cannot run here and the remedy, or None."""

    def missing(self, kernels: Sequence[str]) -> str | None:
        """Return why this backend cannot run these kernels (one is not written yet), or None."""

    def detail(self) -> str:
        """Return a description of the threads, workers or device in use."""

    def run(self, bound: Bound, outs: Outs | None = None) -> tuple[Any, ...]:
        """Run a graph and return its results; ``outs`` are contiguous and fit them."""

    def run_each(self, bounds: Sequence[Bound], outs: Sequence[Outs]) -> list[tuple[Any, ...]]:
        """Run one graph for each image of a stack."""


def combined(node: Fold, parts: Array) -> Array:
    """Return the result of a fold from the partial results of all slabs."""
    if len(parts) == 1:
        return parts.reshape(node.shape)
    if node.combine == "sum":
        total: Array = parts.sum(axis=0, dtype=node.dtype).reshape(node.shape)
        return total
    return np.array([parts[:, 0].min(), parts[:, 1].max()])


def speed_key(kernel: str, dtype: np.dtype[Any], result: np.dtype[Any]) -> str:
    """Return the key of a kernel's measured speed for one pair of dtypes."""
    return f"{kernel}-{dtype.char}{result.char}"


WATCHED_SLABS = 8  # of a fold, per worker, if the work can be stopped


def _slabs(image: Array, size: int, workers: int) -> int:
    """Return how many partial results of this size a fold makes."""
    # They must stay small compared with the image.
    affordable = max(1, image.size // (4 * size))
    wanted = workers if stopping.watch() is None else WATCHED_SLABS * workers
    return min(wanted, affordable, len(image))


class CpuBackend(ABC):
    """Runs compiled kernels over bands of rows; each backend decides how to distribute the bands."""

    name: str
    chains = False
    worth_learning = WORTH_LEARNING  # elements of a call whose time is recorded

    unusable = staticmethod(uncompilable)

    def missing(self, kernels: Sequence[str]) -> str | None:
        return None

    @property
    @abstractmethod
    def workers(self) -> int:
        """Number of bands processed at a time."""

    @abstractmethod
    def detail(self) -> str: ...

    @abstractmethod
    def fill_rows(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], rows: int, halo: int = 0) -> float:
        """Fill all rows of ``dst`` (or do that many parts of another kind), one band per worker at a time.

        Each piece also reads ``halo`` rows above and below it. Returns the seconds spent in compiled code.
        """

    def speedup(self) -> float:
        """Return the speedup over one thread, from the machine's figures."""
        return figures().multicore_speedup

    def run(self, bound: Bound, outs: Outs | None = None) -> tuple[Any, ...]:
        return walk(bound, self, outs)

    def run_each(self, bounds: Sequence[Bound], outs: Sequence[Outs]) -> list[tuple[Any, ...]]:
        return list(map(self.run, bounds, outs))

    def take(self, image: Array) -> Array:
        """Return the image in memory that all workers can read."""
        return image

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Allocate memory for a result or an intermediate image."""
        return new_array(shape, dtype)

    def copy(self, image: Array, target: Array) -> None:
        """Copy an image into memory of the same size."""
        copy_pixels(image, target)

    def on_host(self, image: Array) -> Array:
        return image

    def fill(self, nodes: Sequence[Node], value_of: Lookup, results: Sequence[Array]) -> None:
        """Run the only node of the group over all rows of its results."""
        (node,) = nodes
        seconds = self.fill_node(node, value_of, results, node.pieces)
        self.learn_from(node, value_of(node.image), results, seconds)

    def fill_node(self, node: Node, value_of: Lookup, results: Sequence[Array], rows: int) -> float:
        """Call `fill_rows` for a node's results or partial results."""
        image, args = flat(value_of(node.image)), walking.arguments(node, value_of, results)
        return self.fill_rows(node.kernel, image, flat(results[0]), args, rows, node.reach_rows)

    def learn_from(self, node: Node, image: Array, results: Sequence[Array], seconds: float) -> None:
        """Record the time of a node, unless it is 0."""
        if seconds and image.size + results[0].size > self.worth_learning:
            elements = image.size + sum([result.size for result in results])
            self.learn(speed_key(node.kernel, node.image.dtype, node.dtype), node.work, elements, seconds)

    def fold(self, node: Fold, value_of: Lookup) -> Array:
        image = value_of(node.image)
        size = math.prod(node.shape)
        slabs = _slabs(image, size, self.workers)
        parts = self.empty((slabs, size), node.dtype)
        seconds = self.fill_node(node, value_of, (parts,), slabs)
        if seconds and image.size + size > self.worth_learning:
            self.learn(speed_key(node.kernel, image.dtype, parts.dtype), node.work, image.size + size, seconds)
        return combined(node, parts)

    def learn(self, key: str, work: float, elements: int, seconds: float) -> None:
        """Record a kernel's time for this many elements read and written."""
        if elements > WORTH_LEARNING:
            figures().learn(key, seconds * self.speedup(), elements * work)
