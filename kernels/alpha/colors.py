"""The colours of an image and the alpha of another."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.pixels import take_last_of_2, take_last_of_4, vector_elements


@kernel
def fill(src, dst, top, bottom, step, other):
    for row in range(top, bottom):
        join(src[row], other[row], dst[row], step)


@kernel
def join(source, other, target, step):
    size, lanes = source.size, vector_elements(source)
    if size < lanes:
        for x in range(size):
            target[x] = other[x] if x % step == step - 1 else source[x]
    elif step == 4:
        for x in range(0, size, lanes):
            take_last_of_4(source, other, min(x, size - lanes), target)
    else:
        for x in range(0, size, lanes):
            take_last_of_2(source, other, min(x, size - lanes), target)
