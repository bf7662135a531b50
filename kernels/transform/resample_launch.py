"""Sums of rows into a scratch image, then of columns; of bytes into floats, of colours times alpha."""

import numpy as np


def launch(gpu, src, dst, top, bottom, step, overshoot, i0, w0, q0, i1, w1, q1):
    if src.dtype == np.uint8 and dst.dtype == np.float32:
        product = gpu.empty(src.shape, np.dtype(np.uint16))
        gpu.launch("premultiply", src, product, 0, src.shape[0], step, 255.0)
        src = product
    kind = gpu.ctype(src.dtype)
    fixed = src.dtype == np.uint8
    bits = 7 if overshoot else 8
    wide = np.dtype(np.int32 if fixed else np.float64 if src.dtype == np.float64 else np.float32)
    held = gpu.rows(gpu.empty((bottom - top, src.shape[1]), wide), top, dst.shape[0])
    if fixed:
        gpu.fill_rows("resample", f"fixed_rows<{kind}>", src, held, top, bottom, i0, q0, bits)
        gpu.fill_rows("resample", f"fixed_cols<{kind}>", held, dst, top, bottom, step, i1, q1, bits)
    else:
        sums = gpu.ctype(wide)
        gpu.fill_rows("resample", f"rows_of<{kind}, {sums}>", src, held, top, bottom, i0, w0, overshoot)
        columns = f"cols_of<{sums}, {gpu.ctype(dst.dtype)}>"
        gpu.fill_rows("resample", columns, held, dst, top, bottom, step, i1, w1, overshoot)
