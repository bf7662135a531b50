"""One launch for small windows, else two with a scratch image of column sums between them."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import MAX_GRID, STRIP_WORDS, THREADS, along_rows, far_along_rows, strip_for

SHARED_BYTES = 48 << 10
EXACT_FLOAT32 = 1 << 22  # as on the CPU
FITS_UINT16 = 1 << 16
# Rows and columns of windows with specialised kernels, and distances of pixels.
FEW = {"float64": (3, 5), **dict.fromkeys(("uint8", "uint16", "int16", "float32"), (3, 5, 7, 9, 11, 13))}
FEW_STEPS = 1, 3, 4
FEW_PITCH, FEW_BEYOND = STRIP_WORDS + 4, 8  # of rows of sums; words that are read after the last
WIDEST = 1 << 28  # rows of fewer elements have a 32-bit pitch
BYTES_ROWS, BYTES_ROWS_HIGHER = 16, 24  # of results in a block's strip, for windows of up to 5 rows and for others


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
    down((-(-cols // THREADS), min(groups, MAX_GRID)), (THREADS, 1), (src, held, top, bottom, mode, cval, n0))
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
    few = n0 == n1 and n0 in FEW.get(src.dtype.name, ()) and step in FEW_STEPS and src.shape[1] < WIDEST
    if few and src.dtype == np.uint8 and src.shape[1] % 4 == 0:
        launch_bytes(gpu, src, dst, top, bottom, args)
        return True
    if src.dtype == np.uint8 and n0 * n1 > 1 and bound + n0 * n1 // 2 < FITS_UINT16:
        name, strip = f"bytes<{kind}>", strip_for(cols, rows, 1, n0, halo, (1, 1))
    else:
        wide = src.dtype if src.dtype.kind == "f" else np.dtype(np.int32)
        few = few and src.dtype != np.uint8
        name = f"few<{kind}, {n0}>" if few else f"near<{kind}, {gpu.ctype(wide)}>"
        strip = strip_for(cols, rows, wide.itemsize, n0, halo, (0, 1) if few else (2, 0))
    if strip is None:
        return False
    if name.startswith("few<"):
        sizes, shared = (), (strip.height * FEW_PITCH + halo + FEW_BEYOND) * wide.itemsize
    else:
        sizes, shared = (n0, n1), strip.shared
    args = (src, dst, top, bottom, step, mode, cval, *sizes, strip.height, strip.words)
    gpu.kernel("uniform", name)(strip.grid, (strip.threads, 1), args, shared)
    return True


def launch_bytes(gpu, src, dst, top, bottom, args):
    step, mode, cval, size, _ = args
    height = BYTES_ROWS if size <= 5 else BYTES_ROWS_HIGHER
    before = (size // 2 * step + 3) // 4
    words = (STRIP_WORDS - 2 * before) // 8 * 8  # whole sectors of 32 bytes
    grid = -(-src.shape[1] // (4 * words)), min(-(-(bottom - top) // height), MAX_GRID)
    shared = (2 * height + height + size - 1) * STRIP_WORDS * 4
    args = (src, dst, top, bottom, step, mode, cval, height, words)
    gpu.kernel("uniform", f"few_bytes<{size}>")(grid, (STRIP_WORDS, 1), args, shared)
