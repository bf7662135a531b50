"""JPEG files."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, BinaryIO

from gpuimg.files.limits import Limit, Refused
from gpuimg.files.meta import Pixels, Written
from gpuimg.files.pages import Pages
from gpuimg.files.pieces import PIECE
from gpuimg.files.pillow import read_still, write_still

MOST_SCANS = 100
START_OF_SCAN = b"\xff\xda"


def read_jpeg(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read a JPEG file."""
    check_scans(file)
    file.seek(0)
    return read_still(_reader(), file, limit, chosen)


@cache
def _reader() -> Any:
    from PIL.JpegImagePlugin import JpegImageFile

    class Unread(JpegImageFile):
        """Do nothing; Pillow would read EXIF, which may be malicious, as soon as it opens the file."""

        def _read_dpi_from_exif(self) -> None:
            pass

    return Unread


def check_scans(file: BinaryIO, nbytes: float = math.inf) -> None:
    """Reject a JPEG stream of many scans: a scan of a few bytes makes the decoder visit every pixel."""
    scans, last = 0, b""
    while piece := file.read(int(min(nbytes, PIECE))):
        nbytes -= len(piece)
        scans += (last + piece).count(START_OF_SCAN)
        if scans > MOST_SCANS:
            raise Refused(f"has more than {MOST_SCANS} scans")
        last = piece[-1:]


def write_jpeg(file: BinaryIO, pages: Pixels, how: Written) -> None:
    """Write a JPEG file, by default in high quality."""
    subsampling = how.subsampling or "4:4:4"
    write_still(file, pages, how._replace(quality=how.quality or 95), "JPEG", subsampling=subsampling)
