"""Replaces NaN by a value."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, value):
    other = dst.dtype.type(value)
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(source.size):
            found = source[x]
            target[x] = found if found == found else other
