"""Weighted sum of the first three channels; uint8 by weights in 65536ths, as whole numbers."""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.cpu.borders import kernel
from gpuimg.kernels.cpu.numbers import stored, widened

ONE = 65536
HALF = 32768


@kernel
def fill(src, dst, top, bottom, step, q0, q1, q2, w0, w1, w2):
    for row in range(top, bottom):
        if step == 3:
            weigh(src[row], dst[row], 3, q0, q1, q2, w0, w1, w2)
        else:
            weigh(src[row], dst[row], 4, q0, q1, q2, w0, w1, w2)


def weigh(source, target, step, q0, q1, q2, w0, w1, w2):
    """One row. ``step`` is a constant where this is called, so that the loop is vectorised."""


@overload(weigh, inline="always")
def _weigh(source, target, step, q0, q1, q2, w0, w1, w2):
    if source.dtype == types.uint8:
        return weigh_fixed
    return weigh_wide


def weigh_fixed(source, target, step, q0, q1, q2, w0, w1, w2):
    if min(q0, q1, q2) >= 0 and q0 + q1 + q2 <= ONE:
        # All these sums are whole numbers below 2 ** 24: float32 has them exactly, and multiplies faster than int32.
        a0, a1, a2 = np.float32(q0), np.float32(q1), np.float32(q2)
        for x in range(target.size):
            red, green = np.float32(source[step * x]), np.float32(source[step * x + 1])
            total = a0 * red + a1 * green + a2 * np.float32(source[step * x + 2]) + np.float32(HALF)
            target[x] = np.uint8(np.uint32(total) >> np.uint32(16))
    else:
        for x in range(target.size):
            total = q0 * source[step * x] + q1 * source[step * x + 1] + q2 * source[step * x + 2] + HALF
            target[x] = np.uint8(min(max(total >> 16, 0), 255))


def weigh_wide(source, target, step, q0, q1, q2, w0, w1, w2):
    a0, a1, a2 = widened(w0, source), widened(w1, source), widened(w2, source)
    for x in range(target.size):
        red, green, blue = source[step * x], source[step * x + 1], source[step * x + 2]
        total = widened(red, source) * a0 + widened(green, source) * a1
        target[x] = stored(total + widened(blue, source) * a2, target)
