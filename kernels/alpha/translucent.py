"""1 if a slab of rows has a pixel whose alpha, the last channel, is not ``most``, else 0."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, step, most):
    rows, slabs = src.shape[0], dst.shape[0]
    for slab in range(top, bottom):
        dst[slab, 0] = 0
        for row in range(slab * rows // slabs, (slab + 1) * rows // slabs):
            # Constants let the loop be vectorized.
            if has_other(src[row], 4, most) if step == 4 else has_other(src[row], 2, most):
                dst[slab, 0] = 1
                break


@kernel
def has_other(source, step, most):
    opaque = source.dtype.type(most)
    found = False
    for pixel in range(source.size // step):
        found |= source[pixel * step + step - 1] != opaque
    return found
