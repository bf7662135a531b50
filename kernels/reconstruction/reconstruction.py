"""Morphological reconstruction by dilation, in place: raises pixels to their neighbours, limited by the mask, until
nothing changes. Parts are slabs of ``height`` rows, in which each ``done`` consecutive rows are already reconstructed.

Downward and upward sweeps over the rows alternate [1]: a row is raised to the previous row, then along itself; rows
without changes around them are skipped. This settles large areas fast, but not winding paths: as soon as a sweep raises
few pixels, the rest is flooded from the changed pixels, highest first, so that none is raised twice [2].

.. [1] L. Vincent, "Morphological grayscale reconstruction in image analysis: applications and efficient algorithms",
   IEEE Transactions on Image Processing 2(2), 1993, 176-201.
.. [2] R. Barnes, C. Lehman, D. Mulla, "Priority-flood: an optimal depression-filling and watershed-labeling algorithm
   for digital elevation models", Computers & Geosciences 62, 2014, 117-127.
"""

import numpy as np

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.runs import WORD
from gpuimg.kernels.reconstruction.orders import limited, unsigned_zero
from gpuimg.kernels.reconstruction.raising import raise_row, raised_to, spread

TURNS = 64  # at most
WORTH_A_TURN = 1024  # sweep again if one of this many visited pixels has been raised
FROM_ABOVE, FROM_BELOW = 1, 2  # bits: the row's neighbour has changed since it was visited
FEW = 1024


@kernel
def fill(src, dst, top, bottom, stop, mask, step, connectivity, height, done):
    touched = np.zeros((dst.shape[1] + WORD * step - 1) // (WORD * step), np.uint8)
    for part in range(top, bottom):
        first, last = part * height, min((part + 1) * height, dst.shape[0])
        image, limits = dst[first:last], mask[first:last]
        stale = np.zeros(last - first, np.uint8)
        for row in range(done, last - first, done):
            stale[row] |= FROM_ABOVE
            stale[row - 1] |= FROM_BELOW
        if not take_turns(image, limits, step, connectivity, stale, touched, stop):
            flood(image, limits, step, connectivity, stale, stop)


@kernel
def take_turns(image, mask, step, connectivity, stale, touched, stop):
    """Sweep over the rows downwards and upwards; returns whether reconstruction is complete or stopped."""
    for _ in range(TURNS):
        raised, looked_at = 0, 0
        for place in range(2 * stale.size):
            down = place < stale.size
            row = place if down else 2 * stale.size - 1 - place
            side = FROM_ABOVE if down else FROM_BELOW
            if not stale[row] & side:
                continue
            if is_set(stop):
                return True
            stale[row] &= ~side
            adjacent = row - 1 if down else row + 1
            count = raise_row(image[row], image[adjacent], mask[row], step, connectivity, touched)
            looked_at += 1
            if count:
                raised += count
                spread(image[row], mask[row], step, touched)
                stale[max(row - 1, 0)] |= FROM_BELOW & -(row > 0)
                stale[min(row + 1, stale.size - 1)] |= FROM_ABOVE & -(row + 1 < stale.size)
        if looked_at == 0:
            return True
        if raised * WORTH_A_TURN < looked_at * image.shape[1]:
            break
    return not stale.any()


@kernel
def flood(image, mask, step, connectivity, stale, stop):
    """Raise all pixels that can be raised, highest first, starting from the pixels of stale rows."""
    width = image.shape[1]
    heap, places, count = np.empty(FEW, image.dtype), np.empty(FEW, np.int64), 0
    level = np.empty(FEW, np.int64)  # pixels of the value that is propagated
    for row in range(stale.size):
        for side in (FROM_ABOVE, FROM_BELOW):
            if stale[row] & side:
                adjacent = image[row - 1 if side == FROM_ABOVE else row + 1]
                for x in range(width):
                    value = raised_to(image[row], adjacent, mask[row], step, connectivity, x)
                    if value > image[row, x]:
                        image[row, x] = value
                        heap, places = roomy(heap, count), roomy(places, count)
                        push(heap, places, count, value, row * width + x)
                        count += 1
    # A pixel is raised more often only if the mask changes concurrently.
    for _ in range(4 * image.size):
        if count == 0 or is_set(stop):
            break
        value, level[0] = heap[0], places[0]
        count -= 1
        pop(heap, places, count)
        waiting = 1
        while waiting and not is_set(stop):
            waiting -= 1
            row, x = divmod(level[waiting], width)
            if image[row, x] != value:  # raised since, and propagated
                continue
            for near in range(max(row - 1, 0), min(row + 2, stale.size)):
                for adjacent in range(x - step, x + step + 1, step):
                    if not 0 <= adjacent < width or (connectivity == 1 and near != row and adjacent != x):
                        continue
                    passed = limited(value, unsigned_zero(mask[near, adjacent]))
                    if passed > image[near, adjacent]:
                        image[near, adjacent] = passed
                        if passed == value:
                            level = roomy(level, waiting)
                            level[waiting] = near * width + adjacent
                            waiting += 1
                        else:
                            heap, places = roomy(heap, count), roomy(places, count)
                            push(heap, places, count, passed, near * width + adjacent)
                            count += 1


@kernel
def roomy(memory, count):
    """Memory for at least one element after the first ``count``, grown if needed."""
    if count < memory.size:
        return memory
    more = np.empty(2 * memory.size, memory.dtype)
    more[:count] = memory
    return more


@kernel
def push(heap, places, count, value, place):
    """Add an element to a max-heap of ``count`` elements."""
    at = count
    while at > 0 and heap[(at - 1) // 2] < value:
        heap[at], places[at] = heap[(at - 1) // 2], places[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at], places[at] = value, place


@kernel
def pop(heap, places, count):
    """Remove the first element from a heap; ``count`` are left."""
    value, place = heap[count], places[count]
    at, child = 0, 1
    while child < count:
        if child + 1 < count and heap[child] < heap[child + 1]:
            child += 1
        if heap[child] <= value:
            break
        heap[at], places[at] = heap[child], places[child]
        at, child = child, 2 * child + 1
    heap[at], places[at] = value, place
