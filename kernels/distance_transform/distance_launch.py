"""Distances down the columns of the slabs, then along their rows."""

import numpy as np

THREADS = 128
GREATEST_GRID = 65535


def launch(gpu, src, dst, top, bottom, image, step, height):
    rows, cols = image.shape
    first, last = top * height, min(bottom * height, rows)
    down = gpu.rows(gpu.empty((last - first, cols), np.dtype(np.int32)), first, rows)
    across = -(-cols // THREADS)
    go_down = gpu.kernel("distance", f"go_down<{gpu.ctype(image.dtype)}, int>")
    for low, high in _pieces(top, bottom):
        go_down((across, high - low), (THREADS, 1), (image, down, low, high, src, height))
    measure = gpu.kernel("distance", "measure<int, float>")
    for low, high in _pieces(first, last):
        measure((across, high - low), (THREADS, 1), (down, dst, low, high, step))


def _pieces(first, last):
    return [(low, min(low + GREATEST_GRID, last)) for low in range(first, last, GREATEST_GRID)]
