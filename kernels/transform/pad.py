"""A part of an image, which may extend beyond the edges by a border mode: padding and cropping."""

import numpy as np

from gpuimg.kernels.lib.addresses import copy_run
from gpuimg.kernels.lib.borders import CONSTANT, fold, kernel
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
    constant = stack_array(dst.dtype, NEAR)
    if mode == CONSTANT:
        fill_constant(constant[: max(begin - near, far - end)], fill_value)
    for row in range(top, bottom):
        source = fold(first_row + row, src.shape[0], mode)
        if source < 0:
            fill_constant(dst[row, near:far], fill_value)
            continue
        to = row * dst.shape[1]
        copy_run(src, source * src.shape[1] + begin + shift, dst, to + begin, end - begin)
        if mode == CONSTANT:
            copy_run(constant, 0, dst, to + near, begin - near)
            copy_run(constant, 0, dst, to + end, far - end)
        else:
            fill_border(src[source], dst[row, near:begin], before)
            fill_border(src[source], dst[row, end:far], after)
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
def fill_border(source, target, places):
    """Fill a part of a row beyond the image's edge, with pixels of the image."""
    for x in range(np.uintp(target.size)):
        target[x] = source[np.uintp(places[x])]


@kernel
def fill_columns(src, dst, top, bottom, step, first_row, shift, first, last, mode, fill_value):
    """Fill columns [first, last) of the result, which are beyond the image's edge."""
    places = stack_array(np.int64, RUN)
    find_places(places, first, last, shift, src.shape[1], step, mode)
    for row in range(top, bottom):
        source = fold(first_row + row, src.shape[0], mode)
        if source < 0 or mode == CONSTANT:
            fill_constant(dst[row, first:last], fill_value)
        else:
            fill_border(src[source], dst[row, first:last], places)
