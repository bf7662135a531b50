"""Metadata of image files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from gpuimg.exif import (
    DESCRIPTION_TAG,
    INCH,
    MOST_BYTES,
    RESOLUTION_TAGS,
    Pixels,
    described,
    descriptive,
    fits_profile,
    upright_xmp,
)

__all__ = ["BIG_TIFF", "NO_METADATA", "PLAIN", "ImageMetadata", "Pixels", "Read", "Written", "fitting", "sound"]

OME_AXES = "TZC"
OME_DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
BIG_TIFF = 4_000_000_000  # bytes of pixels above which a TIFF file has 64-bit offsets
UNITS_PER_INCH = {2: 1.0, 3: 2.54}  # by TIFF's number of the unit


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """Metadata of an image file; use `dataclasses.replace` for a changed copy.

    Attributes
    ----------
    icc_profile : ICC colour profile; empty if there is none
    resolution : pixels per inch, horizontal and vertical
    exif : EXIF tags of the picture and the camera, without the ``Exif`` prefix, the orientation, tags on the storage of
        the pixels, makers' offsets and the thumbnail
    xmp : XMP, whose orientation is 1
    description : description of the image
    axes : letters of the axes of the pages, such as "TZC", of an ImageJ or OME file or a TIFF file by tifffile
    extents : lengths of these axes

    Examples
    --------
    >>> import dataclasses, numpy as np, gpuimg
    >>> scan = gpuimg.ImageMetadata(resolution=(300, 300))
    >>> gpuimg.save_image("scan.png", np.zeros((8, 8), np.uint8), metadata=scan)
    >>> image, found = gpuimg.open_image("scan.png", metadata=True)
    >>> [round(each) for each in found.resolution]
    [300, 300]
    >>> dataclasses.replace(found, description="an empty page").description
    'an empty page'
    """

    icc_profile: bytes = b""
    resolution: tuple[float, float] | None = None
    exif: bytes = b""
    xmp: bytes = b""
    description: str = ""
    axes: str = ""
    extents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("icc_profile", "exif", "xmp"):
            if not isinstance(getattr(self, name), bytes):
                raise TypeError(f"{name} must be bytes, got {type(getattr(self, name)).__name__}")
        for name in ("description", "axes"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be str, got {type(getattr(self, name)).__name__}")
        if self.resolution is not None:
            object.__setattr__(self, "resolution", _checked_resolution(self.resolution))
        object.__setattr__(self, "extents", tuple(self.extents))
        if len(self.axes) != len(self.extents):
            raise ValueError(f"extents must have a number for each of the axes {self.axes!r}, got {self.extents}")


NO_METADATA = ImageMetadata()
WORDS = {
    "icc_profile": "ICC profile",
    "resolution": "resolution",
    "exif": "EXIF",
    "xmp": "XMP",
    "description": "description",
    "axes": "axes of pages",
}


_EMPTY: dict[str, Any] = {field.name: field.default for field in fields(ImageMetadata)}


class Read(NamedTuple):
    """The metadata of a file, and the fields left out, with reasons."""

    metadata: ImageMetadata
    left_out: tuple[str, ...] = ()


class Written(NamedTuple):
    """How to encode an image: metadata that the format supports, and the caller's options, None for defaults."""

    metadata: ImageMetadata = NO_METADATA
    quality: int | None = None
    compression: str | int | None = None
    subsampling: str | None = None


PLAIN = Written()


def _checked_resolution(given: Any) -> tuple[float, float]:
    with suppress(TypeError, ValueError):
        across, down = map(float, given)
        if 0 < across < math.inf and 0 < down < math.inf:
            return across, down
    raise ValueError(f"resolution must be two positive numbers of pixels per inch, across and down, got {given!r}")


def sound(
    exif: Any,
    orientation: int,
    *,
    resolution: Any = None,
    icc_profile: Any = b"",
    xmp: Any = b"",
    description: Any = None,
    axes: str = "",
    extents: tuple[int, ...] = (),
) -> Read:
    """Validate the metadata that a library has read from a file.

    ``exif`` is the EXIF read by Pillow, None without EXIF, or the reason why it was not read. If ``resolution``,
    (across, down) or (across, down, unit), or ``description`` is None, it is taken from ``exif``.
    """
    left_out = [f"EXIF ({exif})"] if isinstance(exif, str) else []
    block = b""
    if exif is not None and not isinstance(exif, str):
        try:
            block = descriptive(exif)
            description = _text(exif.get(DESCRIPTION_TAG, "")) if description is None else description
            resolution = resolution or [exif.get(tag) for tag in RESOLUTION_TAGS]
        except Exception:  # a damaged value can make the encoder raise anything
            left_out.append("EXIF (damaged)")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    kept = {"icc_profile": icc_profile, "exif": block, "xmp": xmp, "description": description or ""}
    for name, value in kept.items():
        is_kind = isinstance(value, type(_EMPTY[name]))
        if not is_kind or len(value) > MOST_BYTES:
            left_out.append(f"{WORDS[name]} (more than {_size(MOST_BYTES)})" if is_kind else f"{WORDS[name]} (damaged)")
            kept[name] = _EMPTY[name]
    kept["xmp"] = upright_xmp(kept["xmp"])
    upright_resolution = _resolution_of(resolution, orientation)
    return Read(ImageMetadata(**kept, resolution=upright_resolution, axes=axes, extents=extents), tuple(left_out))


def _resolution_of(given: Any, orientation: int) -> tuple[float, float] | None:
    """Return the pixels per inch of an upright image; None if invalid."""
    with suppress(TypeError, ValueError, ZeroDivisionError, KeyError):
        across, down, *unit = given
        scale = UNITS_PER_INCH[INCH if not unit or unit[0] is None else unit[0]]
        across, down = float(across) * scale, float(down) * scale
        if orientation > 4:
            across, down = down, across
        if 0 < across < 1e6 and 0 < down < 1e6:
            return across, down
    return None


def _text(value: Any) -> str:
    """Decode an EXIF text, which Pillow decodes as Latin-1 although most programs write UTF-8."""
    with suppress(UnicodeError):
        return str(value).encode("latin-1").decode()
    return str(value)


def fitting(
    metadata: ImageMetadata, held: Mapping[str, int], pages: Pixels, *, in_exif: bool = False
) -> tuple[ImageMetadata, list[str]]:
    """Return the metadata that a format supports for an image, (N, H, W) or (N, H, W, C), and the fields left out.

    ``held`` is the maximum size in bytes of each field that the format supports; with ``in_exif``, resolution and
    description become part of EXIF.
    """
    left_out = []
    for name, words in WORDS.items():
        if name == "exif" and name in held:
            metadata, damage = _with_tags(metadata, pages, in_exif)
            left_out += damage
        why = _misfit(name, getattr(metadata, name), held, pages, math.prod(metadata.extents))
        if why is not None:
            left_out.append(words + why)
            emptied: dict[str, Any] = {"axes": "", "extents": ()} if name == "axes" else {name: _EMPTY[name]}
            metadata = replace(metadata, **emptied)
    return metadata, left_out


def _misfit(name: str, value: Any, held: Mapping[str, int], pages: Pixels, count: int) -> str | None:
    """Return why a format cannot hold a field, empty if it has no such field at all; None if it can."""
    if not value:
        return None
    if name not in held:
        return ""
    if name == "icc_profile" and not fits_profile(value, pages.shape[3] if pages.ndim == 4 else 1):
        return " (of other colours)"
    if name == "axes":
        fits = count == len(pages) and set(value) <= set(OME_AXES) and pages.dtype.name in OME_DTYPES
        return None if fits else f" ({value}, of {count} pages)"
    if name != "resolution" and len(value) > held[name]:
        return f" (more than {_size(held[name])})"
    return None


def _size(nbytes: int) -> str:
    return f"{nbytes >> 20} MiB" if nbytes >= 1 << 20 else f"{nbytes} bytes"


def _with_tags(metadata: ImageMetadata, pages: Pixels, in_exif: bool) -> tuple[ImageMetadata, list[str]]:
    """Update the EXIF tags of metadata that describe the image."""
    if not metadata.exif and not (in_exif and (metadata.resolution or metadata.description)):
        return metadata, []
    tags: dict[int, Any] = {}
    if in_exif and metadata.resolution:
        tags = dict(zip(RESOLUTION_TAGS, (*metadata.resolution, INCH), strict=True))
    if in_exif and metadata.description:
        tags[DESCRIPTION_TAG] = metadata.description.encode()
    try:
        return replace(metadata, exif=described(metadata.exif, tags, (pages.shape[2], pages.shape[1]))), []
    except Exception:  # the caller's EXIF may be damaged
        return replace(metadata, exif=b""), ["EXIF (damaged)"]
