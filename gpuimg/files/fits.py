"""FITS files, by astropy."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from gpuimg.files.codecs import codecs_for
from gpuimg.files.limits import Limit, Refused, check_page, size_of
from gpuimg.files.meta import Pixels, Written
from gpuimg.files.pages import Pages
from gpuimg.files.pieces import Memory

MOST_UNITS = 1000  # headers read before that of the image
FITS_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")


def read_fits(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read the first image of a file: two axes, or three for a stack."""
    fits = codecs_for("FITS files", "astropy.io.fits", "fits")
    unit = _first_image(fits.open(file, memmap=False))
    shape = unit.shape
    if len(shape) > 3:
        raise Refused(f"its shape is {shape}; two axes are read, or three for a stack")
    pages = shape[0] if len(shape) == 3 else 1
    numbers = range(pages)
    if chosen is not None:
        check_page(chosen, pages)
        numbers = range(chosen, chosen + 1)
    limit.check(shape[-1], shape[-2])
    decoded = limit.check_bytes(len(numbers) * math.prod(shape[-2:]) * _itemsize(unit.header))
    place = unit.fileinfo()
    if place["datLoc"] + place["datSpan"] > size_of(file):
        raise ValueError("truncated")
    return Pages([partial(_plane, unit, number if len(shape) == 3 else None) for number in numbers], decoded)


def _first_image(units: Any) -> Any:
    for number in range(MOST_UNITS):
        try:
            unit = units[number]
        except IndexError:
            break
        if unit.is_image and len(unit.shape) >= 2 and 0 not in unit.shape:
            return unit
    raise Refused("has no image of two or more axes")


def _itemsize(header: Any) -> int:
    """Return the bytes of a decoded pixel."""
    stored = abs(int(header["BITPIX"])) // 8
    is_scaled = float(header.get("BSCALE", 1)) != 1 or float(header.get("BZERO", 0)) != 0
    return max(stored, 8 if stored > 2 else 4) if is_scaled else stored


def _plane(unit: Any, number: int | None) -> Pixels:
    return np.asarray(unit.section[:, :] if number is None else unit.section[number, :, :])


def write_fits(file: BinaryIO, pages: Pixels, how: Written) -> None:
    """Write an image, or a stack as an image of three axes."""
    fits = codecs_for("FITS files", "astropy.io.fits", "fits")
    pages = pages.reshape(pages.shape[:3])
    image = pages[0] if len(pages) == 1 else pages
    packed = Memory()  # astropy supports only a few file modes
    # In the byte order of FITS: otherwise astropy swaps the bytes of the given array in place, and swaps them back.
    fits.PrimaryHDU(np.ascontiguousarray(image, image.dtype.newbyteorder(">"))).writeto(packed)
    file.write(packed.getbuffer())
