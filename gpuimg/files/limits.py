"""Limits for reading untrusted files, and one-line errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from gpuimg.errors import ImageFileError, MetadataWarning, warn
from gpuimg.memory import machine_memory

PathLike: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
Target: TypeAlias = "PathLike | BinaryIO"
MOST_PAGES = 10_000


class Refused(Exception):
    """A valid file that cannot be read without loss. The caller prepends the file's name to the message."""


class Limit:
    """Maximum pixels of a page, and maximum bytes of the decoded pixels of a file."""

    def __init__(self, max_pixels: int | None, max_bytes: int | None) -> None:
        if max_pixels is None:
            from PIL import Image

            max_pixels = Image.MAX_IMAGE_PIXELS
        self.pixels = max_pixels
        self.bytes = machine_memory() // 4 if max_bytes is None else max_bytes

    def check(self, cols: int, rows: int) -> None:
        if self.pixels is not None and cols * rows > self.pixels:
            raise Refused(
                f"{cols} x {rows} pixels are over the limit of {self.pixels}; if the file is to be trusted, allow "
                f"max_pixels={cols * rows} (--max-pixels {cols * rows})"
            )

    def check_bytes(self, decoded: int) -> int:
        if decoded > self.bytes:
            raise Refused(
                f"{decoded} bytes of decoded pixels are over the limit of {self.bytes}; if the file is to be trusted, "
                f"allow max_bytes={decoded} (--max-bytes {decoded})"
            )
        return decoded


def check_page(page: int, count: int) -> None:
    """Raise if a file does not have the page."""
    if not 0 <= page < count:
        pages = f"{count} pages, so page must be from 0 to {count - 1}" if count > 1 else "1 page, so page must be 0"
        raise Refused(f"has {pages}, got {page}")


def size_of(file: BinaryIO) -> int:
    """Return the size of a file in bytes, keeping its position."""
    at = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(at)
    return size


def path_of(path: PathLike) -> Path:
    """Convert a path of any kind to a `Path`."""
    return Path(os.fsdecode(path))


@contextmanager
def one_line(path: Path) -> Iterator[None]:
    """Convert the system's errors to an `ImageFileError` of one line."""
    try:
        yield
    except ImageFileError:
        raise
    except OSError as error:
        raise ImageFileError(f"{path}: {(error.strerror or brief(error)).lower()}") from error


def brief(error: Exception) -> str:
    """Return an error's message in one short line."""
    words = " ".join(str(error).split())
    return words if 0 < len(words) <= 120 else type(error).__name__


def warn_left_out(path: PathLike, left_out: Sequence[str], words: str) -> None:
    """Warn in one line which metadata were left out."""
    if left_out:
        message = f"{path_of(path)}: {words} {', '.join(left_out)}; left out"
        warn(message, MetadataWarning)
