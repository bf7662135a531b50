"""The file formats, and what each of them holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from gpuimg.files.jpeg import read_jpeg, write_jpeg
from gpuimg.files.limits import MOST_PAGES, Limit, PathLike
from gpuimg.files.meta import Meta, Pixels
from gpuimg.files.npy import NPY_DTYPES, NPY_SIGNATURE, read_npy, write_npy
from gpuimg.files.pages import REALS, Pages
from gpuimg.files.png import PNG_SIGNATURE, read_png, write_png
from gpuimg.files.tiff import read_tiff, write_tiff
from gpuimg.images import MOST_CHANNELS, ambiguous_axes, check_axes


class Format(NamedTuple):
    """A file format: its media type, how it is told, read and written, what it holds (``channels`` empty: any number).

    ``write`` takes images of shape (N, H, W) or (N, H, W, C); N is 1 unless the format has pages.
    """

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]
    read: Callable[[BinaryIO, Limit, int | None], Pages]
    write: Callable[[BinaryIO, Pixels, Meta], None]
    dtypes: tuple[str, ...]
    channels: tuple[int, ...] = ()
    longest_side: int = 2**31 - 1
    has_pages: bool = False


# fmt: off
FORMATS = (
    Format("TIFF", "image/tiff", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), read_tiff, write_tiff,
           REALS, has_pages=True),
    Format("PNG", "image/png", (".png",), (PNG_SIGNATURE,), read_png, write_png, ("uint8", "uint16"), (1, 2, 3, 4)),
    Format("JPEG", "image/jpeg", (".jpg", ".jpeg"), (b"\xff\xd8\xff",), read_jpeg, write_jpeg, ("uint8",), (1, 3),
           65500),
    Format("NPY", "application/x-npy", (".npy",), (NPY_SIGNATURE,), read_npy, write_npy, NPY_DTYPES, has_pages=True),
)
# fmt: on


def format_of(path: Path) -> Format:
    """The format that a file name's suffix stands for."""
    for form in FORMATS:
        if path.suffix.lower() in form.suffixes:
            return form
    known = ", ".join(suffix for form in FORMATS for suffix in form.suffixes)
    raise ValueError(f"{path}: the name must end in one of {known}, got {path.suffix or 'none'!r}")


def check_fits(
    path: PathLike, shape: tuple[int, ...], dtype: np.dtype[Any], remedy: str | None = None, axes: str | None = None
) -> None:
    """Raise unless the format of a file's name holds images of a shape and dtype; ``remedy`` says what would help."""
    path = Path(path)
    form = format_of(path)
    stack, shape = _checked_shape(path, form, shape, axes)
    if dtype.name not in ("bool", *form.dtypes):
        held = " and ".join(form.dtypes) if len(form.dtypes) < 3 else "real numbers"
        tiff = "save it as .tif" if dtype.name in REALS else "convert it first"
        raise TypeError(f"{path}: a {form.name} file holds {held}, not {dtype}; {remedy or tiff}")
    channels = shape[2] if len(shape) == 3 else 1
    if form.channels and channels not in form.channels:
        raise ValueError(f"{path}: a {form.name} file has {_listed(form.channels)} channels, not {channels}")
    if max(shape[:2]) > form.longest_side:
        raise ValueError(f"{path}: a {form.name} image is at most {form.longest_side} pixels wide and high")
    if math.prod(stack) > MOST_PAGES:
        raise ValueError(f"{path}: a file has at most {MOST_PAGES} pages, not {math.prod(stack)}")


def _checked_shape(
    path: Path, form: Format, shape: tuple[int, ...], axes: str | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The extents of the stack and the shape of one image in an array to save."""
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
    return ", ".join(map(str, numbers[:-1])) + f" or {numbers[-1]}"
