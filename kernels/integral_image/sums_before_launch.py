"""One thread per column of the blocks of columns."""

from gpuimg.kernels.lib.rows_launch import fill_columns


def launch(gpu, src, dst, top, bottom, blocks):
    kind = gpu.ctype(src.dtype)
    fill_columns(gpu, "sums_before", f"sums_before<{kind}, {kind}>", src, dst, src.shape[1], top, bottom, blocks)
