"""Floods an image from markers in the order of `gpuimg.kernels.watershed`, a part for each channel.

``dst`` receives the labels. Pixels wait in bucket lists of similar values [1], linked through ``lengths``; then, if the
values of a list differ, in a heap; then, those of one value, in a queue. ``levels`` is for devices, as are the further
steps: ``waiting`` says that there are none.

.. [1] R. Barnes, C. Lehman, D. Mulla, "Priority-flood: an optimal depression-filling and watershed-labeling algorithm
   for digital elevation models", Computers & Geosciences 62, 2014, 117-127.
"""

import numpy as np
from numba import types
from numba.extending import overload

from gpuimg.kernels.lib.addresses import is_set
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.reconstruction.reconstruction import pop, push, roomy

OUTSIDE = np.int32(-(1 << 31))  # of the mask
LISTS = 1 << 16
LABEL_BITS, PLACE_BITS = 32, 30
PLACES = (1 << PLACE_BITS) - 1
FEW = 1024
NONE = -1


@kernel
def fill(src, dst, top, bottom, stop, markers, step, connectivity, levels, lengths, waiting):
    for channel in range(top, bottom):
        waiting[channel, 0] = 0
        flood(src, dst.ravel(), markers.ravel(), lengths.ravel(), channel, step, connectivity, stop)


@kernel
def flood(image, labels, markers, links, channel, step, connectivity, stop):
    values = image.ravel()
    scale = start(values, labels, markers, channel, step)
    heads = np.full(LISTS, NONE, np.int32)
    for place in range(channel, values.size, step):
        if labels[place] != 0 and labels[place] != OUTSIDE:
            wait(heads, links, place, values[place], scale)
    heap = np.empty(FEW, np.float64), np.empty(FEW, np.int64)
    queue, count = np.empty(FEW, np.int64), 0
    neighbours = moves(image.shape[1], step, connectivity)
    for each in range(LISTS):
        for _ in range(values.size + 1):
            if heads[each] == NONE and count == 0:
                break
            level, queue, queued, heap, count = lowest(values, labels, markers, links, heads[each], queue, heap, count)
            heads[each] = NONE
            if queued == 0:  # NaN, if the image changes concurrently
                break
            if queued > 1:
                queue[:queued].sort()
            queue = rise(image, labels, level, links, heads, scale, queue, queued, step, neighbours, stop)
            if is_set(stop):
                return
    for place in range(channel, values.size, step):
        if labels[place] == OUTSIDE:
            labels[place] = 0


@kernel
def rise(image, labels, level, links, heads, scale, queue, queued, step, neighbours, stop):
    """Flood all pixels that water of one level reaches; higher pixels around them wait. Returns the queue's memory."""
    rows, width = image.shape
    values = image.ravel()
    first = 0
    while first < queued and not is_set(stop):
        place = queue[first] & PLACES
        first += 1
        row = np.uint32(place) // np.uint32(width)
        x = place - row * width
        inside = 0 < row < rows - 1 and step <= x < width - step
        for near in range(neighbours.shape[0]):
            other = place + neighbours[near, 0]
            if not inside and not is_there(row + neighbours[near, 1], x + neighbours[near, 2], rows, width):
                continue
            if labels[other] != 0:
                continue
            labels[other] = labels[place]
            if values[other] <= level:
                queue, queued = added(queue, queued, other)
            else:
                wait(heads, links, other, values[other], scale)
    return queue


@kernel
def moves(width, step, connectivity):
    """The offsets of each neighbour's place, row, and element in the row."""
    found, count = np.empty((4 * connectivity, 3), np.int64), 0
    for down in range(-1, 2):
        for along in range(-1, 2):
            if (down != 0 or along != 0) and (connectivity == 2 or down == 0 or along == 0):
                found[count, 0], found[count, 1], found[count, 2] = down * width + along * step, down, along * step
                count += 1
    return found


@kernel
def is_there(row, x, rows, width):
    return 0 <= row < rows and 0 <= x < width


@kernel
def added(memory, count, value):
    memory = roomy(memory, count)
    memory[count] = value
    return memory, count + 1


@kernel
def wait(heads, links, place, value, scale):
    """Prepend a pixel to the list of its value."""
    which = list_of(value, scale)
    links[place], heads[which] = heads[which], place


@kernel
def key_of(place, labels, markers):
    """A sort key that contains the place: markers come first, then smaller labels."""
    label = np.int64(labels[place]) + (1 << (LABEL_BITS - 1))
    return ((np.int64(markers[place] == 0) << LABEL_BITS) + label) << PLACE_BITS | np.int64(place)


def lowest(values, labels, markers, links, place, queue, heap, count):
    """Remove the pixels of the lowest value from a list and a heap of ``count``.

    Returns the value, the queue with them, their number, the heap and its count.
    """


@overload(lowest)
def _lowest(values, labels, markers, links, place, queue, heap, count):
    if isinstance(values.dtype, types.Integer):

        def lowest_of_list(values, labels, markers, links, place, queue, heap, count):
            level, queued = values[place], 0
            while place != NONE and queued < values.size:
                queue, queued = added(queue, queued, key_of(place, labels, markers))
                place = links[place]
            return level, queue, queued, heap, count

        return lowest_of_list

    def lowest_of_heap(values, labels, markers, links, place, queue, heap, count):
        order, places = heap
        while place != NONE and count < values.size:
            order, places = roomy(order, count), roomy(places, count)
            push(order, places, count, -np.float64(values[place]), place)
            count += 1
            place = links[place]
        level, queued = values.dtype.type(-order[0]), 0
        while count > 0 and -order[0] == level:
            queue, queued = added(queue, queued, key_of(places[0], labels, markers))
            count -= 1
            pop(order, places, count)
        return level, queue, queued, (order, places), count

    return lowest_of_heap


def start(values, labels, markers, channel, step):
    """Copy the markers, with NaN as outside; returns half of the finite minimum and half of the finite range."""


@overload(start)
def _start(values, labels, markers, channel, step):
    if isinstance(values.dtype, types.Integer):

        def start_whole(values, labels, markers, channel, step):
            for place in range(channel, values.size, step):
                labels[place] = markers[place]
            return 0.0, 0.0

        return start_whole

    def start_real(values, labels, markers, channel, step):
        low, high = np.inf, -np.inf
        for place in range(channel, values.size, step):
            value = np.float64(values[place]) / 2  # the range of halved values is finite
            labels[place] = markers[place] if value == value else OUTSIDE
            if np.isfinite(value):
                low, high = min(low, value), max(high, value)
        return low, high - low

    return start_real


def list_of(value, scale):
    """The index of a value's list, which is monotonic in the value."""


@overload(list_of)
def _list_of(value, scale):
    if isinstance(value, types.Integer):
        minimum = -(1 << (value.bitwidth - 1)) if value.signed else 0
        return lambda value, scale: np.int64(value) - minimum

    def list_of_real(value, scale):
        low, extent = scale
        share = (np.float64(value) / 2 - low) / extent * (LISTS - 1)
        if not share > 0:
            return np.int64(0)
        return np.int64(share) if share < LISTS - 1 else np.int64(LISTS - 1)

    return list_of_real
