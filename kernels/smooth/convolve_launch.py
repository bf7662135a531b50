"""Windows in shared memory, in parts of as many rows as fit; very wide ones by the generic kernel."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID
from gpuimg.kernels.smooth.row_sums import are_by_rows

WIDTH, HEIGHT = 128, 32  # of a block's results
THREADS, ROWS_OF_ZEROS = 256, 6
SHARED_BYTES = 46 << 10
# As in few_convolve.cuh: single-channel windows in registers.
FEW = {
    (types, size)
    for types in ("unsigned char, int", "unsigned short, float", "short, float", "float, float")
    for size in (3, 5)
}
FEW_BLOCK, FEW_WIDTH, FEW_HEIGHT = (32, 8), 32 * 4, 8 * 8
WIDEST = 1 << 28  # rows of fewer elements have a 32-bit pitch
FEWEST_ROWS = 3  # of windows of bytes, with rows of zeros
WIDEST_BYTES = 800  # windows of bytes whose tiles have at most a word for each thread in a row


def launch(gpu, src, dst, top, bottom, step, mode, cval, weights, shift):
    high, wide = weights.shape
    types = f"{gpu.ctype(src.dtype)}, {gpu.ctype(weights.dtype)}"
    if step == 1 and (types, high) in FEW and high == wide and src.shape[1] < WIDEST:
        few = gpu.kernel("convolve", f"few_convolve<{types}, {high}>")
        for first, last in parts(top, bottom, FEW_HEIGHT):
            grid = -(-src.shape[1] // FEW_WIDTH), -(-(last - first) // FEW_HEIGHT)
            few(grid, FEW_BLOCK, (src, dst, first, last, mode, cval, weights, shift))
    elif step == 1 and types == "unsigned char, int" and 1 < wide <= WIDEST_BYTES:
        part, shared = bytes_at_a_time(high, wide)
        tiles = gpu.kernel("convolve", "byte_convolve<unsigned char>")
        fill(tiles, src, dst, top, bottom, (mode, cval, weights, shift, part), shared)
    else:
        kinds = f"<{types}, true>" if are_by_rows(src.dtype, weights) else f"<{types}>"
        part, shared = rows_at_a_time(high, wide, step, weights.dtype.itemsize)
        args = (step, mode, cval, weights, shift)
        if part < 1:
            gpu.fill_rows("convolve", f"convolve{kinds}", src, dst, top, bottom, *args)
        else:
            fill(gpu.kernel("convolve", f"near_convolve{kinds}"), src, dst, top, bottom, (*args, part), shared)


def fill(kernel, src, dst, top, bottom, args, shared):
    for first, last in parts(top, bottom, HEIGHT):
        grid = -(-src.shape[1] // WIDTH), -(-(last - first) // HEIGHT)
        kernel(grid, (THREADS, 1), (src, dst, first, last, *args), shared)


def rows_at_a_time(high, wide, step, size):
    """Return how many rows of weights `near_convolve` takes at a time, below 1 if none fits, and the shared bytes."""
    filled, fitting = WIDTH + (wide - 1) * step, SHARED_BYTES // size
    part = min(high, (fitting - (HEIGHT - 1) * filled - ROWS_OF_ZEROS * wide) // (filled + wide))
    return part, ((HEIGHT + part - 1) * filled + (part + ROWS_OF_ZEROS) * wide) * size


def bytes_at_a_time(high, wide):
    """The same for `byte_convolve`: a tile in words of four bytes, two words for four weights."""
    lead = -((wide - 1) // 2) % 4
    fours = -(-(lead + wide) // 4)
    filled, fitting = WIDTH // 4 + fours, SHARED_BYTES // 4
    part = max(min(high, (fitting - (HEIGHT - 1) * filled) // (filled + 2 * fours)), FEWEST_ROWS)
    return part, 4 * ((HEIGHT + part - 1) * filled + 2 * part * fours)


def parts(top, bottom, height):
    """Row ranges of at most as many blocks as a grid may have, each ``height`` rows high."""
    for first in range(top, bottom, MAX_GRID * height):
        yield first, min(first + MAX_GRID * height, bottom)
