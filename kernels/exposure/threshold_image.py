"""``dst = src > value``, pixel by pixel."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, value):
    for row in range(top, bottom):
        mark(src[row], value[row], dst[row])


@kernel
def mark(source, limits, target):
    for x in range(source.size):
        target[x] = target.dtype.type(source[x] > limits[x])
