"""The negated value; 0.0 for both zeros."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom):
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(source.size):
            target[x] = src.dtype.type(0) - source[x]
