"""A number where a condition holds, or where it does not, and the values of an image elsewhere."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, channels, other, number, holds):
    """``number`` stands where the condition is ``holds``; ``channels`` is how many values each one of it is for."""
    value = dst.dtype.type(number)
    for row in range(top, bottom):
        if channels == 1:
            choose(src[row], other[row], dst[row], value, holds != 0)
        elif channels == 3:
            choose_pixels(src[row], other[row], dst[row], value, holds != 0, 3)
        else:
            choose_pixels(src[row], other[row], dst[row], value, holds != 0, channels)


@kernel
def choose(condition, other, out, value, holds):
    for x in range(out.size):
        kept = other[x]
        out[x] = value if (condition[x] != 0) == holds else kept


@kernel
def choose_pixels(condition, other, out, value, holds, channels):
    for pixel in range(condition.size):
        is_replaced = (condition[pixel] != 0) == holds
        for x in range(pixel * channels, (pixel + 1) * channels):
            kept = other[x]
            out[x] = value if is_replaced else kept
