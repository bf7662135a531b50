"""Scratch memory aligned to cache lines: loading a vector that crosses two of them takes twice as long."""

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.lib.addresses import LINE_BYTES
from gpuimg.kernels.lib.functions import kernel


@kernel
def aligned(count, like, before=0):
    """Return uninitialised memory for elements of the dtype of ``like``; the one after ``before`` others is aligned to
    a cache line."""
    at_once = LINE_BYTES // like.itemsize
    room = np.empty(count + at_once, like.dtype)
    begin = (-(room.ctypes.data // like.itemsize) - before) % at_once
    return room[begin : begin + count]


@intrinsic
def unowned(_context, arrays):
    """A tuple of the same arrays that do not own their memory, to be used until `keep` is called for the owners.

    Each slice of an owner and each call with one counts owners by atomic operations, which take longer than a short
    loop over a row.
    """

    def build(context, builder, _signature, arguments):
        found = []
        for place, kind in enumerate(arrays.types):
            array = context.make_array(kind)(context, builder, builder.extract_value(arguments[0], place))
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            found.append(array._getvalue())
        return context.make_tuple(builder, arrays, found)

    return arrays(arrays), build


@intrinsic
def keep(_context, arrays):
    """Do nothing: an array is freed after its last use."""
    return types.none(arrays), lambda context, _builder, _signature, _arguments: context.get_dummy_value()
