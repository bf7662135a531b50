"""The file formats and their capabilities."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from gpuimg.errors import CodecMissing
from gpuimg.exif import MOST_BYTES
from gpuimg.extras import remedy
from gpuimg.files.avif import read_avif, write_avif
from gpuimg.files.bitmaps import read_bmp, read_gif, write_bmp
from gpuimg.files.codecs import NoCodec, has_codecs
from gpuimg.files.fits import FITS_DTYPES, read_fits, write_fits
from gpuimg.files.jpeg import read_jpeg, write_jpeg
from gpuimg.files.jpeg2000 import read_jpeg2000, write_jpeg2000
from gpuimg.files.limits import MOST_PAGES, Limit, PathLike, path_of
from gpuimg.files.meta import WORDS, Pixels, Written
from gpuimg.files.npy import NPY_DTYPES, NPY_SIGNATURE, read_npy, write_npy
from gpuimg.files.pages import REALS, Pages
from gpuimg.files.png import PNG_SIGNATURE, read_png, write_png
from gpuimg.files.pnm import read_pnm, write_pfm, write_pnm
from gpuimg.files.tiff import COMPRESSIONS, read_tiff, write_tiff
from gpuimg.files.webp import LONGEST_SIDE, read_webp, write_webp
from gpuimg.images import MOST_CHANNELS, ambiguous_axes, check_axes, whole


class Format(NamedTuple):
    """A file format: media type, signature, reader and writer, supported dtypes and channels (empty: any number).

    ``signature`` matches the first 16 bytes. ``write`` takes images of shape (N, H, W) or (N, H, W, C); N is 1 unless
    the format has pages. It is None for read-only formats. ``held`` is the maximum size in bytes of each kind of
    metadata that the format supports; with ``in_exif``, resolution and description are part of EXIF. ``extra`` is the
    extra of this package that is required to read or write the format.
    """

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    signature: re.Pattern[bytes]
    read: Callable[[BinaryIO, Limit, int | None], Pages]
    write: Callable[[BinaryIO, Pixels, Written], None] | None
    dtypes: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    longest_side: int = 2**31 - 1
    has_pages: bool = False
    held: Mapping[str, int] = MappingProxyType({})
    in_exif: bool = False
    has_quality: bool = False
    has_subsampling: bool = False
    compressions: tuple[str | int, ...] = ()
    extra: str = ""


def _begins(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


ALL = dict.fromkeys(WORDS, MOST_BYTES)
OF_ONE = {name: most for name, most in ALL.items() if name != "axes"}
IN_PNG = {**OF_ONE, "icc_profile": 1 << 20}  # Pillow's readers reject more
SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")  # Pillow's names
IN_JPEG = {**OF_ONE, "exif": 65_000, "xmp": 65_000}  # a segment has two bytes for its length

# fmt: off
FORMATS = (
    Format("TIFF", "image/tiff", (".tif", ".tiff"), _begins(rb"II[*+]\0|MM\0[*+]"), read_tiff, write_tiff, REALS,
           has_pages=True, held=ALL, compressions=("none", *COMPRESSIONS)),
    Format("PNG", "image/png", (".png",), _begins(re.escape(PNG_SIGNATURE)), read_png, write_png, ("uint8", "uint16"),
           (1, 2, 3, 4), held=IN_PNG, compressions=tuple(range(10))),
    Format("JPEG", "image/jpeg", (".jpg", ".jpeg"), _begins(rb"\xff\xd8\xff"), read_jpeg, write_jpeg, ("uint8",),
           (1, 3), 65500, held=IN_JPEG, in_exif=True, has_quality=True, has_subsampling=True),
    Format("NPY", "application/x-npy", (".npy",), _begins(NPY_SIGNATURE), read_npy, write_npy, NPY_DTYPES,
           has_pages=True),
    Format("WebP", "image/webp", (".webp",), _begins(rb"RIFF....WEBP"), read_webp, write_webp, ("uint8",), (3, 4),
           LONGEST_SIDE, held=OF_ONE, in_exif=True, has_quality=True),
    Format("AVIF", "image/avif", (".avif",), _begins(rb"....ftypavi[fs]"), read_avif, write_avif, ("uint8",), (3, 4),
           65535, held=OF_ONE, in_exif=True, has_quality=True, has_subsampling=True),
    Format("JPEG 2000", "image/jp2", (".jp2",), _begins(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  "), read_jpeg2000,
           write_jpeg2000, ("uint8",), (1, 2, 3, 4)),
    Format("BMP", "image/bmp", (".bmp",), _begins(b"BM"), read_bmp, write_bmp, ("uint8",), (1, 3),
           held={"resolution": 8}),
    Format("GIF", "image/gif", (".gif",), _begins(b"GIF8[79]a"), read_gif, None),
    Format("PNM", "image/x-portable-anymap", (".pgm", ".ppm", ".pnm"), _begins(rb"P[1-6]\s|P7\n"), read_pnm, write_pnm,
           ("uint8", "uint16"), (1, 3)),
    Format("PFM", "image/x-portable-floatmap", (".pfm",), _begins(rb"P[fF]\s"), read_pnm, write_pfm, ("float32",),
           (1, 3)),
    Format("FITS", "image/fits", (".fits", ".fit", ".fts"), _begins(rb"SIMPLE  ="), read_fits, write_fits, FITS_DTYPES,
           (1,), has_pages=True, extra="fits"),
)
# fmt: on


def format_of(path: Path, name: str | None = None) -> Format:
    """Return the format to write: that of ``name``, or otherwise of the file name's suffix."""
    suffix = path.suffix.lower() if name is None else name.lower()
    for form in FORMATS:
        if suffix in form.suffixes or (name is not None and suffix in (form.name.lower(), *_bare(form.suffixes))):
            if form.write is None:
                raise ValueError(f"{path}: {form.name} files are read, not written; save it as .png or .tif")
            return form
    if name is not None:
        known = ", ".join(form.name for form in FORMATS if form.write)
        raise ValueError(f"format must be one of {known}, got {name!r}")
    known = ", ".join(suffix for form in FORMATS if form.write for suffix in form.suffixes)
    raise ValueError(f"{path}: the name must end in one of {known}, got {path.suffix or 'none'!r}")


def _bare(suffixes: tuple[str, ...]) -> list[str]:
    return [suffix[1:] for suffix in suffixes]


def check_options(
    path: PathLike,
    quality: int | None = None,
    compression: str | int | None = None,
    subsampling: str | None = None,
    format: str | None = None,
) -> None:
    """Raise unless a file's format supports the given quality, compression and subsampling."""
    path = path_of(path)
    form = format_of(path, format)
    if form.extra and not has_codecs(form.extra):
        raise CodecMissing(f"{path}: {NoCodec(f'{form.name} files', form.extra)}")
    if quality is not None:
        whole("quality", quality, high=100)
        if not form.has_quality:
            raise ValueError(f"{path}: a {form.name} file has no quality, which .jpg, .webp and .avif files have")
    if subsampling is not None:
        if not form.has_subsampling:
            raise ValueError(f"{path}: a {form.name} file has no subsampling, which .jpg and .avif files have")
        if subsampling not in SUBSAMPLINGS:
            raise ValueError(f"subsampling must be one of {', '.join(SUBSAMPLINGS)}, got {subsampling!r}")
    if compression is None:
        return
    if not form.compressions:
        raise ValueError(f"{path}: a {form.name} file has no choice of compression, which .tif and .png files have")
    if isinstance(compression, bool) or compression not in form.compressions:
        known = ", ".join(map(str, form.compressions))
        raise ValueError(f"compression of a {form.name} file must be one of {known}, got {compression!r}")
    if compression in ("lzw", "zstd") and not has_codecs():
        raise CodecMissing(f"{path}: {compression} needs a codec that is not installed: {remedy('codecs')}")


def check_fits(
    path: PathLike,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    remedy: str | None = None,
    axes: str | None = None,
    format: str | None = None,
) -> None:
    """Raise unless a file's format supports images of a shape and dtype; ``remedy`` is a suggestion for the message."""
    path = path_of(path)
    form = format_of(path, format)
    stack, shape = _checked_shape(path, form, shape, axes)
    if dtype.name not in ("bool", *form.dtypes):
        held = " and ".join(form.dtypes) if len(form.dtypes) < 3 else "real numbers"
        tiff = "save it as .tif" if dtype.name in REALS else "convert it first"
        raise TypeError(f"{path}: a {form.name} file holds {held}, not {dtype}; {remedy or tiff}")
    channels = shape[2] if len(shape) == 3 else 1
    if form.channels and channels not in form.channels:
        raise ValueError(f"{path}: a {form.name} file has {_listed(form.channels)}, not {channels}")
    if max(shape[:2]) > form.longest_side:
        raise ValueError(f"{path}: a {form.name} image is at most {form.longest_side} pixels wide and high")
    if math.prod(stack) > MOST_PAGES:
        raise ValueError(f"{path}: a file has at most {MOST_PAGES} pages, not {math.prod(stack)}")


def _checked_shape(
    path: Path, form: Format, shape: tuple[int, ...], axes: str | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the extents of the stack and the shape of one image in an array to save."""
    known = None if axes is None else check_axes(axes, shape, name=f"the array for {path}")
    if known is None:
        many = len(shape) > 3 or (len(shape) == 3 and shape[2] > MOST_CHANNELS and not form.channels)
        if many and 0 not in shape:
            raise ValueError(f"{path}: {ambiguous_axes(shape, 'an image to save')}")
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"{path}: an image to save must have shape (H, W) or (H, W, C), none 0, got {shape}")
    if known is None:
        return (), shape
    if known.stack and not form.has_pages:
        raise ValueError(f"{path}: a {form.name} file holds one image, not a stack; a .tif file holds one as pages")
    ordered = tuple([shape[known.given.index(letter)] for letter in known.order])
    return ordered[: known.stack], ordered[known.stack :]


def _listed(numbers: tuple[int, ...]) -> str:
    if numbers == (1,):
        return "1 channel"
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]} channels"
