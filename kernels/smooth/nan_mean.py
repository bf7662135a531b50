"""Means that ignore NaN: sums of `nan_weights` divided by the sums of the weights, NaN where these are 0. Constants are
kept, see `constant_kept`; ``centre`` is the image."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import constant_kept


@kernel
def fill(src, dst, top, bottom, weights, centre, tolerance):
    for row in range(top, bottom):
        divide(src[row], weights[row], centre[row], dst[row], dst.dtype.type(tolerance))


@kernel
def divide(total, weights, centre, out, tolerance):
    nothing = out.dtype.type(np.nan)
    for x in range(out.size):
        mean = total[x] / weights[x]  # 0 / 0 may be a NaN of the other sign
        out[x] = constant_kept(mean, centre[x], tolerance) if weights[x] > 0 else nothing
