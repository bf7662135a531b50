"""The packages behind the optional extras of ``pyproject.toml``."""

from __future__ import annotations

PACKAGES = {
    "serve": ("tornado", "cachetools", "prometheus-client"),
    "redis": ("redis",),
    "codecs": ("imagecodecs",),
    "fits": ("astropy",),
}


def remedy(extra: str) -> str:
    """Return the command that installs an extra's packages.

    The packages are named one by one, which also works where gpuimg was installed from a checkout.

    >>> remedy("codecs")
    'pip install imagecodecs'
    """
    return f"pip install {' '.join(PACKAGES[extra])}"
