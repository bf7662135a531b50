"""A node's call, worked out once and then done for the arrays of each call.

A node's shapes, dtypes and constants never change, and neither does what its kernel gets but addresses and what folds
and host functions return. So the arguments are packed once; each call takes slots that hold them, and fills in where
its arrays lie, and its numbers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gpuimg import stopping
from gpuimg.backend import walk as walking
from gpuimg.backend.base import Array
from gpuimg.backend.compiled import (
    DST_SLOT,
    SRC_SLOT,
    Compiled,
    Packed,
    address_of,
    argument_slots,
    has_variants,
    prepare,
)
from gpuimg.backend.walk import Lookup, flat
from gpuimg.kernels import FLAG_BYTES
from gpuimg.plans.nodes import Node, Output
from gpuimg.plans.value import Small, Value

# Places among the words, the first of which is the flag's address.
FLAG, IMAGE, RESULT = 0, 1 + SRC_SLOT, 1 + DST_SLOT
RESULT_ROWS = RESULT + 1
_c_char = ctypes.c_char.from_buffer
_addressof = ctypes.addressof
Form: TypeAlias = "type | tuple[np.dtype[Any], int]"  # of a number; an array's dtype and dimensions


class Slots(NamedTuple):
    """Packed arguments of one call at a time, as words and as floats, and the address of those behind the flag's."""

    words: memoryview
    floats: memoryview[float]
    address: int


class Call(NamedTuple):
    """The call of a node.

    Attributes
    ----------
    elements : of the image and the first result
    content : of the slots
    images, outputs : places among the words of further images, and of further results by their numbers
    varying : places of numbers and small arrays that are others in each call, with the types that they have
    spare : slots that no call uses: several threads may be in the midst of one, and a signal's handler
    """

    code: Compiled
    elements: int
    content: bytes
    images: tuple[tuple[int, Value], ...]
    outputs: tuple[tuple[int, int], ...]
    varying: tuple[tuple[int, Small, Form], ...]
    spare: list[Slots]


def _form(given: Any) -> Form:
    return (given.dtype, given.ndim) if isinstance(given, np.ndarray) else type(given)


def call_of(node: Node, value_of: Lookup, results: Sequence[Array]) -> Call | None:
    """The call of a node that has none yet; None where it is another one each time, as its kernel is chosen by numbers
    that vary."""
    return new_call(node, value_of, results) if node.is_prepared or not has_variants(node.kernel) else None


def new_call(node: Node, value_of: Lookup, results: Sequence[Array]) -> Call:
    """Work out the call of a node; its kernel is compiled at first use.

    The arrays may have other dtypes than the node's values, of the same size.
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
    call = Call(code, image.size + result.size, bytes(packed.keep[0]), images, outputs, varying, [])
    node.calls.append(call)
    del node.calls[1:]  # of several threads at once, the first
    return node.calls[0]  # type: ignore[no-any-return]


def packed_for(call: Call, image: Array, value_of: Lookup, results: Sequence[Array]) -> Packed | None:
    """The arguments with these arrays; the slots, ``keep[0]``, are to be given back to ``call.spare`` afterwards.

    None where what varies has other types than in the first call.
    """
    try:
        slots = call.spare.pop()
    except IndexError:
        slots = _new_slots(call.content)
    words, floats, address = slots
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
    for place, small, form in call.varying:
        given = value_of(small)
        if form is float:  # the most frequent one
            if type(given) is not float:
                return None
            floats[place] = given
        elif not _put(words, floats, place, given, form):
            return None
    return tuple.__new__(Packed, ("", address, (slots, image, results)))  # what `Packed` does, in half the time


def _put(words: memoryview, floats: memoryview[float], place: int, given: Any, form: Form) -> bool:
    """Put a number, or the address and the extents of an array, in their place; False where it has another type."""
    if _form(given) != form:
        return False
    if isinstance(given, np.ndarray):
        if not given.flags.c_contiguous:
            return False
        words[place] = address_of(given)
        for axis, extent in enumerate(given.shape, place + 1):
            words[axis] = extent
    elif isinstance(given, float):
        floats[place] = given
    else:
        words[place] = given
    return True


def _new_slots(content: bytes) -> Slots:
    memory = bytearray(content)
    words = memoryview(memory)
    return Slots(words.cast("q"), words.cast("d"), ctypes.addressof(ctypes.c_char.from_buffer(memory)) + FLAG_BYTES)
