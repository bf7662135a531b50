"""Make thumbnails of the images in a folder: upright, sharpened, with their colour profile and EXIF.

In place of each function of Pillow stands one of gpuimg:

=======================================================  =======================================================
`PIL.Image.open`, `PIL.ImageOps.exif_transpose`          `gpuimg.open_image`, which returns the image upright
``image.info["icc_profile"]``, ``image.getexif()``       ``gpuimg.open_image(path, metadata=True)``
``image.thumbnail(box, Resampling.LANCZOS)``             ``gpuimg.open_image(path, at_least=...)``,
                                                         `gpuimg.resize` with ``order="lanczos"``
``image.filter(ImageFilter.UnsharpMask(1, 80, 0))``      ``gpuimg.unsharp_mask(image, 1, 0.8)``
``image.save(path, quality=, icc_profile=, exif=)``      ``gpuimg.save_image(path, image, quality=, metadata=)``
=======================================================  =======================================================

Where the thumbnails have the formats of the images, `gpuimg.map_files` does the same for many files at a time.

Run it with ``python thumbnails.py``, or ``python thumbnails.py FOLDER`` to keep the images and the thumbnails there.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import gpuimg

Array = np.ndarray[Any, Any]
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")


def thumbnail(image: Array, box: tuple[int, int] = (256, 256)) -> Array:
    """Shrink an image to fit (width, height), if it is larger, and sharpen it; as bytes without alpha."""
    rows, cols = image.shape[:2]
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image = image[..., 0] if image.shape[2] == 2 else image[..., :3]
    factor = min(box[0] / cols, box[1] / rows, 1)
    shape = max(1, round(rows * factor)), max(1, round(cols * factor))
    small = gpuimg.resize(image, shape, order="lanczos")
    return gpuimg.unsharp_mask(gpuimg.astype(small, "uint8", scale=True), radius=1, amount=0.8)


def thumbnails(folder: Path, target: Path, box: tuple[int, int] = (256, 256), quality: int = 85) -> list[Path]:
    """Save a JPEG thumbnail of every image in a folder in another one, and return their paths."""
    target.mkdir(parents=True, exist_ok=True)
    enough = 2 * box[1], 2 * box[0]  # for a decoder that can make less than the whole, as Pillow's thumbnail asks

    def make(path: Path) -> Path:
        image, metadata = gpuimg.open_image(path, at_least=enough, metadata=True)
        made = target / f"{path.stem}.jpg"
        gpuimg.save_image(made, thumbnail(image, box), quality=quality, metadata=metadata)
        return made

    with ThreadPoolExecutor() as pool:  # files are decoded and encoded beside each other
        return list(pool.map(make, images_in(folder)))


def images_in(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def picture(height: int = 600, width: int = 900, seed: int = 0) -> Array:
    """Draw a photo-like image: hills of colour, edges, and fine noise, as RGB bytes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32) / min(height, width)
    planes = []
    for _ in range(3):
        down, along, phase = rng.uniform(2, 9, 3)
        plane = 128 + 60 * np.sin(down * y + phase) * np.cos(along * x)
        plane += 40 * np.sign(np.sin(20 * (x + y * y)))
        planes.append(plane + rng.normal(0, 5, plane.shape))
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


def draw_into(folder: Path, count: int = 3, height: int = 600, width: int = 900) -> None:
    """Save some pictures as JPEG files, with a description."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        metadata = gpuimg.ImageMetadata(resolution=(300, 300), description=f"picture {number}")
        gpuimg.save_image(folder / f"picture-{number}.jpg", picture(height, width, number), metadata=metadata)


def main(arguments: list[str]) -> None:
    """Draw some pictures, make thumbnails of them, say what they are; in the folder that the first argument names."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments[0] if arguments else temporary)
        draw_into(folder / "pictures")
        for path in thumbnails(folder / "pictures", folder / "thumbnails"):
            image, metadata = gpuimg.open_image(path, metadata=True)
            print(f"{path.name}: {image.shape[1]} x {image.shape[0]}, {metadata.description!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
