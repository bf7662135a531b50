"""Two launches with a scratch image of the columns' least values between them."""

from gpuimg.kernels.cuda.rows import GREATEST_GRID, THREADS, along_rows

SHARED_BYTES = 32768


def launch(gpu, src, dst, top, bottom, step, mode, cval, n0, n1, flip):
    rows, cols = src.shape
    # A window that covers a border's whole period holds every value already.
    n0, n1 = shortened(n0, rows), shortened(n1, cols // step)
    held = gpu.rows(gpu.empty((bottom - top, cols), src.dtype), top, rows)
    kind = gpu.ctype(src.dtype)
    groups = -(-(bottom - top) // n0)
    down = gpu.kernel("minimum", f"columns<{kind}, {kind}>")
    down(
        (-(-cols // THREADS), min(groups, GREATEST_GRID)), (THREADS, 1), (src, held, top, bottom, mode, cval, n0, flip)
    )
    along = gpu.kernel("minimum", f"along<{kind}, {kind}>")
    span, grid = along_rows(cols, bottom - top, (n1 - 1) * step, SHARED_BYTES // (2 * src.dtype.itemsize))
    args = (held, dst, top, bottom, step, mode, cval, n1, flip, span)
    along(grid, (THREADS, 1), args, 2 * span * src.dtype.itemsize)


def shortened(size, length):
    """A window as long as needed to reach everything: of the same parity, so that its centre stays."""
    longest = 4 * length + size % 2
    return min(size, longest)
