"""Several kernels one after the other for a few rows at a time, so that what lies between them stays in the cache; or
one kernel or several for all images of a stack.

Each row of the plan is a kernel: its compiled entry, the address and number of its argument slots, which row of the
plan makes its image (-1: it lies in memory as a whole), how many rows of it are needed above and below, the bytes in a
row of its result (0: it goes to memory as a whole), and the slot and the maker of another image besides the first (-1:
none). A kernel stands below those it depends on; the last one makes the result.

Each column of ``places`` is an array that is another one for each image: its kernel's row in the plan, its slot there,
and then its address for each image.
"""

import numpy as np

from gpuimg.kernels.lib.addresses import call_entry, is_set, load_word
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.scratch import LINE

ENTRY, SLOTS, COUNT, SOURCE, HALO, ROW_BYTES, BESIDE_SLOT, BESIDE = range(8)
SRC, DST = 0, 3  # slots: an image is its address and its shape
STAGE, SLOT, ADDRESSES = range(3)  # rows of the places; the addresses follow one another


@kernel
def fill(plan, places, top, bottom, stop, rows, at_once):
    """Rows [top, bottom) of the results of the last kernel, ``at_once`` at a time, of images of ``rows`` rows each.

    Leaves off between two kernels once the flag at ``stop`` is set: a row may be millions of pixels wide.
    """
    count = len(plan)
    starts, size = lay_out(plan, at_once, rows)
    scratch = np.empty(size + LINE, np.uint8)
    base = (scratch.ctypes.data + LINE - 1) // LINE * LINE
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
            # An array of which some rows are there has the address that its row 0 would have.
            origins[stage] = base + starts[stage] - lows[stage] * plan[stage, ROW_BYTES]
            if plan[stage, SOURCE] >= 0:
                slots[SRC] = origins[plan[stage, SOURCE]]
            if plan[stage, BESIDE] >= 0:
                slots[plan[stage, BESIDE_SLOT]] = origins[plan[stage, BESIDE]]
            if plan[stage, ROW_BYTES]:
                slots[DST] = origins[stage]
            if not call_entry(plan[stage, ENTRY], slots.ctypes.data, lows[stage], highs[stage]):
                raise MemoryError("a kernel of the chain had no room for its scratch rows")
    scratch[0] = behind_flag[0] = 0  # Numba lets an array go after its last use, and an address is none


@kernel
def lay_out(plan, at_once, rows):
    """Where the rows of each stage begin, and the bytes of all."""
    count = len(plan)
    reach, starts = np.zeros(count, np.int64), np.zeros(count, np.int64)
    size = 0
    for stage in range(count - 1, -1, -1):
        starts[stage] = size
        held = min(at_once + 2 * reach[stage], rows)
        size += (held * plan[stage, ROW_BYTES] + LINE) // LINE * LINE
        for column, halo in ((SOURCE, plan[stage, HALO]), (BESIDE, 0)):
            maker = plan[stage, column]
            if maker >= 0:
                reach[maker] = max(reach[maker], reach[stage] + halo)
    return starts, size


@kernel
def span(plan, top, bottom, rows, lows, highs):
    """The rows that each stage is to make for the rows [top, bottom) of the result."""
    lows[:], highs[:] = rows, 0
    lows[-1], highs[-1] = top, bottom
    for stage in range(len(plan) - 1, -1, -1):
        for column, halo in ((SOURCE, plan[stage, HALO]), (BESIDE, 0)):
            maker = plan[stage, column]
            if maker >= 0:
                lows[maker] = min(lows[maker], max(lows[stage] - halo, 0))
                highs[maker] = max(highs[maker], min(highs[stage] + halo, rows))
