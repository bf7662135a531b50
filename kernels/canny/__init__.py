"""Canny's edge detector (J. Canny, IEEE Transactions on Pattern Analysis and Machine Intelligence 8(6), 1986).

1. Smoothing by a Gaussian; `normalize` divides it by that of an image of ones, in mode "constant".
2. Derivatives and magnitude by Sobel's weights (`derivative`).
3. `nonmaximum`: non-maximum suppression into weak and strong edges. `edge_maxima` fuses the steps up to here.
4. Hysteresis, in slabs of rows: `edge_links` within a slab, `edge_seams` across seams, `edge_strong` keeps the result.

`double_threshold` marks weak and strong pixels for hysteresis without the other steps; `flood` follows winding lines.
"""
