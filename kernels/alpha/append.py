"""The channels of an image, then the last channel of another."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.pixels import append_last_of_4, vector_elements


@kernel
def fill(src, dst, top, bottom, step, other, other_step):
    lanes = vector_elements(src)
    for row in range(top, bottom):
        if step == 3 and other_step == 4 and dst.shape[1] >= lanes:
            for start in range(0, dst.shape[1], lanes):
                x = min(start, dst.shape[1] - lanes)
                append_last_of_4(src[row], x // 4 * 3, other[row], x, dst[row])
        else:
            join(src[row], other[row], dst[row], step, other_step)


@kernel
def join(source, other, target, step, other_step):
    for pixel in range(source.size // step):
        for channel in range(step):
            target[pixel * (step + 1) + channel] = source[pixel * step + channel]
        target[pixel * (step + 1) + step] = other[pixel * other_step + other_step - 1]
