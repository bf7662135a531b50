"""A node's launches, worked out once and then done for the arrays of each call.

A node's shapes, dtypes and numbers never change, and neither do its launches: instances, grids, shared memory, scratch
memory and all arguments but addresses. So the launch code of its kernel runs once, with stand-ins for arrays, and what
it launches is noted; each call fills in the addresses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from gpuimg.backend.device import Device, Gpu, Grid, Kernel, Launcher, extents
from gpuimg.backend.walk import Lookup
from gpuimg.plans.nodes import Fold, Node, Output, Spec
from gpuimg.plans.value import Value

PREPARED_KEPT = 512  # nodes
ADDRESSES = 1 << 64


class Prepared(NamedTuple):
    """The launches of a node.

    Attributes
    ----------
    made : shape and dtype of what is made, of a fold the partial results
    images : further images that are read
    scratch : shapes and dtypes of the memory needed meanwhile
    steps : what is launched
    constants : tables on the device, whose addresses are among the arguments
    times_let_go : of the device's constants, before these
    """

    made: tuple[Spec, ...]
    images: tuple[Value, ...]
    scratch: tuple[Spec, ...]
    steps: tuple[Launch | Zero, ...]
    constants: tuple[Any, ...]
    times_let_go: int

    def run(self, gpu: Gpu, arrays: list[Any]) -> None:
        """Launch for these arrays: the image, what is made, and the further images."""
        arrays += [gpu.empty(*spec) for spec in self.scratch]
        addresses = list(map(gpu.address, arrays))
        for step in self.steps:
            step.run(gpu, addresses)
        if self.times_let_go != gpu.times_let_go:
            gpu.synchronize()  # the constants go with this object, and nothing may be under way then


class Launch(NamedTuple):
    """One launch; ``addresses`` are places among the values, and the numbers of the arrays that begin there, or so many
    bytes before or behind."""

    start: Launcher
    grid: Grid
    block: Grid
    layout: Struct
    values: list[Any]
    addresses: tuple[tuple[int, int, int], ...]
    shared_mem: int

    def run(self, gpu: Gpu, addresses: list[int]) -> None:
        start, grid, block, layout, values, places, shared_mem = self
        values = values.copy()
        for place, number, offset in places:
            values[place] = (addresses[number] + offset) % ADDRESSES
        start(grid, block, layout, values, shared_mem)


class Zero(NamedTuple):
    """Bytes of an array that are set to zero."""

    number: int
    offset: int
    nbytes: int

    def run(self, gpu: Gpu, addresses: list[int]) -> None:
        gpu.clear(addresses[self.number] + self.offset, self.nbytes)


def prepared(gpu: Gpu, node: Node) -> Prepared:
    """The launches of a node whose arguments are constants and images, on the device in use."""
    key = gpu.place(), node
    found = gpu.prepared.get(key)
    if found is None:
        if len(gpu.prepared) >= PREPARED_KEPT:
            gpu.let_constants_go()
        found = gpu.prepared[key] = _prepare(gpu, node)
    return found


def _prepare(gpu: Gpu, node: Node) -> Prepared:
    times_let_go = gpu.times_let_go
    images = tuple([each for each in node.arguments if isinstance(each, Value)])
    if isinstance(node, Fold):
        slabs = gpu.slabs(node.kernel, node.image.shape[0])
        made: tuple[Spec, ...] = (((slabs, math.prod(node.shape)), node.dtype),)
    else:
        slabs, made = node.pieces, node.results
    specs = [(node.image.shape, node.image.dtype), *made, *[(each.shape, each.dtype) for each in images]]
    arrays = [StandIn(number, flat_shape(shape), dtype) for number, (shape, dtype) in enumerate(specs)]
    others = iter(arrays[1 + len(made) :])
    notes = Notes(gpu, len(arrays))
    arguments: list[Any] = []
    for each in node.arguments:
        if isinstance(each, Output):
            arguments.append(arrays[1 + each.index])
        elif isinstance(each, Value):
            arguments.append(next(others))
        else:
            arguments.append(gpu.constant(each) if isinstance(each, np.ndarray) else each)
    notes.launch(node.kernel, arrays[0], arrays[1], 0, slabs, *arguments)
    constants = tuple([each for each in arguments if gpu.owns(each)])
    return Prepared(made, images, tuple(notes.scratch), tuple(notes.steps), constants, times_let_go)


def flat_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """The shape of an image as rows of elements."""
    return shape[0], math.prod(shape[1:])


class StandIn:
    """What launch code gets in place of an array, some of its rows, or an image of which it holds some rows.

    Attributes
    ----------
    number : of the array among those of a call
    shape, dtype : as launch code sees it
    offset : bytes from the array's beginning to the first row
    """

    __slots__ = ("dtype", "number", "offset", "shape")

    def __init__(self, number: int, shape: tuple[int, ...], dtype: Any, offset: int = 0) -> None:
        self.number = number
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.offset = offset

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __getitem__(self, rows: slice) -> StandIn:
        first, last, _ = rows.indices(self.shape[0])
        return self.moved(first, last - first)

    def moved(self, first: int, rows: int) -> StandIn:
        """So many rows, beginning with the row ``first``, which may lie before the array."""
        pitch = math.prod(self.shape[1:]) * self.dtype.itemsize
        return StandIn(self.number, (rows, *self.shape[1:]), self.dtype, self.offset + first * pitch)


class Notes(Device):
    """A device that notes what is to be launched on another one, for ``count`` arrays and scratch memory."""

    def __init__(self, gpu: Gpu, count: int) -> None:
        self._gpu = gpu
        self._count = count
        self.scratch: list[Spec] = []
        self.steps: list[Launch | Zero] = []

    @property
    def multiprocessors(self) -> int:
        return self._gpu.multiprocessors

    def empty(self, shape: tuple[int, ...], dtype: Any) -> StandIn:
        found = StandIn(self._count + len(self.scratch), shape, dtype)
        self.scratch.append((found.shape, found.dtype))
        return found

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
