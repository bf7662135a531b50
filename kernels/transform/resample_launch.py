"""Sums of rows, then of columns: by tiles or with a scratch image; for bytes into floats, colours times alpha."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import MAX_GRID

TILE = (256, 16)  # columns and rows, as in the kernels
LINES = 4  # of sums in shared memory at once
MOST_SHARED = 46 << 10  # bytes


def launch(gpu, src, dst, top, bottom, step, overshoot, reach, i0, w0, q0, i1, w1, q1):
    if src.dtype == np.uint8 and dst.dtype == np.float32:
        product = gpu.empty(src.shape, np.dtype(np.uint16))
        gpu.launch("premultiply", src, product, 0, src.shape[0], step, 255.0)
        src = product
    kind, result = gpu.ctype(src.dtype), gpu.ctype(dst.dtype)
    fixed = src.dtype == np.uint8
    wide = np.dtype(np.int32 if fixed else np.float64 if src.dtype == np.float64 else np.float32)
    sums, last = gpu.ctype(wide), (7 if overshoot else 8) if fixed else overshoot
    down, along = ((i0, q0), (i1, q1)) if fixed else ((i0, w0), (i1, w1))
    shared = reach * step * LINES * wide.itemsize
    if shared <= MOST_SHARED:
        name = f"fixed_tiles<{kind}>" if fixed else f"tiles_of<{kind}, {sums}, {result}>"
        kernel, most = gpu.kernel("resample", name), MAX_GRID * TILE[1]
        for first in range(top, bottom, most):
            end = min(first + most, bottom)
            grid = (-(-dst.shape[1] // TILE[0]), -(-(end - first) // TILE[1]))
            kernel(grid, (TILE[0], 1), (src, dst, first, end, step, *down, *along, last), shared)
        return
    held = gpu.rows(gpu.empty((bottom - top, src.shape[1]), wide), top, dst.shape[0])
    rows, cols = (
        (f"fixed_rows<{kind}>", f"fixed_cols<{kind}>")
        if fixed
        else (f"rows_of<{kind}, {sums}>", f"cols_of<{sums}, {result}>")
    )
    gpu.fill_rows("resample", rows, src, held, top, bottom, *down, last)
    gpu.fill_rows("resample", cols, held, dst, top, bottom, step, *along, last)
