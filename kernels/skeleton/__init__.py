"""Parallel thinning in two sub-iterations (T. Y. Zhang, C. Y. Suen, 1984; Z. Guo, R. W. Hall, 1989), 64 pixels a word.

1. `pack_mask`: makes pixels the bits of words.
2. `thinning`: thins tiles by a table of neighbourhoods, some rounds at a time, until nothing changes.
3. `unpack_mask`: makes a mask of the words.

`words` says how pixels lie in words.
"""
