"""Unpacks bits to a mask; see `words`."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD
from gpuimg.kernels.skeleton.words import ONE, store_bits


@kernel
def fill(src, dst, top, bottom, step):
    each = src.shape[1] // step
    cols = dst.shape[1] // step
    whole = cols // WORD if step == 1 else 0
    for row in range(top, bottom):
        for word in range(whole):
            store_bits(src[row, word], dst[row], word * WORD)
        for channel in range(step):
            for x in range(whole * WORD, cols):
                bits = src[row, channel * each + x // WORD]
                dst[row, x * step + channel] = (bits >> np.uint64(x % WORD)) & ONE
