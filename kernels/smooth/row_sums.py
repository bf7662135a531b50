"""Which windows are summed row by row.

float32 sums of many 16-bit numbers are not precise enough, unless each row of a window is summed separately.
"""

FEW_WEIGHTS = 64  # for which one sum is precise enough


def are_by_rows(dtype, weights):
    """Whether pixels of ``dtype`` times ``weights`` are summed row by row."""
    return dtype.kind != "f" and dtype.itemsize == 2 and weights.dtype == "float32" and weights.size > FEW_WEIGHTS
