"""Morphological reconstruction (L. Vincent, IEEE Transactions on Image Processing 2(2), 1993).

1. `reconstruction_rows`: limits the seed by the mask, counts where it exceeds it, and settles each row.
2. `reconstruction`: settles slabs of rows across the seams between their settled parts.

`orders` defines the order of values, NaN included; `raising` raises rows in words of 64 pixels.
"""
