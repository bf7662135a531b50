"""Weighted sum of two images."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored, widened


@kernel
def fill(src, dst, top, bottom, other, weight, other_weight):
    for row in range(top, bottom):
        add_up(src[row], other[row], dst[row], widened(weight, dst), widened(other_weight, dst))


@kernel
def add_up(first, second, out, weight, other_weight):
    for x in range(out.size):
        out[x] = stored(widened(first[x], out) * weight + widened(second[x], out) * other_weight, out)
