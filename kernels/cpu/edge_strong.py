"""Keeps the strong edges of `flood`, in place: what is 1 stays, what is 2 goes."""

from gpuimg.kernels.cpu.borders import kernel
from gpuimg.kernels.cpu.flood import STRONG


@kernel
def fill(src, dst, top, bottom):
    for row in range(top, bottom):
        keep(dst[row])


@kernel
def keep(line):
    number = line.dtype.type
    for x in range(line.size):
        line[x] = number(line[x] & number(STRONG))
