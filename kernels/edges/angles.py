"""Angles: the arctangent of a quotient, branch-free, as a loop that LLVM vectorises.

The coefficients are minimax: of the polynomials P of their degree, those with the smallest relative error of
``t + t**3 * P(t**2)`` against ``atan(t)``, by Remez' algorithm in 50 digits; [0, 1] for float32 (1.7e-8), and
[0, tan(pi / 8)] for float64 (1.3e-18).
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.roots import bits_of

# fmt: off
SHORT = (
    -0.33333152739146404, 0.199937729170028, -0.14211056023503862, 0.10666007555185977,
    -0.07552220545969171, 0.04321193407891134, -0.016367972177158064, 0.002920702974576563,
)
LONG = (
    -0.333333333333332, 0.19999999999953247, -0.1428571428016644, 0.11111110782150155,
    -0.09090897725139548, 0.076920597158101, -0.0666309918872905, 0.05847859183584845,
    -0.05039190093682711, 0.03806213295635326, -0.017905033261262727,
)
# fmt: on
EIGHTH = math.tan(math.pi / 8)
# pi / 2 minus its float64 value, and minus its float32 value.
HALF_PI_REST, HALF_PI_REST_FLOAT32 = 6.123233995736766e-17, -4.371139000186241e-08


def half_pi_rest(value):
    """pi / 2 minus its value in the type of ``value``."""


@overload(half_pi_rest, inline="always")
def _half_pi_rest(value):
    rest = np.float32(HALF_PI_REST_FLOAT32) if value == types.float32 else HALF_PI_REST
    return lambda value: rest


def arctan(ratio):
    """The arctangent of a number in [0, 1]."""


@overload(arctan)
def _arctan(ratio):
    if ratio == types.float32:
        return arctan_float32
    return arctan_float64


F0, F1, F2, F3, F4, F5, F6, F7 = map(np.float32, SHORT)
D0, D1, D2, D3, D4, D5, D6, D7, D8, D9, D10 = LONG


def arctan_float32(ratio):
    z = ratio * ratio
    p = ((((((F7 * z + F6) * z + F5) * z + F4) * z + F3) * z + F2) * z + F1) * z + F0
    return ratio + ratio * (z * p)


def arctan_float64(ratio):
    # atan(r) = pi / 4 + atan((r - 1) / (r + 1))
    far = ratio > EIGHTH
    near = (ratio - 1.0 if far else ratio) / (ratio + 1.0 if far else 1.0)
    z = near * near
    p = ((((D10 * z + D9) * z + D8) * z + D7) * z + D6) * z + D5
    p = ((((p * z + D4) * z + D3) * z + D2) * z + D1) * z + D0
    angle = near + near * (z * p)
    return math.pi / 4 + (HALF_PI_REST / 2 + angle) if far else angle


@kernel
def arctan2(y, x):
    """The angle of the vector (x, y) in radians, as `numpy.arctan2`, including signed zeros, infinity and NaN."""
    number = type(y)
    rise, run = abs(y), abs(x)
    steep, backward = rise > run, bits_of(x) < 0
    large, small = (rise if steep else run), (run if steep else rise)
    # Two zeros have the angle 0, two infinities the same as any equal numbers.
    equal = number(1) if large > 0 else number(0)
    ratio = equal if small == large else small / large
    angle = arctan(ratio)
    rest = half_pi_rest(y)
    flat, flat_rest = (number(math.pi), rest + rest) if backward else (number(0), number(0))
    base, base_rest = (number(math.pi / 2), rest) if steep else (flat, flat_rest)
    angle = base + (base_rest + (-angle if steep != backward else angle))
    return -angle if bits_of(y) < 0 else angle
