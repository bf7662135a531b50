"""Rounds over the whole image until all peaks are decided."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import MAX_GRID

READS_BACK = True
BLOCK, ROWS = (32, 8), 4
ROUNDS = 8  # between the host's checks whether any peak is still undecided


def launch(gpu, src, dst, top, bottom, step, distance):
    rows, cols = dst.shape
    reach = min(distance - 1, cols // step) * step  # elements
    undecided = gpu.empty((ROUNDS,), np.int64)
    kernel = gpu.kernel("peak_spacing", "peak_spacing<unsigned char, unsigned char>")
    each = BLOCK[1] * ROWS
    bands = [(first, min(first + MAX_GRID * each, rows)) for first in range(0, rows, MAX_GRID * each)]
    left = True
    while left:
        gpu.zero(undecided)
        for number in range(ROUNDS):
            for first, last in bands:
                grid = -(-cols // BLOCK[0]), -(-(last - first) // each)
                kernel(grid, BLOCK, (dst, dst, first, last, undecided, step, distance, reach, number))
        left = gpu.get(undecided)[-1] != 0
    gpu.fill_rows("peak_spacing", "settled_peaks<unsigned char, unsigned char>", dst, dst, 0, rows)
