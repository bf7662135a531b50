"""Netpbm files, which are not compressed: PBM, PGM, PPM, PAM and PFM, binary or as text."""

from __future__ import annotations

import math
import re
from typing import BinaryIO, NamedTuple

import numpy as np

from gpuimg.files.limits import Limit, check_page, size_of
from gpuimg.files.meta import Pixels, Written
from gpuimg.files.pages import Pages, bands
from gpuimg.images import ALPHA_CHANNELS

LONGEST_HEADER = 1 << 16
# Pillow keeps 8 bits of deep colours and scales other ranges; other readers take exponential time on some headers.
WORD = re.compile(rb"(?:\s|#[^\n\r]*[\n\r])*([^\s#]+)")
TEXT, BITS, FLOATS = (b"P1", b"P2", b"P3"), (b"P1", b"P4"), (b"Pf", b"PF")
CHANNELS = {b"P3": 3, b"P6": 3, b"PF": 3}


class Header(NamedTuple):
    """The header of a Netpbm file: ``top`` is the maximum value or the scale of floats, ``start`` the data's offset."""

    kind: bytes
    cols: int
    rows: int
    channels: int
    top: float
    start: int

    @property
    def dtype(self) -> np.dtype[np.generic]:
        if self.kind in FLOATS:
            return np.dtype("<f4" if self.top < 0 else ">f4")
        return np.dtype("u1" if self.top < 256 else ">u2")

    @property
    def is_mask(self) -> bool:
        return self.channels == 1 and self.top == 1 and self.kind not in FLOATS


def read_pnm(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    """Read the first image of a file, which may contain several."""
    check_page(chosen or 0, 1)
    header = _header(file.read(LONGEST_HEADER))
    limit.check(header.cols, header.rows)
    samples = header.rows * header.cols * header.channels
    decoded = limit.check_bytes(samples * header.dtype.itemsize)
    stored = samples * 2 - 1 if header.kind in (b"P2", b"P3") else decoded
    if header.kind in BITS:
        stored = samples if header.kind == b"P1" else header.rows * -(-header.cols // 8)
    if size_of(file) - header.start < stored:
        raise ValueError("truncated")

    def decode() -> Pixels:
        file.seek(header.start)
        flat = _text(file.read(), header, samples) if header.kind in TEXT else _binary(file.read(stored), header)
        image = flat.reshape((header.rows, header.cols, header.channels)[: 2 + (header.channels > 1)])
        if header.kind in FLOATS:
            return image[::-1]  # the last row comes first
        # In a bitmap, one is black.
        return (image == 1) ^ (header.kind in BITS) if header.is_mask else image

    return Pages([decode], decoded, has_alpha=header.channels in ALPHA_CHANNELS)


def _header(head: bytes) -> Header:
    kind = head[:2]
    found = _pam_header(head) if kind == b"P7" else _pnm_header(head, kind)
    if min(found[:3]) <= 0:
        raise ValueError("its header has no size")
    valid = 0 < abs(found[3]) < math.inf if kind in FLOATS else 0 < found[3] < 65536
    if not valid:
        raise ValueError("its header has no largest value")
    return Header(kind, *found)


def _pnm_header(head: bytes, kind: bytes) -> tuple[int, int, int, float, int]:
    words, start = [], 2
    for _ in range(2 if kind in BITS else 3):
        found = WORD.match(head, start)
        if found is None or len(found[1]) > 20:
            raise ValueError("its header ends early")
        words.append(found[1])
        start = found.end()
    top = 1.0 if kind in BITS else float(words[2]) if kind in FLOATS else int(words[2])
    return int(words[0]), int(words[1]), CHANNELS.get(kind, 1), top, start + 1


def _pam_header(head: bytes) -> tuple[int, int, int, float, int]:
    text, end, _ = head.partition(b"\nENDHDR\n")
    if not end:
        raise ValueError("its header ends early")
    lines = [line.split() for line in text.splitlines()[1:]]
    fields = {line[0]: line[1] for line in lines if len(line) == 2 and len(line[1]) <= 20}
    cols, rows, channels, top = [int(fields[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")]
    return cols, rows, channels, top, len(text) + len(end)


def _binary(data: bytes, header: Header) -> Pixels:
    if header.kind == b"P4":
        return np.unpackbits(np.frombuffer(data, np.uint8).reshape(header.rows, -1), axis=1, count=header.cols)
    return np.frombuffer(data, header.dtype)


def _text(text: bytes, header: Header, samples: int) -> Pixels:
    values: Pixels
    text = re.sub(rb"#[^\n\r]*", b"", text)
    if text.translate(None, b"0123456789 \t\r\n\v\f"):
        raise ValueError("its text has other characters than digits")
    if header.kind == b"P1":  # digits may stand without spaces
        values = np.frombuffer(text.translate(None, b"23456789 \t\r\n\v\f"), np.uint8)[:samples] - 48
    else:
        values = np.fromstring(text, np.int64, sep=" ")[:samples]  # with a count, it makes up what is not there
    if values.size < samples:
        raise ValueError("truncated")
    if values.max() > header.top:
        raise ValueError("a value is above the largest one")
    return values.astype(header.dtype)


def write_pnm(file: BinaryIO, pages: Pixels, how: Written) -> None:
    """Write a PGM or PPM file."""
    kind = "P6" if pages.shape[3:] == (3,) else "P5"
    top = np.iinfo(pages.dtype).max
    _write(file, f"{kind}\n{pages.shape[2]} {pages.shape[1]}\n{top}\n", pages[0], ">")


def write_pfm(file: BinaryIO, pages: Pixels, how: Written) -> None:
    """Write a PFM file."""
    kind = "PF" if pages.shape[3:] == (3,) else "Pf"
    _write(file, f"{kind}\n{pages.shape[2]} {pages.shape[1]}\n-1.0\n", pages[0, ::-1], "<")


def _write(file: BinaryIO, header: str, image: Pixels, order: str) -> None:
    file.write(header.encode())
    for band in bands(image):
        file.write(np.ascontiguousarray(band, image.dtype.newbyteorder(order)).data.cast("B"))
