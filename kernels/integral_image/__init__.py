"""Summed-area tables (F. C. Crow, SIGGRAPH 1984), in slabs of rows.

1. `slab_sums`: the sum of each column of a slab.
2. `sums_before`: the sums of all slabs above each one.
3. `integral`: the table of each slab, from the sums above it.
"""
