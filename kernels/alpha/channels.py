"""Consecutive channels of an image."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.pixels import drop_last_of_4, vector_elements


@kernel
def fill(src, dst, top, bottom, step, first, count):
    lanes = vector_elements(src)
    for row in range(top, bottom):
        if step == 4 and first == 0 and count == 3 and src.shape[1] >= lanes:
            for start in range(0, src.shape[1], lanes):
                x = min(start, src.shape[1] - lanes)
                drop_last_of_4(src[row], x, dst[row], x // 4 * 3)
        else:
            copy(src[row], dst[row], step, first, count)


@kernel
def copy(source, target, step, first, count):
    for pixel in range(source.size // step):
        for channel in range(count):
            target[pixel * count + channel] = source[pixel * step + first + channel]
