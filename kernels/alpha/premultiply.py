"""Colours times alpha, the last channel; then alpha; then, if the result has a further channel, 0 where alpha is
``most``, else 1."""

from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import weighed
from gpuimg.kernels.lib.pixels import premultiply_2, premultiply_4, vector_elements


@kernel
def fill(src, dst, top, bottom, step, most):
    wide = dst.shape[1] // max(src.shape[1] // step, 1)
    for row in range(top, bottom):
        if step == wide and dst.shape[1] >= vector_elements(dst):
            multiply_vectors(src[row], dst[row], step)
        else:
            multiply(src[row], dst[row], step, wide, most)


def multiply_vectors(source, target, step):
    raise NotImplementedError


@overload(multiply_vectors)
def _multiply_vectors(source, target, step):
    if isinstance(source.dtype, types.Float):
        return lambda source, target, step: None  # these types always have the further channel

    def multiply(source, target, step):
        lanes = vector_elements(target)
        for x in range(0, target.size, lanes):
            if step == 4:
                premultiply_4(source, min(x, target.size - lanes), target)
            else:
                premultiply_2(source, min(x, target.size - lanes), target)

    return multiply


@kernel
def multiply(source, target, step, wide, most):
    number = target.dtype.type
    colors = step - 1
    for pixel in range(source.size // step):
        alpha = number(source[pixel * step + colors])
        for channel in range(colors):
            target[pixel * wide + channel] = weighed(number(source[pixel * step + channel]), alpha)
        target[pixel * wide + colors] = alpha
        if wide > step:
            target[pixel * wide + step] = number(0) if alpha == number(most) else number(1)
