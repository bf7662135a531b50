"""A thread for each column of the blocks of columns."""

THREADS = 128


def launch(gpu, src, dst, top, bottom, blocks):
    width = src.shape[1]
    first, last = top * width // blocks, bottom * width // blocks
    if last > first:
        kind = gpu.ctype(src.dtype)
        grid = (-(-(last - first) // THREADS), 1)
        gpu.kernel("sums_before", f"sums_before<{kind}, {kind}>")(grid, (THREADS, 1), (src, dst, first, last))
