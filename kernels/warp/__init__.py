"""Pixels from anywhere in an image: where `warp` and `remap` sample it, by nearest neighbour, bilinear interpolation or
cubic convolution.

`affine` finds the coordinates of the samples for `warp`, `remap` is given them; `sampling` takes the samples,
`interpolation` fills images with those that are interpolated.
"""
