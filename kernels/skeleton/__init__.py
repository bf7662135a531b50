"""Parallel thinning in two sub-iterations (T. Y. Zhang, C. Y. Suen, 1984; Z. Guo, R. W. Hall, 1989), 64 pixels a word.

1. `pack_mask`: packs pixels as bits into words.
2. `thinning`: thins tiles by a table of neighbourhoods, several rounds at a time, until nothing changes.
3. `unpack_mask`: unpacks the words to a mask.

`words` defines the layout of pixels in words.
"""
