"""Bilinear interpolation where a matrix says."""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.stacks import stack_array
from gpuimg.kernels.warp.affine import affine_parts, affine_places, clipped, coordinates, is_affine
from gpuimg.kernels.warp.sampling import (
    BOUNDS,
    ROWS,
    RUN,
    below,
    fill_constant,
    interpolate,
    interpolate_anywhere,
    interpolate_run,
    prefetch_below,
    shares,
)


@kernel
def fill(src, dst, top, bottom, stop, step, matrix, mode, cval):
    pixels = src.reshape(src.size)
    x, y, at = stack_array(np.float64, RUN), stack_array(np.float64, RUN), stack_array(np.int64, RUN)
    x_share, y_share = shares(src), shares(src)
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
                    interpolate_affine(
                        src, pixels, dst[row], matrix, row, first, count, parts, step, at, x_share, y_share, mode, cval
                    )
                else:
                    coordinates(matrix, row, first, count, x, y)
                    interpolate(src, pixels, dst[row], first, count, step, x, y, at, x_share, y_share, mode, cval)


@kernel
def find_parts(src, step, matrix, top, bottom, cols, mode, bounds):
    height, width = src.shape[0], src.shape[1] // step
    touched = (-1.0, float(width), float(height))
    inside = (0.0, float(width - 1), float(height - below(step)))
    for row in range(top, bottom):
        affine_parts(matrix, row, cols, 0.0, touched, inside, mode, bounds[row - top])


@kernel
def interpolate_affine(src, pixels, target, matrix, row, first, count, parts, step, at, x_share, y_share, mode, cval):
    """A run of output pixels by an affine matrix."""
    begin, inside, leaving, end = parts
    before = at[count // 2]
    places, to_right, to_below = at[inside:leaving], x_share[inside:leaving], y_share[inside:leaving]
    affine_places(matrix, row, first + inside, 0.0, src.shape[1], step, places, to_right, to_below)
    prefetch_below(pixels, at, inside, leaving, at[count // 2] - before)
    interpolate_run(src, pixels, target, first, inside, leaving, step, at, x_share, y_share)
    fill_constant(target, first * step, begin * step, cval)
    interpolate_edge(src, target, first + begin, first + inside, step, matrix, row, x_share, mode, cval)
    interpolate_edge(src, target, first + leaving, first + end, step, matrix, row, x_share, mode, cval)
    fill_constant(target, (first + end) * step, (count - end) * step, cval)


@kernel
def interpolate_edge(src, target, begin, end, step, matrix, row, share, mode, cval):
    """Samples that do not lie inside, by an affine matrix."""
    x_row = matrix[0, 1] * row + matrix[0, 2]
    y_row = matrix[1, 1] * row + matrix[1, 2]
    for col in range(begin, end):
        x, y = matrix[0, 0] * float(col) + x_row, matrix[1, 0] * float(col) + y_row
        interpolate_anywhere(src, target, col * step, step, x, y, share, mode, cval)
