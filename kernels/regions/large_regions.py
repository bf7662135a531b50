"""The pixels of regions of at least a given area; zeros elsewhere."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, labels, areas, minimum):
    for row in range(top, bottom):
        for x in range(src.shape[1]):
            label = labels[row, x]
            large = 0 < label < areas.shape[0] and areas[label, 0] >= minimum
            dst[row, x] = src[row, x] if large else 0
