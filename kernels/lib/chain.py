"""Run several kernels in sequence on a few rows at a time, so that intermediate rows stay in the cache; or run one or
more kernels on all images of a stack.

Each row of the plan is a kernel: its compiled entry, the address and number of its argument slots, the plan row that
produces its image (-1: the whole image is in memory), the halo in rows above and below, the bytes per row of its
result (0: the whole result is in memory), and the slot and the producer of a second image (-1: none). A kernel comes
after those it depends on; the last one makes the result.

Each column of ``places`` is an array that differs between images: its kernel's row in the plan, its slot there, then
its address for each image.
"""

import numpy as np

from gpuimg.kernels.lib.addresses import LINE_BYTES, call_entry, is_set, load_word
from gpuimg.kernels.lib.borders import kernel

ENTRY, SLOTS, COUNT, SOURCE, HALO, ROW_BYTES, BESIDE_SLOT, BESIDE = range(8)
SRC, DST = 0, 3  # slots: an image is its address and its shape
STAGE, SLOT, ADDRESSES = range(3)  # rows of ``places``; one row of addresses for each image


@kernel
def fill(plan, places, top, bottom, stop, rows, at_once):
    """Compute rows [top, bottom) of the last kernel's results, ``at_once`` at a time, for images of ``rows`` rows each.

    Returns early, between two kernels, once the flag at ``stop`` is set: a row may be millions of pixels wide.
    """
    count = len(plan)
    starts, size = lay_out(plan, at_once, rows)
    scratch = np.empty(size + LINE_BYTES, np.uint8)
    base = (scratch.ctypes.data + LINE_BYTES - 1) // LINE_BYTES * LINE_BYTES
    behind_flag = np.empty(1 + plan[:, COUNT].max(), np.int64)
    behind_flag[0] = stop
    slots = behind_flag[1:]
    lows, highs, origins = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    begin = top
    while begin < bottom:
        image, first = begin // rows, begin % rows
        last = min(first + at_once, rows, first + bottom - begin)
        begin += last - first
        span(plan, first, last, rows, lows, highs)
        for stage in range(count):
            if is_set(stop):
                return
            for slot in range(plan[stage, COUNT]):
                slots[slot] = load_word(plan[stage, SLOTS] + 8 * slot)
            for place in range(places.shape[1]):
                if places[STAGE, place] == stage:
                    slots[places[SLOT, place]] = places[ADDRESSES + image, place]
            # An array that holds only some rows is addressed by where its row 0 would be.
            origins[stage] = base + starts[stage] - lows[stage] * plan[stage, ROW_BYTES]
            if plan[stage, SOURCE] >= 0:
                slots[SRC] = origins[plan[stage, SOURCE]]
            if plan[stage, BESIDE] >= 0:
                slots[plan[stage, BESIDE_SLOT]] = origins[plan[stage, BESIDE]]
            if plan[stage, ROW_BYTES]:
                slots[DST] = origins[stage]
            if not call_entry(plan[stage, ENTRY], slots.ctypes.data, lows[stage], highs[stage]):
                raise MemoryError("a kernel of the chain had no room for its scratch rows")
    scratch[0] = behind_flag[0] = 0  # Numba frees an array after its last use, and an address does not count as one


@kernel
def lay_out(plan, at_once, rows):
    """The offset of each stage's rows, and the total number of bytes."""
    count = len(plan)
    reach, starts = np.zeros(count, np.int64), np.zeros(count, np.int64)
    size = 0
    for stage in range(count - 1, -1, -1):
        starts[stage] = size
        held = min(at_once + 2 * reach[stage], rows)
        size += (held * plan[stage, ROW_BYTES] + LINE_BYTES) // LINE_BYTES * LINE_BYTES
        for column, halo in ((SOURCE, plan[stage, HALO]), (BESIDE, 0)):
            maker = plan[stage, column]
            if maker >= 0:
                reach[maker] = max(reach[maker], reach[stage] + halo)
    return starts, size


@kernel
def span(plan, top, bottom, rows, lows, highs):
    """The rows that each stage computes for rows [top, bottom) of the result."""
    lows[:], highs[:] = rows, 0
    lows[-1], highs[-1] = top, bottom
    for stage in range(len(plan) - 1, -1, -1):
        for column, halo in ((SOURCE, plan[stage, HALO]), (BESIDE, 0)):
            maker = plan[stage, column]
            if maker >= 0:
                lows[maker] = min(lows[maker], max(lows[stage] - halo, 0))
                highs[maker] = max(highs[maker], min(highs[stage] + halo, rows))
