"""Memory for large results, reused once the last array on it is gone.

The system zeroes fresh memory page by page at first access; for 50 megapixels that takes longer than inverting them. So
blocks are kept for the next result of about the same size, up to a fraction of the machine's memory. They are marked as
free: the system takes their pages back when it needs them.

Blocks that a device copies to or from may be page-locked, so that it accesses them without an intermediate copy.
Locking takes as long as several copies, so it pays only for sizes that recur. Locked blocks are kept in preference to
others.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gpuimg import stopping

SMALLEST = 8 << 20  # malloc reuses smaller blocks itself
HUGE_PAGE = 2 << 20
COPIED_AT_ONCE = 4 << 20  # bytes copied between checks of the stop flag
LARGEST_WASTE = 1.25  # a block may be larger than requested by this factor
_SUPPORTED = hasattr(mmap, "MADV_FREE") and hasattr(mmap, "MAP_PRIVATE")

Locker = Callable[[int, int], Callable[[], object]]  # takes an address and a size; returns a function that undoes it


class Block(mmap.mmap):
    """Memory used for successive arrays."""

    unlock: Callable[[], object] | None = None  # undoes the locking, in the process that did it
    process = 0
    forks = 0  # of that process, when it was locked

    @property
    def address(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self))

    @property
    def is_locked(self) -> bool:
        """Whether its pages are still those locked for the device: a forked process may have copies."""
        return self.process == os.getpid() and self.forks == _forks

    def __del__(self) -> None:
        if self.unlock is None or sys.is_finalizing():
            return
        _locked_bytes.pop(id(self), None)
        if self.process == os.getpid():
            with contextlib.suppress(Exception):  # the device is lost and holds nothing any more
                self.unlock()


# Changed by atomic operations only: arrays are freed in any thread, and while the garbage collector runs.
_kept: deque[Block] = deque()
_kept_locked: deque[Block] = deque()
_locked_bytes: dict[int, int] = {}  # of all locked blocks, by id

_locking = threading.RLock()  # signal handlers may call filters
_wishes: dict[int, int] = {}  # number of device copies to or from unlocked blocks, by size
_forks = 0


@cache
def machine_memory() -> int:
    """Return the machine's memory in bytes, or a control group's limit; 8 GiB if unknown."""
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        physical = 8 << 30
    return min([physical, *_group_limits()])


GROUPS = Path("/sys/fs/cgroup")


def _group_limits(membership: str = "/proc/self/cgroup", root: Path = GROUPS) -> Iterator[int]:
    """Yield the limits of this process's control groups, of both versions."""
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
                with contextlib.suppress(OSError, ValueError):  # missing, or "max"
                    yield int((folder / name).read_text())


MOST_KEPT = machine_memory() // 8
MOST_LOCKED = min(MOST_KEPT, 2 << 30)
LOCKED_FROM = 3  # uses of blocks of one size by a device


def nbytes_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the size in bytes of an array of this shape and dtype."""
    return math.prod(shape) * int(dtype.itemsize)


def new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a C-contiguous array, like `numpy.empty`, in kept memory if there is some of that size."""
    nbytes = nbytes_of(shape, dtype)
    if nbytes < SMALLEST or not _SUPPORTED:
        try:
            return np.empty(shape, dtype)
        except MemoryError:
            release()
            return np.empty(shape, dtype)
    block = _take(nbytes)
    if block is None:
        _kept.clear()  # kept memory that does not fit must not add to the new block
        block = _map(nbytes)
    return np.empty(shape, dtype) if block is None else np.asarray(_Lease(block, shape, dtype))


def copy_pixels(source: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> None:
    """Copy an image into memory of its shape; watched work can be stopped meanwhile."""
    if stopping.watch() is None or target.nbytes <= COPIED_AT_ONCE or np.may_share_memory(source, target):
        np.copyto(target, source)
        return
    at_once = max(1, COPIED_AT_ONCE * len(target) // target.nbytes)
    for first in range(0, len(target), at_once):
        stopping.look()
        np.copyto(target[first : first + at_once], source[first : first + at_once])


def block_of(array: np.ndarray[Any, Any]) -> Block | None:
    """Return the block of an array from `new_array`, or of a view of one."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base.block if isinstance(base, _Lease) else None


def lock(block: Block, call: Locker) -> bool:
    """Page-lock a block with ``call`` once that pays, and return whether it is locked. Call once for each use."""
    if block.is_locked:
        return True
    with _locking:
        if block.unlock is None and _is_worth_locking(len(block)):
            forks = _forks
            with contextlib.suppress(Exception):  # refused by the system or the driver
                block.unlock = call(block.address, len(block))
                block.process, block.forks = os.getpid(), forks
                _locked_bytes[id(block)] = len(block)
                _wishes[len(block)] = LOCKED_FROM
        return block.is_locked


def _is_worth_locking(size: int) -> bool:
    """Return whether blocks of this size recur; if so, make room for another locked one."""
    if len(_wishes) > 100:  # images of all sizes
        _wishes.clear()
    wishes = _wishes.get(size, 0) + 1
    _wishes[size] = wishes % LOCKED_FROM  # refused locking is tried again later
    in_use = locked() - sum(map(len, list(_kept_locked)))
    if wishes < LOCKED_FROM or in_use + size > MOST_LOCKED:
        return False
    with contextlib.suppress(IndexError):
        while locked() + size > MOST_LOCKED:
            _wishes.pop(len(_kept_locked.popleft()), None)
    return locked() + size <= MOST_LOCKED


def locked() -> int:
    """Return the number of page-locked bytes, in use or kept."""
    return sum(list(_locked_bytes.values()))


def release_locked() -> None:
    """Return kept page-locked memory to the system."""
    _kept_locked.clear()


def release() -> None:
    """Return all kept memory to the system."""
    _kept.clear()
    release_locked()


def kept() -> int:
    """Return the number of bytes kept."""
    return sum(map(len, [*list(_kept), *list(_kept_locked)]))


def _take(nbytes: int) -> Block | None:
    return _take_from(_kept_locked, nbytes) or _take_from(_kept, nbytes)


def _take_from(blocks: deque[Block], nbytes: int) -> Block | None:
    for _ in range(len(blocks)):
        try:
            block = blocks.popleft()
        except IndexError:
            return None
        if nbytes <= len(block) <= LARGEST_WASTE * nbytes + HUGE_PAGE:
            return block
        blocks.append(block)
    return None


def _map(nbytes: int) -> Block | None:
    """Map a new block; None if there is not enough memory, so that NumPy raises the error."""
    try:
        block = Block(-1, -(-nbytes // HUGE_PAGE) * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError):
        return None
    with contextlib.suppress(AttributeError, OSError):  # Linux without huge pages, other systems
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(block: Block) -> None:
    if block.unlock is not None:
        if block.is_locked:
            _kept_locked.append(block)
    elif kept() + len(block) <= MOST_KEPT:
        with contextlib.suppress(OSError):  # its pages then stay in use
            block.madvise(mmap.MADV_FREE)
        _kept.append(block)


class _Lease:
    """The memory of one array, which refers to it through NumPy's array interface and keeps it alive."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, block: Block, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        data = (block.address, False)
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": data}
        self.block = block

    def __del__(self) -> None:
        _give_back(self.block)


def _after_fork() -> None:
    global _forks
    _forks += 1


def _after_fork_in_child() -> None:
    global _locking
    _after_fork()
    _locking = threading.RLock()
    _locked_bytes.clear()


if hasattr(os, "register_at_fork"):
    # Locked pages would be copied immediately.
    os.register_at_fork(before=release_locked, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
