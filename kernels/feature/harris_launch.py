"""Products of differences, each smoothed, and the response, with six scratch images."""

from gpuimg.images import MODES
from gpuimg.kernels.smooth import gaussian_launch as gaussian


def launch(gpu, src, dst, top, bottom, step, mode, cval, r0, r1, w0, w1, k):
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
