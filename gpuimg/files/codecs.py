"""The package of codecs that not every machine has."""

from __future__ import annotations

from types import ModuleType


class NoCodec(Exception):
    """Why a sound file is not read on this machine. The caller puts the file's name before it."""

    def __init__(self, what: str) -> None:
        super().__init__(f'{what} need a codec that is not installed; pip install "gpuimg[codecs]" adds it')


def has_codecs() -> bool:
    """Whether imagecodecs is installed."""
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def codecs_for(what: str) -> ModuleType:
    """The package imagecodecs; ``what`` needs it, in the plural."""
    if not has_codecs():
        raise NoCodec(what)
    import imagecodecs

    return imagecodecs
