"""Decorators for the functions of kernels."""

import hashlib
import inspect
from functools import partial
from types import FunctionType

import numba
import numpy as np

# Kernels are only ever called from compiled code: without wrappers for Python they compile a fifth faster.
compiled = partial(numba.njit, error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def kernel(function):
    """Compile a function that kernels call.

    Code compiled by several processes meets in one process through the disk cache, and the linker takes equal names
    for equal code: so a function made by another one is named after what it was made from.
    """
    if function.__closure__:
        digest = hashlib.sha256(repr(_content(function)).encode()).hexdigest()
        function.__qualname__ += f"_{digest[:16]}"
    return compiled(function)


def _content(value):
    """What identifies a function: its name, and the values that it captures from the function that made it."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, dict):
        return sorted((repr(_content(key)), _content(each)) for key, each in value.items())
    if isinstance(value, list | tuple | range):
        return [_content(each) for each in value]
    if isinstance(value, FunctionType):
        return value.__module__, value.__qualname__, [_content(cell.cell_contents) for cell in value.__closure__ or ()]
    if value is None or isinstance(value, int | float | str | np.dtype | np.generic):
        return value
    raise TypeError(f"a kernel cannot be named after {value!r}")
