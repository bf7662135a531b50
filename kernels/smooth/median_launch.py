"""Networks for 3x3 and 5x5 (`median_tiles`, `rank_tiles`), bit planes up to 31x31 (`median_planes`).

Larger windows: sliding histograms for uint8, a bitwise search for all other types.
"""

from gpuimg.kernels.lib.rows_launch import MAX_GRID

NETWORKS = {(3, 3): "nine", (5, 5): "twentyfive"}
WIDEST = 1 << 28  # maximum rows and row elements for the networks, which use 32-bit indices
PLANE_SIZES = (15, 31)  # the largest windows of the instances of `median_planes`
PLANE_TILES = ((4, 32), (4, 16), (2, 24))  # words of 32 pixels, and rows; the first whose planes fit is used
PLANE_BYTES = 46 << 10  # of shared memory
PLANE_THREADS = 256
NARROWEST = 3  # columns of high windows, for which histograms are faster, as few pixels enter at a time
BLOCK = (64, 4)
STRIP_ROWS = 8  # of a thread
THREADS = 32  # whose histograms of 272 bins fill 34 KB of shared memory
SHORTEST_STRIP = 64  # rows of a thread; a strip begins by counting a whole window


def launch(gpu, src, dst, top, bottom, step, mode, cval, n0, n1, rank):
    kind, is_median = gpu.ctype(src.dtype), rank == n0 * n1 // 2
    registers = (n0, n1) in NETWORKS and max(src.shape) < WIDEST and not ((n0, n1) == (5, 5) and kind == "double")
    if registers and is_median:
        by_network(gpu, "median_tiles", NETWORKS[n0, n1], src, dst, top, bottom, step, mode, cval)
    elif registers:
        by_network(gpu, "rank_tiles", f"{NETWORKS[n0, n1]}_ranks", src, dst, top, bottom, step, mode, cval, rank)
    elif is_median and (n0, n1) == (5, 5) and kind == "double":
        gpu.fill_rows("median", "twentyfive<double, double>", src, dst, top, bottom, step, mode, cval)
    elif max(n0, n1) <= PLANE_SIZES[-1] and not (kind == "unsigned char" and n0 > PLANE_SIZES[0] and n1 <= NARROWEST):
        by_planes(gpu, src, dst, top, bottom, step, mode, cval, n0, n1, rank)
    elif kind == "unsigned char":
        strip = max(SHORTEST_STRIP, n0)
        grid = (-(-src.shape[1] // THREADS), min(-(-(bottom - top) // strip), MAX_GRID))
        args = (src, dst, top, bottom, step, mode, cval, n0, n1, rank, strip)
        gpu.kernel("median", "slide<unsigned char>")(grid, (THREADS, 1), args, THREADS * (256 + 16) * 4)
    else:
        gpu.fill_rows("median", f"search<{kind}, {kind}>", src, dst, top, bottom, step, mode, cval, n0, n1, rank)


def by_network(gpu, stem, name, src, dst, top, bottom, step, mode, cval, *rank):
    size, wide = src.dtype.itemsize, name.startswith("nine") and src.dtype.itemsize == 4
    columns = (4 if wide else 2) * (2 if size < 4 else 1)  # of a thread, as in the kernels
    threads = -(-src.shape[1] // step // columns) * step
    kernel = gpu.kernel(stem, f"{name}<{gpu.ctype(src.dtype)}>")
    most = MAX_GRID * BLOCK[1] * STRIP_ROWS
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        grid = (-(-threads // BLOCK[0]), -(-(last - first) // (BLOCK[1] * STRIP_ROWS)))
        kernel(grid, BLOCK, (src, dst, first, last, step, mode, cval, *rank))


def by_planes(gpu, src, dst, top, bottom, step, mode, cval, n0, n1, rank):
    kind, pixels = gpu.ctype(src.dtype), src.shape[1] // step
    size = next(size for size in PLANE_SIZES if max(n0, n1) <= size)
    kernel = gpu.kernel("median_planes", f"median_planes<{kind}, {size}>")
    count = 8 * src.dtype.itemsize + (src.dtype.kind == "f")  # one more plane for NaN
    for tile in PLANE_TILES:
        width, height = min(tile[0], -(-pixels // 32)), tile[1]
        lines = -(-(height + n0 + 1) // 4) * 4
        plane = ((width + 1) * lines // 4 | 1) * 4  # an odd number of vectors avoids bank conflicts of stores
        if count * plane * 4 <= PLANE_BYTES:
            break
    across, most = -(-pixels // (32 * width)) * step, MAX_GRID * height
    for first in range(top, bottom, most):
        last = min(first + most, bottom)
        grid = (across, -(-(last - first) // height))
        args = (src, dst, first, last, step, mode, cval, n0, n1, rank, width, height, lines, plane)
        kernel(grid, (PLANE_THREADS, 1), args, count * plane * 4)
