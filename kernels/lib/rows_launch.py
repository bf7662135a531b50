"""Shared code of launches that sum or compare along rows in shared memory."""

from typing import NamedTuple

THREADS = 128
MAX_GRID = 65535


def along_rows(cols, rows, halo, most):
    """The elements of a row in shared memory at a time, at most ``most`` including ``halo``, and the grid.

    None if the halo leaves too few results.
    """
    if 2 * halo >= most:
        return None
    span = max(1, min(most, cols + halo, max(1024, 3 * halo)))
    return span, (-(-cols // (span - halo)), min(rows, MAX_GRID))


def far_along_rows(cols, rows, step, size):
    """The grid with a thread for each channel of each group of ``size`` pixels."""
    threads = -(-cols // (size * step)) * step
    return -(-threads // THREADS), min(rows, MAX_GRID)


def fill_columns(gpu, stem, name, src, dst, columns, top, bottom, blocks):
    """Launch a thread for each of the columns in blocks [top, bottom) of ``blocks``."""
    first, last = top * columns // blocks, bottom * columns // blocks
    if last > first:
        gpu.kernel(stem, name)((-(-(last - first) // THREADS), 1), (THREADS, 1), (src, dst, first, last))


STRIP_WORDS = 128  # of a row, as in strips.cuh
STRIP_BYTES = 44 << 10  # with the kernels' static shared memory, less than 48 KiB
NEAR_ROWS = 31  # highest window for which a strip pays
LOW, HIGH = 32, 40  # rows of results in a strip: higher windows need more of them to pay
LEAST_ROWS, LEAST_WORDS = 16, 64
MANY_BLOCKS = 512  # images with fewer blocks get lower strips
AT_ONCE = 8  # rows that a thread processes at a time; it may run past the last row by as many


class Strip(NamedTuple):
    """Launch parameters of a kernel of strips.cuh: a block's rows and words of results, its shared memory in bytes."""

    grid: tuple[int, int]
    threads: int
    height: int
    words: int
    shared: int


def strip_for(cols, rows, itemsize, n0, halo, planes=(1, 0)):
    """Strips for windows of ``n0`` rows and ``halo`` elements after the first; None if the window is too large.

    ``planes`` is the number of words per word of the strip, with and without the rows around it.
    """
    elements, size = max(4 // itemsize, 1), STRIP_WORDS * max(itemsize, 4)
    # Aligned words of the image and of the result begin up to ``elements`` - 1 elements earlier.
    around = halo if elements == 1 else (2 * elements - 2 + halo) // elements + 1
    words = STRIP_WORDS - around
    words -= words % 8  # 32-byte sectors of memory
    reach = n0 + AT_ONCE - 1
    height = min((STRIP_BYTES // size - planes[0] * reach) // sum(planes), LOW if n0 < LOW // 3 else HIGH)
    height -= height % AT_ONCE
    if n0 > NEAR_ROWS or words < LEAST_WORDS or height < LEAST_ROWS:
        return None
    across = -(-(cols + elements - 1) // (words * elements))
    while height > LEAST_ROWS and across * -(-rows // height) < MANY_BLOCKS:
        height -= AT_ONCE
    shared = (planes[0] * (height + reach) + planes[1] * height) * size
    return Strip((across, min(-(-rows // height), MAX_GRID)), STRIP_WORDS, height, words, shared)
