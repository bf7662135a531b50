"""Connected-component labelling by union-find of runs (L. He, Y. Chao, K. Suzuki, 2008), in slabs of rows.

1. `label_slabs`: finds the runs of each slab and unites those that touch.
2. `label_seams`: unites runs across the seams between slabs, in growing groups.
3. `label_roots`: numbers the roots.
4. `label_pixels`: writes the number of its root to each pixel.

`border_labels` and `clear_labels` then clear the components at the border of the image.
"""
