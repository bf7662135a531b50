"""Warps that move down columns for images of one channel and up to 32 bits, otherwise one thread per element."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID

BLOCK = 32, 8
ACROSS, DOWN = 120, 16  # results of a warp, as in plateaus.cu


def launch(gpu, src, dst, top, bottom, step, mode, cval, lowest, reach, inner):
    kind = gpu.ctype(src.dtype)
    wide = "double" if src.dtype.kind == "f" else "long long"
    rest = step, mode, cval, lowest, reach, inner
    if step > 1 or src.dtype.itemsize == 8:  # values of 64 bits take too many registers
        gpu.fill_rows("plateaus", f"plateaus<{kind}, unsigned char, {wide}>", src, dst, top, bottom, *rest)
        return
    kernel = gpu.kernel("plateaus", f"near_plateaus<{kind}, unsigned char, {wide}, {1 if reach else 0}>")
    height = BLOCK[1] * DOWN
    most = MAX_GRID * height
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        grid = -(-src.shape[1] // ACROSS), -(-(last - first) // height)
        kernel(grid, BLOCK, (src, dst, first, last, bottom, *rest))
