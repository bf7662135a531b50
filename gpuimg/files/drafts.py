"""Files that are written atomically."""

from __future__ import annotations

import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gpuimg.errors import ImageFileError

DRAFT = re.compile(r"\.gpuimg-[0-9a-f]{12}\.part")
OLD_DRAFT, BETWEEN_SWEEPS = 24 * 3600, 3600  # seconds
_swept: dict[Path, float] = {}


def target_of(path: Path) -> Path:
    """Return the file to create or replace; of a symbolic link, the file that it points to."""
    try:
        target = path.resolve()
    except RuntimeError:  # what Python raised for a loop before 3.13
        target = path
    if target.is_symlink():
        raise ImageFileError(f"{path}: symbolic links form a loop")
    if target.exists() and not target.is_file():
        raise ImageFileError(f"{path}: not a regular file")
    if not target.parent.is_dir():
        raise ImageFileError(f"{path}: no such folder: {target.parent}")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise ImageFileError(f"{path}: permission denied")
    return target


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that replaces `path` at the end, or is removed on any error, including Ctrl-C."""
    target = target_of(path)
    _sweep(target.parent)
    draft = target.with_name(f".gpuimg-{secrets.token_hex(6)}.part")
    try:
        with _create(draft, target) as file:
            yield file
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _create(draft: Path, target: Path) -> BinaryIO:
    """Create a file with the mode and, where permitted, the owner of the file that it will replace."""
    old = target.stat() if target.exists() else None
    mode = 0o666 if old is None else 0o600
    # Path.open takes no opener, and a file opened from a descriptor has no name, which tifffile needs.
    file = open(draft, "x+b", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
    if old is None:
        return file
    try:
        if hasattr(os, "fchown"):
            with suppress(PermissionError):
                os.fchown(file.fileno(), -1, old.st_gid)
            with suppress(PermissionError):
                os.fchown(file.fileno(), old.st_uid, -1)
        # Last, since a change of the owner clears bits of the mode.
        draft.chmod(stat.S_IMODE(old.st_mode))
    except BaseException:
        file.close()
        raise
    return file


def _sweep(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder more than a day ago."""
    now = time.time()
    if now - _swept.get(folder, -math.inf) < BETWEEN_SWEEPS:
        return  # listing a large folder takes time, so it is not done for every file of a batch
    _swept[folder] = now
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if DRAFT.fullmatch(entry.name):
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and now - found.st_mtime > OLD_DRAFT:
                        Path(entry.path).unlink()
