"""How many values lie in each bin ``edges[i] <= v < edges[i + 1]``, the last one closed: what numpy.histogram
counts."""

from gpuimg.kernels.cpu.borders import kernel


@kernel
def fill(src, dst, top, bottom, edges):
    rows = src.shape[0]
    slabs = dst.shape[0]
    bins = edges.size - 1
    low, high = edges[0], edges[bins]
    scale = bins / (high - low)
    for slab in range(top, bottom):
        counts = dst[slab]
        counts[:] = 0
        for row in range(slab * rows // slabs, (slab + 1) * rows // slabs):
            for value in src[row]:
                if low <= value <= high:
                    # The edges lie at nearly equal distances: a guess finds the bin but for a step or two.
                    guess = min(int((value - low) * scale), bins - 1)
                    while guess > 0 and value < edges[guess]:
                        guess -= 1
                    while guess < bins - 1 and value >= edges[guess + 1]:
                        guess += 1
                    counts[guess] += 1
