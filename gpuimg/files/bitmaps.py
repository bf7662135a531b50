"""BMP and GIF files."""

from __future__ import annotations

from typing import BinaryIO

from gpuimg.files.limits import Limit
from gpuimg.files.meta import Pixels, Written
from gpuimg.files.pages import Pages
from gpuimg.files.pillow import read_still, write_still


def read_bmp(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read a BMP file."""
    from PIL.BmpImagePlugin import BmpImageFile

    return read_still(BmpImageFile, file, limit, chosen)


def write_bmp(file: BinaryIO, pages: Pixels, how: Written) -> None:
    """Write a BMP file of 8 or 24 bits per pixel."""
    write_still(file, pages, how, "BMP")


def read_gif(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read the first frame of a GIF file."""
    from PIL.GifImagePlugin import GifImageFile

    return read_still(GifImageFile, file, limit, chosen)
