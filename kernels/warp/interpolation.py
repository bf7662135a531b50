"""Interpolated images by number of taps: shared by bilinear interpolation and cubic convolution."""

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
    inside_limits,
    interpolate,
    interpolate_anywhere,
    interpolate_run,
    prefetch_below,
    shares,
    touched_limits,
)


@kernel
def interpolate_at(src, dst, top, bottom, stop, step, rows, cols, mode, cval, taps):
    """Fill rows [top, bottom) with samples at given coordinates."""
    pixels = src.reshape(src.size)
    at, x_share, y_share = stack_array(np.int64, RUN), shares(src), shares(src)
    width = cols.shape[1]
    for tile in range(top, bottom, ROWS):
        for first in range(0, width, RUN):
            if is_set(stop):
                return
            count = min(RUN, width - first)
            for row in range(tile, min(tile + ROWS, bottom)):
                x, y = cols[row, first : first + count], rows[row, first : first + count]
                interpolate(src, pixels, dst[row], first, count, step, x, y, at, x_share, y_share, mode, cval, taps)


@kernel
def interpolate_by_matrix(src, dst, top, bottom, stop, step, matrix, mode, cval, taps):
    """Fill rows [top, bottom) with samples at coordinates by a matrix."""
    pixels = src.reshape(src.size)
    x, y, at = stack_array(np.float64, RUN), stack_array(np.float64, RUN), stack_array(np.int64, RUN)
    x_share, y_share = shares(src), shares(src)
    bounds = stack_array(np.int64, BOUNDS).reshape(ROWS, 4)
    cols, affine, at[:] = dst.shape[1] // step, is_affine(matrix), 0
    for tile in range(top, bottom, ROWS):
        end = min(tile + ROWS, bottom)
        if affine:
            find_parts(src, step, matrix, tile, end, cols, mode, bounds, taps)
        for first in range(0, cols, RUN):
            if is_set(stop):
                return
            count = min(RUN, cols - first)
            for row in range(tile, end):
                target = dst[row]
                if affine:
                    parts = clipped(bounds[row - tile], first, count)
                    interpolate_affine(
                        src,
                        pixels,
                        target,
                        matrix,
                        row,
                        first,
                        count,
                        parts,
                        step,
                        at,
                        x_share,
                        y_share,
                        mode,
                        cval,
                        taps,
                    )
                else:
                    coordinates(matrix, row, first, count, x, y)
                    interpolate(src, pixels, target, first, count, step, x, y, at, x_share, y_share, mode, cval, taps)


@kernel
def find_parts(src, step, matrix, top, bottom, cols, mode, bounds, taps):
    touched, inside = touched_limits(src, step, taps), inside_limits(src, step, taps)
    for row in range(top, bottom):
        affine_parts(matrix, row, cols, 0.0, touched, inside, mode, bounds[row - top])


@kernel
def interpolate_affine(
    src, pixels, target, matrix, row, first, count, parts, step, at, x_share, y_share, mode, cval, taps
):
    """Interpolate a run of output pixels by an affine matrix."""
    begin, inside, leaving, end = parts
    before = at[count // 2]
    places, to_right, to_below = at[inside:leaving], x_share[inside:leaving], y_share[inside:leaving]
    affine_places(matrix, row, first + inside, 0.0, src.shape[1], step, places, to_right, to_below)
    prefetch_below(pixels, at, inside, leaving, at[count // 2] - before)
    interpolate_run(src, pixels, target, first, inside, leaving, step, at, x_share, y_share, taps)
    fill_constant(target, first * step, begin * step, cval)
    interpolate_edge(src, target, first + begin, first + inside, step, matrix, row, mode, cval, taps)
    interpolate_edge(src, target, first + leaving, first + end, step, matrix, row, mode, cval, taps)
    fill_constant(target, (first + end) * step, (count - end) * step, cval)


@kernel
def interpolate_edge(src, target, begin, end, step, matrix, row, mode, cval, taps):
    """Interpolate samples that are not inside, by an affine matrix."""
    x_row = matrix[0, 1] * row + matrix[0, 2]
    y_row = matrix[1, 1] * row + matrix[1, 2]
    for col in range(begin, end):
        x, y = matrix[0, 0] * float(col) + x_row, matrix[1, 0] * float(col) + y_row
        interpolate_anywhere(src, target, col * step, step, x, y, mode, cval, taps)
