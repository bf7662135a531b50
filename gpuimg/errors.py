"""Exceptions and warnings.

::

    GpuimgError
    ├── BackendUnavailable (RuntimeError)   a backend requested by name cannot run here
    ├── BackendFailed (RuntimeError)        a usable backend failed while running
    ├── ImageFileError (OSError)            a file is missing, not an image, over a limit or cannot be written
    │   ├── ImageFileDamaged                it is truncated or damaged
    │   └── CodecMissing                    it needs a package of codecs that is not installed
    └── ServeError (RuntimeError)           the HTTP service cannot start: its port is taken, a package is missing

    UserWarning
    ├── CalibrationWarning                  some figures could not be measured and keep their former values
    ├── FallbackWarning                     the work ran on another backend than planned
    ├── MetadataWarning                     metadata of an image file were left out
    └── UntestedVersionWarning              a library is newer than any tested with gpuimg

Wrong arguments raise ``TypeError`` (wrong kind of object or dtype) or ``ValueError`` (wrong value), as in NumPy.
"""

import os
import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parent) + os.sep


class GpuimgError(Exception):
    """Base class of gpuimg's errors."""


def one_line(error: BaseException) -> str:
    """Return an error's message in one line; for system errors, the file and the reason."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__


def shown(text: str) -> str:
    """Return a text in quotes, truncated if long."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning attributed to the line outside gpuimg that made the call."""
    level, frame = 1, sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


class BackendUnavailable(GpuimgError, RuntimeError):
    """A backend requested by name cannot run on this machine; the message says why and how to fix it."""

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(f"backend {backend!r} cannot run here: {reason}")
        self.backend = backend
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.backend, self.reason)


class BackendFailed(GpuimgError, RuntimeError):
    """A usable backend failed while running, for example because its worker processes kept dying."""


class NoScratch(BackendFailed):
    """Compiled code could not allocate its working memory."""


class ImageFileError(GpuimgError, OSError):
    """An image file is missing, not an image, over a limit, would lose something, or cannot be written."""


class ImageFileDamaged(ImageFileError):
    """An image file is truncated or damaged."""


class CodecMissing(ImageFileError):
    """An image file needs a package of codecs that is not installed; the message says how to install it."""


class ServeError(GpuimgError, RuntimeError):
    """The HTTP service cannot start, for example because its port is in use; the message says how to fix it."""


class FallbackWarning(UserWarning):
    """The work ran on another backend than planned; the message says which and why."""


class CalibrationWarning(UserWarning):
    """Some figures could not be measured and keep their former values; the message says which and why."""


class MetadataWarning(UserWarning):
    """Metadata of an image file were left out; the message says which and why."""


class UntestedVersionWarning(UserWarning):
    """A library is newer than any tested with gpuimg; the message names it."""
