"""The Gaussian's two launches in floating point, in mode "constant" `normalize`, then gradient and suppression."""

from gpuimg.images import MODES
from gpuimg.kernels.smooth import gaussian_launch as gaussian

BEYOND = 2  # rows: one for the neighbours' magnitudes, one for their gradients


def launch(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, outside, low, high):
    rows = src.shape[0]
    first, last = max(top - BEYOND, 0), min(bottom + BEYOND, rows)
    wide = gaussian.wide_type(src.dtype)
    real = gpu.ctype(wide)
    held, smooth = (gaussian.scratch(gpu, src, first, last, wide) for _ in range(2))
    gaussian.smooth(gpu, src, held, smooth, first, last, step, mode, cval, r0, r1, w0, w1)
    if mode == MODES["constant"].code:
        gpu.fill_rows("normalize", f"normalize<{real}, {real}>", smooth, held, first, last, step, w0, w1, outside)
        smooth = held
    gpu.fill_rows("edge_maxima", f"edge_maxima<{real}, unsigned char>", smooth, dst, top, bottom, step, low, high)
