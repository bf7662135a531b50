"""A node's kernel call, prepared once and reused for the arrays of each run.

A node's shapes, dtypes and constants never change; only addresses and the results of folds and host functions do. So
the arguments are packed once into slots, and each run fills in its addresses and numbers.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg.backend import walk as walking
from gpuimg.backend.base import Array
from gpuimg.backend.compiled import (
    DST_SLOT,
    SRC_SLOT,
    Slots,
    Task,
    address_of,
    argument_slots,
    has_variants,
    new_task,
    prepare,
)
from gpuimg.backend.native import function_of
from gpuimg.backend.walk import Lookup, Outs, flat
from gpuimg.machine import WORTH_LEARNING
from gpuimg.memory import SMALLEST, nbytes_of, new_array
from gpuimg.plans.graph import Graph, table_bytes
from gpuimg.plans.nodes import Loop, Node, Output
from gpuimg.plans.value import Small, Value
from gpuimg.stopping import UNSET, local

# Word indices; word 0 is the flag's address.
FLAG, IMAGE, RESULT = 0, 1 + SRC_SLOT, 1 + DST_SLOT
RESULT_ROWS = RESULT + 1
_c_char = ctypes.c_char.from_buffer
_addressof = ctypes.addressof
# Elements times work, about 10 microseconds; for less, releasing and retaking the GIL takes longer than the work.
RELEASED_FROM = 1 << 14
SMALL_TABLES = 1 << 14  # bytes of a graph with a native call
LONGEST_QUICK = 1 << 24  # elements times work, about 10 milliseconds: signal handlers run after such a call
Form: TypeAlias = "type | tuple[np.dtype[Any], int]"  # of a number; dtype and ndim of an array


class Call(NamedTuple):
    """A node's kernel call.

    Attributes
    ----------
    task : with the elements of the image and the first result
    content : of the slots
    images, outputs : word indices of further images, and of further results with their numbers
    varying : word indices and types of the numbers and small arrays that change from run to run
    spare : slots not in use; several threads, and a signal handler, may be running a call at once
    """

    task: Task
    content: bytes
    images: tuple[tuple[int, Value], ...]
    outputs: tuple[tuple[int, int], ...]
    varying: tuple[tuple[int, Small, Form], ...]
    spare: list[Slots]


def _form(given: Any) -> Form:
    return (given.dtype, given.ndim) if isinstance(given, np.ndarray) else type(given)


def call_of(node: Node, value_of: Lookup, results: Sequence[Array], rows: int) -> Call | None:
    """Prepare the call of a node that has none yet; None if its kernel is chosen by numbers that vary."""
    is_same = node.is_prepared or not has_variants(node.kernel)
    return _new_call(node, value_of, results, rows) if is_same else None


def _new_call(node: Node, value_of: Lookup, results: Sequence[Array], rows: int) -> Call:
    """Prepare the call of a node; its kernel is compiled at first use.

    The arrays may have other dtypes of the same item size than the node's values.
    """

    def seen(value: Any) -> Any:
        held = value_of(value)
        return walking.as_dtype(held, value.dtype) if isinstance(value, Value) else held

    made = [walking.as_dtype(result, dtype) for result, (_, dtype) in zip(results, node.results, strict=True)]
    args = walking.arguments(node, seen, made)
    image, result = seen(node.image), made[0]
    code, packed = prepare(node.kernel, flat(image), flat(result), args)
    slots = list(argument_slots(node.arguments, args))
    images = tuple([(1 + slot, given) for slot, given in slots if isinstance(given, Value)])
    outputs = tuple([(1 + slot, given.index) for slot, given in slots if isinstance(given, Output)])
    varying = tuple([(1 + slot, each, _form(value_of(each))) for slot, each in slots if isinstance(each, Small)])
    task = new_task(node.kernel, code, rows, image.size + result.size, node.reach_rows)
    call = Call(task, bytes(packed.keep[0]), images, outputs, varying, [])
    node.calls.append(call)
    del node.calls[1:]  # if several threads prepared one, keep the first
    return node.calls[0]  # type: ignore[no-any-return]


class Direct(NamedTuple):
    """A graph that is one call.

    Attributes
    ----------
    image : index of the node's image among the graph's inputs
    others, varying : indices of further images and of varying arguments
    memory : functions that allocate the results
    """

    node: Node
    image: int
    others: tuple[int, ...]
    varying: tuple[int, ...]
    memory: tuple[Callable[[], Array], ...]

    def results(self, outs: Outs) -> tuple[Array, ...]:
        """Return memory for the results: the caller's if given."""
        if len(outs) == 1 and outs[0] is not None:
            return outs  # type: ignore[return-value]
        return tuple([make() if out is None else out for make, out in zip(self.memory, outs, strict=True)])


def direct_calls(graph: Graph) -> list[Direct]:
    """Return the only call of a graph, if it has been prepared."""
    node = graph.only
    if node is None or not node.calls:
        return []
    call: Call = node.calls[0]  # another thread may be adding its own
    places = dict(graph.read)
    others = tuple([places[value] for _, value in call.images])
    varying = tuple([places[small] for _, small, _ in call.varying])
    memory = tuple([memory_for(*spec) for spec in graph.made_as])
    return [Direct(node, places[node.image], others, varying, memory)]


class Quick(NamedTuple):
    """A short graph as one native call, which computes one image, or as a series of calls.

    Attributes
    ----------
    fill : function of the result's array and the graph's images, see `gpuimg.backend.native.function_of`; for a series,
        `gpuimg.backend.series.Series.run`
    shape, dtype : of the result; None for a series
    held : memory that the call reads
    """

    fill: Callable[..., Any]
    shape: tuple[int, ...] | None
    dtype: np.dtype[Any] | None
    held: Any = None


def is_short(graph: Graph) -> bool:
    """Whether a graph may be native calls: without loops, with small tables, too short to be measured."""
    nodes = [node for node in graph.nodes if isinstance(node, Node)]
    if not nodes or any(isinstance(node, Loop) for node in graph.nodes) or table_bytes(graph) > SMALL_TABLES:
        return False
    elements = [math.prod(node.image.shape) + math.prod(node.shape) for node in nodes]
    effort = sum([node.effort for node in nodes])
    return min(elements) > 0 and max(elements) <= WORTH_LEARNING and effort <= LONGEST_QUICK


def quick_of(
    graph: Graph,
    entry: int,
    rows: int,
    content: bytes,
    uses: Sequence[tuple[int, int]],
    effort: float,
    inner: tuple[int, int] = (0, 0),
    held: Any = None,
) -> Quick | None:
    """Return the native call of a graph, of the compiled code at ``entry``.

    ``uses`` are pairs of an array, 0 for the result and then the graph's images, and the word for its address. For
    ``content`` and ``inner`` see `gpuimg.backend.native.function_of`; ``held`` is memory that the call reads.
    """
    result: Value = graph.results[0]  # type: ignore[assignment]
    sizes = [nbytes_of(each.shape, each.dtype) for each in (result, *graph.inputs)]  # type: ignore[union-attr]
    if sizes[0] >= SMALLEST:
        return None
    fill = function_of(entry, rows, content, sizes, uses, effort >= RELEASED_FROM, inner)
    return None if fill is None else Quick(fill, result.shape, result.dtype, held)


def quick_call(graph: Graph) -> Quick | None:
    """Return the native call of a graph of one node, if only images vary between calls."""
    node: Node = graph.only  # type: ignore[assignment]
    call: Call = node.calls[0]
    if call.varying or call.outputs:
        return None
    places = dict(graph.read)
    uses = [(0, RESULT), (1 + places[node.image], IMAGE)]
    uses += [(1 + places[value], place) for place, value in call.images]
    return quick_of(graph, call.task.code.address, call.task.rows, call.content, uses, node.effort)


def memory_for(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[[], Array]:
    """Return a function that allocates a result of a size computed once."""
    return partial(np.empty if nbytes_of(shape, dtype) < SMALLEST else new_array, shape, dtype)


def slots_for(
    call: Call, image: Array, others: Sequence[Array], varying: Sequence[Any], results: Sequence[Array]
) -> Slots | None:
    """Return slots with the arguments for these arrays; append them to ``call.spare`` afterwards.

    ``others`` are the arrays of ``call.images``, ``varying`` the values of ``call.varying``. None if their types differ
    from those of the first call.
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
    if varying:
        for (place, _, form), given in zip(call.varying, varying, strict=True):
            if type(given) is float and form is float:  # the most frequent case
                slots.floats[place] = given
            elif not _put(slots, place, given, form):
                call.spare.append(slots)
                return None
    slots.arrays = image, others, varying, results
    return slots


def _put(slots: Slots, place: int, given: Any, form: Form) -> bool:
    """Store a number, or the address and shape of an array; return False if the type differs."""
    if _form(given) != form:
        return False
    if isinstance(given, np.ndarray):
        if not given.flags.c_contiguous:
            return False
        slots.words[place] = address_of(given)
        for axis, extent in enumerate(given.shape, place + 1):
            slots.words[axis] = extent
    elif isinstance(given, float):
        slots.floats[place] = given
    else:
        slots.words[place] = given
    return True
