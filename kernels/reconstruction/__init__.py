"""Morphological reconstruction (L. Vincent, IEEE Transactions on Image Processing 2(2), 1993).

1. `reconstruction_rows`: limits the seed by the mask, counts where it exceeds it, and reconstructs each row.
2. `reconstruction`: reconstructs slabs of rows across the seams between their reconstructed parts.

`orders` defines the order of values, including NaN; `raising` raises rows in words of 64 pixels.
"""
