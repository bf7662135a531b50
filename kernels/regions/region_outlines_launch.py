"""One thread per column and group of rows at a fixed stride."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID

BLOCK = 32, 8


def launch(gpu, src, dst, top, bottom, labels, height):
    rows, cols = labels.shape
    grid = -(-cols // BLOCK[0]), min(-(-rows // BLOCK[1]), MAX_GRID)
    gpu.kernel("region_outlines", "region_outlines<int>")(grid, BLOCK, (dst, labels))
