"""Short kernels in one launch; others, and float64, by products, smoothing and response, with six scratch images."""

import numpy as np

from gpuimg.images import MODES
from gpuimg.kernels.smooth import gaussian_launch as gaussian

FLOAT32 = np.dtype(np.float32)
REACHES = 4, 8  # for which products fit into registers, as in harris.cu
PRODUCTS = 3


def launch(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, k):
    tile = near_tile(dst.dtype, step, r0, r1)
    if tile is None:
        fill_in_steps(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, k)
        return
    reach, pixels, half, shared = tile
    tolerances = (gaussian.tolerance(radius, dst.dtype) for radius in (r0, r1))
    args = (step, mode, cval, r0, r1, w0, w1, *tolerances, pixels, half, k)
    name, size = f"near_response<{gpu.ctype(src.dtype)}, {reach}>", (pixels * step, gaussian.NEAR_ROWS)
    gaussian.fill_tiles(gpu, name, src, dst, top, bottom, size, (gaussian.NEAR_COLUMNS, 1), args, shared, "harris")


def near_tile(dtype, step, r0, r1):
    """As `gaussian.near_tile`, with the bytes of shared memory for the sums of all products."""
    near = gaussian.near_tile(dtype, step, r0, r1, REACHES) if dtype == FLOAT32 else None
    if near is None:
        return None
    shared = PRODUCTS * gaussian.NEAR_ROWS * 2 * step * near[2] * dtype.itemsize
    return (*near, shared) if shared <= gaussian.SHARED_BYTES else None


def fill_in_steps(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, k):
    rows, wide = src.shape[0], dst.dtype
    low, high = top - r0, bottom + r0  # the smoothing reads so many rows more
    if mode == MODES["wrap"].code and (low < 0 or high > rows):
        low, high = 0, rows  # and those at the other end
    low, high = max(0, low), min(rows, high)
    products = [gaussian.scratch(gpu, src, low, high, wide) for _ in range(3)]
    smoothed = [gaussian.scratch(gpu, src, top, bottom, wide) for _ in range(3)]
    kind, sums = gpu.ctype(src.dtype), gpu.ctype(wide)
    first, mixed, across = products
    gpu.fill_rows("harris", f"products<{kind}, {sums}>", src, first, low, high, mixed, across, step, mode, cval)
    for product, smooth in zip(products, smoothed, strict=True):
        # Beyond the edge there is no product in mode "constant". Weights in fixed point are for bytes only.
        gaussian.launch(gpu, product, smooth, top, bottom, step, mode, 0.0, r0, r1, w0, w1, None, None, 0, 0)
    first, mixed, across = smoothed
    gpu.fill_rows("harris", f"respond<{sums}, {sums}>", first, dst, top, bottom, mixed, across, k)
