"""Image filters for NumPy, CuPy and PIL images and torch tensors: as CUDA kernels, on all CPU cores, or on one thread.

Filters are plain functions, such as ``gpuimg.gaussian(image, sigma=2)``, with the names and semantics of scikit-image
and SciPy. The backend is chosen by measured cost, or by ``backend=``; all backends compute the same pixels. `explain`
shows the backend that a call would use, `plan` the steps, `backends` what is available on this machine; `calibrate`
measures its speed. Importing gpuimg loads NumPy only.

Filters by family:

"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import Any

__version__ = "0.1.0"


def _homes() -> dict[str, str]:
    """Return the module of each public name, from the stub file that type checkers read."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    found = [
        (node.module, alias.name) for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    return {name: module for module, name in found if module is not None}


def _families() -> str:
    """Return a paragraph for each family, listing its filters."""
    names: dict[str, list[str]] = {}
    for name, home in _HOME.items():
        if home.startswith("gpuimg.filters."):
            names.setdefault(home.rpartition(".")[2], []).append(name)
    paragraphs = [f"{family}: {', '.join(found)}" for family, found in names.items()]
    return "\n".join(fill(text, 100, subsequent_indent="    ") for text in paragraphs) + "\n"


_HOME = _homes()
__doc__ = f"{__doc__}{_families()}"
__all__ = ["FILTERS", "__version__", *sorted(set(_HOME) - {"FILTERS"})]


def __getattr__(name: str) -> Any:
    if name == "FILTERS":
        value: Any = import_module("gpuimg.filters").all_filters()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'gpuimg' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
