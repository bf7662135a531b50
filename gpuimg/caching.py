"""The cache folder: compiled code and measured figures, where only this user can write.

Compiled code runs, and so does what Numba stores beside it (pickles), so whoever can write into the folder can run code
as this user. A folder that others can write to or replace is not used. Digests of the contents tell damaged and swapped
files. They need no key: whoever could write a file with its digest there could read a key that lies there as well.
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

# A named pipe would be waited for, and a link may lead anywhere. Windows has neither flag, but text files.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_OTHERS_RENAME_NOTHING = stat.S_ISVTX

LOCK_SECONDS = 60.0  # longer than any kernel compiles: whoever holds a lock for so long has been stopped
_PAUSE = 0.02
_held: WeakSet[BinaryIO] = WeakSet()


def cache_folder() -> Path:
    """The folder for compiled kernels and measured figures: ``GPUIMG_CACHE_DIR``, else the user's cache folder."""
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


# ------------------------------------------------------------ whose is it


def own(folder: Path) -> Path:
    """The real path of a folder in which only this user can write; it is made if need be.

    Raises
    ------
    OSError : it cannot be made, or others can write to it or replace it
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
    """As `own`, of a folder that is there."""
    real = Path(os.path.realpath(folder, strict=True))
    _check_path(real.parent)
    found = real.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{real} is not a folder")
    _check(real, found)
    return real


def _check_path(folder: Path) -> None:
    """Others must not be able to put another folder in the place of one below; in some they can only add files."""
    for each in reversed((folder, *folder.parents)):  # so that all folders in one are refused for the same reason
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
    """Whether a user is this one, or the one who can change everything here."""
    return sys.platform == "win32" or user == os.geteuid() or user == _administrator()


@cache
def _administrator() -> int:
    return Path("/").stat().st_uid  # not 0 in a container without a user 0


@cache
def _is_private(group: int) -> bool:
    """Whether this user is alone in a group: some systems have one for each user, who lets it write everywhere."""
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
    """Open a file of this user's; OSError if it is anything else, or lies where others can write."""
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
    """The content of a file, or its first bytes; OSError as from `opened`."""
    with opened(path) as file:
        return file.read(most)


def write(path: Path, content: bytes) -> None:
    """Put a file into a folder of this user's, whatever was in its place; OSError where that cannot be done."""
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
    """Remove a file, or whatever else has its name."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def digest_of(path: Path) -> str:
    """A file's digest; "" if it is none of this user's, which no digest is."""
    try:
        return hashlib.sha256(read(path)).hexdigest()
    except OSError:
        return ""


def read_sealed(path: Path) -> bytes:
    """What `write_sealed` wrote; ValueError if it is damaged or was written under another name."""
    seal, _, content = read(path).partition(b"\n")
    if seal != _seal(path, content):
        raise ValueError(f"{path} is damaged")
    return content


def write_sealed(path: Path, content: bytes) -> None:
    """As `write`, with a digest of the content and its name in front."""
    write(path, _seal(path, content) + b"\n" + content)


def _seal(path: Path, content: bytes) -> bytes:
    name = f"{path.parent.name}/{path.name}\n".encode()
    return hashlib.sha256(name + content).hexdigest().encode()


# ------------------------------------------------------------ locks


@contextlib.contextmanager
def locked(path: Path, look: Callable[[], None]) -> Iterator[None]:
    """Hold other processes back that want the same lock, as long as there are locks and none holds it for ever.

    ``look`` is called while this waits and may end that by an error.
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
                    log.info("%s is not waited for any longer", path)
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

            fcntl.flock(file, fcntl.LOCK_UN)  # also for a child that was forked meanwhile and has the file open
        file.close()


def _forget_locks() -> None:
    """In a forked child: the locks are the parent's, whose end would not let go what is open here."""
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
