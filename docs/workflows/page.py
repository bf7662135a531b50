"""Clean a scanned page: even light, straight lines, black on white.

The light on the paper is what a closing, which removes the writing, and a Gaussian leave of the page; the page divided
by it is evenly lit. Its small copy is turned by a few angles: lines of writing lie along the rows where the means of
rows differ most. The page is turned by that angle, and made black and white by Sauvola's local thresholds.

In place of each function of scikit-image or OpenCV stands one of gpuimg:

==================================================  ============================================
`skimage.color.rgb2gray`                            `gpuimg.rgb2gray`, which keeps the dtype
`skimage.morphology.closing`, `cv2.morphologyEx`    `gpuimg.closing`
`scipy.ndimage.gaussian_filter`                     `gpuimg.gaussian`
``grey / light``, `cv2.divide`                      `gpuimg.divide` with ``dtype="float32"``
`numpy.minimum` of an image and a number            `gpuimg.clip`
`skimage.transform.resize`                          `gpuimg.resize`
`skimage.transform.rotate`                          `gpuimg.rotate`
`skimage.filters.threshold_sauvola`, ``page > t``   `gpuimg.threshold_sauvola`, `threshold`
==================================================  ============================================

Run it with ``python page.py``, or ``python page.py FOLDER`` to save the page before and after there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpuimg

Array = np.ndarray[Any, Any]
ANGLES = np.arange(-3, 3.01, 0.25)
SMALL = 400  # rows of the copy whose angle is found


class Page(NamedTuple):
    """A clean page.

    Attributes
    ----------
    paper : (H, W) bool array, False where there is ink
    angle : degrees counterclockwise that it was turned by
    """

    paper: Array
    angle: float


def page(image: Array, line: int = 32) -> Page:
    """Clean a (H, W, 3) uint8 image of a page whose lines of writing are about ``line`` rows apart."""
    grey = gpuimg.rgb2gray(image)
    light = gpuimg.gaussian(gpuimg.closing(grey, line | 1), line / 4)
    even = gpuimg.clip(gpuimg.divide(grey, light, dtype="float32"), max=1)
    angle = skew(even)
    straight = gpuimg.rotate(even, angle, cval=1)
    # For floats scikit-image and gpuimg take the standard deviation's range r for 1; of values from 0 to 1 it is 1/2.
    return Page(gpuimg.threshold(straight, gpuimg.threshold_sauvola(straight, line | 1, r=0.5)), angle)


def skew(even: Array) -> float:
    """The angle by which a page must be turned for its lines to lie along the rows."""
    rows, cols = even.shape
    small = gpuimg.resize(even, (SMALL, max(1, round(SMALL * cols / rows))))
    turned = (gpuimg.rotate(small, angle, cval=1) for angle in ANGLES)
    return float(ANGLES[np.argmax([each.mean(axis=1).var() for each in turned])])


def picture(height: int = 1000, width: int = 750, seed: int = 0, skew: float = 1.5) -> Array:
    """Draw a page of strokes in lines turned by ``skew`` degrees, under a light from one side, as RGB bytes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32) - np.array([height / 2, width / 2], np.float32)[:, None, None]
    cos, sin = np.cos(np.radians(skew)), np.sin(np.radians(skew))
    down, along = y * cos - x * sin, x * cos + y * sin
    strokes = rng.random((height, width)) < 0.4
    strokes &= np.repeat(rng.random((height, width // 16 + 1)) < 0.8, 16, axis=1)[:, :width]  # words
    lines, places = np.floor(down / 32).astype(int), np.floor(along / 4).astype(int)
    is_text = (down % 32 < 14) & (abs(down) < 0.45 * height) & (abs(along) < 0.42 * width)
    ink = is_text & strokes[lines % height, places % width]
    light = 0.75 + 0.25 * np.tanh(2 * x / width + y / height)
    noise = rng.normal(0, 3, (height, width)).astype(np.float32)
    paper = np.array([250, 242, 220], np.float32) * (light * (1 - 0.8 * ink))[..., None]
    return np.clip(paper + noise[..., None], 0, 255).astype(np.uint8)


def main(arguments: list[str]) -> None:
    """Draw a page, clean it, say how; save it in the folder that the first argument names."""
    image = picture()
    found = page(image)
    print(f"turned by {found.angle:g} degrees, {100 * (1 - found.paper.mean()):.1f} % of the page is ink")
    if arguments:
        folder = Path(arguments[0])
        folder.mkdir(parents=True, exist_ok=True)
        gpuimg.save_image(folder / "scan.png", image)
        gpuimg.save_image(folder / "page.png", found.paper)


if __name__ == "__main__":
    main(sys.argv[1:])
