"""The one door to kernel sources.

In a wheel the folders of sources lie in this folder. In a source checkout they lie in the folder ``kernels/`` next to
the package, which is then appended to this package's path. A kernel's files have one stem and stand in one folder:
``<stem>.py`` for the CPU, ``<stem>.cu`` for CUDA, and ``<stem>_launch.py`` where that needs several launches.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

DONE = 1  # what a compiled kernel returns; an exception inside it leaves 0
FLAG_BYTES = 8  # of the stop flag's address, which lies in front of a kernel's slots
STOP = "stop"  # a parameter behind the rows: that address, for kernels that look at the flag themselves

_here = Path(__file__).parent
_checkout = _here.parent.parent / "kernels"
_root = _here
if not (_here / "lib").is_dir() and (_here.parent.parent / "pyproject.toml").is_file() and _checkout.is_dir():
    __path__.append(str(_checkout))
    _root = _checkout


LAUNCH = "_launch"  # ends the stem of Python modules that launch CUDA kernels


@cache
def _files(root: Path) -> dict[str, Path]:
    """All sources by their names, which are unique."""
    return {path.name: path for path in sorted(root.glob("*/*")) if path.suffix in (".py", ".cu", ".cuh")}


def find(name: str) -> Path | None:
    """Where a source file lies, for example ``"invert.cu"``; None if there is none."""
    return _files(_root).get(name)


def load(name: str) -> ModuleType:
    """The module of the CPU kernel ``name``, or of the launches of a CUDA kernel."""
    path = find(f"{name}.py")
    if path is None:
        raise ModuleNotFoundError(f"there is no kernel {name!r}", name=name)
    return import_module(f"{__name__}.{path.parent.name}.{name}")


@cache
def is_uneven(name: str) -> bool:
    """Whether some rows of a CPU kernel's result may take much longer than others: then it sets ``UNEVEN``."""
    return find(f"{name}.py") is not None and getattr(load(name), "UNEVEN", False)


def uncompilable() -> str | None:
    """Why no CPU kernel can be compiled in this process, or None."""
    config = getattr(sys.modules.get("numba"), "config", None)
    if config is None:
        disabled = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
    else:
        disabled = bool(config.DISABLE_JIT)
    return "Numba is told to compile nothing: unset NUMBA_DISABLE_JIT" if disabled else None


def names(target: str) -> list[str]:
    """The stems of all sources for one target, ``"cpu"`` or ``"cuda"``, sorted."""
    suffix = {"cpu": ".py", "cuda": ".cu"}[target]
    stems = [path.stem for path in _files(_root).values() if path.suffix == suffix]
    return sorted(stem for stem in stems if stem != "__init__" and not stem.endswith(LAUNCH))


@cache
def parameters(name: str) -> tuple[str, ...]:
    """The names of a kernel's parameters, which follow the images, the rows to fill and `STOP`; read from its source.

    A kernel of several variants states them in its function ``variant``, behind the image.
    """
    path = find(f"{name}.py")
    if path is None:
        raise FileNotFoundError(f"there is no kernel {name!r}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    first, behind = ("fill", 4) if "fill" in functions else ("variant", 1)
    return tuple(argument.arg for argument in functions[first].args.args[behind:] if argument.arg != STOP)


@cache
def cpu_digest() -> str:
    """A hash of all CPU kernel sources: compiled code is kept under it, so an edit anywhere in them is seen."""
    digest = hashlib.sha256()
    for name in names("cpu"):
        path = _files(_root)[f"{name}.py"]
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
