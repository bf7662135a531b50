"""A node's launches, recorded once and replayed for the arrays of each call.

A node's shapes, dtypes and numbers never change, and neither do its launches: instances, grids, shared memory, scratch
memory and all arguments except addresses. So the launch code of its kernel runs once, with stand-ins for arrays, and
its launches are recorded; each call fills in the addresses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import starmap
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from gpuimg.backend.device import Device, Gpu, Grid, Kernel, Launcher, extents
from gpuimg.backend.walk import Bound, Lookup
from gpuimg.memory import nbytes_of
from gpuimg.plans.nodes import Fold, Node, Output, Spec
from gpuimg.plans.value import Value

PREPARED_KEPT = 512  # nodes
ADDRESSES = 1 << 64
LARGEST_WASTE = 2  # reused scratch memory may be larger than needed by this factor


class Launch(NamedTuple):
    """One launch; ``addresses`` are indices among the values, with the number of an array and an offset in bytes."""

    start: Launcher
    grid: Grid
    block: Grid
    layout: Struct
    values: list[Any]
    addresses: tuple[tuple[int, int, int], ...]
    shared_mem: int


class Zero(NamedTuple):
    """Bytes of an array to set to zero."""

    number: int
    offset: int
    nbytes: int


class Prepared(NamedTuple):
    """The recorded launches of a node.

    Attributes
    ----------
    images : further images to read
    scratch : shapes and dtypes of scratch memory; some is used for several arrays in turn
    steps : launches and memory to clear, in order
    constants : tables on the device with addresses among the arguments
    evictions : count of the device's evictions before these constants
    """

    images: tuple[Value, ...]
    scratch: tuple[Spec, ...]
    steps: tuple[Launch | Zero, ...]
    constants: tuple[Any, ...]
    evictions: int


def run_prepared(gpu: Gpu, node: Node, arrays: list[Any], value_of: Lookup) -> None:
    """Run a node whose arguments are constants and images; ``arrays`` are its image and its results."""
    key = gpu.place(), node
    found: Prepared | None = gpu.prepared.get(key)
    if found is None:
        if len(gpu.prepared) >= PREPARED_KEPT:
            gpu.let_constants_go()
        kept = gpu.prepared  # if it is dropped meanwhile, this entry goes with it
        found = kept[key] = _prepare(gpu, node)
    if found.images:
        arrays += map(value_of, found.images)
    if found.scratch:
        arrays += starmap(gpu.empty, found.scratch)
    _start(gpu, found, gpu.addresses(arrays))


def run_direct(gpu: Gpu, bound: Bound) -> tuple[Any, ...] | None:
    """Return the results of a graph of one node, prepared before, on images of the current device.

    None for any other graph or image, or if memory does not suffice.
    """
    graph, place = bound.graph, gpu.place()
    found: Prepared | None = gpu.prepared.get((place, graph.only))
    begins = None if found is None else gpu.resident(bound.arrays, place)
    if found is None or begins is None:
        return None
    try:
        results = tuple(starmap(gpu.empty, graph.made_as))
        scratch = list(starmap(gpu.empty, found.scratch)) if found.scratch else None
    except gpu.out_of_memory:
        return None
    if found.images:
        begins = [begins[number] for _, number in graph.read]  # the node's image, then those among its arguments
    begins[1:1] = gpu.addresses(results)
    if scratch is not None:
        begins += gpu.addresses(scratch)
    _start(gpu, found, begins)
    return results


def _start(gpu: Gpu, found: Prepared, begins: list[int]) -> None:
    """Replay prepared launches for arrays at these addresses."""
    _, _, steps, _, evictions = found
    for step in steps:
        if isinstance(step, Zero):
            gpu.clear(begins[step.number] + step.offset, step.nbytes)
            continue
        start, grid, block, layout, values, addresses, shared_mem = step
        values = values.copy()
        for place, number, offset in addresses:
            values[place] = (begins[number] + offset) % ADDRESSES
        start(grid, block, layout, values, shared_mem)
    if evictions != gpu.evictions:
        gpu.synchronize()  # the constants are freed with `found`, so nothing may be running


def _prepare(gpu: Gpu, node: Node) -> Prepared:
    evictions = gpu.evictions
    images = tuple([each for each in node.arguments if isinstance(each, Value)])
    made = [partial_results(gpu, node)] if isinstance(node, Fold) else node.results
    specs = [(node.image.shape, node.image.dtype), *made, *[(each.shape, each.dtype) for each in images]]
    arrays = [StandIn(number, flat_shape(shape), dtype) for number, (shape, dtype) in enumerate(specs)]
    others = iter(arrays[1 + len(made) :])
    arguments: list[Any] = []
    for each in node.arguments:
        if isinstance(each, Output):
            arguments.append(arrays[1 + each.index])
        elif isinstance(each, Value):
            arguments.append(next(others))
        else:
            arguments.append(gpu.constant(each) if isinstance(each, np.ndarray) else each)
    notes = Notes(gpu, len(arrays))
    pieces = made[0][0][0] if isinstance(node, Fold) else node.pieces
    notes.launch(node.kernel, arrays[0], arrays[1], 0, pieces, *arguments)
    constants = tuple(filter(gpu.owns, arguments))
    return Prepared(images, tuple(notes.scratch), tuple(notes.steps), constants, evictions)


def partial_results(gpu: Gpu, node: Fold, rows: int | None = None) -> Spec:
    """Return the shape and dtype of a fold's partial results, one row per slab, for all or some rows."""
    slabs = gpu.slabs(node.kernel, node.image.shape[0] if rows is None else rows)
    return (slabs, math.prod(node.shape)), node.dtype


def flat_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the shape of an image as rows of elements."""
    return shape[0], math.prod(shape[1:])


class StandIn:
    """A stand-in for an array, some of its rows, or an image of which it holds some rows.

    Attributes
    ----------
    number : of the array among a call's arrays
    shape, dtype : as launch code sees it
    offset : bytes from the array's beginning to the first row
    loan : of scratch memory, released with the last stand-in that holds it
    """

    __slots__ = ("dtype", "loan", "number", "offset", "shape")

    def __init__(
        self, number: int, shape: tuple[int, ...], dtype: Any, offset: int = 0, loan: Loan | None = None
    ) -> None:
        self.number = number
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.offset = offset
        self.loan = loan

    @property
    def nbytes(self) -> int:
        return nbytes_of(self.shape, self.dtype)

    def __getitem__(self, rows: slice) -> StandIn:
        first, last, _ = rows.indices(self.shape[0])
        return self.moved(first, last - first)

    def moved(self, first: int, rows: int) -> StandIn:
        """Return ``rows`` rows from ``first``, which may be before the array."""
        pitch = math.prod(self.shape[1:]) * self.dtype.itemsize
        return StandIn(self.number, (rows, *self.shape[1:]), self.dtype, self.offset + first * pitch, self.loan)


class Loan:
    """A loan of scratch memory; its number returns to ``free`` once launch code drops it.

    Later launches run later and may overwrite it.
    """

    __slots__ = ("_free", "_number")

    def __init__(self, number: int, free: list[int]) -> None:
        self._number = number
        self._free = free

    def __del__(self) -> None:
        self._free.append(self._number)


class Notes(Device):
    """A device that records launches for another one, for ``count`` arrays and scratch memory."""

    def __init__(self, gpu: Gpu, count: int) -> None:
        self._gpu = gpu
        self._count = count
        self._free: list[int] = []  # numbers of scratch memory
        self.scratch: list[Spec] = []
        self.steps: list[Launch | Zero] = []

    @property
    def multiprocessors(self) -> int:
        return self._gpu.multiprocessors

    def empty(self, shape: tuple[int, ...], dtype: Any) -> StandIn:
        wanted = nbytes_of(shape, np.dtype(dtype))
        sizes = {number: nbytes_of(*self.scratch[number - self._count]) for number in self._free}
        fitting = [number for number, size in sizes.items() if wanted <= size <= LARGEST_WASTE * wanted]
        if fitting:
            number = min(fitting, key=sizes.__getitem__)
            self._free.remove(number)
        else:
            number = self._count + len(self.scratch)
            self.scratch.append((shape, np.dtype(dtype)))
        return StandIn(number, shape, dtype, loan=Loan(number, self._free))

    def zero(self, array: StandIn) -> None:
        self.steps.append(Zero(array.number, array.offset, array.nbytes))

    def address(self, array: Any) -> Any:
        return array if isinstance(array, StandIn) else self._gpu.address(array)

    def rows(self, held: StandIn, first: int, rows: int) -> StandIn:
        return held.moved(-first, rows)

    def kernel(self, stem: str, name: str) -> Callable[..., None]:
        return partial(self._note, self._gpu.kernel(stem, name))

    def _note(self, kernel: Kernel, grid: Grid, block: Grid, args: Sequence[Any], shared_mem: int = 0) -> None:
        form, values = self.pack(args)
        layout = kernel.layout(form)
        stand_ins = [(place, each) for place, each in enumerate(values) if isinstance(each, StandIn)]
        addresses = tuple([(place, each.number, each.offset) for place, each in stand_ins])
        for place, _ in stand_ins:
            values[place] = 0
        self.steps.append(Launch(kernel.start, extents(grid), extents(block), layout, values, addresses, shared_mem))
