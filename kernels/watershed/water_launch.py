"""Launches of kernels that relax tiles; see `water.cuh`."""

from gpuimg.kernels.lib.rows_launch import MAX_GRID

TILE = 32
BLOCK = TILE, 8
SWEEPS = 8  # between the host's checks whether the last one has changed anything


def sweep(gpu, stem, dtype, state, step, changed, args):
    rows, cols = state.shape
    kernel = gpu.kernel(stem, f"{stem}<{gpu.ctype(dtype)}>")
    grid = -(-cols // (TILE * step)), min(-(-rows // TILE) * step, MAX_GRID)
    for _ in range(SWEEPS):
        gpu.zero(changed)
        kernel(grid, BLOCK, (state, *args))
