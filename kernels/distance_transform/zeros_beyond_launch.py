"""One thread per column of the blocks of columns."""

from gpuimg.kernels.lib.rows_launch import fill_columns


def launch(gpu, src, dst, top, bottom, blocks):
    fill_columns(gpu, "zeros_beyond", "zeros_beyond<int, int>", src, dst, src.shape[1] // 2, top, bottom, blocks)
