"""First, prefix sums along the column sums above each slab.

Then, for one channel, sums before each block of a row, then each slab's table in tiles; for several channels, prefix
sums along the rows of the slabs, then down their rows.
"""

from gpuimg.kernels.lib.rows_launch import THREADS

LANES, ROWS = 8, 32  # as in integral.cu


def launch(gpu, src, dst, top, bottom, image, step, height):
    rows, cols = image.shape
    above = gpu.rows(gpu.empty((bottom - top, cols), dst.dtype), top, src.shape[0])
    sum_rows(gpu, src, above, top, bottom, step)
    first, last = top * height, min(bottom * height, rows)
    if step > 1:
        sum_rows(gpu, image, dst, first, last, step)
        gpu.fill_rows("integral", f"down<{gpu.ctype(dst.dtype)}>", above, dst, top, bottom, height)
        return
    kind = f"<{gpu.ctype(image.dtype)}, {gpu.ctype(dst.dtype)}>"
    before = gpu.rows(gpu.empty((last - first, -(-cols // LANES)), dst.dtype), first, rows)
    gpu.kernel("integral", f"starts{kind}")((-(-(last - first) // ROWS), 1), (256, 1), (image, before, first, last))
    parts = -(-cols // THREADS)
    sweep = gpu.kernel("integral", f"sweep{kind}")
    sweep(((bottom - top) * parts, 1), (THREADS, 1), (above, image, before, dst, top, height, parts))


def sum_rows(gpu, src, dst, top, bottom, step):
    kind = f"<{gpu.ctype(src.dtype)}, {gpu.ctype(dst.dtype)}>"
    if step == 1:
        gpu.kernel("integral", f"along{kind}")((bottom - top, 1), (THREADS, 1), (src, dst, top))
    else:
        grid = (-(-(bottom - top) * step // THREADS), 1)
        gpu.kernel("integral", f"channels{kind}")(grid, (THREADS, 1), (src, dst, top, bottom, step))
