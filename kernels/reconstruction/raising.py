"""Raises the pixels of a row to their neighbours, limited by a mask: the steps of morphological reconstruction."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD, bits_set
from gpuimg.kernels.reconstruction.orders import (
    higher,
    limited,
    raise_word_by_corners,
    raise_word_by_sides,
    unsigned_zero,
)


@kernel
def raise_row(line, adjacent, mask, step, connectivity, touched):
    """Raise a row's pixels to their neighbours in another row; returns the number of raised pixels.

    ``touched`` has an element for each `WORD` pixels of the row: 1 if any has been raised.
    """
    width = line.size
    if width < WORD + 2 * step:
        return raise_pixels(line, adjacent, mask, step, connectivity, 0, width, touched)
    raised = raise_pixels(line, adjacent, mask, step, connectivity, 0, step, touched)
    raised += raise_pixels(line, adjacent, mask, step, connectivity, width - step, width, touched)
    for start in range(step, width - step, WORD):
        at = min(start, width - step - WORD)  # the last word may overlap the previous one
        if connectivity == 2:
            bits = raise_word_by_corners(line, adjacent, mask, at, step)
        else:
            bits = raise_word_by_sides(line, adjacent, mask, at, step)
        if bits:
            touched[at // (WORD * step)] = 1
            touched[(at + WORD - 1) // (WORD * step)] = 1
            raised += bits_set(bits)
    return raised


@kernel
def raise_pixels(line, adjacent, mask, step, connectivity, begin, end, touched):
    """`raise_row` for the elements [begin, end)."""
    raised = 0
    for x in range(begin, end):
        best = raised_to(line, adjacent, mask, step, connectivity, x)
        if best > line[x]:
            line[x] = best
            touched[x // (WORD * step)] = 1
            raised += 1
    return raised


@kernel
def raised_to(line, adjacent, mask, step, connectivity, x):
    """The value to which a pixel's neighbours in another row raise it."""
    best = higher(adjacent[x], line[x])
    if connectivity == 2:
        if x >= step:
            best = higher(adjacent[x - step], best)
        if x + step < line.size:
            best = higher(adjacent[x + step], best)
    return limited(best, unsigned_zero(mask[x]))


@kernel
def spread(line, mask, step, touched):
    """Raise a row's pixels to their neighbours in the row, starting from touched blocks."""
    blocks = touched.size
    reached = False
    for block in range(blocks):
        if touched[block] or reached:
            reached = bool(scan_right(line, mask, step, block)) or bool(touched[block])
            touched[block] |= reached
    reached = False
    for block in range(blocks - 1, -1, -1):
        if touched[block] or reached:
            reached = bool(scan_left(line, mask, step, block)) or bool(touched[block])
        touched[block] = 0


@kernel
def scan_right(line, mask, step, block):
    begin, end = max(block * WORD * step, step), min((block + 1) * WORD * step, line.size)
    changed = False
    for first in range(begin, min(begin + step, end)):
        carry = line[first - step]
        for x in range(first, end, step):
            value = line[x]
            passed = limited(carry, unsigned_zero(mask[x]))
            changed |= passed > value
            carry = higher(passed, value)
            line[x] = carry
    return changed


@kernel
def scan_left(line, mask, step, block):
    begin, end = block * WORD * step, min((block + 1) * WORD * step, line.size - step)
    changed = False
    for first in range(end - 1, max(end - 1 - step, begin - 1), -1):
        carry = line[first + step]
        for x in range(first, begin - 1, -step):
            value = line[x]
            passed = limited(carry, unsigned_zero(mask[x]))
            changed |= passed > value
            carry = higher(passed, value)
            line[x] = carry
    return changed
