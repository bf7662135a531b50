"""Keeps the strong edges of `flood`, in place: 1 stays 1, 2 becomes 0."""

from gpuimg.kernels.canny.flood import STRONG
from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom):
    for row in range(top, bottom):
        keep(dst[row])


@kernel
def keep(line):
    number = line.dtype.type
    for x in range(line.size):
        line[x] = number(line[x] & number(STRONG))
