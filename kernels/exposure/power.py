"""Positive values raised to a power, times a factor.

The power of a float32 is 2 to the exponent times its binary logarithm, both by polynomials in float64: so the result is
accurate up to its last rounding, and the loop has no calls.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.roots import bits_of, number_of
from gpuimg.kernels.lib.stacks import stack_array

RUN = 512  # elements that take each step together, in the first-level cache
MANTISSA, BIAS = 52, 1023
ONE_BITS = BIAS << MANTISSA
FRACTION = (1 << MANTISSA) - 1
# Polynomials through the functions' values at Chebyshev nodes: as precise as Taylor's series with fewer terms.
# The logarithm of (1 + z) / (1 - z), in odd powers of z, between the roots of 1/2 and 2: relative error 2**-45.
LOGARITHM = (
    *(2.8853900817778504, 0.9617966941123595, 0.5770779426302618, 0.41220922733052445),
    *(0.3199066608891474, 0.28288718263073565),
)
# 2 to a power between -1/2 and 1/2: error 2**-45.
EXPONENTIAL = (
    *(1.0, 0.6931471805599453, 0.2402265069581299, 0.055504108664760424),
    *(0.009618129159402558, 0.0013333558179043112, 0.00015403455852453838, 1.525268684626772e-05),
    *(1.3255224878668817e-06, 1.0203121063391729e-07),
)


@kernel
def fill(src, dst, top, bottom, exponent, factor):
    """``factor * src ** exponent``"""
    for row in range(top, bottom):
        if exponent == 0.0:
            dst[row] = dst.dtype.type(factor)
        else:
            raise_all(src[row], dst[row], exponent, factor)


def raise_all(line, out, exponent, factor):
    raise NotImplementedError


@overload(raise_all)
def _raise_all(line, out, exponent, factor):
    return raise_floats if line.dtype == types.float32 else raise_doubles


def raise_doubles(line, out, exponent, factor):
    for x in range(out.size):
        out[x] = line[x] ** exponent * factor


def raise_floats(line, out, exponent, factor):
    """Raise some elements, step by step: a processor can overlap the short chains of operations."""
    wholes, parts = stack_array(np.float64, RUN), stack_array(np.float64, RUN)
    for first in range(0, out.size, RUN):
        values, found = line[first : first + RUN], out[first : first + RUN]
        for x in range(values.size):
            wholes[x], parts[x] = split(np.float64(values[x]))
        for x in range(values.size):
            parts[x] = exponent * logarithm(wholes[x], parts[x])
        for x in range(values.size):
            result = exponential(parts[x])
            wide = np.float64(values[x])
            result = 0.0 if wide == 0.0 else result
            result = wide if wide != wide or wide == np.inf else result
            found[x] = np.float32(result * factor)


@kernel
def split(value):
    """For a positive finite number ``n * 2 ** whole``, n between the roots of 1/2 and 2: whole, (n - 1) / (n + 1)."""
    bits = bits_of(value)
    above = np.int64((bits & FRACTION) > 0x6A09E667F3BCC)  # the root of 2
    whole = np.float64((bits >> MANTISSA) - BIAS + above)
    near = number_of(np.int64((bits & FRACTION) + ONE_BITS - (above << MANTISSA)))
    return whole, (near - 1.0) / (near + 1.0)


@kernel
def logarithm(whole, z):
    """The binary logarithm of a number, from the results of `split`."""
    square = z * z
    total = LOGARITHM[5]
    total = total * square + LOGARITHM[4]
    total = total * square + LOGARITHM[3]
    total = total * square + LOGARITHM[2]
    total = total * square + LOGARITHM[1]
    total = total * square + LOGARITHM[0]
    return whole + total * z


@kernel
def exponential(value):
    """2 to a power; beyond the range of float32, effectively 0 or infinity."""
    value = max(min(value, 1000.0), -1000.0)
    whole = np.rint(value)
    part = value - whole
    total = EXPONENTIAL[9]
    total = total * part + EXPONENTIAL[8]
    total = total * part + EXPONENTIAL[7]
    total = total * part + EXPONENTIAL[6]
    total = total * part + EXPONENTIAL[5]
    total = total * part + EXPONENTIAL[4]
    total = total * part + EXPONENTIAL[3]
    total = total * part + EXPONENTIAL[2]
    total = total * part + EXPONENTIAL[1]
    total = total * part + EXPONENTIAL[0]
    return total * number_of(np.int64((np.int64(whole) + BIAS) << MANTISSA))
