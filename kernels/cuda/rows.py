"""What launches share that sum or compare along rows in shared memory."""

from gpuimg.errors import BackendFailed

THREADS = 128
GREATEST_GRID = 65535


def along_rows(cols, rows, halo, most):
    """Elements of a row in shared memory at a time, at most ``most``, and the grid; ``halo`` of them are only read."""
    span = max(1, min(most, cols + halo, max(1024, 3 * halo)))
    if span <= halo:
        raise BackendFailed(f"a window {halo} elements wide does not fit the GPU's shared memory, which holds {most}")
    return span, (-(-cols // (span - halo)), min(rows, GREATEST_GRID))
