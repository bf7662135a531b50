"""Roots of positive numbers by Newton's method without division, as loops that LLVM vectorises.

The first guess comes from the exponent: the bits of a number, read as an integer, approximate its logarithm.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from gpuimg.kernels.lib.borders import kernel


@intrinsic
def bits_of(_context, value):
    """The bits of a floating-point number as an integer."""
    width = value.bitwidth

    def build(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(width))

    return (types.int32 if width == 32 else types.int64)(value), build


@intrinsic
def number_of(_context, bits):
    """The floating-point number with the given bits."""
    kind, number = (ir.FloatType(), types.float32) if bits.bitwidth == 32 else (ir.DoubleType(), types.float64)

    def build(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], kind)

    return number(bits), build


def _guess(degree, kind):
    """The constant from which a number's bits over the degree are subtracted for the bits of the inverse root."""
    mantissa, bias = (23, 127) if kind == types.float32 else (52, 1023)
    return int((1 + 1 / degree) * (bias - 0.045) * (1 << mantissa))  # 0.045: the logarithm is never above the line


def inverse_root(value, degree):
    """``value ** (-1 / degree)`` of a positive number, within a few units in the last place."""
    raise NotImplementedError


@overload(inverse_root, inline="always", prefer_literal=True)
def _inverse_root(value, degree):
    n = degree.literal_value
    number, whole = (np.float32, np.int32) if value == types.float32 else (np.float64, np.int64)
    magic, divisor = whole(_guess(n, value)), whole(n)
    part, ahead = number(1 / n), number((n + 1) / n)
    if n == 3:

        def step(value, root):
            return root * (ahead - part * value * root * root * root)
    else:

        def step(value, root):
            square = root * root
            return root * (ahead - part * value * square * square * root)

    step = kernel(step)
    if value == types.float32:

        def find(value, degree):
            root = number_of(whole(magic - whole(bits_of(value) // divisor)))
            return step(value, step(value, step(value, root)))
    else:

        def find(value, degree):
            root = number_of(whole(magic - bits_of(value) // divisor))
            return step(value, step(value, step(value, step(value, step(value, root)))))

    return find


@kernel
def cube_root(value):
    root = inverse_root(value, 3)
    square = root * root
    nearly = value * square
    return nearly - (nearly * nearly * nearly - value) * (square * type(value)(1 / 3))


@kernel
def power_2_4(value):
    """``value ** 2.4``"""
    root = inverse_root(value, 5)
    cube = root * root * root
    return value * value * (value * cube)


@kernel
def power_1_2_4(value):
    """``value ** (1 / 2.4)``"""
    return cube_root(value * np.sqrt(np.sqrt(value)))
