"""A thread for each column of the blocks of columns."""

THREADS = 128


def launch(gpu, src, dst, top, bottom, blocks):
    width = src.shape[1] // 2
    first, last = top * width // blocks, bottom * width // blocks
    if last > first:
        grid = (-(-(last - first) // THREADS), 1)
        gpu.kernel("zeros_beyond", "zeros_beyond<int, int>")(grid, (THREADS, 1), (src, dst, first, last))
