"""One launch for small windows, else two with a scratch image of column minima between them."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID, THREADS, along_rows, far_along_rows, strip_for

SHARED_BYTES = 32768


def launch(gpu, src, dst, top, bottom, step, mode, cval, above, below, left, right, flip):
    rows, cols = src.shape
    n0, n1 = above + below + 1, left + right + 1
    kind = gpu.ctype(src.dtype)
    strip = strip_for(cols, bottom - top, src.dtype.itemsize, n0, (n1 - 1) * step)
    if strip is not None:
        args = (src, dst, top, bottom, step, mode, cval, above, n0, left, n1, flip, strip.height, strip.words)
        gpu.kernel("minimum", f"near<{kind}, {kind}>")(strip.grid, (strip.threads, 1), args, strip.shared)
        return
    held = gpu.rows(gpu.empty((bottom - top, cols), src.dtype), top, rows)
    groups = -(-(bottom - top) // n0)
    down = gpu.kernel("minimum", f"columns<{kind}, {kind}>")
    args = (src, held, top, bottom, mode, cval, n0, above, flip)
    down((-(-cols // THREADS), min(groups, MAX_GRID)), (THREADS, 1), args)
    args = (held, dst, top, bottom, step, mode, cval, n1, left, flip)
    fitting = along_rows(cols, bottom - top, (n1 - 1) * step, SHARED_BYTES // (2 * src.dtype.itemsize))
    if fitting is None:
        grid = far_along_rows(cols, bottom - top, step, n1)
        gpu.kernel("minimum", f"along_far<{kind}, {kind}>")(grid, (THREADS, 1), args)
    else:
        span, grid = fitting
        shared = 2 * span * src.dtype.itemsize
        gpu.kernel("minimum", f"along<{kind}, {kind}>")(grid, (THREADS, 1), (*args, span), shared)
