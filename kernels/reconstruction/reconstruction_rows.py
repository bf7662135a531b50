"""First step of morphological reconstruction: limits the seed by the mask and reconstructs each row independently.

``exceeding`` receives for each row the number of seed values that exceed the mask. A pixel that is NaN in either image
is NaN from here on.
"""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD
from gpuimg.kernels.reconstruction.orders import limited, unsigned_zero
from gpuimg.kernels.reconstruction.raising import spread


@kernel
def fill(src, dst, top, bottom, mask, step, exceeding):
    touched = np.empty((src.shape[1] + WORD * step - 1) // (WORD * step), np.uint8)
    for row in range(top, bottom):
        exceeding[row, 0] = limit_row(src[row], mask[row], dst[row])
        touched[:] = 1
        spread(dst[row], mask[row], step, touched)


@kernel
def limit_row(seed, mask, line):
    count = 0
    for x in range(line.size):
        value, limit = unsigned_zero(seed[x]), unsigned_zero(mask[x])
        count += value > limit
        line[x] = limited(value, limit) if limit == limit else limit
    return count
