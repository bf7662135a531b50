"""A node's call, worked out once and then done for the arrays of each call.

A node's shapes, dtypes and numbers never change, and neither does what its kernel gets but addresses. So the arguments
are packed once; each call takes slots that hold them, and fills in where its arrays lie.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

from gpuimg import stopping
from gpuimg.backend import walk as walking
from gpuimg.backend.base import Array
from gpuimg.backend.compiled import DST_SLOT, SRC_SLOT, Compiled, Packed, address_of, argument_slots, prepare
from gpuimg.backend.walk import Lookup, flat
from gpuimg.kernels import FLAG_BYTES
from gpuimg.plans.nodes import Node, Output
from gpuimg.plans.value import Value

# Places among the words, the first of which is the flag's address.
FLAG, IMAGE, RESULT = 0, 1 + SRC_SLOT, 1 + DST_SLOT
_c_char = ctypes.c_char.from_buffer
_addressof = ctypes.addressof


class Slots(NamedTuple):
    """Packed arguments of one call at a time, as words, and the address of those behind the flag's."""

    words: memoryview
    address: int


class Call(NamedTuple):
    """The call of a node whose arguments are constants and arrays.

    Attributes
    ----------
    elements : of the image and the first result
    content : of the slots
    images, outputs : places among the words of further images, and of further results by their numbers
    spare : slots that no call uses: several threads may be in the midst of one, and a signal's handler
    """

    code: Compiled
    elements: int
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
    call = Call(code, image.size + result.size, bytes(packed.keep[0]), images, outputs, [])
    node.calls.append(call)
    del node.calls[1:]  # of several threads at once, the first
    return node.calls[0]  # type: ignore[no-any-return]


def packed_for(call: Call, image: Array, value_of: Lookup, results: Sequence[Array]) -> Packed:
    """The arguments with these arrays; the slots, ``keep[0]``, are to be given back to ``call.spare`` afterwards."""
    try:
        slots = call.spare.pop()
    except IndexError:
        slots = _new_slots(call.content)
    words, address = slots
    words[FLAG] = stopping.flag()
    try:
        words[IMAGE] = _addressof(_c_char(image))  # type: ignore[arg-type]
        words[RESULT] = _addressof(_c_char(results[0]))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only
        words[IMAGE], words[RESULT] = address_of(image), address_of(results[0])
    for place, value in call.images:
        words[place] = address_of(value_of(value))
    for place, number in call.outputs:
        words[place] = address_of(results[number])
    return tuple.__new__(Packed, ("", address, (slots, image, results)))  # what `Packed` does, in half the time


def _new_slots(content: bytes) -> Slots:
    memory = bytearray(content)
    return Slots(memoryview(memory).cast("q"), ctypes.addressof(ctypes.c_char.from_buffer(memory)) + FLAG_BYTES)
