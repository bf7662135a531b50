"""Filtered images of `premultiply` divided by alpha. ``other`` is the image filtered without premultiplication: its
colours are used where the neighbourhood is opaque or alpha is 0, and its alpha everywhere. The neighbourhood is opaque
where the further channel is 0, or without such a channel, where alpha is at least ``limit``."""

from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored
from gpuimg.kernels.lib.pixels import unpremultiply_2, unpremultiply_4, vector_elements


@kernel
def fill(src, dst, top, bottom, step, other, limit):
    narrow = dst.shape[1] // max(src.shape[1] // step, 1)
    for row in range(top, bottom):
        if step == narrow and src.shape[1] >= vector_elements(src):
            divide_vectors(src[row], other[row], limit, dst[row], step)
        else:
            divide(src[row], other[row], limit, dst[row], step, narrow)


def divide_vectors(source, plain, limit, target, step):
    raise NotImplementedError


@overload(divide_vectors)
def _divide_vectors(source, plain, limit, target, step):
    if isinstance(target.dtype, types.Float):
        return lambda source, plain, limit, target, step: None  # these types always have the further channel

    def divide(source, plain, limit, target, step):
        lanes, below = vector_elements(source), source.dtype.type(limit)
        for x in range(0, source.size, lanes):
            if step == 4:
                unpremultiply_4(source, plain, below, min(x, source.size - lanes), target)
            else:
                unpremultiply_2(source, plain, below, min(x, source.size - lanes), target)

    return divide


@kernel
def divide(source, plain, limit, target, step, narrow):
    colors = narrow - 1
    below = source.dtype.type(limit)
    for pixel in range(source.size // step):
        alpha = source[pixel * step + colors]
        is_mixed = source[pixel * step + narrow] != 0 if step > narrow else alpha < below
        is_weighed = is_mixed and alpha > 0
        for channel in range(colors):
            at = pixel * narrow + channel
            target[at] = stored(source[pixel * step + channel] / alpha, target) if is_weighed else plain[at]
        target[pixel * narrow + colors] = plain[pixel * narrow + colors]
