"""Colours times alpha, which is the last channel; then alpha, and 0 where alpha is ``most``, else 1."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import weighed


@kernel
def fill(src, dst, top, bottom, step, most):
    for row in range(top, bottom):
        # A constant lets the loops be unrolled.
        if step == 4:
            multiply(src[row], dst[row], 4, most)
        else:
            multiply(src[row], dst[row], step, most)


@kernel
def multiply(source, target, step, most):
    number = target.dtype.type
    colors, wide = step - 1, step + 1
    for pixel in range(source.size // step):
        alpha = number(source[pixel * step + colors])
        for channel in range(colors):
            target[pixel * wide + channel] = weighed(number(source[pixel * step + channel]), alpha)
        target[pixel * wide + colors] = alpha
        target[pixel * wide + step] = number(0) if alpha == number(most) else number(1)
