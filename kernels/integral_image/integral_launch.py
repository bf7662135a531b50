"""Sums along the rows of the slabs and of what stands above each, then down the rows of each slab."""

from gpuimg.kernels.lib.rows_launch import THREADS


def launch(gpu, src, dst, top, bottom, image, step, height):
    rows, cols = image.shape
    above = gpu.rows(gpu.empty((bottom - top, cols), dst.dtype), top, src.shape[0])
    sum_rows(gpu, src, above, top, bottom, step)
    sum_rows(gpu, image, dst, top * height, min(bottom * height, rows), step)
    gpu.fill_rows("integral", f"down<{gpu.ctype(dst.dtype)}>", above, dst, top, bottom, height)


def sum_rows(gpu, src, dst, top, bottom, step):
    kind = f"<{gpu.ctype(src.dtype)}, {gpu.ctype(dst.dtype)}>"
    if step == 1:
        gpu.kernel("integral", f"along{kind}")((bottom - top, 1), (THREADS, 1), (src, dst, top))
    else:
        grid = (-(-(bottom - top) * step // THREADS), 1)
        gpu.kernel("integral", f"channels{kind}")(grid, (THREADS, 1), (src, dst, top, bottom, step))
