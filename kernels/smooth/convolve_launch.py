"""Windows in shared memory, as many of their rows at a time as fit; very wide ones as the kernel's file says."""

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID
from gpuimg.kernels.smooth.row_sums import are_by_rows

WIDTH, HEIGHT = 128, 32  # of a block's results
THREADS, ROWS_OF_ZEROS = 256, 6
SHARED_BYTES = 46 << 10


def launch(gpu, src, dst, top, bottom, step, mode, cval, weights, shift):
    high, wide = weights.shape
    by_rows = ", true" if are_by_rows(src.dtype, weights) else ""
    kinds = f"<{gpu.ctype(src.dtype)}, {gpu.ctype(weights.dtype)}{by_rows}>"
    filled, fitting = WIDTH + (wide - 1) * step, SHARED_BYTES // weights.dtype.itemsize
    part = min(high, (fitting - (HEIGHT - 1) * filled - ROWS_OF_ZEROS * wide) // (filled + wide))
    if part < 1:
        gpu.fill_rows("convolve", f"convolve{kinds}", src, dst, top, bottom, step, mode, cval, weights, shift)
        return
    shared = ((HEIGHT + part - 1) * filled + (part + ROWS_OF_ZEROS) * wide) * weights.dtype.itemsize
    most = GREATEST_GRID * HEIGHT
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        grid = -(-src.shape[1] // WIDTH), -(-(last - first) // HEIGHT)
        args = (src, dst, first, last, step, mode, cval, weights, shift, part)
        gpu.kernel("convolve", f"near_convolve{kinds}")(grid, (THREADS, 1), args, shared)
