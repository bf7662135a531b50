"""Summed-area tables (F. C. Crow, SIGGRAPH 1984), in slabs of rows.

1. `slab_sums`: sums the columns of each slab.
2. `sums_before`: exclusive prefix sums of these over the slabs.
3. `integral`: the table of each slab, from the sums above it.
"""
