"""One thread: the compiled kernel, called piece by piece."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator

from gpuimg import stopping
from gpuimg.backend.chain import FIRST_PIECE_ELEMENTS, InProcess
from gpuimg.backend.compiled import DONE, Packed, Slots, Task
from gpuimg.errors import NoScratch
from gpuimg.machine import WORTH_LEARNING
from gpuimg.stopping import local

# Compiled code cannot be interrupted: pieces this long let Ctrl-C through soon and cost nothing.
PIECE_SECONDS = 0.05
# Work that can be stopped checks more often.
WATCHED_SECONDS = 0.025
FIRST_WATCHED_ELEMENTS = 1 << 16
FIRST = ctypes.c_int64(0)  # row; an integer would be converted at each call
MOST_GROWTH = 8  # of a piece relative to the previous one, which may be too short to time


def pieces(rows: int, elements: int, min_rows: int = 1) -> Iterator[tuple[int, int]]:
    """Yield pieces of rows [top, bottom) of at least ``min_rows`` rows; the time of each sets the size of the next."""
    per_row = max(1, elements // max(rows, 1))
    size = max(min_rows, _first_elements() // per_row)
    seconds = PIECE_SECONDS if stopping.watch() is None else WATCHED_SECONDS
    top = 0
    while top < rows:
        bottom = min(rows, top + size)
        if rows - bottom < size // 2:
            bottom = rows
        start = time.perf_counter()
        yield top, bottom
        speed = (bottom - top) / max(time.perf_counter() - start, 1e-6)
        size = max(min_rows, min(int(speed * seconds), MOST_GROWTH * size))
        top = bottom


def _first_elements() -> int:
    return FIRST_PIECE_ELEMENTS if stopping.watch() is None else FIRST_WATCHED_ELEMENTS


def check_done(kernel: str, done: int, expected: int) -> None:
    """Raise if compiled code failed: it reports exceptions (no memory for its scratch rows) only by its result."""
    if done != expected:
        stopping.look()
        raise NoScratch(f"the kernel {kernel!r} could not allocate its working memory")


def is_short(elements: int) -> bool:
    """Whether work is done in one piece and its time is not recorded."""
    return elements <= (WORTH_LEARNING if local.watch is None else FIRST_WATCHED_ELEMENTS)


def timed(
    kernel: str, fill: Callable[[int, int], tuple[int, int]], rows: int, elements: int, bands: int = 1, halo: int = 0
) -> float:
    """Fill all rows by ``fill(top, bottom)``, ``bands`` at a time, and return the seconds.

    ``fill`` returns the pieces done and expected. A band has at least ``halo`` rows, as its halo is computed again.
    """
    start = time.perf_counter()
    if rows <= bands or elements <= FIRST_WATCHED_ELEMENTS or elements <= _first_elements():
        check_done(kernel, *fill(0, rows))
    else:
        for top, bottom in pieces(rows, elements, bands * max(1, halo)):
            stopping.within(top / rows)
            check_done(kernel, *fill(top, bottom))
    stopping.look()  # code that checks the flag itself stops within a piece
    return time.perf_counter() - start


class Single(InProcess):
    """One thread."""

    name = "single"
    workers = 1

    def detail(self) -> str:
        return "one thread"

    def speedup(self) -> float:
        return 1.0

    def call(self, task: Task, packed: Packed | Slots) -> float:
        kernel, code, rows, elements, halo, bottom = task
        if elements <= FIRST_WATCHED_ELEMENTS or is_short(elements):
            done = code.call(packed.pointer, FIRST, bottom)
            if done != DONE:
                check_done(kernel, done, DONE)
            if local.stopper is not None:
                local.stopper.look()
            return 0.0

        def fill(top: int, bottom: int) -> tuple[int, int]:
            return code.call(packed.address, top, bottom), DONE

        return timed(kernel, fill, rows, elements, halo=halo)
