"""0 in place of NaN, and the weights of values: 0 for NaN, 1 for all others."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, weights):
    for row in range(top, bottom):
        weigh(src[row], dst[row], weights[row])


@kernel
def weigh(line, out, weights):
    nothing, one = out.dtype.type(0), out.dtype.type(1)
    for x in range(out.size):
        value = line[x]
        out[x] = value if value == value else nothing
        weights[x] = one if value == value else nothing
