"""The one door to kernel sources.

In a wheel the sources lie in this folder (``cpu/`` and ``cuda/``). In a source checkout they lie in the folder
``kernels/`` next to the package, which is then appended to this package's path.
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

_here = Path(__file__).parent
_checkout = _here.parent.parent / "kernels"
_root = _here
if not (_here / "cpu").is_dir() and (_here.parent.parent / "pyproject.toml").is_file() and _checkout.is_dir():
    __path__.append(str(_checkout))
    _root = _checkout


def load(name: str) -> ModuleType:
    """The module of the CPU kernel ``name``."""
    return import_module(f"{__name__}.cpu.{name}")


def uncompilable() -> str | None:
    """Why no CPU kernel can be compiled in this process, or None."""
    config = getattr(sys.modules.get("numba"), "config", None)
    if config is None:
        disabled = os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")
    else:
        disabled = bool(config.DISABLE_JIT)
    return "Numba is told to compile nothing: unset NUMBA_DISABLE_JIT" if disabled else None


def cuda_path(name: str) -> Path:
    """Where the CUDA kernel ``name`` lies; the file need not exist."""
    return _root / "cuda" / f"{name}.cu"


def names(target: str) -> list[str]:
    """The stems of all sources for one target, ``"cpu"`` or ``"cuda"``, sorted."""
    suffix = {"cpu": ".py", "cuda": ".cu"}[target]
    return sorted(path.stem for path in (_root / target).glob(f"*{suffix}"))


@cache
def parameters(name: str) -> tuple[str, ...]:
    """The names of a kernel's parameters, which follow the images and the rows to fill; read from its source.

    A kernel of several variants states them in its function ``variant``, behind the image.
    """
    tree = ast.parse((_root / "cpu" / f"{name}.py").read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    first, behind = ("fill", 4) if "fill" in functions else ("variant", 1)
    return tuple(argument.arg for argument in functions[first].args.args[behind:])


@cache
def cpu_digest() -> str:
    """A hash of all CPU kernel sources: compiled code is kept under it, so an edit anywhere in them is seen."""
    digest = hashlib.sha256()
    for path in sorted((_root / "cpu").glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
