"""The exact Euclidean distance transform (T. Saito, J. Toriwaki, 1994; P. F. Felzenszwalb, D. P. Huttenlocher, 2012).

1. `zero_rows`: the first and the last zero of each column, by slabs of rows.
2. `zeros_beyond`: the nearest zero of each column in the slabs above and below.
3. `distance`: distances along the columns, then the lower envelope of parabolas along each row.
"""
