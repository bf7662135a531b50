"""Nearest-neighbour interpolation: single samples, with rows and columns given by tables."""

import numpy as np

from gpuimg.kernels.lib.addresses import copy_elements
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.gathers import copy_4, copy_16


@kernel
def fill(src, dst, top, bottom, step, i0, i1):
    columns = np.empty(len(i1), np.uint32)
    for col in range(columns.size):
        columns[col] = i1[col, 0] * step
    size = step * src.itemsize
    # Pixels that may be copied with extra bytes, which the next pixels overwrite.
    chunk = 4 if size <= 4 else 16
    more = (chunk + src.itemsize - 1) // src.itemsize
    loose = 0
    while step > 1 and size <= 16 and loose + more < columns.size and columns[loose] + more <= src.shape[1]:
        loose += 1
    for row in range(top, bottom):
        source, target = src[i0[row, 0]], dst[row]
        if row > top and i0[row, 0] == i0[row - 1, 0]:
            copy_elements(dst[row - 1], target)
        elif step == 1:
            pick_single(source, columns, target)
        else:
            for col in range(loose):
                if chunk == 4:
                    copy_4(source, columns[col], target, col * step)
                else:
                    copy_16(source, columns[col], target, col * step)
            for col in range(loose, columns.size):
                for channel in range(step):
                    target[col * step + channel] = source[columns[col] + channel]


@kernel
def pick_single(source, columns, target):
    for x in range(target.size):
        target[x] = source[columns[x]]
