"""One launch for small windows, else two with a scratch image of column sums between them."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID, STRIP_WORDS, THREADS, along_rows, far_along_rows, strip_for

SHARED_BYTES = 48 << 10
EXACT_FLOAT32 = 1 << 22  # as on the CPU
FITS_UINT16 = 1 << 16
FEW = 3, 5  # rows and columns of windows with specialised kernels
BYTES_ROWS, BYTES_WORDS = 16, 120  # of results in a block's strip; whole sectors of 32 bytes


def launch(gpu, src, dst, top, bottom, step, mode, cval, n0, n1):
    rows, cols = src.shape
    bound = n0 * n1 * (1 if src.dtype.kind == "f" else max(-int(np.iinfo(src.dtype).min), int(np.iinfo(src.dtype).max)))
    wide = np.dtype(np.int32 if src.dtype.kind in "iu" and bound < 1 << 31 else np.float64)
    kind = gpu.ctype(src.dtype)
    if launch_near(gpu, src, dst, top, bottom, (step, mode, cval, n0, n1), kind, bound):
        return
    held = gpu.rows(gpu.empty((bottom - top, cols), wide), top, rows)
    sums = gpu.ctype(wide)
    groups = -(-bottom // n0) - top // n0
    down = gpu.kernel("uniform", f"columns<{kind}, {sums}>")
    down((-(-cols // THREADS), min(groups, GREATEST_GRID)), (THREADS, 1), (src, held, top, bottom, mode, cval, n0))
    small = int(bound < EXACT_FLOAT32)
    args = (held, dst, top, bottom, step, mode, cval, n0, n1, small, src)
    fitting = along_rows(cols, bottom - top, (n1 - 1) * step, SHARED_BYTES // (3 * wide.itemsize))
    if fitting is None:
        parts = gpu.rows(gpu.empty((bottom - top, cols), wide), top, rows)
        grid = far_along_rows(cols, bottom - top, step, n1)
        gpu.kernel("uniform", f"along_far<{sums}, {kind}>")(grid, (THREADS, 1), (*args, parts))
    else:
        span, grid = fitting
        shared = 3 * span * wide.itemsize
        gpu.kernel("uniform", f"along<{sums}, {kind}>")(grid, (THREADS, 1), (*args, span), shared)


def launch_near(gpu, src, dst, top, bottom, args, kind, bound):
    """Launch once if the window is small enough; returns whether it is."""
    step, mode, cval, n0, n1 = args
    rows, cols, halo = bottom - top, src.shape[1], (n1 - 1) * step
    few = n0 == n1 and n0 in FEW
    if few and src.dtype == np.uint8 and step in (1, 3, 4) and cols % 4 == 0:
        across, down = -(-cols // (4 * BYTES_WORDS)), -(-rows // BYTES_ROWS)
        shared = (2 * BYTES_ROWS + BYTES_ROWS + n0 - 1) * STRIP_WORDS * 4
        args = (src, dst, top, bottom, step, mode, cval, BYTES_ROWS, BYTES_WORDS)
        gpu.kernel("uniform", f"few_bytes<{n0}>")((across, min(down, GREATEST_GRID)), (STRIP_WORDS, 1), args, shared)
        return True
    if src.dtype == np.uint8 and n0 * n1 > 1 and bound + n0 * n1 // 2 < FITS_UINT16:
        name, strip = f"bytes<{kind}>", strip_for(cols, rows, 1, n0, halo, (1, 1))
    elif few and src.dtype.kind == "f":
        name, strip = f"few<{kind}, {n0}>", strip_for(cols, rows, src.dtype.itemsize, n0, halo, (0, 1))
    else:
        wide = src.dtype if src.dtype.kind == "f" else np.dtype(np.int32)
        name, strip = f"near<{kind}, {gpu.ctype(wide)}>", strip_for(cols, rows, wide.itemsize, n0, halo, (2, 0))
    if strip is None:
        return False
    sizes = () if name.startswith("few<") else (n0, n1)
    args = (src, dst, top, bottom, step, mode, cval, *sizes, strip.height, strip.words)
    shared = strip.shared + halo * max(src.dtype.itemsize, 4)  # `few` reads beyond the last row
    gpu.kernel("uniform", name)(strip.grid, (strip.threads, 1), args, shared)
    return True
