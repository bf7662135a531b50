"""Counts the places, collects them, and sorts them by the bytes of the values in turn."""

import numpy as np

READS_BACK = True
WARPS, PIXELS, PLACES, DIGITS = 8, 4096, 2048, 256  # as in peak_places.cu
BLOCK = 32 * WARPS, 1


def launch(gpu, src, dst, top, bottom, peaks, found, kind):
    ranges = -(-peaks.shape[0] * peaks.shape[1] // PIXELS)
    grid = -(-ranges // WARPS), 1
    starts = gpu.empty((1, ranges), np.int64)
    kernel(gpu, "count_peaks<unsigned char>")(grid, BLOCK, (peaks, starts))
    kernel(gpu, "range_starts<long long>")((1, 1), BLOCK, (starts, found))
    count = int(gpu.get(found)[0, 0])
    if not count:
        return
    digits = src.dtype.itemsize
    other, into = gpu.empty((1, count), dst.dtype), gpu.ctype(dst.dtype)
    lists = (dst, other) if digits % 2 == 0 else (other, dst)
    kernel(gpu, f"collect_peaks<{into}>")(grid, BLOCK, (peaks, starts, lists[0]))
    for digit in range(digits):
        sort(gpu, src, lists[digit % 2], lists[1 - digit % 2], count, kind, 8 * digit)


def sort(gpu, image, places, target, count, kind, shift):
    """Stable sort by one byte."""
    ranges = -(-count // PLACES)
    grid, types = (-(-ranges // WARPS), 1), f"{gpu.ctype(image.dtype)}, {gpu.ctype(target.dtype)}"
    counts, totals = gpu.empty((DIGITS, ranges), np.int64), gpu.empty((1, DIGITS), np.int64)
    kernel(gpu, f"count_digits<{types}>")(grid, BLOCK, (image, places, counts, count, kind, shift))
    kernel(gpu, "range_starts<long long>")((DIGITS // WARPS, 1), BLOCK, (counts, totals))
    kernel(gpu, f"sort_digits<{types}>")(grid, BLOCK, (image, places, target, counts, totals, count, kind, shift))


def kernel(gpu, name):
    return gpu.kernel("peak_places", name)
