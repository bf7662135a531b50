"""``dst = src > value``."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, value, always):
    """``value`` has the image's dtype; ``always`` is 1 if every pixel is above it."""
    limit = src.dtype.type(value)
    above = dst.dtype.type(always)
    for row in range(top, bottom):
        source = src[row]
        target = dst[row]
        for x in range(source.size):
            target[x] = dst.dtype.type(source[x] > limit) | above
