"""Find the stars in an image of the sky that has holes: dead pixels, and a region that is masked, all of them NaN.

Dead pixels get the median of the pixels around them. Stars stand out from the mean around them by more than three
standard deviations; they are left out, and what is left is smoothed: the background, also under stars and holes. It is
subtracted. Stars are the peaks of the Laplacian of Gaussian that stand out from its noise, and what shines is summed up
in a square around each.

In place of each function of SciPy or scikit-image, and of what is written by hand there because of NaN, stands one of
gpuimg:

======================================================  ====================================================
`numpy.nanmedian` of the windows of dead pixels         `gpuimg.median` with ``nan="omit"``, `where`
`scipy.ndimage.uniform_filter` of the image with 0 for  `gpuimg.uniform` with ``nan="omit"``
NaN, divided by that of ``isfinite``
`scipy.ndimage.gaussian_filter`, likewise               `gpuimg.gaussian` with ``nan="omit"``
``~isnan(image)``                                       ``gpuimg.threshold(image, -inf)``
``image - background``, `numpy.where`                   `gpuimg.subtract`, `where`
`scipy.ndimage.gaussian_laplace`                        `gpuimg.gaussian_laplace`
`skimage.feature.peak_local_max`                        `gpuimg.peak_local_max`
======================================================  ====================================================

Run it with ``python sky.py``, or ``python sky.py FOLDER`` to save the table and the images there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpuimg

Array = np.ndarray[Any, Any]
APERTURE = 9  # pixels on a side


class Sky(NamedTuple):
    """What was found.

    Attributes
    ----------
    rows, cols : (N,) int64 arrays, where the stars are
    flux : (N,) float32 array, the sum of the square around each, without the background
    background : (H, W) float32 array
    """

    rows: Array
    cols: Array
    flux: Array
    background: Array


def sky(image: Array, size: int = 63, sigma: float = 1.5, level: float = 8) -> Sky:
    """Find the stars of standard deviation ``sigma`` in a (H, W) float32 image of the sky.

    The background is that of windows of ``size`` pixels; peaks are higher than ``level`` standard deviations of the
    noise.
    """
    repaired = gpuimg.where(is_number(image), image, gpuimg.median(image, 3, nan="omit"))
    background = background_of(repaired, size)
    stars = gpuimg.subtract(repaired, background)
    dark = gpuimg.where(is_number(stars), stars, 0)  # gaussian_laplace has no nan="omit"
    blobs = gpuimg.multiply(gpuimg.gaussian_laplace(dark, sigma), -1)
    noise = 1.4826 * float(np.median(np.abs(blobs[::4, ::4])))
    rows, cols = gpuimg.peak_local_max(blobs, 3, threshold_abs=level * noise).T
    flux = gpuimg.uniform(stars, APERTURE, nan="omit")[rows, cols] * np.float32(APERTURE**2)
    return Sky(rows, cols, flux, background)


def is_number(image: Array) -> Array:
    return gpuimg.threshold(image, -np.inf)


def background_of(image: Array, size: int) -> Array:
    """The smoothed image without what stands out by more than three standard deviations."""
    difference = gpuimg.subtract(image, gpuimg.uniform(image, size, nan="omit"))
    square = gpuimg.multiply(difference, difference)
    stands_out = gpuimg.threshold(square, gpuimg.multiply(gpuimg.uniform(square, size, nan="omit"), 9))
    return gpuimg.gaussian(gpuimg.where(stands_out, np.nan, image), size / 6, nan="omit")


def picture(height: int = 600, width: int = 800, seed: int = 0) -> Array:
    """Draw stars over a background that is brighter on one side, with dead pixels and a masked disk, as float32."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    image = (100 + 40 * x / width + rng.normal(0, 2, (height, width))).astype(np.float32)
    near = np.arange(-9, 10)
    for _ in range(height * width // 2500):
        row, col = rng.uniform(10, height - 11), rng.uniform(10, width - 11)
        top, left = round(row), round(col)
        down, along = ((near + whole - exact) ** 2 for whole, exact in ((top, row), (left, col)))
        star = np.exp(-(down[:, None] + along) / (2 * 1.5**2)) / (2 * np.pi * 1.5**2)
        image[top - 9 : top + 10, left - 9 : left + 10] += (rng.pareto(1.5) + 1) * 400 * star
    image[(y - 0.3 * height) ** 2 + (x - 0.6 * width) ** 2 < (0.1 * height) ** 2] = np.nan
    image[rng.random((height, width)) < 1e-3] = np.nan
    return image


def main(arguments: list[str]) -> None:
    """Draw the sky, find its stars, say how many; save them in the folder that the first argument names."""
    image = picture()
    found = sky(image)
    print(f"{len(found.rows)} stars, the brightest of {found.flux.max():.0f}; {np.isnan(image).mean():.2%} is masked")
    if arguments:
        folder = Path(arguments[0])
        folder.mkdir(parents=True, exist_ok=True)
        columns = np.column_stack([found.rows, found.cols, found.flux])
        np.savetxt(folder / "stars.csv", columns, "%.7g", delimiter=",", header="row,column,flux", comments="")
        gpuimg.save_image(folder / "sky.tif", image)
        gpuimg.save_image(folder / "background.tif", found.background)


if __name__ == "__main__":
    main(sys.argv[1:])
