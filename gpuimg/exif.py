"""EXIF and TIFF metadata of an image, read by Pillow after a check that they are not damaged."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = "np.ndarray[Any, Any]"

# How to turn an image upright, by its orientation number in EXIF and TIFF.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image, 1),
}
ORIENTATION_TAG = 274
EXIF_PREFIX = b"Exif\0\0"


ENTRY: dict[bool, Any] = {False: [("tag", "u2"), ("type", "u2"), ("count", "u4"), ("value", "u4")]}
ENTRY[True] = [("tag", "u2"), ("type", "u2"), ("count", "u8"), ("value", "u8")]
TYPE_BYTES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8, 0], np.float64)
TEXTS = (1, 2, 6, 7)  # types whose values tifffile does not convert to one Python number each
MOST_TAGS, MOST_NUMBERS = 300_000, 4_000_000  # a tag takes some microseconds, a number a few dozen bytes
MOST_SHARED = 4, 1 << 24  # tags may share bytes: they may total this many times the file's size plus this many bytes


def check_directories(file: BinaryIO, most: int, *, first: int | None = None, most_numbers: int = MOST_NUMBERS) -> None:
    """Raise if a TIFF file's directories form a loop, overlap, exceed the file or number more than ``most``.

    ``first`` is the offset of a single directory, such as EXIF's, to check in place of the chain.

    Raises
    ------
    OverflowError : there are too many directories, tags or numbers in them
    ValueError, struct.error : they are damaged
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]
    entry = np.dtype([(name, order + code) for name, code in ENTRY[big]])
    count_code, offset_code = ("Q", "Q") if big else ("H", "I")

    def number(code: str, data: bytes) -> int:
        return int(struct.unpack(order + code, data)[0])

    offset = number(offset_code, head[8:16] if big else head[4:8]) if first is None else first
    seen: set[int] = set()
    directories, tag_count, values, numbers = 0, 0, 0.0, 0.0
    while offset:
        if offset in seen:
            raise ValueError("its directories form a loop")
        if len(seen) == most:
            raise OverflowError(f"has more than {most} pages")
        seen.add(offset)
        file.seek(min(offset, size))
        count = number(count_code, file.read(struct.calcsize(order + count_code)))
        directories += count * entry.itemsize
        if directories > size:
            raise ValueError("truncated or its directories overlap")
        tags = np.frombuffer(file.read(count * entry.itemsize), entry)
        nbytes = TYPE_BYTES[np.minimum(tags["type"], len(TYPE_BYTES) - 1)] * tags["count"]
        values += float(np.minimum(nbytes, size).sum())
        if values > MOST_SHARED[0] * size + MOST_SHARED[1]:
            raise ValueError("its tags overlap")
        tag_count += count
        numbers += float(tags["count"][~np.isin(tags["type"], TEXTS)].astype(np.float64).sum())
        if tag_count > MOST_TAGS or numbers > most_numbers:
            raise OverflowError(f"has more than {MOST_TAGS} tags or {most_numbers} numbers in them")
        if first is not None:
            return
        offset = number(offset_code, file.read(struct.calcsize(order + offset_code)))


MOST_BYTES = 8 << 20  # of a block of metadata
EXIF_NUMBERS = 100_000
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY = 34665, 34853, 40965
RESOLUTION_TAGS = (282, 283, 296)  # across, down, unit
INCH = 2  # the unit
DESCRIPTION_TAG = 270
# Tags that describe the picture: camera, time, artist, host, rating, copyright, Windows' texts. Others describe how and
# by which program the pixels were stored.
DESCRIPTIVE = (271, 272, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096))
TEXT_TAGS = (271, 272, 306, 315, 316, 33432)  # those that TIFF files have as well
SIZE_TAGS = (40962, 40963)  # of the pixels, in EXIF's directory
XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:\s*=\s*["\']|>))[0-9]')


def upright(image: Pixels, orientation: int) -> Pixels:
    """Return an image turned upright, given its orientation number."""
    return UPRIGHT[orientation](image) if orientation in UPRIGHT else image


def orientation_of(image: Image.Image) -> int:
    """Return the orientation number from EXIF or XMP of an image with loaded pixels; 1 if they are damaged."""
    try:
        return int(sound_exif(image).get(ORIENTATION_TAG, 1))
    except Exception:  # metadata may be damaged in an intact picture
        return 1


def sound_exif(image: Image.Image) -> Image.Exif:
    """Return the EXIF of an image in bounded time and memory; raise any exception if it is damaged."""
    block = exif_block(image.info)
    if block:
        read_exif(BytesIO(block))
    return image.getexif()


def exif_block(info: dict[Any, Any]) -> bytes:
    """Return the bytes of the EXIF in Pillow's ``info`` of a file."""
    block = info.get("exif") or b""
    if not block and "Raw profile type exif" in info:  # as written by ImageMagick in PNG files
        block = bytes.fromhex("".join(info["Raw profile type exif"].split("\n")[3:]))
    if len(block) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
    return re.sub(rb"^(Exif\0\0){1,2}", b"", bytes(block))


def read_exif(file: BinaryIO, most_numbers: int = EXIF_NUMBERS) -> Image.Exif:
    """Read EXIF, or a TIFF file's first directory, in bounded time and memory: a file's tags may share their bytes.

    Raises
    ------
    Exception : of any kind, if it is damaged
    """
    from PIL import Image

    file.seek(0)
    head = file.read(8)
    first = int.from_bytes(head[4:8], "little" if head[:2] == b"II" else "big")
    check_directories(file, 1, first=first, most_numbers=most_numbers)
    file.seek(0)
    exif = Image.Exif()
    exif.load_from_fp(file)
    for tag in (EXIF_DIRECTORY, GPS_DIRECTORY):
        if tag in exif:
            check_directories(file, 1, first=exif[tag], most_numbers=EXIF_NUMBERS)
    return exif


def descriptive(exif: Image.Exif) -> bytes:
    """Return the bytes of a new EXIF with the tags that describe the picture, without orientation; b"" if none."""
    from PIL import Image

    kept = Image.Exif()
    for tag in DESCRIPTIVE:
        if tag in exif:
            kept[tag] = exif[tag]
    for directory in (EXIF_DIRECTORY, GPS_DIRECTORY):
        found = exif.get_ifd(directory)
        if found:
            kept[directory] = {tag: value for tag, value in found.items() if tag != INTEROPERABILITY}
    if not len(kept):
        return b""
    return _bytes_of(kept)


def described(block: bytes, tags: dict[int, Any], size: tuple[int, int]) -> bytes:
    """Return EXIF with other tags, for an image of ``size`` columns and rows."""
    from PIL import Image

    exif = read_exif(BytesIO(block)) if block else Image.Exif()
    own = exif.get_ifd(EXIF_DIRECTORY)
    if own:
        exif[EXIF_DIRECTORY] = {**own, **{tag: side for tag, side in zip(SIZE_TAGS, size, strict=True) if tag in own}}
    exif.pop(ORIENTATION_TAG, None)
    exif.update(tags)
    return _bytes_of(exif) if len(exif) else b""


def _bytes_of(exif: Image.Exif) -> bytes:
    # Pillow reads texts as Latin-1, which keeps their bytes, and writes ASCII with question marks.
    for tag, value in exif.items():
        if isinstance(value, str) and not value.isascii():
            exif[tag] = value.encode("latin-1")
    return exif.tobytes().removeprefix(EXIF_PREFIX)


def upright_info(info: dict[Any, Any], orientation: int, mode: str) -> dict[Any, Any]:
    """Return the parts of Pillow's ``info`` that still apply after the pixels are filtered and turned upright."""
    found = {name: info[name] for name in ("dpi", "icc_profile", "xmp") if info.get(name)}
    if orientation > 4 and isinstance(found.get("dpi"), tuple):
        found["dpi"] = found["dpi"][::-1]
    if not fits_profile(found.get("icc_profile", b""), 3 if mode.startswith("RGB") else 1):
        del found["icc_profile"]
    if isinstance(found.get("xmp"), bytes):
        found["xmp"] = upright_xmp(found["xmp"])
    try:
        block = exif_block(info)
        if block:
            exif = read_exif(BytesIO(block))
            exif.pop(ORIENTATION_TAG, None)
            found["exif"] = EXIF_PREFIX + _bytes_of(exif)
    except Exception:  # damaged EXIF is dropped
        found.pop("exif", None)
    return found


def fits_profile(profile: bytes, channels: int) -> bool:
    """Whether an ICC profile is empty or its colour space fits an image with this many channels."""
    return not profile or profile[16:20] == (b"GRAY" if channels < 3 else b"RGB ")


def upright_xmp(xmp: bytes) -> bytes:
    """Return XMP with the orientation set to upright."""
    return XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
