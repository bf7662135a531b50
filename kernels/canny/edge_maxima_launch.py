"""The Gaussian's two launches in floating point, in mode "constant" `normalize`, then gradient and suppression."""

import numpy as np

from gpuimg.images import MODES
from gpuimg.kernels.smooth.gaussian_launch import smooth as smooth_by_way_of

BEYOND = 2  # rows: one for the neighbours' magnitudes, one for their gradients


def launch(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, outside, low, high):
    rows, cols = src.shape
    first, last = max(top - BEYOND, 0), min(bottom + BEYOND, rows)
    wide = np.dtype(np.float64 if src.dtype == np.float64 else np.float32)
    real = gpu.ctype(wide)
    held, smooth = (gpu.rows(gpu.empty((last - first, cols), wide), first, rows) for _ in range(2))
    smooth_by_way_of(gpu, src, held, smooth, first, last, step, mode, cval, r0, r1, w0, w1)
    if mode == MODES["constant"].code:
        gpu.fill_rows("normalize", f"normalize<{real}, {real}>", smooth, held, first, last, step, w0, w1, outside)
        smooth = held
    gpu.fill_rows("edge_maxima", f"edge_maxima<{real}, unsigned char>", smooth, dst, top, bottom, step, low, high)
