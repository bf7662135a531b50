"""Two launches of the floating-point Gaussian, in mode "constant" `normalize`, then gradient and suppression."""

from gpuimg.images import MODES
from gpuimg.kernels.lib.rows_launch import MAX_GRID
from gpuimg.kernels.smooth import gaussian_launch as gaussian

BLOCK, HEIGHT = (32, 8), 32  # rows of a warp's results, as in edge_maxima.cu
MOST_APART = 8  # elements of a pixel up to which lanes of a warp exchange magnitudes
BEYOND = 2  # rows: one for the neighbours' magnitudes, one for their gradients


def launch(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, outside, low, high):
    rows = src.shape[0]
    low_row, high_row = max(top - BEYOND, 0), min(bottom + BEYOND, rows)
    wide = gaussian.wide_type(src.dtype)
    real = gpu.ctype(wide)
    held, smooth = (gaussian.scratch(gpu, src, low_row, high_row, wide) for _ in range(2))
    gaussian.smooth(gpu, src, held, smooth, low_row, high_row, step, mode, cval, r0, r1, w0, w1)
    if mode == MODES["constant"].code:
        gpu.fill_rows("normalize", f"normalize<{real}, {real}>", smooth, held, low_row, high_row, step, w0, w1, outside)
        smooth = held
    if step > MOST_APART:
        gpu.fill_rows("edge_maxima", f"edge_maxima<{real}, unsigned char>", smooth, dst, top, bottom, step, low, high)
        return
    kernel = gpu.kernel("edge_maxima", f"near_edge_maxima<{real}, unsigned char>")
    across, most = -(-src.shape[1] // (BLOCK[0] - 2 * step)), MAX_GRID * BLOCK[1] * HEIGHT
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        kernel((across, -(-(last - first) // (BLOCK[1] * HEIGHT))), BLOCK, (smooth, dst, first, last, step, low, high))
