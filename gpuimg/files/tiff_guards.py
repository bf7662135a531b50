"""Checks of a TIFF file before it is parsed or decoded, in bounded time and memory."""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from gpuimg.exif import check_directories
from gpuimg.files.jpeg2000 import codestream
from gpuimg.files.limits import MOST_PAGES, Limit, Refused
from gpuimg.files.pages import BAND_BYTES
from gpuimg.files.webp import webp_size


def check_pages(file: BinaryIO) -> None:
    """Reject a chain of directories that loops, overlaps, leaves the file or has too many pages."""
    try:
        check_directories(file, MOST_PAGES)
    except OverflowError as error:
        raise Refused(str(error)) from None


# Compression methods with high ratios, and their maximum ratio.
DEFLATE, LZMA, PACKBITS = (8, 32946, 50013), (34925,), (32773,)
LZW, ZSTD = 5, (50000, 34926)  # imagecodecs decodes no more of these than it is asked for
GROWTH = {**dict.fromkeys(DEFLATE, 1032), **dict.fromkeys(LZMA, math.inf), **dict.fromkeys(PACKBITS, 64)}
HARMLESS = 1 << 24  # bytes: a segment that cannot become larger is not measured


MOST_CHANNELS = 16


def _check_channels(channels: int) -> None:
    if channels > MOST_CHANNELS:
        raise Refused(f"has strips or tiles of more than {MOST_CHANNELS} channels")


def _lerc_size(data: bytes) -> tuple[int, int]:
    """Return the columns and rows of a LERC blob."""
    if data[:6] != b"Lerc2 " or len(data) < 26:
        raise Refused("holds LERC of another version than 2, or compressed twice, which is not read")
    (version,) = struct.unpack_from("<i", data, 6)
    rows, cols, channels = struct.unpack_from("<3i", data, 14 if version > 2 else 10)
    if version > 3:
        _check_channels(channels)
    return cols, rows


def _jpeg2000_size(data: bytes) -> tuple[int, int]:
    found = codestream(data)
    _check_channels(found.channels)
    return found.cols, found.rows


# Compression methods whose strips and tiles are images with headers.
IMAGES_IN_TIFF: dict[int, Callable[[bytes], tuple[int, int]]] = {
    34887: _lerc_size,
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg2000_size),
    **dict.fromkeys((34927, 50001), webp_size),
}


def check_segments(file: BinaryIO, page: Any, limit: Limit) -> None:
    """Reject strips or tiles that decode to more than the header declares, in bounded memory."""
    growth, size_of_image = GROWTH.get(page.compression), IMAGES_IN_TIFF.get(page.compression)
    if growth is None and size_of_image is None:
        return
    rows, cols = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    rows = rows if page.is_tiled else min(rows, page.imagelength)
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    row_bytes = -(-cols * samples * int(np.max(page.bitspersample)) // 8)
    expected = rows * row_bytes * max(1, page.tiledepth or 1)
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if size_of_image is not None:
            file.seek(start)
            inner_cols, inner_rows = size_of_image(file.read(count))
            if count and (inner_cols > cols or inner_rows > rows):
                raise ValueError("a strip or tile decodes to more than its header says")
        elif growth is not None and count * growth > min(HARMLESS, limit.bytes):
            file.seek(start)
            # Some writers fill the last strip up to full rows, so a strip may be a little longer than its image.
            if _longer_than(file.read(count), page.compression, max(2 * expected, 1 << 16)):
                raise ValueError("a strip or tile decodes to more than its header says")


def _longer_than(data: bytes, compression: int, most: int) -> bool:
    """Return whether data decode to more than ``most`` bytes, decoding piece by piece."""
    if compression in PACKBITS:
        return _packbits_longer_than(data, most)
    total = 0
    if compression in LZMA:
        decoder = lzma.LZMADecompressor()
        part = decoder.decompress(data, BAND_BYTES)
        while part and total <= most:
            total += len(part)
            part = b"" if decoder.eof else decoder.decompress(b"", BAND_BYTES)
        return total > most or bool(decoder.unused_data.strip(b"\0"))
    inflate = zlib.decompressobj()
    while data and total <= most and not inflate.eof:
        part = inflate.decompress(data, BAND_BYTES)
        total += len(part)
        data = inflate.unconsumed_tail
    return total > most


def _packbits_longer_than(data: bytes, most: int) -> bool:
    total = at = 0
    while at < len(data) and total <= most:
        code = data[at]
        total += code + 1 if code < 128 else 257 - code if code > 128 else 0
        at += code + 2 if code < 128 else 2 if code > 128 else 1
    return total > most
