"""The call of a node's kernel, or of a chain of nodes, prepared once and reused for the arrays of each run.

A node's shapes, dtypes and constants never change; only addresses and the results of folds and host functions do. So
the arguments are packed once into slots, and each run fills in its addresses and numbers. One thread and all threads
run the same prepared call; short ones on one thread are native functions, see `gpuimg.backend.native`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg.backend import walk as walking
from gpuimg.backend.base import Array, speed_key
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
from gpuimg.kernels import FLAG_BYTES
from gpuimg.machine import WORTH_LEARNING
from gpuimg.memory import SMALLEST, nbytes_of, new_array
from gpuimg.plans.graph import Graph, root_of, table_bytes
from gpuimg.plans.nodes import AnyNode, Loop, Node, Output
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
Share: TypeAlias = tuple[str, float, int]
Form: TypeAlias = "type | tuple[np.dtype[Any], int]"  # of a number; dtype and ndim of an array


class Call(NamedTuple):
    """The call of a node's kernel, or of a chain of nodes.

    Attributes
    ----------
    task : with the elements of the image and the first result, of all nodes
    content : of the slots
    source : the image
    image, result : word indices of the image and of the first result
    images, outputs : word indices of further images, and of further results with their numbers
    varying : word indices and types of the numbers and small arrays that change from run to run
    spare : slots not in use; several threads, and a signal handler, may be running a call at once
    effort : elements times work
    shares : for each node, the key of its speed, its work, and the number of elements read and written
    inner : see `gpuimg.backend.native.function_of`
    kept : memory that the call reads, besides images
    """

    task: Task
    content: bytes
    source: Value
    image: int
    result: int
    images: tuple[tuple[int, Value], ...]
    outputs: tuple[tuple[int, int], ...]
    varying: tuple[tuple[int, Small, Form], ...]
    spare: list[Slots]
    effort: float
    shares: tuple[Share, ...]
    inner: tuple[int, int] = (0, 0)
    kept: Any = None


def share_of(node: Node) -> Share:
    """Return the key of a node's speed, its work, and the number of elements read and written."""
    written = sum([math.prod(shape) for shape, _ in node.results])
    key = speed_key(node.kernel, node.image.dtype, node.dtype)
    return key, node.work, math.prod(node.image.shape) + written


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
    content, share = bytes(packed.keep[0]), share_of(node)
    call = Call(task, content, node.image, IMAGE, RESULT, images, outputs, varying, [], node.effort, (share,))
    node.calls.append(call)
    del node.calls[1:]  # if several threads prepared one, keep the first
    return node.calls[0]  # type: ignore[no-any-return]


class Direct(NamedTuple):
    """A graph that is one call.

    Attributes
    ----------
    image : index of the call's image among the graph's inputs
    others, varying : indices of further images and of varying arguments
    memory : functions that allocate the results
    """

    call: Call
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
    group = graph.whole
    call = None if group is None else prepared_call(group.nodes)
    if group is None or call is None or group.targets != tuple(range(len(graph.results))):
        return []
    places = {value: place for place, value in enumerate(graph.inputs)}
    others = tuple([places[root_of(value)] for _, value in call.images])
    varying = tuple([places[root_of(small)] for _, small, _ in call.varying])
    made = [value for value in graph.results if isinstance(value, Value)]
    memory = tuple([memory_for(value.shape, value.dtype) for value in made])
    return [Direct(call, places[root_of(call.source)], others, varying, memory)]


def prepared_call(nodes: tuple[AnyNode, ...]) -> Call | None:
    """Return the call of a group's nodes, if it has been prepared."""
    node = nodes[-1]
    if not isinstance(node, Node):
        return None
    if len(nodes) > 1:
        return node.chained.get(nodes[:-1])
    return node.calls[0] if node.calls else None  # another thread may be adding its own


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


def quick_call(graph: Graph) -> Quick | None:
    """Return the native function of a graph that is one call, if only images vary and it computes one."""
    direct: Direct = graph.direct[0]
    call = direct.call
    if call.varying or call.outputs:
        return None
    result: Value = graph.results[0]  # type: ignore[assignment]
    sizes = [nbytes_of(each.shape, each.dtype) for each in (result, *graph.inputs)]  # type: ignore[union-attr]
    if sizes[0] >= SMALLEST:
        return None
    uses = [(0, call.result), (1 + direct.image, call.image)]
    uses += [(1 + place, word) for place, (word, _) in zip(direct.others, call.images, strict=True)]
    code, releases = call.task.code.address, call.effort >= RELEASED_FROM
    fill = function_of(code, call.task.rows, call.content, sizes, uses, releases, call.inner)
    return None if fill is None else Quick(fill, result.shape, result.dtype, call.kept)


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
        word, place = call.inner
        if word:
            slots.words[word] = slots.address + 8 * place - FLAG_BYTES
    words = slots.words
    words[FLAG] = UNSET if local.stopper is None else local.stopper.address
    try:
        words[call.image] = _addressof(_c_char(image))  # type: ignore[arg-type]
        words[call.result] = _addressof(_c_char(results[0]))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only
        words[call.image], words[call.result] = address_of(image), address_of(results[0])
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
