"""The channels of an image and behind them the last channel of another."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, step, other, other_step):
    for row in range(top, bottom):
        # Constants let the loops be unrolled.
        if step == 3 and other_step == 4:
            join(src[row], other[row], dst[row], 3, 4)
        else:
            join(src[row], other[row], dst[row], step, other_step)


@kernel
def join(source, other, target, step, other_step):
    for pixel in range(source.size // step):
        for channel in range(step):
            target[pixel * (step + 1) + channel] = source[pixel * step + channel]
        target[pixel * (step + 1) + step] = other[pixel * other_step + other_step - 1]
