"""One thread: the compiled kernel, called piece by piece."""

from __future__ import annotations

import time
from typing import Any


from gpuimg.backends.base import Array, CpuBackend
from gpuimg.backends.compiled import DONE, compiled, form_of, pack
from gpuimg.errors import BackendFailed

# Compiled code cannot be interrupted: a piece this long lets Ctrl-C through soon, and costs nothing.
PIECE_SECONDS = 0.1
FIRST_PIECE_ELEMENTS = 1 << 22


def pieces(rows: int, elements: int) -> Any:
    """Rows [top, bottom) one piece after the other; each is timed, and the next one made as long as it should be."""
    per_row = max(1, elements // max(rows, 1))
    size = max(1, FIRST_PIECE_ELEMENTS // per_row)
    top = 0
    while top < rows:
        bottom = min(rows, top + size)
        if rows - bottom < size // 2:
            bottom = rows
        start = time.perf_counter()
        yield top, bottom
        speed = (bottom - top) / max(time.perf_counter() - start, 1e-6)
        size = max(1, int(speed * PIECE_SECONDS))
        top = bottom


def check_done(kernel: str, done: int, expected: int) -> None:
    """Compiled code reports an exception (out of memory for its scratch rows) only by its result."""
    if done != expected:
        raise BackendFailed(f"the kernel {kernel!r} could not allocate its working memory")


class Single(CpuBackend):
    """One thread."""

    name = "single"
    workers = 1

    def fill(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], bands: int) -> None:
        packed_for = (src, dst, *args)
        code = compiled(kernel, form_of(packed_for))
        packed = pack(packed_for)
        rows = dst.shape[0]
        elements = src.size + dst.size
        if elements <= FIRST_PIECE_ELEMENTS or rows == bands:
            check_done(kernel, code.call(packed.address, 0, rows), DONE)
            return
        for top, bottom in pieces(rows, elements):
            check_done(kernel, code.call(packed.address, top, bottom), DONE)


