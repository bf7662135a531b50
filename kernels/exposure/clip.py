"""Values clipped to a range; NaN stays NaN."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, low, high):
    """``low`` and ``high`` have the image's dtype."""
    least, most = src.dtype.type(low), src.dtype.type(high)
    for row in range(top, bottom):
        source = src[row]
        target = dst[row]
        for x in range(source.size):
            value = source[x]
            value = least if value < least else value
            target[x] = most if value > most else value
