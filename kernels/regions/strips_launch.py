"""Launches of kernels that work down strips of columns; see region_tables.cuh."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID

STRIP = 32
THREADS = 128


def launch_strips(gpu, name, dst, labels, *args, step=1):
    """Launch ``name`` with the table, the labels and ``args`` for each channel."""
    rows, cols = labels.shape
    grid = -(-cols // THREADS), min(-(-rows // STRIP), MAX_GRID), min(step, MAX_GRID)
    gpu.kernel(name.partition("<")[0], name)(grid, (THREADS, 1), (dst, labels, *args))
