"""Two launches with a scratch image of column sums between them."""

import numpy as np

THREADS = 128
SPAN = 1024  # elements of a row in shared memory, where that is enough for the window
GREATEST_SPAN = 2048  # three rows of doubles fill the shared memory that every device has
GREATEST_GRID = 65535
EXACT_FLOAT32 = 1 << 22  # as on the CPU


def launch(gpu, src, dst, top, bottom, step, mode, cval, n0, n1):
    rows, cols = src.shape
    bound = n0 * n1 * (1 if src.dtype.kind == "f" else max(-int(np.iinfo(src.dtype).min), int(np.iinfo(src.dtype).max)))
    wide = np.dtype(np.int32 if src.dtype.kind in "iu" and bound < 1 << 31 else np.float64)
    held = gpu.rows(gpu.empty((bottom - top, cols), wide), top, rows)
    kind, sums = gpu.ctype(src.dtype), gpu.ctype(wide)
    groups = -(-(bottom - top) // n0)
    down = gpu.kernel("uniform", f"columns<{kind}, {sums}>")
    down((-(-cols // THREADS), min(groups, GREATEST_GRID)), (THREADS, 1), (src, held, top, bottom, mode, cval, n0))
    halo = (n1 - 1) * step
    span = SPAN if 2 * halo <= SPAN else GREATEST_SPAN
    small = int(bound < EXACT_FLOAT32)
    along = gpu.kernel("uniform", f"along<{sums}, {kind}>")
    blocks = -(-cols // (span - halo))
    args = (held, dst, top, bottom, step, mode, cval, n0, n1, span, small)
    along((blocks, min(bottom - top, GREATEST_GRID)), (THREADS, 1), args, 3 * span * wide.itemsize)
