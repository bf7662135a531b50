"""AVIF files: 8 bits by Pillow, 10 and 12 bits by imagecodecs."""

from __future__ import annotations

import math
from functools import partial
from typing import BinaryIO

from gpuimg.exif import orientation_of, upright
from gpuimg.files.codecs import codecs_for
from gpuimg.files.limits import Limit
from gpuimg.files.meta import Pixels, Written
from gpuimg.files.pages import Pages
from gpuimg.files.pillow import has_alpha, open_still, pillow_metadata, read_still, write_still

CONFIGURATION = b"av1C"


def read_avif(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read the still image, or the first frame, of an AVIF file."""
    from PIL.AvifImagePlugin import AvifImageFile

    bits = _bits(file.read())
    file.seek(0)
    if bits == 8:
        return read_still(AvifImageFile, file, limit, chosen)
    imagecodecs = codecs_for(f"AVIF files of {bits} bits")
    header = open_still(AvifImageFile, file, limit, chosen)
    shape = (header.size[1], header.size[0], len(header.getbands()))

    def decode() -> Pixels:
        file.seek(0)
        image: Pixels = imagecodecs.avif_decode(file.read(), index=0)
        if image.shape[:2] != shape[:2]:
            raise ValueError("its frames have another size than its header says")
        return image

    # Pillow converts the file's orientation to EXIF's number and does not change the pixels.
    nbytes = limit.check_bytes(2 * math.prod(shape))
    decoders = [lambda: upright(decode(), orientation_of(header))]
    return Pages(decoders, nbytes, partial(pillow_metadata, header), has_alpha(header))


def _bits(data: bytes) -> int:
    """Return the bits per sample: the maximum of all items."""
    found, at = 8, data.find(CONFIGURATION)
    while at >= 0:
        flags = data[at + 6] if at + 6 < len(data) else 0
        found = max(found, 8 if not flags & 0x40 else 12 if flags & 0x20 else 10)
        at = data.find(CONFIGURATION, at + 4)
    return found


def write_avif(file: BinaryIO, pages: Pixels, how: Written) -> None:
    """Write an 8-bit AVIF file, lossy."""
    write_still(file, pages, how._replace(quality=how.quality or 90), "AVIF", subsampling=how.subsampling or "4:4:4")
