"""A node's call, worked out once and then done for the arrays of each call.

A node's shapes, dtypes and numbers never change, and neither does what its kernel gets but addresses. So the arguments
are packed once; each call takes slots that hold them, and fills in where its arrays lie.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpuimg.backend import walk as walking
from gpuimg.backend.base import Array
from gpuimg.backend.compiled import DST_SLOT, SRC_SLOT, Slots, Task, address_of, argument_slots, new_task, prepare
from gpuimg.backend.walk import Lookup, Outs, flat
from gpuimg.memory import SMALLEST, new_array
from gpuimg.plans.graph import Graph
from gpuimg.plans.nodes import Fold, Node, Output
from gpuimg.plans.value import Value
from gpuimg.stopping import UNSET, local

# Places among the words, the first of which is the flag's address.
FLAG, IMAGE, RESULT = 0, 1 + SRC_SLOT, 1 + DST_SLOT
_c_char = ctypes.c_char.from_buffer
_addressof = ctypes.addressof


class Call(NamedTuple):
    """The call of a node whose arguments are constants and arrays.

    Attributes
    ----------
    task : whose elements are those of the image and the first result
    content : of the slots
    images, outputs : places among the words of further images, and of further results by their numbers
    spare : slots that no call uses: several threads may be in the midst of one, and a signal's handler
    """

    task: Task
    content: bytes
    images: tuple[tuple[int, Value], ...]
    outputs: tuple[tuple[int, int], ...]
    spare: list[Slots]


def new_call(node: Node, value_of: Lookup, results: Sequence[Array]) -> Call:
    """Work out the call of a node; its kernel is compiled at first use.

    The arrays may have other dtypes than the node's values, of the same size.
    """

    def seen(value: Any) -> Any:
        return walking.as_dtype(value_of(value), value.dtype)

    made = [walking.as_dtype(result, dtype) for result, (_, dtype) in zip(results, node.results, strict=True)]
    args = walking.arguments(node, seen, made)
    image, result = seen(node.image), made[0]
    code, packed = prepare(node.kernel, flat(image), flat(result), args)
    slots = list(argument_slots(node.arguments, args))
    images = tuple([(1 + slot, given) for slot, given in slots if isinstance(given, Value)])
    outputs = tuple([(1 + slot, given.index) for slot, given in slots if isinstance(given, Output)])
    pieces = 1 if isinstance(node, Fold) else node.pieces  # of a fold, one slab
    task = new_task(node.kernel, code, pieces, image.size + result.size, node.reach_rows)
    call = Call(task, bytes(packed.keep[0]), images, outputs, [])
    node.calls.append(call)
    del node.calls[1:]  # of several threads at once, the first
    return node.calls[0]  # type: ignore[no-any-return]


class Direct(NamedTuple):
    """A graph that is one call.

    Attributes
    ----------
    image : the place of the node's image among the arrays that the graph is run on
    others : those of further images
    memory : functions that make memory for the results
    """

    node: Node
    image: int
    others: tuple[int, ...]
    memory: tuple[Callable[[], Array], ...]

    def results(self, outs: Outs) -> tuple[Array, ...]:
        """Memory for the results: the caller's, where there is some."""
        if len(outs) == 1 and outs[0] is not None:
            return outs  # type: ignore[return-value]
        return tuple([make() if out is None else out for make, out in zip(self.memory, outs, strict=True)])


def direct_calls(graph: Graph) -> list[Direct]:
    """The only call of a graph, if it has been worked out."""
    node = graph.only
    if node is None or not node.calls:
        return []
    image, *others = [place for _, place in graph.read]
    return [Direct(node, image, tuple(others), tuple([_memory(*spec) for spec in graph.made_as]))]


def _memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[[], Array]:
    """A function that makes memory for a result, without asking for its size each time."""
    nbytes = math.prod(shape) * dtype.itemsize
    return partial(np.empty if nbytes < SMALLEST else new_array, shape, dtype)


def slots_for(call: Call, image: Array, others: Sequence[Array], results: Sequence[Array]) -> Slots:
    """The arguments with these arrays, in slots that ``call.spare`` is to be given back afterwards.

    ``others`` are the arrays of ``call.images``.
    """
    try:
        slots = call.spare.pop()
    except IndexError:
        slots = Slots(call.content)
    words = slots.words
    words[FLAG] = UNSET if local.stopper is None else local.stopper.address
    try:
        words[IMAGE] = _addressof(_c_char(image))  # type: ignore[arg-type]
        words[RESULT] = _addressof(_c_char(results[0]))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only
        words[IMAGE], words[RESULT] = address_of(image), address_of(results[0])
    if others:
        for (place, _), other in zip(call.images, others, strict=True):
            words[place] = address_of(other)
    for place, number in call.outputs:
        words[place] = address_of(results[number])
    slots.arrays = image, others, results
    return slots
