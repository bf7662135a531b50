"""The places of peaks, as indices into the image, the highest peak first, equal ones in raster order.

The image holds unsigned integers; ``kind`` tells whether their bits are those of unsigned integers, signed integers or
floats. ``found`` receives the number of places; elements after them are unchanged. Radix sort by the bytes of the
values, least significant byte first. All is one part.
"""

import numpy as np

from gpuimg.kernels.canny.flood import bits_of
from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD, lowest_bit

UNSIGNED, SIGNED, FLOAT = 0, 1, 2  # kinds
DIGITS = 256


@kernel
def fill(src, dst, top, bottom, stop, peaks, found, kind):
    if top >= bottom:
        return
    count = 0
    for row in range(src.shape[0]):
        if is_set(stop):
            break
        count += count_of(peaks[row])
    found[0, 0] = count
    digits = src.itemsize
    places, keys = np.empty((2, count), dst.dtype), np.empty((2, count), np.uint64)
    collect(src, peaks, kind, places[0], keys[0], stop)
    for digit in range(digits):
        if is_set(stop):
            return
        come, go = digit % 2, 1 - digit % 2
        sort(keys[come], places[come], np.uint64(8 * digit), keys[go], places[go])
    dst[0][:count] = places[digits % 2]


@kernel
def count_of(line):
    count = 0
    for x in range(line.size):
        count += line[x]
    return count


@kernel
def collect(src, peaks, kind, places, keys, stop):
    """Places and keys in raster order."""
    width, count = src.shape[1], 0
    for row in range(src.shape[0]):
        if is_set(stop):
            break
        line, values, x = peaks[row], src[row], 0
        while x + WORD <= width:
            bits = bits_of(line, x, np.uint8(1))
            while bits:
                col = x + lowest_bit(bits)
                places[count], keys[count] = row * width + col, key_of(values[col], kind, values.itemsize)
                count += 1
                bits &= bits - np.uint64(1)
            x += WORD
        for col in range(x, width):
            if line[col]:
                places[count], keys[count] = row * width + col, key_of(values[col], kind, values.itemsize)
                count += 1


@kernel
def key_of(value, kind, size):
    """The sort key of a value, ``size`` bytes long; it decreases with the value."""
    bits, sign = np.uint64(value), np.uint64(1) << np.uint64(8 * size - 1)
    every = sign | (sign - np.uint64(1))
    if kind == FLOAT and bits & sign:
        return bits if bits != sign else every ^ sign  # -0 equals 0
    return every ^ bits if kind == UNSIGNED else every ^ sign ^ bits


@kernel
def sort(keys, places, shift, new_keys, new_places):
    """Stable sort by one byte of the keys."""
    ends = np.zeros(DIGITS + 1, np.int64)
    for k in range(keys.size):
        ends[np.int64(keys[k] >> shift & np.uint64(DIGITS - 1)) + 1] += 1
    for digit in range(DIGITS):
        ends[digit + 1] += ends[digit]
    for k in range(keys.size):
        digit = np.int64(keys[k] >> shift & np.uint64(DIGITS - 1))
        new_keys[ends[digit]], new_places[ends[digit]] = keys[k], places[k]
        ends[digit] += 1
