"""A copy of the image."""

from gpuimg.kernels.lib.addresses import copy_elements
from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom):
    for row in range(top, bottom):
        copy_elements(src[row], dst[row])
