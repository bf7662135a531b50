"""Distances down the columns of the slabs, then along their rows."""

import numpy as np


def launch(gpu, src, dst, top, bottom, image, step, height):
    rows, cols = image.shape
    first, last = top * height, min(bottom * height, rows)
    down = gpu.rows(gpu.empty((last - first, cols), np.dtype(np.int32)), first, rows)
    gpu.fill_rows("distance", f"go_down<{gpu.ctype(image.dtype)}, int>", image, down, top, bottom, src, height)
    gpu.fill_rows("distance", "measure<int, float>", down, dst, first, last, step)
