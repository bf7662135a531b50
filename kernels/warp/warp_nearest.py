"""Nearest-neighbour interpolation at coordinates by a matrix."""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.stacks import stack_array
from gpuimg.kernels.warp.affine import affine_parts, affine_places, clipped, coordinates, is_affine
from gpuimg.kernels.warp.sampling import (
    BOUNDS,
    ROWS,
    RUN,
    fill_constant,
    pick,
    pick_anywhere,
    pick_run,
    prefetch_below,
)

UNEVEN = True  # samples outside the image take less time


@kernel
def fill(src, dst, top, bottom, stop, step, matrix, mode, fill_value):
    pixels = src.reshape(src.size)
    x, y, at = stack_array(np.float64, RUN), stack_array(np.float64, RUN), stack_array(np.int64, RUN)
    bounds = stack_array(np.int64, BOUNDS).reshape(ROWS, 4)
    cols, affine, at[:] = dst.shape[1] // step, is_affine(matrix), 0
    for tile in range(top, bottom, ROWS):
        end = min(tile + ROWS, bottom)
        if affine:
            find_parts(src, step, matrix, tile, end, cols, mode, bounds)
        for first in range(0, cols, RUN):
            if is_set(stop):
                return
            count = min(RUN, cols - first)
            for row in range(tile, end):
                if affine:
                    parts = clipped(bounds[row - tile], first, count)
                    pick_affine(src, pixels, dst[row], matrix, row, first, count, parts, step, at, mode, fill_value)
                else:
                    coordinates(matrix, row, first, count, x, y)
                    pick(src, pixels, dst[row], first, count, step, x, y, at, mode, fill_value)


@kernel
def find_parts(src, step, matrix, top, bottom, cols, mode, bounds):
    inside = (0.0, float(src.shape[1] // step), float(src.shape[0]))
    for row in range(top, bottom):
        affine_parts(matrix, row, cols, 0.5, inside, inside, mode, bounds[row - top])


@kernel
def pick_affine(src, pixels, target, matrix, row, first, count, parts, step, at, mode, fill_value):
    """Fill a run of output pixels by an affine matrix."""
    begin, inside, leaving, end = parts
    before = at[count // 2]
    places = at[inside:leaving]
    affine_places(matrix, row, first + inside, 0.5, src.shape[1], step, places, None, None)
    prefetch_below(pixels, at, inside, leaving, at[count // 2] - before)
    pick_run(pixels, target, first + inside, step, places)
    fill_constant(target, first * step, begin * step, fill_value)
    pick_edge(src, target, first + begin, first + inside, step, matrix, row, mode, fill_value)
    pick_edge(src, target, first + leaving, first + end, step, matrix, row, mode, fill_value)
    fill_constant(target, (first + end) * step, (count - end) * step, fill_value)


@kernel
def pick_edge(src, target, begin, end, step, matrix, row, mode, fill_value):
    """Fill samples that are not inside, by an affine matrix."""
    x_row = matrix[0, 1] * row + matrix[0, 2]
    y_row = matrix[1, 1] * row + matrix[1, 2]
    for col in range(begin, end):
        x, y = matrix[0, 0] * float(col) + x_row, matrix[1, 0] * float(col) + y_row
        pick_anywhere(src, target, col, step, x, y, mode, fill_value)
