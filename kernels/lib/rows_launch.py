"""What launches share that sum or compare along rows in shared memory."""

THREADS = 128
GREATEST_GRID = 65535


def along_rows(cols, rows, halo, most):
    """Elements of a row in shared memory at a time, at most ``most``, and the grid; ``halo`` of them are only read.

    None where the halo leaves too few others.
    """
    if 2 * halo >= most:
        return None
    span = max(1, min(most, cols + halo, max(1024, 3 * halo)))
    return span, (-(-cols // (span - halo)), min(rows, GREATEST_GRID))


def far_along_rows(cols, rows, step, size):
    """The grid with a thread for each channel of each group of ``size`` pixels."""
    threads = -(-cols // (size * step)) * step
    return -(-threads // THREADS), min(rows, GREATEST_GRID)
