"""Which sums of windows are made row by row.

Sums in float32 of many numbers of 16 bits are not precise enough, unless each row of a window has a sum of its own.
"""

FEW_WEIGHTS = 64  # up to which a window has one sum


def are_by_rows(dtype, weights):
    """Whether pixels of ``dtype`` times ``weights`` are added up so."""
    return dtype.kind != "f" and dtype.itemsize == 2 and weights.dtype == "float32" and weights.size > FEW_WEIGHTS
