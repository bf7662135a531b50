"""Arithmetic of pixels: the accumulator type, and rounding to an image's dtype."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel


def widened(value, like):
    """Convert a number to the type in which images like ``like`` are computed: float64 for float64, else float32."""


@overload(widened, inline="always")
def _widened(value, like):
    if like.dtype == types.float64:
        return lambda value, like: np.float64(value)
    return lambda value, like: np.float32(value)


@kernel
def weighed(value, weight):
    """The product; 0 for a weight of 0, even if the value is NaN or infinite."""
    return value * weight if weight != 0 else weight


@kernel
def constant_kept(mean, centre, tolerance):
    """The floating-point mean, or the window's centre value if the two differ by no more than rounding, so that the
    mean of a constant is the constant. ``tolerance`` is relative."""
    return centre if abs(mean - centre) <= tolerance * abs(centre) else mean


@kernel
def rounding(weights):
    """The relative rounding error of a constant's weighted sum, `lib.rows.weigh`, in the weights' type. The errors of
    the additions are practically random (measured: at most 0.7 times this)."""
    number = weights.dtype.type
    return number((3 + 2 * np.sqrt(np.float64(weights.size - 1))) * np.float64(np.finfo(number).eps))


def stored(value, like):
    """Convert a computed value to the dtype of ``like``: integers are rounded half to even and saturated."""


@overload(stored)
def _stored(value, like):
    kind = like.dtype
    if isinstance(kind, types.Float):
        return lambda value, like: kind(value)
    low, high = kind.minval, kind.maxval

    def store(value, like):
        whole = np.rint(value)
        return kind(min(max(whole, type(value)(low)), type(value)(high)))

    return store


def rounded(value, like):
    """Convert a float to the integer dtype of ``like``: rounded half to even and saturated; NaN becomes 0."""


@overload(rounded, inline="always")
def _rounded(value, like):
    kind = like.dtype
    low, high, nothing = value(kind.minval), value(kind.maxval), value(0)

    def store(value, like):
        whole = np.rint(value if value == value else nothing)
        return kind(min(max(whole, low), high))

    return store


def share(value, like):
    """A value divided by its dtype's maximum, in the dtype of ``like``; at least -1. Floats are unchanged."""


@overload(share, inline="always")
def _share(value, like):
    number = np.float64 if like.dtype == types.float64 else np.float32
    if isinstance(value, types.Float):
        return lambda value, like: number(value)
    factor = number(1 / value.maxval)
    if not value.signed:
        return lambda value, like: number(value) * factor
    return lambda value, like: max(number(value) * factor, number(-1))
