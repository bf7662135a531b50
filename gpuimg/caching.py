"""The cache folder for compiled code and measured figures, writable only by this user.

Cached machine code is executed, and so are the pickles that Numba stores with it: anyone who can write to the folder
can run code as this user. A folder that others can write to or replace is not used. Digests detect damaged and swapped
files. They need no key: anyone who could write a file and its digest to the folder could also read a key stored there.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakSet

log = logging.getLogger("gpuimg")

# Opening a named pipe would block, and a link may lead anywhere. Windows has neither flag, but a text mode.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_OTHERS_RENAME_NOTHING = stat.S_ISVTX

LOCK_SECONDS = 60.0  # longer than any kernel compiles: a process that holds a lock for so long is suspended
_PAUSE = 0.02
_held: WeakSet[BinaryIO] = WeakSet()


def cache_folder() -> Path:
    """Return the cache folder: ``GPUIMG_CACHE_DIR``, otherwise a folder in the user's cache folder."""
    chosen = os.environ.get("GPUIMG_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "gpuimg"


# ------------------------------------------------------------ ownership


def own(folder: Path) -> Path:
    """Return the real path of a folder to which only this user can write; it is created if missing.

    Raises
    ------
    OSError : it cannot be created, or others can write to it or replace it
    """
    if not folder.is_dir():
        nearest = next(parent for parent in folder.absolute().parents if parent.is_dir())
        _check_path(Path(os.path.realpath(nearest)))
        _make(folder)
    return checked(folder)


def _make(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        try:
            folder.mkdir(0o700)
        except FileNotFoundError:
            _make(folder.parent)
            folder.mkdir(0o700)


def checked(folder: Path) -> Path:
    """Check an existing folder as `own` does."""
    real = Path(os.path.realpath(folder, strict=True))
    _check_path(real.parent)
    found = real.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{real} is not a folder")
    _check(real, found)
    return real


def _check_path(folder: Path) -> None:
    """Check that others cannot replace a folder or its parents; in sticky folders they can only add files."""
    for each in reversed((folder, *folder.parents)):  # from the root, so that the reason is the same for all inside
        found = each.lstat()
        if not found.st_mode & _OTHERS_RENAME_NOTHING:
            _check(each, found)
        elif not _is_trusted(found.st_uid):
            _refuse(f"{each} belongs to user {found.st_uid}")


def _check(path: Path, found: os.stat_result) -> None:
    if not _is_trusted(found.st_uid):
        _refuse(f"{path} belongs to user {found.st_uid}")
    if sys.platform != "win32":
        by_group = found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid)
        if by_group or found.st_mode & stat.S_IWOTH:
            _refuse(f"other users can write to {path}")


def _refuse(reason: str) -> None:
    _say(reason)
    raise PermissionError(reason)


@cache
def _say(reason: str) -> None:
    log.warning("no disk cache, set GPUIMG_CACHE_DIR to a folder that only you can write to: %s", reason)


def _is_trusted(user: int) -> bool:
    """Return whether a user is this one or the administrator."""
    return sys.platform == "win32" or user == os.geteuid() or user == _administrator()


@cache
def _administrator() -> int:
    return Path("/").stat().st_uid  # not 0 in a container without a user 0


@cache
def _is_private(group: int) -> bool:
    """Return whether a group is this user's private group, which some systems let write to all files of the user."""
    if sys.platform == "win32":
        return True
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return group == user.pw_gid and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


# ------------------------------------------------------------ files


def opened(path: Path, flags: int = os.O_RDONLY) -> BinaryIO:
    """Open a file of this user; OSError if it is not a regular file, or is in a folder to which others can write."""
    descriptor = os.open(checked(path.parent) / path.name, flags | _SAFELY, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not a regular file")
        _check(path, found)
        return os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "r+b")
    except BaseException:
        os.close(descriptor)
        raise


def read(path: Path, most: int = -1) -> bytes:
    """Return the content of a file, or its first ``most`` bytes; OSError as from `opened`."""
    with opened(path) as file:
        return file.read(most)


def write(path: Path, content: bytes) -> None:
    """Write a file to a folder of this user, replacing anything of that name; OSError if that fails."""
    path = own(path.parent) / path.name
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            file.write(content)
            file.close()
            if path.is_dir():
                remove(path)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def remove(path: Path) -> None:
    """Remove a file, or a folder or link of its name."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def digest_of(path: Path) -> str:
    """Return a file's digest; "" if it is not a file of this user."""
    try:
        return hashlib.sha256(read(path)).hexdigest()
    except OSError:
        return ""


def read_sealed(path: Path) -> bytes:
    """Return the content written by `write_sealed`; ValueError if it is damaged or was written under another name."""
    seal, _, content = read(path).partition(b"\n")
    if seal != _seal(path, content):
        raise ValueError(f"{path} is damaged")
    return content


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file as `write` does, preceded by a digest of its name and content."""
    write(path, _seal(path, content) + b"\n" + content)


def _seal(path: Path, content: bytes) -> bytes:
    name = f"{path.parent.name}/{path.name}\n".encode()
    return hashlib.sha256(name + content).hexdigest().encode()


# ------------------------------------------------------------ locks


@contextlib.contextmanager
def locked(path: Path, look: Callable[[], None]) -> Iterator[None]:
    """Hold a lock against other processes, if the system has locks, waiting at most `LOCK_SECONDS` for it.

    ``look`` is called while waiting, and may end the wait by raising.
    """
    with contextlib.ExitStack() as at_end:
        with contextlib.suppress(ImportError, OSError):  # no locks on this system, or no folder for one
            import fcntl

            file = _lock_file(path)
            at_end.callback(_let_go, file)
            end = time.monotonic() + LOCK_SECONDS
            while not _try_lock(fcntl, file):
                look()
                if time.monotonic() > end:
                    log.info("timed out waiting for the lock %s", path)
                    break
                time.sleep(_PAUSE)
        yield


def _lock_file(path: Path) -> BinaryIO:
    path = own(path.parent) / path.name
    try:
        file = opened(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        remove(path)
        file = opened(path, os.O_RDWR | os.O_CREAT)
    _held.add(file)
    return file


def _try_lock(fcntl: Any, file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _let_go(file: BinaryIO) -> None:
    _held.discard(file)
    if not file.closed:
        with contextlib.suppress(OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_UN)  # also for a child forked in the meantime, which has the file open
        file.close()


def _forget_locks() -> None:
    """Close the parent's lock files in a forked child, where they would keep the locks after the parent ends."""
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
