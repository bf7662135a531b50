"""What a filter asks to be done, as plain data. How it is done is the backends' business.

A kernel sees an image as flat rows: ``(H, W, C)`` becomes ``(H, W * C)``, so the pixel beside another is ``C`` elements
away. Every kernel gets ``src``, ``dst`` and the rows ``[top, bottom)`` of ``dst`` that it is to fill, then, where the
pass has a border, ``step`` (the channels), ``mode`` (a number, see `gpuimg.images.MODES`) and ``cval``, then the
pass's own arguments. Python integers arrive as 64-bit integers, floats as doubles, arrays as typed pointers with
their shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

Argument: TypeAlias = "int | float | np.ndarray[Any, Any] | Beside"
Arguments: TypeAlias = "tuple[Argument, ...] | Callable[[np.ndarray[Any, Any]], tuple[Argument, ...]]"


class Beside(NamedTuple):
    """Another image among a pass's arguments, of as many rows as the result.

    A kernel gets it as flat rows, and reads of it the rows that it fills.

    Attributes
    ----------
    array : ndarray or cupy.ndarray where the image is one, C-contiguous; None: the image that the first pass gets
    passes : sweeps that the image that the first pass gets is put through before
    """

    array: Any = None
    passes: tuple[Any, ...] = ()


ORIGINAL = Beside()


class Sweep(NamedTuple):
    """Each output pixel from a bounded neighbourhood of the input.

    Attributes
    ----------
    kernel : the stem of ``kernels/cpu/<kernel>.py`` and ``kernels/cuda/<kernel>.cu``.
    args : what the kernel gets besides the image; a function is called with the result of the last `Reduction`.
    halo : rows and columns of input needed around an output pixel; None where the rows are not 1:1 (resize).
    border : what lies beyond the edge, from `gpuimg.images.border`: the mode's number and ``cval``. None for a
        pointwise kernel, which then gets no ``step``, ``mode`` and ``cval``.
    dtype, shape : of the output; None: as the input's.
    work : operations a pixel, in units of one simple operation; the dispatcher's first guess before it has measured.
    parts : into how many parts the work falls where they are not the rows of the output (blocks of columns, slabs of
        rows); the kernel then gets the parts ``[top, bottom)`` to do and fills of ``dst`` what belongs to them. Parts
        may be done in any order and at once. 1: the kernel is called once.
    in_place : the kernel changes the result of the pass before it, which it gets as ``src`` and as ``dst``. Not for a
        first pass: the caller's image is never written to.
    """

    kernel: str
    args: Arguments = ()
    halo: tuple[int, int] | None = (0, 0)
    border: tuple[int, float] | None = None
    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] | None = None
    work: float = 1.0
    parts: int | None = None
    in_place: bool = False


class Reduction(NamedTuple):
    """A partial result for each slab of rows, combined into a small array.

    The kernel fills rows of ``dst``, whose shape is ``(slabs, *shape)`` flattened to two dimensions; row ``s`` comes
    from the source rows ``[s * H // slabs, (s + 1) * H // slabs)``. So a reduction is a sweep over slabs.

    Attributes
    ----------
    combine : "sum" adds the partial results; "minmax" takes the least of column 0 and the greatest of column 1.
    then : makes the result out of the combined array; by default it is the array itself.
    """

    kernel: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    args: Arguments = ()
    combine: Literal["sum", "minmax"] = "sum"
    then: Callable[[np.ndarray[Any, Any]], Any] | None = None
    work: float = 1.0


Pass: TypeAlias = Sweep | Reduction


def branches(task: Pass) -> list[tuple[Pass, ...]]:
    """The passes that make other images for a pass."""
    if callable(task.args):
        return []
    return [arg.passes for arg in task.args if isinstance(arg, Beside) and arg.passes]


def all_of(passes: Sequence[Pass]) -> list[Pass]:
    """Passes, each behind those that make another image for it."""
    return [each for task in passes for each in (*(one for branch in branches(task) for one in all_of(branch)), task)]


def arrays_of(passes: Sequence[Pass]) -> list[Any]:
    """All arrays that passes are given besides the image: other images, tables, footprints, weights."""
    given = [arg for task in all_of(passes) if not callable(task.args) for arg in task.args]
    found = [arg.array if isinstance(arg, Beside) else arg for arg in given]
    return [each for each in found if hasattr(each, "nbytes")]


def chains(passes: Sequence[Pass]) -> list[list[Pass]]:
    """Split passes into runs that can be done band by band: sweeps whose rows are 1:1. A reduction stands alone."""
    found: list[list[Pass]] = []
    is_open = False
    for task in passes:
        banded = isinstance(task, Sweep) and task.halo is not None
        if is_open and banded:
            found[-1].append(task)
        else:
            found.append([task])
        is_open = banded
    return found


def writer(passes: Sequence[Pass]) -> int:
    """Which of the passes makes the array that is the result: the last one that does not work in place."""
    number = len(passes) - 1
    while isinstance(task := passes[number], Sweep) and task.in_place:
        number -= 1
    return number
