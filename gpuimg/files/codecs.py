"""Packages for formats and codecs that not every machine has."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from gpuimg.extras import PACKAGES, remedy


class NoCodec(Exception):
    """Why a sound file is not read on this machine. The caller puts the file's name before it."""

    def __init__(self, what: str, extra: str = "codecs") -> None:
        super().__init__(f"{what} need a codec that is not installed: {remedy(extra)}")


def has_codecs(extra: str = "codecs") -> bool:
    """Whether the package that an extra adds is installed."""
    try:
        import_module(*PACKAGES[extra])
    except ImportError:
        return False
    return True


def codecs_for(what: str, module: str = "imagecodecs", extra: str = "codecs") -> ModuleType:
    """A module of the package that an extra adds; ``what`` needs it, in the plural."""
    try:
        found: ModuleType = import_module(module)
    except ImportError:
        raise NoCodec(what, extra) from None
    return found
