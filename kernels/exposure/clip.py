"""Values clipped to a range; NaN stays NaN."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, low, high):
    """``low`` and ``high`` have the image's dtype."""
    minimum, maximum = src.dtype.type(low), src.dtype.type(high)
    for row in range(top, bottom):
        source = src[row]
        target = dst[row]
        for x in range(source.size):
            value = source[x]
            value = minimum if value < minimum else value
            target[x] = maximum if value > maximum else value
