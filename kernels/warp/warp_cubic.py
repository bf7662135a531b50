"""Cubic convolution by Keys with a = -1/2 where a matrix says."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.warp.interpolation import interpolate_by_matrix
from gpuimg.kernels.warp.sampling import CUBIC


@kernel
def fill(src, dst, top, bottom, stop, step, matrix, mode, cval):
    interpolate_by_matrix(src, dst, top, bottom, stop, step, matrix, mode, cval, CUBIC)
