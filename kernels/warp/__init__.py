"""Pixels from anywhere in an image: where `warp` and `remap` sample it, by nearest neighbour or bilinear interpolation.

`affine` finds the coordinates of the samples for `warp`, `remap` is given them; `sampling` takes the samples.
"""
