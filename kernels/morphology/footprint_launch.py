"""Small footprints in strips, others by the generic kernel."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID, STRIP_WORDS, strip_for

RESULTS = 16  # rows of a strip


def launch(gpu, src, dst, top, bottom, step, mode, cval, footprint, flip):
    height, width = footprint.shape
    kind, size = gpu.ctype(src.dtype), max(src.dtype.itemsize, 4)
    args = (src, dst, top, bottom, step, mode, cval, footprint, flip)
    strip = strip_for(src.shape[1], bottom - top, src.dtype.itemsize, height, (width - 1) * step)
    if strip is None or width > 32:
        gpu.fill_rows("footprint", f"footprint<{kind}, {kind}>", *args)
        return
    grid = strip.grid[0], min(-(-(bottom - top) // RESULTS), MAX_GRID)
    shared = (RESULTS + height - 1) * STRIP_WORDS * size
    gpu.kernel("footprint", f"near_footprint<{kind}, {kind}>")(grid, (STRIP_WORDS, 1), (*args, strip.words), shared)
