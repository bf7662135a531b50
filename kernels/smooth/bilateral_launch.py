"""Windows in shared memory where they fit, for images of one or three channels."""

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID

WIDTH, HEIGHT = 32, 32  # of a block's results
THREADS = 256
SHARED_BYTES = 46 << 10


def launch(gpu, src, dst, top, bottom, step, mode, cval, size, places, exponents, powers, factor, scale, limit):
    kinds = f"{gpu.ctype(src.dtype)}, {gpu.ctype(exponents.dtype)}"
    rest = step, mode, cval, size, places, exponents, powers, factor, scale, limit
    shared = (HEIGHT + size - 1) * (WIDTH + size - 1) * step * exponents.dtype.itemsize
    if step not in (1, 3) or shared > SHARED_BYTES:
        gpu.fill_rows("bilateral", f"bilateral<{kinds}>", src, dst, top, bottom, *rest)
        return
    most = GREATEST_GRID * HEIGHT
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        grid = -(-src.shape[1] // (WIDTH * step)), -(-(last - first) // HEIGHT)
        kernel = gpu.kernel("bilateral", f"near_bilateral<{kinds}, {step}>")
        kernel(grid, (THREADS, 1), (src, dst, first, last, *rest), shared)
