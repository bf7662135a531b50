"""Nodes: the kinds of work of which a graph consists.

A kernel sees an image as flat rows: ``(H, W, C)`` becomes ``(H, W * C)``, so that horizontally neighbouring pixels are
``C`` elements apart. A node's keyword arguments are matched with the kernel's parameters by name: numbers, arrays,
other images, and results of folds. The parameters ``step`` (the channels), ``mode`` and ``cval`` are filled in.

A node with several results names the kernel's parameters to which the further results are written, with their dtypes
and, unless it is that of the first result, their shapes: ``results={"direction": dtype}`` or
``{"changed": (shape, dtype)}``. `Value.results` of the returned value are all results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from gpuimg import kernels
from gpuimg.images import MODES
from gpuimg.plans.value import Small, Value

if TYPE_CHECKING:
    from gpuimg.plans.graph import Graph

Spec: TypeAlias = "tuple[tuple[int, ...], np.dtype[Any]]"
Results: TypeAlias = "Mapping[str, np.dtype[Any] | Spec]"
Argument: TypeAlias = "int | float | np.ndarray[Any, Any] | Value | Small | Output"
Edge: TypeAlias = "tuple[int, float]"
WRAP = MODES["wrap"].code


@dataclass(frozen=True, slots=True)
class Output:
    """Placeholder among a kernel's arguments for the memory of a further result; ``index`` counts from 1."""

    index: int


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """Work on an image by one kernel.

    Attributes
    ----------
    kernel : stem of the kernel's files
    image : the image that is read
    arguments : in the order of the kernel's parameters
    shape, dtype : of the first result
    work : operations per element relative to a simple kernel; the cost model's guess before it has measured
    results : shape and dtype of each result
    effort : elements times work, including a window's halo, with which every band of rows begins
    pieces : number of pieces into which the work can be divided, by default the rows of the result
    reach_rows : rows of the image needed above and below an output row
    is_constant : whether the arguments are the same in every run: numbers and arrays
    is_prepared : whether all arguments except images are the same in every run
    calls : cached by the CPU backends at the first call; see `gpuimg.backend.calls`
    chained : calls of chains that end with this node, by the nodes before it
    """

    kernel: str
    image: Value
    arguments: tuple[Argument, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    work: float
    results: tuple[Spec, ...]
    effort: float = field(init=False)
    pieces: int = field(init=False)
    reach_rows: int = field(init=False)
    is_constant: bool = field(init=False)
    is_prepared: bool = field(init=False)
    calls: list[Any] = field(init=False, default_factory=list)
    chained: dict[tuple[AnyNode, ...], Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        halo = self.halo or (0, 0)
        read = float(math.prod(self.image.shape) + math.prod(self.shape))
        for extent, reach in zip(self.image.shape, halo, strict=False):
            read *= 1 + 2 * reach / max(extent, 1)
        object.__setattr__(self, "effort", read * self.work)
        object.__setattr__(self, "pieces", self._pieces())
        object.__setattr__(self, "reach_rows", halo[0])
        varying = [each for each in self.arguments if isinstance(each, Value | Small | Output)]
        object.__setattr__(self, "is_constant", not varying)
        object.__setattr__(self, "is_prepared", not any(isinstance(each, Small) for each in varying))

    @property
    def halo(self) -> tuple[int, int] | None:
        """Rows and columns of input needed around an output pixel; None if rows are not 1:1."""
        return None

    def _pieces(self) -> int:
        return self.shape[0]


@dataclass(frozen=True, eq=False, slots=True)
class Point(Node):
    """Work on each pixel independently."""

    @property
    def halo(self) -> tuple[int, int]:
        return 0, 0


@dataclass(frozen=True, eq=False, slots=True)
class Window(Node):
    """Work on a bounded neighbourhood of each pixel; ``edge`` is the border mode's number and its constant."""

    reach: tuple[int, int]
    edge: Edge

    @property
    def halo(self) -> tuple[int, int]:
        return self.reach

    @property
    def wraps(self) -> bool:
        """Whether the first and last rows need rows at the other end."""
        return self.edge[0] == WRAP and self.reach[0] > 0


@dataclass(frozen=True, eq=False, slots=True)
class Resample(Node):
    """Work whose output rows are not 1:1 with those of the image."""


@dataclass(frozen=True, eq=False, slots=True)
class Parts(Node):
    """Work on a whole image in ``count`` independent parts, in any order or in parallel.

    The kernel gets the indices [top, bottom) of the parts to compute. With ``changes`` it changes its image, which is
    passed as both ``src`` and ``dst``.
    """

    count: int
    changes: bool

    def _pieces(self) -> int:
        return self.count


@dataclass(frozen=True, eq=False, slots=True)
class Fold(Node):
    """Reduction to a small array: one of each slab of rows, combined by addition or as minima and maxima."""

    combine: Literal["sum", "minmax"]


@dataclass(frozen=True, eq=False, slots=True)
class Host:
    """A pure function of small arrays, or of whole images, called on the host, with ``count`` results."""

    function: Callable[..., Any]
    arguments: tuple[Small | Value, ...]
    count: int


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """The same memory under another dtype of the same size, available once ``after`` have been computed."""

    image: Value
    dtype: np.dtype[Any]
    after: tuple[Small, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Loop:
    """A graph that is repeated on its results until it returns 0.

    Attributes
    ----------
    body : its inputs are the state and the constants, its results the new state and a number; 0 ends the loop
    state : values before the first round
    constants : values that are the same in every round
    limit : maximum number of rounds; exceeding it is an error
    rounds : number of rounds assumed by the cost model
    begins : a number; 0 skips the loop
    """

    body: Graph
    state: tuple[Value, ...]
    constants: tuple[Value | Small, ...]
    limit: int
    rounds: float
    begins: Small | None


AnyNode: TypeAlias = Node | Host | View | Loop


def listing(function: Callable[..., Any], *images: Value | Small) -> Small:
    """Call a pure function of whole images that returns an array of coordinates, one row for each place."""
    return Small(Host(function, images, 1), listed=True)


def lent(image: Value) -> Small:
    """Pass an image to a host function that reads only a part of it: it may be on a device, and is not copied."""
    return Small(View(image, image.dtype, ()))


def on_host(array: Any) -> np.ndarray[Any, Any]:
    """Convert an array, possibly on a device, to a NumPy array."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())


def view(image: Value, dtype: np.dtype[Any], after: tuple[Small, ...] = ()) -> Value:
    """View an image as another dtype of the same size.

    ``after`` are numbers that must be computed before the image is used, such as results of a host function that raises
    an error for some images.
    """
    if image.dtype == dtype and not after:
        return image
    return Value(image.shape, dtype, View(image, dtype, after))


def moved(image: Value, move: Callable[[Value], Value]) -> Value:
    """Move pixels as unsigned integers of their size, so that few kernels serve all dtypes."""
    if image.dtype.kind in "bu":
        return move(image)
    return view(move(view(image, np.dtype(f"u{image.dtype.itemsize}"))), image.dtype)


def copied(image: Value) -> Value:
    """Copy an image."""
    return moved(image, lambda pixels: point("flip", pixels, work=0.5, vertical=0, horizontal=0))


def point(
    kernel: str,
    image: Value,
    /,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: np.dtype[Any] | None = None,
    work: float = 1.0,
    results: Results | None = None,
    **arguments: Argument,
) -> Value:
    """Compute each pixel from the corresponding pixels of one or several images."""
    spec = shape or image.shape, dtype or image.dtype
    return _made(Point(kernel, image, _ordered(kernel, image, arguments, results), *spec, work, _all(spec, results)))


def window(
    kernel: str,
    image: Value,
    /,
    *,
    halo: tuple[int, int],
    edge: Edge,
    dtype: np.dtype[Any] | None = None,
    work: float = 1.0,
    results: Results | None = None,
    **arguments: Argument,
) -> Value:
    """Compute each pixel from its neighbourhood of ``halo`` rows and columns on each side."""
    mode, cval = edge
    ordered = _ordered(kernel, image, {**arguments, "mode": mode, "cval": cval}, results)
    spec = image.shape, dtype or image.dtype
    return _made(Window(kernel, image, ordered, *spec, work, _all(spec, results), halo, edge))


def resample(
    kernel: str,
    image: Value,
    /,
    *,
    shape: tuple[int, ...],
    dtype: np.dtype[Any] | None = None,
    work: float = 1.0,
    results: Results | None = None,
    **arguments: Argument,
) -> Value:
    """Compute an image of another shape, whose rows may depend on any rows."""
    spec = shape, dtype or image.dtype
    return _made(Resample(kernel, image, _ordered(kernel, image, arguments, results), *spec, work, _all(spec, results)))


def parts(
    kernel: str,
    image: Value,
    /,
    *,
    count: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    work: float = 1.0,
    results: Results | None = None,
    **arguments: Argument,
) -> Value:
    """Compute an image or another array in independent parts that are not its rows."""
    ordered = _ordered(kernel, image, arguments, results)
    return _made(Parts(kernel, image, ordered, shape, dtype, work, _all((shape, dtype), results), count, False))


def change(
    kernel: str,
    image: Value,
    /,
    *,
    count: int,
    work: float = 1.0,
    results: Results | None = None,
    **arguments: Argument,
) -> Value:
    """Change an image in independent parts; it is copied first if something else reads it."""
    ordered = _ordered(kernel, image, arguments, results)
    spec = image.shape, image.dtype
    return _made(Parts(kernel, image, ordered, *spec, work, _all(spec, results), count, True))


def fold(
    kernel: str,
    image: Value,
    /,
    *,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    combine: Literal["sum", "minmax"] = "sum",
    work: float = 1.0,
    **arguments: Argument,
) -> Small:
    """Reduce an image to a small array."""
    ordered = _ordered(kernel, image, arguments, None)
    return Small(Fold(kernel, image, ordered, shape, dtype, work, ((shape, dtype),), combine))


def host(function: Callable[..., Any], *arguments: Small | Value, count: int = 1) -> Any:
    """Call a pure function of small arrays, or of whole images; return a `Small`, or a tuple of ``count`` of them."""
    node = Host(function, arguments, count)
    return Small(node) if count == 1 else tuple(Small(node, index) for index in range(count))


def _made(node: Node) -> Value:
    others = [Value(shape, dtype, node, index) for index, (shape, dtype) in enumerate(node.results) if index]
    return Value(node.shape, node.dtype, node, others=tuple(others))


def _all(first: Spec, results: Results | None) -> tuple[Spec, ...]:
    """Return the shape and dtype of each result."""
    more = [spec if isinstance(spec, tuple) else (first[0], spec) for spec in (results or {}).values()]
    return (first, *more)


def _ordered(kernel: str, image: Value, given: Mapping[str, Argument], results: Results | None) -> tuple[Argument, ...]:
    """Sort arguments in the order of the kernel's parameters."""
    wanted = kernels.parameters(kernel)
    known = {**given, **{name: Output(index) for index, name in enumerate(results or (), 1)}}
    if "step" in wanted:
        known.setdefault("step", image.channels)
    if set(known) != set(wanted):
        named, got = ", ".join(wanted) or "none", ", ".join(known) or "none"
        raise TypeError(f"the kernel {kernel!r} takes the parameters {named}, got {got}")
    return tuple([known[name] for name in wanted])
