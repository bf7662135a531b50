"""Keys' cubic convolution with a = -1/2 at coordinates by a matrix."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.warp.interpolation import interpolate_by_matrix
from gpuimg.kernels.warp.sampling import CUBIC

UNEVEN = True  # samples outside the image take less time


@kernel
def fill(src, dst, top, bottom, stop, step, matrix, mode, cval):
    interpolate_by_matrix(src, dst, top, bottom, stop, step, matrix, mode, cval, CUBIC)
