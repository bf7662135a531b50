"""Border modes: folding of indices, and padded rows so that inner loops need no folding."""

from gpuimg.images import MODES
from gpuimg.kernels.lib.functions import kernel

NEAREST = MODES["nearest"].code
MIRROR = MODES["mirror"].code
WRAP = MODES["wrap"].code
CONSTANT = MODES["constant"].code


@kernel
def fold(index, length, mode):
    """Fold ``index`` into [0, length) by the border mode; -1 for the constant."""
    if 0 <= index < length:
        return index
    if mode == CONSTANT:
        return -1
    if mode == NEAREST or length == 1:
        return 0 if index < 0 else length - 1
    if mode == WRAP:
        return index % length
    period = 2 * length - 2 if mode == MIRROR else 2 * length
    index %= period
    if index < length:
        return index
    return period - index if mode == MIRROR else period - 1 - index


@kernel
def pad_row(src, row, padded, before, after, step, mode, cval):
    """Copy row ``row`` of the image, which may be beyond its edge, into ``padded`` with ``before`` and ``after``
    pixels of border. ``padded`` may have a wider type; it needs ``(before + after) * step + src.shape[1]``
    elements."""
    rows, width = src.shape
    cols = width // step
    source = fold(row, rows, mode)
    total = width + (before + after) * step
    if source < 0:
        for x in range(total):
            padded[x] = cval
        return
    line = src[source]
    inner = padded[before * step : before * step + width]
    for x in range(width):
        inner[x] = line[x]
    for col in range(-before, 0):
        pad_pixel(line, col, cols, padded, before, step, mode, cval)
    for col in range(cols, cols + after):
        pad_pixel(line, col, cols, padded, before, step, mode, cval)


@kernel
def pad_pixel(line, col, cols, padded, before, step, mode, cval):
    """One pixel of `pad_row` beyond the edge."""
    source = fold(col, cols, mode)
    for channel in range(step):
        if source < 0:
            padded[(before + col) * step + channel] = cval
        else:
            padded[(before + col) * step + channel] = line[source * step + channel]
