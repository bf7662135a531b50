"""PNG files of 8 and 16 bits."""

from __future__ import annotations

import math
import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gpuimg.exif import orientation_of, upright
from gpuimg.files.limits import Limit, check_page
from gpuimg.files.meta import ImageMetadata, Pixels, Written
from gpuimg.files.pages import Pages, bands
from gpuimg.files.pillow import has_alpha, pillow_metadata, pixel_bytes, pixels_of

if TYPE_CHECKING:
    from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels
INCH = 0.0254  # metres
SUBTRACT_LEFT = 1  # the PNG filter "Sub": each byte minus that of the pixel to its left


def read_png(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    from PIL.PngImagePlugin import PngImageFile

    check_page(chosen or 0, 1)
    header = PngImageFile(file)
    limit.check(*header.size)
    decoded = limit.check_bytes(math.prod(header.size) * pixel_bytes(header))
    coding = header.tile[0].args if header.tile else None

    def decode() -> Pixels:
        pixels, image = _read_still(file, coding)
        header.info.update(image.info)  # EXIF and texts may lie behind the pixels
        return upright(pixels, orientation_of(image))

    return Pages([decode], decoded, partial(pillow_metadata, header), has_alpha(header))


def _read_still(file: BinaryIO, coding: Any) -> tuple[Pixels, Image.Image]:
    from PIL.PngImagePlugin import PngImageFile

    def decode(coding: str | None = None) -> Image.Image:
        file.seek(0)
        image = PngImageFile(file)
        if coding is not None:
            image.tile = [image.tile[0]._replace(args=coding)]
        image.load()
        return image

    # Pillow keeps the upper byte of 16-bit colour. Its decoder can be told to take the lower bytes, so two rounds give
    # both; two channels of 16 bits are four bytes a pixel, which fit at once.
    if coding in ("RGB;16B", "RGBA;16B"):
        high = decode()
        low = np.asarray(decode(coding.replace("16B", "16L")))
        return np.asarray(high).astype(np.uint16) << 8 | low, high
    if coding == "LA;16B":
        image = decode("RGBA")
        return np.asarray(image).view(">u2"), image
    image = decode()
    return pixels_of(image), image


def write_png(file: BinaryIO, pages: Pixels, how: Written) -> None:
    (image,) = pages
    rows, cols = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    header = struct.pack(">IIBBBBB", cols, rows, image.itemsize * 8, PNG_COLOUR_TYPES[channels], 0, 0, 0)
    file.write(PNG_SIGNATURE)
    _write_chunk(file, b"IHDR", header)
    _write_metadata(file, how.metadata)
    # Runs of equal differences only: as small as the full search on photographs, and several times faster.
    usual = how.compression is None
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE) if usual else zlib.compressobj(int(how.compression or 0))
    for band in bands(image):
        _write_chunk(file, b"IDAT", deflate.compress(_filtered(band, channels * image.itemsize).data))
    _write_chunk(file, b"IDAT", deflate.flush())
    _write_chunk(file, b"IEND", b"")


def _write_metadata(file: BinaryIO, metadata: ImageMetadata) -> None:
    if metadata.icc_profile:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc_profile))
    if metadata.resolution:
        across, down = [min(max(round(per_inch / INCH), 1), 2**31 - 1) for per_inch in metadata.resolution]
        _write_chunk(file, b"pHYs", struct.pack(">IIB", across, down, 1))
    if metadata.exif:
        _write_chunk(file, b"eXIf", metadata.exif)
    for keyword, text in ((b"XML:com.adobe.xmp", metadata.xmp), (b"Description", metadata.description.encode())):
        if text:
            _write_chunk(file, b"iTXt", keyword + bytes(5) + text)


def _write_chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def _filtered(band: Pixels, pixel_bytes: int) -> Pixels:
    """Return PNG's filtered rows: the filter's number, then each byte minus that of the pixel to its left."""
    raw = np.ascontiguousarray(band, band.dtype.newbyteorder(">")).view(np.uint8).reshape(len(band), -1)
    rows = np.empty((len(raw), 1 + raw.shape[1]), np.uint8)
    rows[:, 0] = SUBTRACT_LEFT
    rows[:, 1 : 1 + pixel_bytes] = raw[:, :pixel_bytes]
    np.subtract(raw[:, pixel_bytes:], raw[:, :-pixel_bytes], out=rows[:, 1 + pixel_bytes :])
    return rows
