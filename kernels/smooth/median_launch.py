"""Networks for 3x3 and 5x5, sliding histograms for uint8, a search by bits for all else."""

from gpuimg.kernels.lib.rows_launch import GREATEST_GRID

NETWORKS = {(3, 3): "nine", (5, 5): "twentyfive"}
THREADS = 32  # whose histograms of 272 bins fill 34 KB of shared memory
SHORTEST_STRIP = 64  # rows that a thread walks down; a strip begins with the counting of a whole window


def launch(gpu, src, dst, top, bottom, step, mode, cval, n0, n1):
    kind = gpu.ctype(src.dtype)
    if (n0, n1) in NETWORKS:
        gpu.fill_rows("median", f"{NETWORKS[n0, n1]}<{kind}, {kind}>", src, dst, top, bottom, step, mode, cval)
    elif kind == "unsigned char":
        strip = max(SHORTEST_STRIP, n0)
        grid = (-(-src.shape[1] // THREADS), min(-(-(bottom - top) // strip), GREATEST_GRID))
        args = (src, dst, top, bottom, step, mode, cval, n0, n1, strip)
        gpu.kernel("median", "slide<unsigned char>")(grid, (THREADS, 1), args, THREADS * (256 + 16) * 4)
    else:
        gpu.fill_rows("median", f"search<{kind}, {kind}>", src, dst, top, bottom, step, mode, cval, n0, n1)
