"""Large reads and writes in pieces, between which other Python threads can run."""

from __future__ import annotations

import os
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from gpuimg.files.meta import Pixels

PIECE = 1 << 20  # bytes: half a millisecond


class Memory(BytesIO):
    """A file in memory. Unlike `BytesIO`, it lets other threads run during large reads and writes."""

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer).cast("B") as whole:
            return sum([BytesIO.readinto(self, whole[at : at + PIECE]) for at in range(0, len(whole), PIECE)])

    def write(self, data: Any, /) -> int:
        with memoryview(data).cast("B") as whole:
            if len(whole):
                self._fill()
            return sum([BytesIO.write(self, whole[at : at + PIECE]) for at in range(0, len(whole), PIECE)])

    def _fill(self) -> None:
        """Write zeros from the end up to a position beyond it, as the next write would do."""
        at = self.tell()
        end = self.seek(0, os.SEEK_END)
        while end < at:
            end += BytesIO.write(self, bytes(min(at - end, PIECE)))
        self.seek(at)


def read_array(file: BinaryIO, dtype: np.dtype[Any], count: int) -> Pixels:
    """Read the next numbers of a file, (count,).

    Raises
    ------
    ValueError : the file is too short
    """
    found = np.empty(count, dtype)
    missing = memoryview(found.view(np.uint8))  # type: ignore[arg-type]
    while missing:
        read = file.readinto(missing)  # type: ignore[attr-defined]
        if not read:
            raise ValueError("truncated")
        missing = missing[read:]
    return found
