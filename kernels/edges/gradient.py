"""The gradient in polar form: magnitude and angle of the differences of smoothed neighbours."""

from gpuimg.kernels.edges.angles import arctan2
from gpuimg.kernels.edges.derivative import length, load, rows_around, weigh
from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, stop, direction, step, mode, cval, centre, outer, factor):
    """``centre`` and ``outer`` weigh a pixel and its two neighbours; the magnitude is multiplied by ``factor``."""
    width = src.shape[1]
    padded, smooth, column = rows_around(src, top, stop, step, mode, cval, centre, outer)
    for row in range(top, bottom):
        above, below = (row - 1) % 3, (row + 1) % 3
        load(src, row + 1, padded[below], smooth[below], stop, step, mode, cval, centre, outer)
        if is_set(stop):
            return
        weigh(padded[above], padded[row % 3], padded[below], column, centre, outer)
        polar(column[2 * step :], column[:width], smooth[below], smooth[above], dst[row], direction[row], factor)


@kernel
def polar(right, left, below, above, magnitude, direction, factor):
    number, result = right.dtype.type, magnitude.dtype.type
    times = result(factor)
    for x in range(magnitude.size):
        along, down = number(right[x] - left[x]), number(below[x] - above[x])
        magnitude[x] = length(along, down, times)
        direction[x] = arctan2(result(down), result(along))
