"""Memory for large results, used again once the last array on it is gone.

The system hands out fresh memory zeroed, a page at a time, as it is first touched; for 50 megapixels that takes longer
than inverting them. So blocks are kept for the next result of about the same size, a share of the machine's memory at
most. They are marked as free: the system takes their pages back as soon as it needs them.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gpuimg import stopping

SMALLEST = 8 << 20  # below, malloc keeps memory itself
HUGE_PAGE = 2 << 20
COPIED_AT_ONCE = 4 << 20  # bytes of a copy between looks at the stop flag
LARGEST_WASTE = 1.25  # a block may be larger than requested by this factor
_SUPPORTED = hasattr(mmap, "MADV_FREE") and hasattr(mmap, "MAP_PRIVATE")

# Only whole operations on it, each of them atomic: arrays die in any thread, and while the garbage collector runs.
_kept: deque[mmap.mmap] = deque()


@cache
def machine_memory() -> int:
    """Bytes of memory that the machine has, or that a control group allows; 8 GiB where the system does not say."""
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        physical = 8 << 30
    return min([physical, *_group_limits()])


GROUPS = Path("/sys/fs/cgroup")


def _group_limits(membership: str = "/proc/self/cgroup", root: Path = GROUPS) -> Iterator[int]:
    """The limits of the control groups that this process is in, of both versions."""
    try:
        lines = Path(membership).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        group = top / path.lstrip("/")
        for folder in dict.fromkeys([group, *group.parents, top]):
            if folder.is_relative_to(top):
                with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                    yield int((folder / name).read_text())


MOST_KEPT = machine_memory() // 8


def new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A C-contiguous array, as `numpy.empty` returns, in used memory if there is some of that size."""
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < SMALLEST or not _SUPPORTED:
        try:
            return np.empty(shape, dtype)
        except MemoryError:
            release()
            return np.empty(shape, dtype)
    block = _take(nbytes)
    if block is None:
        release()  # what is kept does not fit what is wanted now, and must not come on top of it
        block = _map(nbytes)
    return np.empty(shape, dtype) if block is None else np.asarray(_Lease(block, shape, dtype))


def copy_pixels(source: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> None:
    """Copy an image into memory of its shape; watched work may stop in between."""
    if stopping.watch() is None or target.nbytes <= COPIED_AT_ONCE or np.may_share_memory(source, target):
        np.copyto(target, source)
        return
    at_once = max(1, COPIED_AT_ONCE * len(target) // target.nbytes)
    for first in range(0, len(target), at_once):
        stopping.look()
        np.copyto(target[first : first + at_once], source[first : first + at_once])


def release() -> None:
    """Give all memory that is kept back to the system."""
    _kept.clear()


def kept() -> int:
    """How many bytes are kept."""
    return sum(map(len, list(_kept)))


def _take(nbytes: int) -> mmap.mmap | None:
    for _ in range(len(_kept)):
        try:
            block = _kept.popleft()
        except IndexError:
            return None
        if nbytes <= len(block) <= LARGEST_WASTE * nbytes + HUGE_PAGE:
            return block
        _kept.append(block)
    return None


def _map(nbytes: int) -> mmap.mmap | None:
    """A new block, or None where NumPy is to say that there is not enough memory."""
    try:
        block = mmap.mmap(-1, -(-nbytes // HUGE_PAGE) * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError):
        return None
    with contextlib.suppress(AttributeError, OSError):  # Linux without huge pages, other systems
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(block: mmap.mmap) -> None:
    if kept() + len(block) <= MOST_KEPT:
        with contextlib.suppress(OSError):  # then its pages stay taken
            block.madvise(mmap.MADV_FREE)
        _kept.append(block)


class _Lease:
    """The memory of one array, which looks at it through NumPy's array interface and keeps it alive."""

    __slots__ = ("__array_interface__", "_block")

    def __init__(self, block: mmap.mmap, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(block))
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (address, False)}
        self._block = block

    def __del__(self) -> None:
        _give_back(self._block)
