"""Watershed from markers (F. Meyer, 1991), defined without a queue, so that every order of work has one result.

A pixel's *level* is the lowest height of the water that reaches it: the minimum over all paths from markers of the
maximum on the path, both ends included. The *length* of its path is counted within its level: 0 at a marker, 1 where
water comes from a lower level, and 2 more for each further pixel. A pixel takes its label from the neighbour of the
least level, among these of the least length, among these of the least label. A queue by level, then by age, as
scikit-image's, has the same order but for the last.

1. `watershed`: a CPU floods each channel in that order. A device only begins here, and repeats three steps:
2. `watershed_levels`: levels, until nothing changes.
3. `watershed_lengths`: then lengths, of which a level's are independent of all others.
4. `watershed_labels`: then labels.

`water.cuh` has what these have in common.
"""
