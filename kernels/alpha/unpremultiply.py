"""Filtered images of `premultiply` divided by alpha; ``other`` is the image filtered as it is: where that was opaque
all around and where alpha is 0, its colours are taken, and its alpha everywhere."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored


@kernel
def fill(src, dst, top, bottom, step, other):
    for row in range(top, bottom):
        # A constant lets the loops be unrolled.
        if step == 5:
            divide(src[row], other[row], dst[row], 5)
        else:
            divide(src[row], other[row], dst[row], step)


@kernel
def divide(source, plain, target, step):
    narrow, colors = step - 1, step - 2
    for pixel in range(source.size // step):
        alpha, mixed = source[pixel * step + colors], source[pixel * step + narrow]
        is_weighed = mixed > 0 and alpha > 0
        for channel in range(colors):
            at = pixel * narrow + channel
            target[at] = stored(source[pixel * step + channel] / alpha, target) if is_weighed else plain[at]
        target[pixel * narrow + colors] = plain[pixel * narrow + colors]
