"""Sets pixels whose labels are marked in ``bits`` to ``value``; see `border_labels`."""

import numpy as np

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, labels, bits, step, value):
    cleared, marked = dst.dtype.type(value), bits[0]
    for row in range(top, bottom):
        for channel in range(step):
            clear(src[row], labels[row], marked, step, channel, cleared, dst[row])


@kernel
def clear(line, labels, bits, step, channel, value, out):
    for x in range(channel, out.size, step):
        place = np.uint64(labels[x]) * np.uint64(step) + np.uint64(channel)
        is_marked = bits[place >> np.uint64(5)] >> np.uint32(place & np.uint64(31)) & np.uint32(1)
        out[x] = value if is_marked else line[x]
