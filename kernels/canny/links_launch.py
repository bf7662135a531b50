"""What the launches of hysteresis share: levels packed into words of bits, and a warp for each part of each channel."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID

WARP = 32
WORD = 32  # pixels


def link(gpu, stem, src, dst, top, bottom, step, *args):
    """Pack the levels, link them by a kernel in the parts [top, bottom), and unpack them."""
    rows, cols = src.shape
    shape = (rows * step, -(-cols // (step * WORD)))
    weak, strong = gpu.empty(shape, np.uint32), gpu.empty(shape, np.uint32)
    kind = gpu.ctype(src.dtype)
    gpu.fill_rows("edge_links", f"pack<{kind}, unsigned int>", src, weak, 0, shape[0], strong, step)
    grid = (bottom - top, min(step, GREATEST_GRID))
    gpu.kernel(stem, f"{stem}<unsigned int>")(grid, (WARP, 1), (weak, strong, rows, top, *args))
    gpu.fill_rows("edge_links", f"unpack<unsigned int, {kind}>", weak, dst, 0, rows, strong, step)
