"""Windows in shared memory if they fit, for images of one or three channels; for bytes with tables of weights."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID

THREADS, WIDTH = 256, 32
DOWN = {4: 4, 8: 2}  # results of a thread, by the bytes of the accumulator
BYTE_DOWN, BYTE_PITCH, LEVELS = 8, 48, 256  # of bytes, as in bilateral.cu
SHARED_BYTES = 46 << 10


def launch(gpu, src, dst, top, bottom, step, mode, cval, size, places, exponents, powers, factor, scale, limit):
    kinds = f"{gpu.ctype(src.dtype)}, {gpu.ctype(exponents.dtype)}"
    rest = step, mode, cval, size, places, exponents, powers, factor, scale, limit
    if gpu.ctype(src.dtype) == "unsigned char" and step == 1:
        reach = size // 2
        distances = (reach + 1) * (reach + 2) // 2 - 1
        height = THREADS // WIDTH * BYTE_DOWN
        shared = (distances * LEVELS + (height + size - 1) * BYTE_PITCH) * exponents.dtype.itemsize
        if WIDTH + size - 1 <= BYTE_PITCH and shared <= SHARED_BYTES:
            launch_tiles(gpu, f"byte_bilateral<{kinds}>", src, dst, top, bottom, height, 1, (*rest, distances), shared)
            return
    itemsize = exponents.dtype.itemsize
    height = THREADS // WIDTH * DOWN[itemsize]
    shared = (height + size - 1) * (WIDTH + size - 1) * step * itemsize
    if step not in (1, 3) or shared > SHARED_BYTES:
        gpu.fill_rows("bilateral", f"bilateral<{kinds}>", src, dst, top, bottom, *rest)
        return
    launch_tiles(gpu, f"near_bilateral<{kinds}, {step}>", src, dst, top, bottom, height, step, rest, shared)


def launch_tiles(gpu, name, src, dst, top, bottom, height, step, rest, shared):
    most = MAX_GRID * height
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        grid = -(-src.shape[1] // (WIDTH * step)), -(-(last - first) // height)
        gpu.kernel("bilateral", name)(grid, (THREADS, 1), (src, dst, first, last, *rest), shared)
