"""Values between two limits spread evenly between two others."""

from gpuimg.kernels.cpu.borders import kernel
from gpuimg.kernels.cpu.numbers import stored, widened


@kernel
def fill(src, dst, top, bottom, low, high, factor, least):
    """``(clip(src, low, high) - low) * factor + least``"""
    bounds = widened(low, src), widened(high, src)
    for row in range(top, bottom):
        spread(src[row], dst[row], bounds[0], bounds[1], widened(factor, src), widened(least, src))


@kernel
def spread(source, out, low, high, factor, least):
    for x in range(out.size):
        value = widened(source[x], out)
        value = low if value < low else high if value > high else value
        out[x] = stored((value - low) * factor + least, out)
