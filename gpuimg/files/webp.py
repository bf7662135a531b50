"""WebP files."""

from __future__ import annotations

import struct
from typing import BinaryIO

from gpuimg.files.limits import Limit
from gpuimg.files.meta import Pixels, Written
from gpuimg.files.pages import Pages
from gpuimg.files.pillow import read_still, write_still

LONGEST_SIDE = 16383


def read_webp(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read the first frame of a WebP file."""
    from PIL.WebPImagePlugin import WebPImageFile

    limit.check(*webp_size(file.read(30)))  # the decoder makes a canvas as soon as it is made
    file.seek(0)
    return read_still(WebPImageFile, file, limit, chosen)


def webp_size(head: bytes) -> tuple[int, int]:
    """Return the columns and rows from the first 30 bytes of a file."""
    kind = head[12:16]
    if len(head) < 30 or kind not in (b"VP8 ", b"VP8L", b"VP8X"):
        raise ValueError("truncated or without a size")
    if kind == b"VP8 ":
        cols, rows = struct.unpack("<HH", head[26:30])
        return cols & 0x3FFF, rows & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1


def write_webp(file: BinaryIO, pages: Pixels, how: Written) -> None:
    """Write a WebP file, lossless unless a quality is given; transparent pixels keep their colours."""
    write_still(file, pages, how, "WEBP", lossless=how.quality is None, exact=True)
