"""Positive values to a power, times a factor.

The power of a float32 is 2 to the exponent times its binary logarithm, both from series in float64: so the result is
right but for its last rounding, and there is no call in the loop.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.roots import bits_of, number_of

MANTISSA, BIAS = 52, 1023
ONE_BITS = BIAS << MANTISSA
FRACTION = (1 << MANTISSA) - 1
LOGARITHM = tuple(2 / np.log(2) / (2 * term + 1) for term in range(9))  # of (1 + z) / (1 - z), in odd powers of z
LN2 = float(np.log(2))
EXPONENTIAL = tuple(LN2**term / float(np.prod(np.arange(1.0, term + 1))) for term in range(11))


@kernel
def fill(src, dst, top, bottom, exponent, factor):
    """``factor * src ** exponent``"""
    for row in range(top, bottom):
        raise_all(src[row], dst[row], exponent, factor)


@kernel
def raise_all(line, out, exponent, factor):
    for x in range(out.size):
        out[x] = out.dtype.type(power(line[x], exponent) * factor)


def power(value, exponent):
    raise NotImplementedError


@overload(power)
def _power(value, exponent):
    if value == types.float64:
        return lambda value, exponent: value**exponent
    return power_of_float32


def power_of_float32(value, exponent):
    wide = np.float64(value)
    result = exponential(exponent * logarithm(wide))
    result = 0.0 if wide == 0.0 else result
    result = wide if wide != wide or wide == np.inf else result
    return 1.0 if exponent == 0.0 else result


@kernel
def logarithm(value):
    """The binary logarithm of a positive finite number."""
    bits = bits_of(value)
    above = np.int64((bits & FRACTION) > 0x6A09E667F3BCC)  # the root of 2
    whole = np.float64((bits >> MANTISSA) - BIAS + above)
    near = number_of(np.int64((bits & FRACTION) + ONE_BITS - (above << MANTISSA)))
    z = (near - 1.0) / (near + 1.0)
    square = z * z
    total = LOGARITHM[8]
    total = total * square + LOGARITHM[7]
    total = total * square + LOGARITHM[6]
    total = total * square + LOGARITHM[5]
    total = total * square + LOGARITHM[4]
    total = total * square + LOGARITHM[3]
    total = total * square + LOGARITHM[2]
    total = total * square + LOGARITHM[1]
    total = total * square + LOGARITHM[0]
    return whole + total * z


@kernel
def exponential(value):
    """2 to a power; beyond what a float32 holds, as good as 0 or infinity."""
    value = max(min(value, 1000.0), -1000.0)
    whole = np.rint(value)
    part = value - whole
    total = EXPONENTIAL[10]
    total = total * part + EXPONENTIAL[9]
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
