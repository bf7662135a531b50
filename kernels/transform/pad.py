"""A part of an image, which may extend beyond the edges by a border mode: padding and cropping."""

import numpy as np

from gpuimg.kernels.lib.addresses import copy_elements
from gpuimg.kernels.lib.borders import fold, kernel
from gpuimg.kernels.lib.stacks import stack_array

RUN = 1024  # border elements whose source columns are computed once for all rows
NEAR = RUN // 2  # elements on each side of the image that are written together with its rows


@kernel
def fill(src, dst, top, bottom, step, first_row, first_col, mode, fill_value):
    """``first_row`` and ``first_col`` are the image coordinates of the result's first pixel."""
    shift = first_col * step
    begin = min(max(-shift, 0), dst.shape[1])
    end = max(min(src.shape[1] - shift, dst.shape[1]), begin)
    near, far = max(begin - NEAR, 0), min(end + NEAR, dst.shape[1])
    before, after = stack_array(np.int64, NEAR), stack_array(np.int64, NEAR)
    find_places(before, near, begin, shift, src.shape[1], step, mode)
    find_places(after, end, far, shift, src.shape[1], step, mode)
    for row in range(top, bottom):
        source = fold(first_row + row, src.shape[0], mode)
        if source < 0:
            fill_constant(dst[row, near:far], fill_value)
        else:
            fill_border(src[source], dst[row, near:begin], before, fill_value)
            copy_elements(src[source, begin + shift : end + shift], dst[row, begin:end])
            fill_border(src[source], dst[row, end:far], after, fill_value)
    for first in range(0, near, RUN):
        fill_columns(src, dst, top, bottom, step, first_row, shift, first, min(first + RUN, near), mode, fill_value)
    for first in range(far, dst.shape[1], RUN):
        last = min(first + RUN, dst.shape[1])
        fill_columns(src, dst, top, bottom, step, first_row, shift, first, last, mode, fill_value)


@kernel
def fill_constant(target, fill_value):
    value = target.dtype.type(fill_value)
    for x in range(target.size):
        target[x] = value


@kernel
def find_places(places, first, last, shift, width, step, mode):
    """The source columns of columns [first, last) of the result; -1 for the constant."""
    for x in range(first, last):
        pixel, channel = divmod(x + shift, step)
        inside = fold(pixel, width // step, mode)
        places[x - first] = -1 if inside < 0 else inside * step + channel


@kernel
def fill_border(source, target, places, fill_value):
    """Fill a part of a row beyond the image's edge, either all constant or not at all."""
    if target.size and places[0] < 0:
        fill_constant(target, fill_value)
    else:
        for x in range(target.size):
            target[x] = source[places[x]]


@kernel
def fill_columns(src, dst, top, bottom, step, first_row, shift, first, last, mode, fill_value):
    """Fill columns [first, last) of the result, which are beyond the image's edge."""
    places = stack_array(np.int64, RUN)
    find_places(places, first, last, shift, src.shape[1], step, mode)
    for row in range(top, bottom):
        source = fold(first_row + row, src.shape[0], mode)
        if source < 0:
            fill_constant(dst[row, first:last], fill_value)
        else:
            fill_border(src[source], dst[row, first:last], places, fill_value)
