"""Marks pixels connected with marked ones, for launches that pack pixels into words of bits; see `unions.cu`."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import MAX_GRID

BLOCK = 32, 8
WORD = 32  # pixels
GROUP = 32  # words that a warp packs at a time
RUNS = 16  # nodes of a word
MOST_NODES = 1 << 32  # that 32 bits can number


def words(gpu, rows, cols, step):
    """Memory for a bit of each pixel: the rows of the first channel, then those of the next."""
    return gpu.empty((rows * step, -(-cols // (step * WORD))), np.uint32)


def groups(lines, width):
    """The grid of kernels that pack or unpack, for lines of ``width`` words."""
    return -(-width // GROUP), min(-(-lines // BLOCK[1]), MAX_GRID)


def flood(gpu, weak, strong, rows, reach, skip):
    """Find the components of weak pixels and mark those with a strong one; returns the nodes."""
    lines, width = weak.shape
    nodes = lines * width * RUNS + 1
    dtype = np.uint32 if nodes < MOST_NODES else np.uint64
    parents = gpu.empty((nodes,), dtype)
    number = gpu.ctype(dtype)
    bands = -(-rows // WORD) * (lines // rows)
    tiles = -(-width // BLOCK[1]), min(bands, MAX_GRID)
    columns = -(-width // BLOCK[0])
    borders = columns, min(-(-rows // BLOCK[1]), MAX_GRID), min(lines // rows, MAX_GRID)
    gpu.kernel("unions", f"unite_tiles<{number}>")(tiles, BLOCK, (weak, parents, skip, rows, reach))
    gpu.kernel("unions", f"unite_borders<{number}>")(borders, BLOCK, (weak, parents, skip, rows, reach))
    marked = columns, min(-(-lines // BLOCK[1]), MAX_GRID)
    gpu.kernel("unions", f"mark<{number}>")(marked, BLOCK, (weak, parents, strong, skip))
    return parents
