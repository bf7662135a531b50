"""The nearest zeros above and below each slab, from the zeros of all slabs: row ``s`` of ``dst`` has, for each column,
the last row above slab ``s`` with a zero, then the first one below. The parts are blocks of columns."""

from gpuimg.kernels.distance_transform.zero_rows import NEVER
from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, blocks):
    slabs, width = src.shape[0], src.shape[1] // 2
    for block in range(top, bottom):
        first, last = block * width // blocks, (block + 1) * width // blocks
        dst[0, first:last] = -NEVER
        dst[slabs - 1, width + first : width + last] = NEVER
        for slab in range(1, slabs):
            above, below = slab - 1, slabs - slab
            for x in range(width + first, width + last):
                dst[slab, x - width] = max(dst[above, x - width], src[above, x])
            for x in range(first, last):
                dst[below - 1, width + x] = min(dst[below, width + x], src[below, x])
