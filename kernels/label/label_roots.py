"""Numbers the roots of each slab's components, see `runs`, in place: the root with ``n`` before it gets ``-1 - n``."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import COUNT, HEADER, ROOTS


@kernel
def fill(src, dst, top, bottom):
    for part in range(top, bottom):
        nodes = dst[part]
        base = part * dst.shape[1]
        roots = 0
        for node in range(HEADER, nodes[COUNT]):
            if nodes[node] == base + node or nodes[node] < 0:  # the latter if a part is repeated
                roots += 1
                nodes[node] = -roots
        nodes[ROOTS] = roots
