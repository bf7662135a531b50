"""Count and measure the nuclei in a fluorescence image.

The image is smoothed and thresholded by Otsu's method, holes in nuclei are filled, connected regions are labelled and
those of a few pixels removed; what is left is measured and shown in colours over the image.

In place of each function of scikit-image or SciPy stands the one of gpuimg with its name:

====================================================  ====================================
`skimage.filters.gaussian`                            `gpuimg.gaussian`
`skimage.filters.threshold_otsu`, ``image > level``   `gpuimg.threshold_otsu`, `threshold`
`scipy.ndimage.binary_fill_holes`                     `gpuimg.fill_holes`
`skimage.measure.label`                               `gpuimg.label`
`skimage.morphology.remove_small_objects`             `gpuimg.remove_small_objects`
`skimage.measure.regionprops_table`                   `gpuimg.regionprops_table`
`skimage.exposure.rescale_intensity`                  `gpuimg.rescale_intensity`
`skimage.segmentation.find_boundaries`                `gpuimg.find_boundaries`
`skimage.color.label2rgb`                             `gpuimg.label2rgb`
====================================================  ====================================

Run it with ``python nuclei.py``, or ``python nuclei.py FOLDER`` to save the table, the labels and the overlay there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpuimg

Array = np.ndarray[Any, Any]
PROPERTIES = (
    *("label", "area", "bbox", "centroid", "intensity_mean", "intensity_min", "intensity_max"),
    *("perimeter", "eccentricity", "orientation"),
)


class Nuclei(NamedTuple):
    """What was found.

    Attributes
    ----------
    table : a column for each property, with a row for each nucleus
    labels : (H, W) int32 array, 0 in the background
    overlay : (H, W, 3) uint8 array, the nuclei in colours and their outlines in white
    """

    table: dict[str, Array]
    labels: Array
    overlay: Array


def nuclei(image: Array, sigma: float = 2, min_size: int = 64) -> Nuclei:
    """Find the nuclei in a (H, W) image of bright nuclei, smoothed by ``sigma``, of ``min_size`` pixels at least."""
    # In float32, because gpuimg's result has the dtype of the image where scikit-image's is always floating.
    smooth = gpuimg.gaussian(gpuimg.astype(image, "float32"), sigma, mode="nearest")
    mask = gpuimg.fill_holes(gpuimg.threshold(smooth, gpuimg.threshold_otsu(smooth)))
    labels = gpuimg.remove_small_objects(gpuimg.label(mask), min_size)
    table = gpuimg.regionprops_table(labels, image, PROPERTIES)
    grey = gpuimg.astype(gpuimg.rescale_intensity(image), "uint8", scale=True)
    overlay = gpuimg.label2rgb(labels, grey, bg_color=None)
    overlay[gpuimg.find_boundaries(labels, mode="inner")] = 255
    return Nuclei(table, labels, overlay)


def picture(height: int = 768, width: int = 1024, seed: int = 0) -> Array:
    """Draw bright ellipses with darker spots on a dark, noisy background, as a uint16 image."""
    rng = np.random.default_rng(seed)
    image = rng.normal(900, 60, (height, width)).astype(np.float32)
    rows, cols = np.mgrid[-20:21, -20:21]
    for top in range(0, height - 47, 48):
        for left in range(0, width - 47, 48):
            down, right = rng.integers(0, 8, 2)
            image[top + down : top + down + 41, left + right : left + right + 41] += _nucleus(rows, cols, rng)
    return np.clip(image, 0, 65535).astype(np.uint16)


def _nucleus(rows: Array, cols: Array, rng: np.random.Generator) -> Array:
    angle, long, short = rng.uniform(0, np.pi), rng.uniform(4, 18), rng.uniform(3, 11)
    along, across = rows * np.cos(angle) + cols * np.sin(angle), cols * np.cos(angle) - rows * np.sin(angle)
    inside = (along / long) ** 2 + (across / short) ** 2 < 1
    spot = rows**2 + cols**2 < rng.uniform(0, 8)
    return (inside & ~spot) * np.float32(rng.uniform(5000, 12000))


def main(arguments: list[str]) -> None:
    """Draw a picture, find its nuclei, say how many; save them in the folder that the first argument names."""
    image = picture()
    found = nuclei(image)
    area, mean = found.table["area"], found.table["intensity_mean"]
    print(f"{len(area)} nuclei, of {area.mean():.1f} pixels and an intensity of {mean.mean():.1f} on average")
    if arguments:
        folder = Path(arguments[0])
        folder.mkdir(parents=True, exist_ok=True)
        columns = np.column_stack(list(found.table.values()))
        np.savetxt(folder / "nuclei.csv", columns, "%.6g", delimiter=",", header=",".join(found.table), comments="")
        gpuimg.save_image(folder / "image.png", image)
        gpuimg.save_image(folder / "labels.tif", found.labels)
        gpuimg.save_image(folder / "overlay.png", found.overlay)


if __name__ == "__main__":
    main(sys.argv[1:])
