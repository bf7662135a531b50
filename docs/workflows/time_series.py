"""Find what moves in a time series: noise and the background are removed from each frame, then each is thresholded.

The stack is given as it is, with ``axes="TYX"``: each call filters all frames, in parallel. The original is a loop over
the frames, with

======================================================  ============================================
`scipy.ndimage.median_filter`                           `gpuimg.median`
`skimage.filters.gaussian`                              `gpuimg.gaussian`
``smooth.min(axis=0)``, the background of each pixel    the same
``np.clip(frame.astype(int) - background, 0, 65535)``   `gpuimg.subtract`, which saturates
`skimage.filters.threshold_otsu` of each frame          `gpuimg.threshold_otsu`, a number for each frame
``frame > level``                                       `gpuimg.threshold`
`tifffile.imwrite`, `tifffile.imread`                   `gpuimg.save_image`, `gpuimg.open_image`
======================================================  ============================================

Run it with ``python time_series.py``, or ``python time_series.py FOLDER`` to save the frames and masks there, as TIFF
files with a page for each frame.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpuimg

Array = np.ndarray[Any, Any]


class Series(NamedTuple):
    """What was found in T frames.

    Attributes
    ----------
    frames : (T, H, W) uint16 array, without noise and background
    levels : (T,) uint16 array, the threshold of each frame
    masks : (T, H, W) bool array, True where a frame is above its threshold
    """

    frames: Array
    levels: Array
    masks: Array


def time_series(stack: Array, size: int = 3, sigma: float = 1.5) -> Series:
    """Smooth the frames of a (T, H, W) stack, subtract the minimum of each pixel over time, threshold each frame."""
    smooth = gpuimg.gaussian(gpuimg.median(stack, size, axes="TYX"), sigma, axes="TYX")
    background = np.broadcast_to(smooth.min(axis=0), stack.shape)
    frames = gpuimg.subtract(smooth, background, axes="TYX")
    levels = gpuimg.threshold_otsu(frames, axes="TYX")
    masks = gpuimg.threshold(frames, np.broadcast_to(levels[:, None, None], frames.shape), axes="TYX")
    return Series(frames, levels, masks)


def picture(frames: int = 40, height: int = 1024, width: int = 1024, seed: int = 0) -> Array:
    """Draw bright discs that move over an uneven, noisy background, as a (T, H, W) uint16 stack."""
    rng = np.random.default_rng(seed)
    rows, cols = np.ogrid[:height, :width]
    ground = 1500 + 1000 * np.sin(rows / height * 3).astype(np.float32) * np.cos(cols / width * 2).astype(np.float32)
    starts, steps = rng.random((12, 2)), rng.normal(0, 0.03, (12, 2))
    stack = np.empty((frames, height, width), np.uint16)
    for time in range(frames):
        image = ground + rng.normal(0, 80, ground.shape).astype(np.float32)
        for y, x in (starts + time * steps) % 1 * (height, width):
            image[(rows - y) ** 2 + (cols - x) ** 2 < (min(height, width) / 30) ** 2] += 3000
        image[rng.integers(0, height, height), rng.integers(0, width, height)] = 60000  # hot pixels
        stack[time] = np.clip(image, 0, 65535)
    return stack


def main(arguments: list[str]) -> None:
    """Draw a series, find what moves, say how much; save it in the folder that the first argument names."""
    found = time_series(picture())
    share, levels = 100 * found.masks.mean(), found.levels
    print(f"{len(levels)} frames, thresholds from {levels.min()} to {levels.max()}, {share:.2f} % of the pixels above")
    if arguments:
        folder = Path(arguments[0])
        folder.mkdir(parents=True, exist_ok=True)
        for name, stack in (("frames.tif", found.frames), ("masks.tif", found.masks)):
            gpuimg.save_image(folder / name, stack, axes="TYX")
        np.testing.assert_array_equal(gpuimg.open_image(folder / "frames.tif"), found.frames)


if __name__ == "__main__":
    main(sys.argv[1:])
