"""Keys' cubic convolution with a = -1/2 at given coordinates."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.warp.interpolation import interpolate_at
from gpuimg.kernels.warp.sampling import CUBIC

UNEVEN = True  # samples outside the image take less time


@kernel
def fill(src, dst, top, bottom, stop, step, rows, cols, mode, cval):
    interpolate_at(src, dst, top, bottom, stop, step, rows, cols, mode, cval, CUBIC)
