"""Packs nonzero pixels as bits; see `words`."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD, channel_line
from gpuimg.kernels.skeleton.words import nonzero_bits


@kernel
def fill(src, dst, top, bottom, step):
    each = dst.shape[1] // step
    line = np.empty(src.shape[1] // step, src.dtype)
    for row in range(top, bottom):
        for channel in range(step):
            pack(channel_line(src, row, channel, step, line), dst[row, channel * each : (channel + 1) * each])


@kernel
def pack(line, words):
    whole = line.size // WORD
    for word in range(whole):
        words[word] = nonzero_bits(line, word * WORD)
    bits = np.uint64(0)
    for x in range(whole * WORD, line.size):
        bits |= np.uint64(line[x] != 0) << np.uint64(x - whole * WORD)
    words[whole] = bits
