"""Tiles with their halo in shared memory if they fit, for one or three channels; else tiles with only the sums of
patches in shared memory, each channel separately unless there are one or three."""

import numpy as np

from gpuimg.kernels.lib.rows_launch import MAX_GRID

THREADS, WIDTH = 256, 64
SHARED_BYTES = 46 << 10
LANES, ACROSS = 32, 2  # of a warp; warps of a block side by side
KNOWN, PITCH = 6, 96  # the patch size with a specialised kernel, and its tile's width in pixels
LARGEST = 22  # maximum size of patches whose sums a warp combines
FITS_INT32 = 1 << 31


def launch(
    gpu, src, dst, top, bottom, step, mode, cval, before, after, distance, powers, limits, rest, rate, cap, factor
):
    width, size = src.shape[1] // step, before + after + 1
    types = f"{gpu.ctype(src.dtype)}, {gpu.ctype(powers.dtype)}, {gpu.ctype(limits.dtype)}"
    numbers = step, mode, cval, before, after, distance, powers, limits, rest, rate, cap, factor
    near = near_tiles(src, step, size, distance, limits.dtype)
    if near is None:
        itemsize = max(powers.dtype.itemsize, limits.dtype.itemsize)
        height = THREADS // WIDTH * (4 if itemsize == 8 else 8)
        channels = step if step in (1, 3) else 0
        shared = height * (WIDTH + size - 1) * limits.dtype.itemsize
        kernel = gpu.kernel("nl_means", f"nl_means<{types}, {channels}>")
        across = -(-width // WIDTH) * (1 if channels else step)
    else:
        known, height, wide, shared, *more = near
        kernel = gpu.kernel("nl_means", f"near_nl_means<{types}, {step}, {known}>")
        across = -(-width // wide)
        numbers += tuple(more)
    most = MAX_GRID * height
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        kernel((across, -(-(last - first) // height)), (THREADS, 1), (src, dst, first, last, *numbers), shared)


def near_tiles(src, step, size, distance, sums):
    """The patch size of the kernel or 0, a tile's height and width, its bytes, its width with the halo, and the number
    of pixels that a lane joins; None if it does not fit."""
    is_bytes = src.dtype == np.uint8
    if step not in (1, 3) or size > LARGEST or (step == 3 and src.dtype.itemsize == 8):
        return None
    if is_bytes and (sums.itemsize > 4 or size**2 * step * 255**2 >= FITS_INT32):
        return None
    joined = 1
    if is_bytes and step == 1:  # at most what leaves the centre of the last lane's patch in the tile
        joined = next(count for count in (4, 3, 2) if size % count == 0 and 2 * count <= size + 2)
    cell = 4 if is_bytes else src.dtype.itemsize * step
    down = 4 if cell > 8 else 8 if step > 1 or cell > 4 else 16
    height, wide = THREADS // LANES // ACROSS * down, LANES - size + joined
    span = (ACROSS - 1) * wide + LANES + 2 * distance
    known = KNOWN if size == KNOWN and span <= PITCH and sums.itemsize == 4 else 0
    rows = height + size - 1 + 2 * distance
    if known and rows * PITCH * cell > SHARED_BYTES:
        known = 0
    shared = rows * (PITCH if known else span) * cell
    return (known, height, ACROSS * wide, shared, span, joined) if shared <= SHARED_BYTES else None
