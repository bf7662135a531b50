"""The image's outermost pixels, with ``inside`` everywhere else."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, step, inside):
    rows, width = src.shape
    for row in range(top, bottom):
        source, target = src[row], dst[row]
        for x in range(width):
            target[x] = source[x]
        if 0 < row < rows - 1:
            target[step : width - step] = src.dtype.type(inside)
