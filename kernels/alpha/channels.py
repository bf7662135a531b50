"""Some neighbouring channels of an image."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, step, first, count):
    for row in range(top, bottom):
        # Constants let the loops be unrolled.
        if step == 4 and count == 3:
            copy(src[row], dst[row], 4, first, 3)
        else:
            copy(src[row], dst[row], step, first, count)


@kernel
def copy(source, target, step, first, count):
    for pixel in range(source.size // step):
        for channel in range(count):
            target[pixel * count + channel] = source[pixel * step + first + channel]
