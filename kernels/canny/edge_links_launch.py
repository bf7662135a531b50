"""Packs levels into words of bits, finds connected components, and unpacks the levels: the whole image at once."""

import numpy as np

from gpuimg.kernels.lib.unions_launch import BLOCK, flood, groups, words


def launch(gpu, src, dst, top, bottom, step, height, reach):
    rows, cols = src.shape
    weak, strong = words(gpu, rows, cols, step), words(gpu, rows, cols, step)
    grid, kind = groups(*weak.shape), gpu.ctype(src.dtype)
    skip = gpu.empty((1,), np.int64)
    gpu.zero(skip)
    gpu.kernel("edge_links", f"pack<{kind}, unsigned int>")(grid, BLOCK, (src, weak, strong, step))
    parents = flood(gpu, weak, strong, rows, reach, skip)
    unpack = gpu.kernel("edge_links", f"unpack<{kind}, {gpu.ctype(parents.dtype)}>")
    unpack(grid, BLOCK, (weak, dst, parents, step))
