"""Watershed from markers (F. Meyer, 1991), defined without a queue, so that the result does not depend on the order of
work.

A pixel's *level* is the lowest height of the water that reaches it: the minimum over all paths from markers of the
maximum on the path, both ends included. The *length* of its path is counted within its level: 0 at a marker, 1 where
water comes from a lower level, and 2 more for each further pixel. A pixel takes its label from the neighbour with the
minimum (level, length, label). A queue by level, then by age, as in scikit-image, has the same order except for the
last.

1. `watershed`: the CPU floods each channel in that order. A device only initialises here, and repeats three steps:
2. `watershed_levels`: levels, until nothing changes.
3. `watershed_lengths`: then lengths, which are independent between levels.
4. `watershed_labels`: then labels.

`water.cuh` has their shared code.
"""
