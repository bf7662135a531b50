"""JPEG 2000 files: 8 bits by Pillow, more by imagecodecs."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from gpuimg.files.codecs import codecs_for
from gpuimg.files.limits import Limit, Refused, check_page
from gpuimg.files.meta import Pixels, Written
from gpuimg.files.pages import Pages
from gpuimg.files.pillow import read_still, write_still
from gpuimg.images import ALPHA_CHANNELS

START, END = b"\xff\x4f\xff\x51", b"\xff\xd9"


class Codestream(NamedTuple):
    """The header of a JPEG 2000 codestream."""

    cols: int
    rows: int
    channels: int
    bits: int


def codestream(data: bytes) -> Codestream:
    """Read the header of a file's codestream, which must be complete: the decoders accept truncated ones."""
    start = data.find(START)
    if start < 0 or len(data) < start + 45:
        raise ValueError("truncated or without a codestream")
    end = len(data)
    if data[start - 4 : start] == b"jp2c" and (length := int.from_bytes(data[start - 8 : start - 4], "big")) > 1:
        end = start - 8 + length
    if data[max(end, 2) - 2 : end] != END:
        raise ValueError("truncated")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    tile_cols, tile_rows = struct.unpack_from(">2I", data, start + 24)
    (channels,) = struct.unpack_from(">H", data, start + 40)
    depths = data[start + 42 : start + 42 + 3 * channels : 3]
    if right <= left or bottom <= top or not depths or not tile_cols or not tile_rows:
        raise ValueError("its header has no size")
    return Codestream(right - left, bottom - top, channels, max(depth & 127 for depth in depths) + 1)


def read_jpeg2000(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read a JP2 file or a bare codestream."""
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    check_page(chosen or 0, 1)
    found = codestream(file.read())
    limit.check(found.cols, found.rows)
    if found.channels > 4 or found.bits > 16:
        raise Refused(f"has {found.channels} channels of {found.bits} bits; up to 4 of up to 16 are read")
    nbytes = limit.check_bytes(found.cols * found.rows * found.channels * (1 + (found.bits > 8)))
    file.seek(0)
    if found.bits <= 8:
        return read_still(Jpeg2KImageFile, file, limit, chosen)
    imagecodecs = codecs_for(f"JPEG 2000 files of {found.bits} bits")

    def decode() -> Pixels:
        file.seek(0)
        image: Pixels = imagecodecs.jpeg2k_decode(file.read())
        if image.shape[:2] != (found.rows, found.cols):
            raise ValueError("its pixels have another shape than its header says")
        return image

    return Pages([decode], nbytes, has_alpha=found.channels in ALPHA_CHANNELS)


def write_jpeg2000(file: BinaryIO, pages: Pixels, how: Written) -> None:
    """Write a lossless JP2 file."""
    write_still(file, pages, how, "JPEG2000")
