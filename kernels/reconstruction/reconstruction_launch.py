"""Masks of two values by connected components, all others by a queue of tiles; the device decides which."""

import numpy as np

from gpuimg.kernels.lib.unions_launch import BLOCK, flood, groups, words

TILE, STATES = 32, 4  # as in reconstruction.cu
THREADS, PACKS = 256, 4
WARPS = 24  # per multiprocessor, one tile each


def launch(gpu, src, dst, top, bottom, mask, step, connectivity, height, done):
    if done > 1:  # slabs are for CPU threads: here the first call processes the whole image
        return
    if dst.shape[0] * dst.shape[1] == 0:
        return
    facts = gpu.empty((2 + step,), np.int64)
    gpu.zero(facts)
    answer_two_values(gpu, dst, mask, step, connectivity, facts)
    settle(gpu, dst, mask, step, connectivity, facts)


def answer_two_values(gpu, dst, mask, step, connectivity, facts):
    rows, cols = dst.shape
    kind = gpu.ctype(dst.dtype)
    each = THREADS * PACKS * 16 // dst.dtype.itemsize
    gpu.kernel("reconstruction", f"two_values<{kind}>")((rows * cols // each + 1, 1), (THREADS, 1), (mask, facts))
    weak, strong = words(gpu, rows, cols, step), words(gpu, rows, cols, step)
    grid = groups(*weak.shape)
    gpu.kernel("reconstruction", f"pack_values<{kind}>")(grid, BLOCK, (dst, mask, facts, weak, strong, step))
    parents = flood(gpu, weak, strong, rows, connectivity - 1, facts)
    unpack = gpu.kernel("reconstruction", f"unpack_values<{kind}, {gpu.ctype(parents.dtype)}>")
    unpack(grid, BLOCK, (weak, dst, mask, facts, parents, step))


def settle(gpu, dst, mask, step, connectivity, facts):
    rows, cols = dst.shape
    tiles = -(-rows // TILE) * -(-cols // (TILE * step)) * step
    blocks = WARPS * gpu.multiprocessors
    queue = gpu.empty((STATES + 2 * tiles + blocks,), np.uint32)
    gpu.zero(queue)
    kernel = gpu.kernel("reconstruction", f"settle<{gpu.ctype(dst.dtype)}, {connectivity}>")
    kernel((blocks, 1), (TILE, 1), (dst, mask, facts, queue, step))
