"""Counts of blocks in shared memory where they fit, else all in device memory."""

SHARED_BINS = 8192  # as in counting.cuh


def launch(gpu, src, dst, top, bottom, edges):
    gpu.zero(dst[top:bottom])
    name = "bincount" if dst.shape[1] <= SHARED_BINS else "bincount_many"
    gpu.fill_rows("bincount", f"{name}<{gpu.ctype(src.dtype)}, {gpu.ctype(dst.dtype)}>", src, dst, top, bottom, edges)
