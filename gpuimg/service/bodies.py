"""Bodies of requests and answers, as files in memory."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from gpuimg import stopping
from gpuimg.files.pieces import PIECE, Memory


class Body(io.RawIOBase):
    """A request's body as a file: appended to while it arrives, then read.

    Other threads can run while bytes are copied, and readers check whether the work should stop.

    Parameters
    ----------
    data : the whole body, if it has arrived
    expected : its length, if known; memory is allocated only as bytes arrive

    Attributes
    ----------
    reads : remaining number of reads; None: unlimited
    """

    def __init__(self, data: bytes = b"", expected: int = 0) -> None:
        super().__init__()
        self._data = np.frombuffer(data, np.uint8) if data else np.empty(expected, np.uint8)
        self._length = len(data)
        self._at = 0
        self.reads: int | None = None

    def __len__(self) -> int:
        return self._length

    def append(self, chunk: bytes) -> None:
        """Append bytes that have arrived."""
        end = self._length + len(chunk)
        if end > self._data.size:
            larger = np.empty(max(end, 2 * self._data.size), np.uint8)
            larger[: self._length] = self._data[: self._length]
            self._data = larger
        self._data[self._length : end] = np.frombuffer(chunk, np.uint8)
        self._length = end

    def getbuffer(self) -> memoryview:
        """Return all bytes without copying."""
        return memoryview(self._data[: self._length])  # type: ignore[arg-type]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        if at < 0:
            raise ValueError(f"a file has no place {at}")
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        return self._next(self._length if size is None or size < 0 else size).tobytes()

    def readinto(self, buffer: Any, /) -> int:
        target = np.frombuffer(buffer, np.uint8)
        found = self._next(target.size)
        for at in range(0, found.size, PIECE):
            target[at : at + PIECE][: found.size - at] = found[at : at + PIECE]
        return int(found.size)

    def _next(self, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        stopping.look()
        if self.reads is not None:
            self.reads -= 1
            if self.reads < 0:
                raise ValueError("its header has too many parts")
        found = self._data[: self._length][self._at : self._at + size]
        self._at += found.size
        return found


class Encoded(Memory):
    """An answer's body as a file; writing checks whether the work should stop."""

    def write(self, data: Any, /) -> int:
        stopping.look()
        return super().write(data)
