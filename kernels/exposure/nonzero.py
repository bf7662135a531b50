"""``dst = src != 0``, true for NaN."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom):
    zero = src.dtype.type(0)
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(source.size):
            target[x] = dst.dtype.type(source[x] != zero)
