"""Pixels and metadata of images that Pillow opened."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gpuimg.exif import EXIF_PREFIX, exif_block, orientation_of, sound_exif, upright
from gpuimg.files.limits import Limit, Refused, brief, check_page
from gpuimg.files.meta import Pixels, Read, Written, sound
from gpuimg.files.pages import Pages
from gpuimg.files.pieces import Memory

if TYPE_CHECKING:
    from PIL import Image


HEADER_READS = 20_000  # headers with more parts would only keep a thread busy


class HeaderReads:
    """A file that limits the number of reads of its header; ``left`` is None once the header is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left: int | None = HEADER_READS
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise ValueError("its header has too many parts")
        return self._file.read(size)


def open_still(opener: Callable[[Any], Any], file: BinaryIO, limit: Limit, chosen: int | None) -> Any:
    """Open an image with one of Pillow's classes, not PIL.Image.open, which tries all of them, and check its size."""
    from PIL import Image

    check_page(chosen or 0, 1)
    counted = HeaderReads(file)
    try:
        image = opener(counted)
    except Image.DecompressionBombError:
        raise Refused("has more pixels than Pillow allows; see PIL.Image.MAX_IMAGE_PIXELS") from None
    counted.left = None
    limit.check(*image.size)
    return image


def read_still(opener: Callable[[Any], Any], file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read the only or first image of a file with one of Pillow's classes."""
    image = open_still(opener, file, limit, chosen)
    decoded = limit.check_bytes(math.prod(image.size) * pixel_bytes(image))
    return Pages(
        [lambda: upright(pixels_of(image), orientation_of(image))],
        decoded,
        partial(pillow_metadata, image),
        has_alpha(image),
        partial(_reduce, image),
    )


def _reduce(image: Image.Image, rows: int, cols: int) -> None:
    """Let the JPEG decoder reduce the image; decoders of other formats cannot."""
    if orientation_of(image) > 4:
        rows, cols = cols, rows
    image.draft(None, (cols, rows))


def write_still(file: BinaryIO, pages: Pixels, how: Written, form: str, **options: Any) -> None:
    """Write an image with Pillow."""
    from PIL import Image

    (image,) = pages
    packed = Memory()  # Pillow hides the system's reason when it fails to write, so it writes to memory
    for name in ("icc_profile", "exif", "xmp"):
        if getattr(how.metadata, name):
            options[name] = EXIF_PREFIX * (name == "exif") + getattr(how.metadata, name)
    if how.metadata.resolution:
        across, down = [min(max(round(per_inch), 1), 65535) for per_inch in how.metadata.resolution]
        options["dpi"] = across, down
    if how.quality is not None:
        options["quality"] = how.quality
    Image.fromarray(image.squeeze(2) if image.shape[2:] == (1,) else image).save(packed, form, **options)
    file.write(packed.getbuffer())


def pillow_metadata(image: Any) -> Read:
    """Return the metadata of an image that Pillow has read."""
    info = image.info
    exif: Any = None
    try:
        # An image whose pixels are loaded has all of its EXIF in its info.
        exif = sound_exif(image) if exif_block(info) else None
    except Exception as error:  # a damaged file can make a decoder raise anything
        exif = brief(error)
    return sound(
        exif,
        orientation_of(image),
        resolution=info.get("dpi"),
        icc_profile=info.get("icc_profile") or b"",
        xmp=info.get("xmp") or b"",
        description=info.get("Description"),
    )


def has_alpha(image: Any) -> bool:
    """Return whether the last channel of a decoded image is alpha."""
    return image.mode in ("LA", "RGBA") or (image.mode == "P" and "transparency" in image.info)


def pixel_bytes(image: Any) -> int:
    """Return the bytes of a decoded pixel of an image opened by Pillow."""
    if image.mode == "P":
        return 4
    deep = image.tile and "16B" in str(image.tile[0].args)
    return len(image.getbands()) * (2 if deep else {"I": 4, "F": 4, "I;16": 2, "I;16B": 2}.get(image.mode, 1))


def pixels_of(image: Image.Image) -> Pixels:
    """Return the pixels of an image, with palettes and inks converted to colours."""
    image.load()
    if image.mode == "P":
        return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
    if image.mode in ("CMYK", "RGBX", "YCbCr"):
        return np.asarray(image.convert("RGB"))
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I", "F"):
        raise Refused(f"its pixels are {image.mode}; convert it to RGB first")
    return np.asarray(image)
