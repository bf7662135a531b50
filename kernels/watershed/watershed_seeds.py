"""Markers inside a mask; `OUTSIDE` elsewhere."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.watershed.watershed import OUTSIDE


@kernel
def fill(src, dst, top, bottom, mask):
    for row in range(top, bottom):
        source, inside, out = src[row], mask[row], dst[row]
        for x in range(out.size):
            out[x] = source[x] if inside[x] != 0 else OUTSIDE
