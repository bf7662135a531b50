"""Maps values by the tables of the four tiles whose centres surround the pixel, with bilinear interpolation; beyond the
outermost centres by the tables of two tiles, and in the corners by that of one."""

import numpy as np

from gpuimg.kernels.exposure.histogram import FEW
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import stored

WIDE = 64  # tile columns from which on it pays to blend whole tables of the tiles above and below


@kernel
def fill(src, dst, top, bottom, tile_rows, tile_cols, tables):
    cols = src.shape[1]
    down, across = (src.shape[0] + tile_rows - 1) // tile_rows, (cols + tile_cols - 1) // tile_cols
    is_wide = tile_cols >= WIDE
    weights = np.arange(tile_cols).astype(np.float32) / np.float32(tile_cols)
    blended = np.empty((across if is_wide else 0, FEW), np.float32)
    for row in range(top, bottom):
        place = row + tile_rows // 2
        weight = np.float32(place % tile_rows) / np.float32(tile_rows)
        above, below = max(place // tile_rows - 1, 0) * across, min(place // tile_rows, down - 1) * across
        for tile in range(len(blended)):
            for value in range(FEW):
                blended[tile, value] = between(tables[above + tile, value], tables[below + tile, value], weight)
        for tile in range(across + 1):
            first = tile * tile_cols - tile_cols // 2
            begin, end = max(first, 0), min(first + tile_cols, cols)
            left, right = max(tile - 1, 0), min(tile, across - 1)
            source, out, along = src[row, begin:end], dst[row, begin:end], weights[begin - first :]
            if is_wide:
                look_up(source, out, along, blended[left], blended[right])
            else:
                upper, lower = (
                    (tables[above + left], tables[above + right]),
                    (tables[below + left], tables[below + right]),
                )
                look_up_four(source, out, along, upper, lower, weight)


@kernel
def between(first, second, weight):
    return first + (second - first) * weight


@kernel
def look_up(source, out, weights, left, right):
    for x in range(source.size):
        value = np.uintp(source[x])
        out[x] = stored(between(left[value], right[value], weights[x]), out)


@kernel
def look_up_four(source, out, weights, upper, lower, weight):
    for x in range(source.size):
        value = np.uintp(source[x])
        left = between(upper[0][value], lower[0][value], weight)
        right = between(upper[1][value], lower[1][value], weight)
        out[x] = stored(between(left, right, weights[x]), out)
