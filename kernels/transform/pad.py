"""A part of an image that may reach beyond its edges, by a border mode: padding, cropping."""

import numpy as np

from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.lib.stacks import stack_array

RUN = 1024  # elements of a border whose places are found once for all rows


@kernel
def fill(src, dst, top, bottom, step, first_row, first_col, mode, fill_value):
    """``first_row`` and ``first_col`` are the place in the image of the result's first pixel."""
    shift = first_col * step
    begin = min(max(-shift, 0), dst.shape[1])
    end = max(min(src.shape[1] - shift, dst.shape[1]), begin)
    for row in range(top, bottom):
        source = fold(first_row + row, src.shape[0], mode)
        if source < 0:
            fill_constant(dst[row], fill_value)
        else:
            copy(src[source, begin + shift : end + shift], dst[row, begin:end])
    for first in range(0, begin, RUN):
        fill_border(src, dst, top, bottom, step, first_row, shift, first, min(first + RUN, begin), mode, fill_value)
    for first in range(end, dst.shape[1], RUN):
        last = min(first + RUN, dst.shape[1])
        fill_border(src, dst, top, bottom, step, first_row, shift, first, last, mode, fill_value)


@kernel
def fill_constant(target, fill_value):
    value = target.dtype.type(fill_value)
    for x in range(target.size):
        target[x] = value


@kernel
def copy(source, target):
    for x in range(target.size):
        target[x] = source[x]


@kernel
def fill_border(src, dst, top, bottom, step, first_row, shift, first, last, mode, fill_value):
    """Columns [first, last) of the result, which lie beyond the image's edge."""
    places = stack_array(np.int64, RUN)
    for x in range(first, last):
        pixel, channel = divmod(x + shift, step)
        inside = fold(pixel, src.shape[1] // step, mode)
        places[x - first] = -1 if inside < 0 else inside * step + channel
    value = dst.dtype.type(fill_value)
    for row in range(top, bottom):
        source = fold(first_row + row, src.shape[0], mode)
        if source >= 0:
            for x in range(first, last):
                place = places[x - first]
                dst[row, x] = value if place < 0 else src[source, place]
