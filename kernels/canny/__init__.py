"""Canny's edge detector (J. Canny, IEEE Transactions on Pattern Analysis and Machine Intelligence 8(6), 1986).

1. Gaussian smoothing; in mode "constant" `normalize` divides the result by that of an image of ones.
2. Derivatives and gradient magnitude by Sobel's weights (`derivative`).
3. `nonmaximum`: non-maximum suppression into weak and strong edges. `edge_maxima` fuses the steps so far.
4. Hysteresis, in slabs of rows: `edge_links` within slabs, `edge_seams` across seams, `edge_strong` keeps the result.

`double_threshold` marks weak and strong pixels for hysteresis alone; `flood` follows winding lines.
"""
