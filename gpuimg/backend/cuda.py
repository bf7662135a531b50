"""One NVIDIA GPU: kernels in CUDA C++, compiled for the device at first use."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from threading import RLock
from typing import Any

import numpy as np

from gpuimg import stopping
from gpuimg.backend import walk as walking
from gpuimg.backend.base import Array, combined
from gpuimg.backend.device import DeviceFailed, Gpu, OutOfDeviceMemory, exists, reads_back
from gpuimg.backend.prepared import partial_results, run_direct, run_prepared
from gpuimg.backend.walk import Bound, Lookup, Outs, bound_to, flat, walk
from gpuimg.machine import cuda_version
from gpuimg.memory import new_array
from gpuimg.plans.nodes import Fold, Node, Output, Point, Window, point
from gpuimg.plans.value import Small, Value

CUPY_FOR = 12, 13  # the oldest and newest CUDA versions with CuPy wheels
BANDED_FROM = 16 << 20  # bytes of the smallest image whose copies and kernels overlap
BAND_COST = 3 << 19  # bytes whose copy takes as long as the overhead of a band
WATCHED_WORK = 1 << 30  # elements times work per launch of work that can be stopped: at most about 20 ms on an H200
MEASURED_BYTES, COPIED_BYTES = 32 << 20, 256 << 20  # the latter exceeds the caches
BAND_HALOS = 8  # minimum rows of a band, in halos


class Cuda:
    """The backend that launches nodes on a device; ``gpu`` replaces CuPy's current device."""

    name = "cuda"

    def __init__(self, gpu: Gpu | None = None) -> None:
        self._gpu = gpu
        self._reason: str | None = None
        self._tried = False
        self._process = os.getpid()
        self._lock = RLock()
        self._jobs = RLock()
        self._known: dict[str, bool] = {}  # whether each kernel exists for CUDA

    @property
    def gpu(self) -> Gpu:
        """The device, detected at first use."""
        reason = self.unusable()
        if self._gpu is None or reason is not None:
            raise DeviceFailed(reason or "no GPU was found")
        return self._gpu

    def unusable(self) -> str | None:
        if os.getpid() != self._process:
            return "CUDA does not work in a forked process: start it with the method 'spawn' or 'forkserver'"
        if not self._tried:
            with self._lock:
                if not self._tried:
                    self._reason = self._try()
                    self._tried = True
        return self._reason

    def _try(self) -> str | None:
        if self._gpu is None:
            from gpuimg.backend.cupygpu import CupyGpu

            try:
                self._gpu = CupyGpu()
            except ImportError as error:
                return f"CuPy cannot be imported ({error}): {_install_cupy()}"
            except Exception as error:
                return f"no usable NVIDIA GPU or driver was found ({error})"
        try:
            return self._probe(self._gpu)
        except Exception as error:
            reason = f"a test kernel failed on the GPU: {str(error).strip() or type(error).__name__}"
            return f"{reason}: {_install_cupy()}" if "nvrtc" in reason.lower() else reason

    def _probe(self, gpu: Gpu) -> str | None:
        """Sum numbers on the device: one that is listed may still fail to compile or run."""
        numbers = np.arange(5000, dtype=np.uint32).reshape(5, 1000)
        total = gpu.empty((1, 1), np.uint64)
        gpu.launch("probe", gpu.put(numbers), total, 0, 1)
        found, right = int(gpu.get(total)[0, 0]), int(numbers.sum())
        return None if found == right else f"a test kernel gave the sum {found} instead of {right}"

    def missing(self, kernels: Sequence[str]) -> str | None:
        if all(map(self._known.get, kernels)):
            return None
        absent = sorted({kernel for kernel in kernels if not self._exists(kernel)})
        return f"not written for CUDA yet: {', '.join(absent)}" if absent else None

    def _exists(self, kernel: str) -> bool:
        if kernel not in self._known:
            self._known[kernel] = exists(kernel)
        return self._known[kernel]

    def detail(self) -> str:
        return self.gpu.describe()

    def measure(self) -> dict[str, float]:
        """Measure the speeds that the choice of a backend uses; see `gpuimg.machine.Figures`."""
        gpu = self.gpu
        host = np.random.default_rng(0).integers(0, 256, MEASURED_BYTES, np.uint8)  # pages of zeros would share memory
        first, second = (gpu.empty((COPIED_BYTES,), np.uint8) for _ in range(2))
        small = np.zeros((8, 8), np.uint8)
        resident = gpu.put(small)
        invert = partial(bound_to, partial(point, "invert", masked=0))
        return {
            "pcie_bandwidth": host.nbytes / _seconds(gpu, lambda: gpu.put(host)),
            "gpu_bandwidth": 2 * COPIED_BYTES / _seconds(gpu, lambda: gpu.copy(first, second)),
            "gpu_call": _seconds(gpu, lambda: self.run(invert(small))),
            "gpu_launch": _seconds(gpu, lambda: self.run(invert(resident))),
        }

    def run(self, bound: Bound, outs: Outs | None = None) -> tuple[Any, ...]:
        gpu = self._gpu if self._tried and self._reason is None else self.gpu
        assert gpu is not None
        watch = stopping.watch()
        try:
            if watch is None and outs is None:
                made = run_direct(gpu, bound)
                if made is not None:
                    return made
            elsewhere = gpu.elsewhere(bound.arrays if outs is None else (*bound.arrays, *outs))
            if watch is None and elsewhere is None:
                return run_into(gpu, bound, outs)
            with self._turn(watch), elsewhere or contextlib.nullcontext():
                return run_into(gpu, bound, outs)
        except gpu.errors as error:
            raise DeviceFailed(f"the GPU reported: {error}") from error

    @contextlib.contextmanager
    def _turn(self, watch: stopping.Watch | None) -> Iterator[None]:
        """Let one job at a time use the device's memory; calls outside jobs are not limited."""
        if watch is None:
            yield
            return
        while not self._jobs.acquire(timeout=stopping.PATIENCE):
            watch.look()
        try:
            yield
        finally:
            self._jobs.release()

    def run_each(self, bounds: Sequence[Bound], outs: Sequence[Outs]) -> list[tuple[Any, ...]]:
        return list(map(self.run, bounds, outs))


def run_into(gpu: Gpu, bound: Bound, outs: Outs | None) -> tuple[Any, ...]:
    """Run a graph on the current device; results go to ``outs`` if given, which may overlap the images.

    Images and ``outs`` may be on other devices.
    """
    if len(bound.arrays) > 1:
        bound = bound._replace(arrays=tuple(map(gpu.brought, bound.arrays)))
    if outs is None:
        return run_somehow(gpu, bound, None)
    apart = tuple([out if gpu.is_here(out) and not _overlaps(gpu, out, bound.arrays) else None for out in outs])
    results = run_somehow(gpu, bound, apart)
    for result, out in zip(results, outs, strict=True):
        if out is not None and result is not out:
            gpu.copy(result, out)
    return tuple([result if out is None else out for result, out in zip(results, outs, strict=True)])


def run_somehow(gpu: Gpu, bound: Bound, outs: Outs | None) -> tuple[Any, ...]:
    """Run a graph; if memory runs out, again after freeing the memory pool, then in tiles."""
    if bound.arrays[0].nbytes >= BANDED_FROM and _is_banded(gpu, bound):
        with contextlib.suppress(gpu.out_of_memory):
            return walk(bound, Bands(gpu), outs)
        gpu.trim()
    for _ in range(2):
        try:
            return run_whole(gpu, bound, outs)
        except gpu.out_of_memory:
            pass
        # After the handler, so that the arrays of the failed attempt have been freed.
        gpu.trim()
    return walk(bound, Tiles(gpu, gpu.owns(bound.arrays[0])), outs)


def _seconds(gpu: Gpu, work: Callable[[], Any]) -> float:
    """Return the median time of work on the device, after a warm-up."""
    times = []
    for _ in range(6):
        gpu.synchronize()
        start = time.perf_counter()
        work()
        gpu.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _install_cupy() -> str:
    """Return what CuPy lacks: the driver, or its wheel with CUDA's run-time compiler."""
    known, (oldest, newest) = cuda_version(), CUPY_FOR
    if known is None:
        return "this machine has no NVIDIA driver"
    if known < oldest:
        return f"the NVIDIA driver is older than CUDA {oldest}: update it"
    return f"pip install 'cupy-cuda{min(known, newest)}x[ctk]' brings CuPy and NVRTC"


def _overlaps(gpu: Gpu, out: Any | None, arrays: Sequence[Any]) -> bool:
    """Whether a result on the device overlaps an image that it is computed from."""
    if out is None or not gpu.owns(out):
        return False
    start, end = gpu.address(out), gpu.address(out) + out.nbytes
    return any(gpu.address(each) < end and start < gpu.address(each) + each.nbytes for each in arrays if gpu.owns(each))


def launch(gpu: Gpu, node: Node, src: Any, dst: Any, top: int, bottom: int, args: Sequence[Any]) -> None:
    """Launch a node's kernel for some of its rows or parts, with the arguments of this call."""
    evictions, there = gpu.evictions, on_device(gpu, node, args)
    gpu.launch(node.kernel, src, dst, top, bottom, *there)
    if evictions != gpu.evictions:
        gpu.synchronize()  # evicted constants may be held by this call alone


def on_device(gpu: Gpu, node: Node, args: Sequence[Any]) -> list[Any]:
    """Return a node's arguments with arrays copied to the device; the node's constants are kept there."""
    found = list(args)
    for number, arg in enumerate(args):
        if isinstance(arg, np.ndarray) and not gpu.owns(arg):
            found[number] = gpu.constant(arg) if arg is node.arguments[number] else gpu.put(arg)
    return found


# ---------------------------------------------------------------- whole images


def run_whole(gpu: Gpu, bound: Bound, outs: Outs | None) -> tuple[Any, ...]:
    """Run a graph with whole images in the device's memory, intermediate ones included."""
    if gpu.owns(bound.arrays[0]):
        return walk(bound, Whole(gpu), outs)
    targets = outs or (None,) * len(bound.graph.results)
    results = walk(bound, Whole(gpu))
    return tuple([gpu.get(made, out) if gpu.owns(made) else made for made, out in zip(results, targets, strict=True)])


class Whole:
    """The walk's executor with all images in the device's memory."""

    chains = False

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.empty = gpu.empty

    def take(self, image: Any) -> Any:
        return image if self._gpu.owns(image) else self._gpu.put(image)

    def copy(self, image: Any, target: Any) -> None:
        self._gpu.copy(image, target)

    def on_host(self, image: Any) -> Array:
        return self._gpu.get(image)

    def fill(self, nodes: Sequence[Node], value_of: Lookup, results: Sequence[Any]) -> None:
        (node,) = nodes
        gpu, image = self._gpu, value_of(node.image)
        pieces = 1
        if node.effort > WATCHED_WORK and node.halo is not None and stopping.watch() is not None:
            pieces = min(math.ceil(node.effort / WATCHED_WORK), node.pieces)
        if pieces == 1 and node.is_prepared and not reads_back(node.kernel):
            run_prepared(gpu, node, [image, *results], value_of)
            return
        args = walking.arguments(node, value_of, results)
        edges = [node.pieces * number // pieces for number in range(pieces + 1)]
        for number, (top, bottom) in enumerate(pairwise(edges)):
            if number:  # launched kernels cannot be stopped
                gpu.synchronize()
                stopping.within(number / pieces)
            launch(gpu, node, flat(image), flat(results[0]), top, bottom, args)

    def fold(self, node: Fold, value_of: Lookup) -> Array:
        gpu, image = self._gpu, value_of(node.image)
        if not node.is_prepared:
            return combined(node, _partial(gpu, node, image, walking.arguments(node, value_of)))
        parts = gpu.empty(*partial_results(gpu, node))
        run_prepared(gpu, node, [image, parts], value_of)
        return combined(node, gpu.get(parts))


def _partial(gpu: Gpu, node: Fold, image: Any, args: Sequence[Any]) -> Array:
    """Return the partial results of a fold, on the host."""
    parts = gpu.empty(*partial_results(gpu, node, image.shape[0]))
    launch(gpu, node, flat(image), parts, 0, len(parts), args)
    return gpu.get(parts)


# ---------------------------------------------------------------- tile by tile


class Tiles:
    """The walk's executor for little memory: images stay on the host, with some rows at a time on the device.

    Device images of the caller stay on the device, and so do the results computed from them.
    """

    chains = True

    def __init__(self, gpu: Gpu, resident: bool) -> None:
        self._gpu = gpu
        self._resident = resident

    def take(self, image: Any) -> Any:
        return image

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return self._gpu.empty(shape, dtype) if self._resident else new_array(shape, dtype)

    def copy(self, image: Any, target: Any) -> None:
        if self._resident:
            self._gpu.copy(image, target)
        else:
            np.copyto(target, image)

    def on_host(self, image: Any) -> Array:
        return self._gpu.get(image) if self._gpu.owns(image) else image

    def fold(self, node: Fold, value_of: Lookup) -> Array:
        image, args, parts = value_of(node.image), walking.arguments(node, value_of), []
        gpu = self._gpu

        def tile(top: int, bottom: int) -> None:
            rows = image[top:bottom]
            parts.append(_partial(gpu, node, rows if gpu.owns(image) else gpu.put(rows), args))

        _halving(gpu, image.shape[0], tile, node.kernel, image)
        return combined(node, np.concatenate(parts))

    def fill(self, nodes: Sequence[Node], value_of: Lookup, results: Sequence[Any]) -> None:
        rows = results[0].shape[0]
        if nodes[0].halo is None:
            self._whole(nodes[0], value_of, results)
            return
        names = ", ".join(node.kernel for node in nodes)
        _halving(self._gpu, rows, partial(self._tile, nodes, value_of, results), names, value_of(nodes[0].image))

    def _whole(self, node: Node, value_of: Lookup, results: Sequence[Any]) -> None:
        """Run a node that cannot be divided; on its own it may fit."""
        gpu, image = self._gpu, value_of(node.image)
        there = Whole(gpu)
        with contextlib.suppress(gpu.out_of_memory):
            moved = {node.image: there.take(image)}
            targets = [result if gpu.owns(result) else gpu.empty(result.shape, result.dtype) for result in results]
            if results[0] is image:
                targets[0] = moved[node.image]

            def found(value: Value | Small) -> Any:
                if isinstance(value, Small):
                    return value_of(value)
                if value not in moved:
                    moved[value] = there.take(value_of(value))
                return moved[value]

            there.fill((node,), found, targets)
            for target, result in zip(targets, results, strict=True):
                if target is not result:
                    gpu.get(target, result)
            return
        raise _too_large(node.kernel, image)

    def _tile(self, nodes: Sequence[Node], value_of: Lookup, results: Sequence[Any], top: int, bottom: int) -> None:
        gpu, rows = self._gpu, results[0].shape[0]
        needed = _rows_needed(nodes, top, bottom, rows)
        there: dict[Any, Any] = {}
        targets: list[Any] = []

        def found(value: Value | Small) -> Any:
            key = _key(value, nodes)
            if key not in needed:
                return value_of(value)
            if key not in there:
                low, high = needed[key]
                image = flat(value_of(value))
                there[key] = image if gpu.owns(image) else gpu.rows(gpu.put(image[low:high]), low, rows)
            return there[key]

        for node in nodes:
            low, high = needed[node]
            ends = node is nodes[-1]
            targets = [
                flat(results[number])
                if ends and gpu.owns(results[number])
                else gpu.rows(gpu.empty((high - low, math.prod(shape[1:])), dtype), low, rows)
                for number, (shape, dtype) in enumerate(node.results)
            ]
            args = [_tiled(each, found, targets) for each in node.arguments]
            launch(gpu, node, found(node.image), targets[0], low, high, args)
            there[node] = targets[0]
        for target, result in zip(targets, results, strict=True):
            if not gpu.owns(result):
                gpu.get(target.held, flat(result)[top:bottom])


# ---------------------------------------------------------------- band by band


def _is_banded(gpu: Gpu, bound: Bound) -> bool:
    """Whether a graph's rows can be processed while others are being copied between host and device."""
    groups = bound.graph.chained
    if len(groups) > 1 or not groups[0].is_filled or groups[0].in_place:
        return False
    return not any(map(gpu.owns, bound.arrays)) and all(map(_in_bands, groups[0].nodes))


def _in_bands(node: object) -> bool:
    """Whether rows of a node's result depend only on nearby rows."""
    return isinstance(node, Point) or (isinstance(node, Window) and not node.wraps)


class Bands(Tiles):
    """The walk's executor for large images on the host.

    Some rows are copied to the device while others are processed and results of others are copied back.
    """

    def __init__(self, gpu: Gpu) -> None:
        super().__init__(gpu, resident=False)

    def fill(self, nodes: Sequence[Node], value_of: Lookup, results: Sequence[Any]) -> None:
        rows = results[0].shape[0]
        wider = max(value_of(nodes[0].image).nbytes, *[result.nbytes for result in results])
        # A band also reads rows of its neighbours: the halos of all nodes.
        min_rows = BAND_HALOS * sum(node.reach_rows for node in nodes)
        # The last band's copy back overlaps nothing: `count` bands take BAND_COST * count + wider / count longer.
        count = max(1, min(math.ceil(math.sqrt(wider / BAND_COST)), rows // max(min_rows, 1)))
        edges = [rows * number // count for number in range(count + 1)]
        with self._gpu.pipeline() as gpu:
            there = Tiles(gpu, resident=False)
            for top, bottom in pairwise(edges):
                stopping.within(top / rows)
                there._tile(nodes, value_of, results, top, bottom)


# ---------------------------------------------------------------- rows of tiles


def _key(value: Value | Small, nodes: Sequence[Node]) -> Any:
    """Return a value's key in a group: the node of the group that computes it, or the value itself."""
    return value.node if value.node in nodes else value


def _tiled(given: Any, found: Lookup, targets: Sequence[Any]) -> Any:
    if isinstance(given, Value | Small):
        return found(given)
    return targets[given.index] if isinstance(given, Output) else given


def _rows_needed(nodes: Sequence[Node], top: int, bottom: int, rows: int) -> dict[Any, tuple[int, int]]:
    """Return the rows of each image, by `_key`, that a group reads or computes for some rows of its result."""
    needed: dict[Any, tuple[int, int]] = {nodes[-1]: (top, bottom)}
    for node in reversed(nodes):
        low, high = needed[node]
        others = [value for value in node.arguments if isinstance(value, Value)]
        read = walking.rows_read(node, low, high, rows)
        for value, (first, last) in [(node.image, read), *((each, (low, high)) for each in others)]:
            key = _key(value, nodes)
            known = needed.get(key, (first, last))
            needed[key] = min(known[0], first), max(known[1], last)
    return needed


def _too_large(kernels: str, image: Any) -> OutOfDeviceMemory:
    return OutOfDeviceMemory(f"{kernels} of an image of shape {image.shape} needs more than the GPU's free memory")


def _halving(gpu: Gpu, rows: int, tile: Callable[[int, int], None], kernels: str, image: Any) -> None:
    """Call ``tile`` for all rows, halving the rows per call whenever memory runs out."""
    size, top = (rows + 1) // 2, 0
    while top < rows:
        stopping.within(top / rows)
        bottom = min(rows, top + size)
        with contextlib.suppress(gpu.out_of_memory):
            tile(top, bottom)
            top = bottom
        if top == bottom:
            continue
        if size == 1:
            raise _too_large(kernels, image)
        gpu.trim()
        size = (size + 1) // 2
