"""Components within tiles, then across their borders, for the whole image: `label_seams` has nothing left to do."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID

TILE = 32
BLOCK = 32, 8
THREADS = 256


def launch(gpu, src, dst, top, bottom, step, height, reach):
    rows, cols = src.shape
    pixels, kind = cols // step, gpu.ctype(src.dtype)
    args = src, dst, step, height, reach
    bands = -(-rows // TILE) * step
    gpu.kernel("label_slabs", f"tiles<{kind}>")((-(-pixels // (TILE * BLOCK[1])), min(bands, MAX_GRID)), BLOCK, args)
    count = (pixels - 1) // TILE * rows + (rows - 1) // TILE * pixels
    if count > 0:
        grid = -(-count // THREADS), min(step, MAX_GRID)
        gpu.kernel("label_slabs", f"borders<{kind}>")(grid, (THREADS, 1), args)
