"""Windows in shared memory where they fit, for images of one or three channels."""

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID

THREADS, WIDTH = 256, 32
DOWN = {4: 4, 8: 2}  # results of a thread, by the bytes of what is summed up
SHARED_BYTES = 46 << 10


def launch(gpu, src, dst, top, bottom, step, mode, cval, size, places, exponents, powers, factor, scale, limit):
    kinds = f"{gpu.ctype(src.dtype)}, {gpu.ctype(exponents.dtype)}"
    rest = step, mode, cval, size, places, exponents, powers, factor, scale, limit
    itemsize = exponents.dtype.itemsize
    height = THREADS // WIDTH * DOWN[itemsize]
    shared = (height + size - 1) * (WIDTH + size - 1) * step * itemsize
    if step not in (1, 3) or shared > SHARED_BYTES:
        gpu.fill_rows("bilateral", f"bilateral<{kinds}>", src, dst, top, bottom, *rest)
        return
    most = GREATEST_GRID * height
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        grid = -(-src.shape[1] // (WIDTH * step)), -(-(last - first) // height)
        kernel = gpu.kernel("bilateral", f"near_bilateral<{kinds}, {step}>")
        kernel(grid, (THREADS, 1), (src, dst, first, last, *rest), shared)
