"""Geometric transforms: `warp` and `remap` sample an image by nearest neighbour, bilinear interpolation or cubic
convolution.

`affine` computes the coordinates of the samples for `warp`, `remap` takes them as input; `sampling` takes the samples,
`interpolation` fills images with interpolated ones.
"""
