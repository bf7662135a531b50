"""NumPy's NPY files."""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np

from gpuimg.files.limits import Limit, Refused, check_page, size_of
from gpuimg.files.meta import Pixels, Written
from gpuimg.files.pages import REALS, Pages, bands
from gpuimg.files.pieces import read_array

NPY_SIGNATURE = b"\x93NUMPY"
NPY_DTYPES = ("bool", *REALS)
LONGEST_NPY_HEADER = 1 << 16


def read_npy(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    check_page(chosen or 0, 1)
    shape, is_fortran, dtype = _npy_header(file)
    if dtype.name not in NPY_DTYPES:
        raise Refused(f"its elements are {dtype}; real numbers are read")
    if not 2 <= len(shape) <= 5 or 0 in shape:
        raise Refused(f"its shape is {shape}; an image has shape (H, W) or (H, W, C), none 0")
    limit.check(shape[1], shape[0])
    count = math.prod(shape)
    decoded = limit.check_bytes(count * dtype.itemsize)
    found = size_of(file) - file.tell()
    if decoded != found:
        raise ValueError("truncated" if decoded > found else "more data than its header says")

    def decode() -> Pixels:
        return read_array(file, dtype, count).reshape(shape, order="F" if is_fortran else "C")

    return Pages([decode], decoded)


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    reading = np.lib.format
    version = reading.read_magic(file)
    if version == (1, 0):
        shape, is_fortran, dtype = reading.read_array_header_1_0(file, LONGEST_NPY_HEADER)
    elif version == (2, 0):
        shape, is_fortran, dtype = reading.read_array_header_2_0(file, LONGEST_NPY_HEADER)
    else:
        raise Refused(f"version {version} of the format is not read")
    return shape, is_fortran, dtype


def write_npy(file: BinaryIO, pages: Pixels, how: Written) -> None:
    image = pages[0] if len(pages) == 1 else pages
    plain = np.dtype(image.dtype.newbyteorder("="))
    header = {"descr": np.lib.format.dtype_to_descr(plain), "fortran_order": False, "shape": image.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for band in bands(image):
        file.write(np.ascontiguousarray(band, plain).data.cast("B"))
