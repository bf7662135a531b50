"""The exact Euclidean distance transform (T. Saito, J. Toriwaki, 1994; P. F. Felzenszwalb, D. P. Huttenlocher, 2012).

1. `zero_rows`: the first and last zero of each column within each slab of rows.
2. `zeros_beyond`: the nearest zero of each column above and below each slab.
3. `distance`: distances down the columns, then the lower envelope of parabolas along each row.
"""
