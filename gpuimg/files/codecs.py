"""Optional packages for formats and codecs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from gpuimg.extras import PACKAGES, remedy


class NoCodec(Exception):
    """The codec of a valid file is not installed. The caller prepends the file's name to the message."""

    def __init__(self, what: str, extra: str = "codecs") -> None:
        super().__init__(f"{what} need a codec that is not installed: {remedy(extra)}")


def has_codecs(extra: str = "codecs") -> bool:
    """Return whether the package of an extra is installed."""
    try:
        import_module(*PACKAGES[extra])
    except ImportError:
        return False
    return True


def codecs_for(what: str, module: str = "imagecodecs", extra: str = "codecs") -> ModuleType:
    """Import a module of the package of an extra; ``what``, in the plural, needs it."""
    try:
        found: ModuleType = import_module(module)
    except ImportError:
        raise NoCodec(what, extra) from None
    return found
