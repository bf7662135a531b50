"""Workflows of docs/workflows as they are written with scikit-image, SciPy, OpenCV and Pillow, and their pictures."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFilter, ImageOps
from scipy import ndimage
from skimage import color, feature, filters, transform, util

Array = np.ndarray[Any, Any]
FOLDER = Path(__file__).parents[1] / "docs" / "workflows"


def script(name: str) -> ModuleType:
    """A workflow's module."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # where a class looks for its module
        spec.loader.exec_module(module)
    return sys.modules[name]


def page(image: Array, line: int = 32) -> tuple[Array, float]:
    grey = util.img_as_ubyte(color.rgb2gray(image))
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((line | 1, line | 1), np.uint8))
    light = cv2.GaussianBlur(closed, (0, 0), line / 4, borderType=cv2.BORDER_REFLECT)
    even = np.minimum(grey / light.astype(np.float32), 1)
    angles = np.arange(-3, 3.01, 0.25)
    small = transform.resize(even, (400, round(400 * even.shape[1] / even.shape[0])), anti_aliasing=True)
    angle = angles[np.argmax([transform.rotate(small, angle, cval=1).mean(axis=1).var() for angle in angles])]
    straight = transform.rotate(even, angle, cval=1)
    return straight > filters.threshold_sauvola(straight, line | 1, r=0.5), float(angle)


def sky(image: Array, size: int = 63, sigma: float = 1.5, level: float = 8) -> tuple[Array, Array, Array, Array]:
    repaired = _repaired(image)
    difference = repaired - _without_nan(ndimage.uniform_filter, repaired, size)
    square = difference * difference
    stands_out = square > 9 * _without_nan(ndimage.uniform_filter, square, size)
    background = _without_nan(ndimage.gaussian_filter, np.where(stands_out, np.nan, repaired), size / 6)
    stars = repaired - background
    blobs = -ndimage.gaussian_laplace(np.nan_to_num(stars), sigma)
    noise = 1.4826 * np.median(np.abs(blobs[::4, ::4]))
    rows, cols = feature.peak_local_max(blobs, min_distance=3, threshold_abs=level * noise).T
    flux = _without_nan(ndimage.uniform_filter, stars, 9)[rows, cols] * 81
    return rows, cols, flux, background


def _repaired(image: Array) -> Array:
    """The median of the numbers around each NaN."""
    rows, cols = np.nonzero(np.isnan(image))
    padded = np.pad(image, 1, "symmetric")
    near = np.stack([padded[rows + down, cols + along] for down in range(3) for along in range(3)])
    any_number = ~np.isnan(near).all(axis=0)
    repaired = image.copy()
    repaired[rows[any_number], cols[any_number]] = np.nanmedian(near[:, any_number], axis=0)
    return repaired


def _without_nan(smooth: Any, image: Array, size: float) -> Array:
    is_number = ~np.isnan(image)
    weights = smooth(is_number.astype(np.float32), size)
    total = smooth(np.where(is_number, image, np.float32(0)), size)
    # What a running sum leaves where there is no number.
    return np.where(weights > 1e-6, total / np.maximum(weights, 1e-6), np.float32(np.nan))


def thumbnails(folder: Path, target: Path, box: tuple[int, int] = (256, 256), quality: int = 85) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    made = []
    for path in script("thumbnails").images_in(folder):
        made.append(target / f"{path.stem}.jpg")
        with Image.open(path) as opened:
            opened.thumbnail(box, Image.Resampling.LANCZOS)
            image = ImageOps.exif_transpose(opened).convert("RGB")
        small = image.filter(ImageFilter.UnsharpMask(1, 80, 0))
        small.save(made[-1], quality=quality, icc_profile=image.info.get("icc_profile"), exif=image.getexif())
    return made


def page_picture(megapixels: float) -> Array:
    return _picture("page", megapixels, 4 / 3)


def sky_picture(megapixels: float) -> Array:
    return _picture("sky", megapixels, 3 / 4)


def thumbnails_picture(megapixels: float) -> Array:
    return _picture("thumbnails", megapixels, 2 / 3)


def _picture(name: str, megapixels: float, aspect: float) -> Array:
    height = round((megapixels * 1e6 * aspect) ** 0.5)
    made: Array = script(name).picture(height, round(height / aspect))
    return made
