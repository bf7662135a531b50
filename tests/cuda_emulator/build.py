"""Compiles a kernel for the CPU: every instance that its file names, in one shared library, kept under a hash."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from gpuimg.backend.device import instances, source
from gpuimg.caching import cache_folder

from .assembly import ARCHITECTURE, translated

try:
    import fcntl
except ImportError:  # Windows: two processes may compile the same library, the later one wins
    fcntl = None

HEADER = Path(__file__).with_name("hostcuda.h")

# Hidden, and not unique in the process: two builds of a kernel must not share its static variables.
_HIDDEN = ["-fvisibility=hidden", "-fno-gnu-unique"]
_COMMON = ["-std=c++17", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=off", "-w", *_HIDDEN]
FLAGS = {
    "fast": ["-O1"],
    "asan": ["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "tsan": ["-O0", "-g1", "-fsanitize=thread"],
    "assembly": ["-O1", f"-D__CUDA_ARCH__={ARCHITECTURE}"],
}
RUNTIMES = {"fast": (), "asan": ("asan", "ubsan"), "tsan": ("tsan",), "assembly": ()}
_fibers = (ctypes.c_void_p * 1024)()  # under ThreadSanitizer, one for each thread of a block
OPTIONS = {
    "fast": {},
    "assembly": {},
    "asan": {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0", "UBSAN_OPTIONS": "print_stacktrace=1"},
    "tsan": {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66:report_signal_unsafe=0"},
}


def compiler() -> str | None:
    """The C++ compiler, or None."""
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def compiler_version() -> str:
    return subprocess.run([str(compiler()), "--version"], capture_output=True, text=True, check=True).stdout


def environment(build: str) -> dict[str, str]:
    """What a process needs in its environment to load libraries of a build: Python knows nothing of sanitizers."""
    preload = [
        subprocess.run(
            [str(compiler()), f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in RUNTIMES[build]
    ]
    return {**OPTIONS[build], "LD_PRELOAD": ":".join(preload)} if preload else {}


def translation_unit(stem: str, build: str) -> str:
    """A kernel's source with one C function for each instance."""
    exports = "".join(f"EMU_EXPORT(emulated_{number}, {name})\n" for number, name in enumerate(instances(stem)))
    code = translated(source(stem)) if build == "assembly" else source(stem)
    return f'#include "{HEADER}"\n{code}\n{exports}'


@functools.cache
def library(stem: str, build: str) -> ctypes.CDLL:
    """The compiled library of a kernel; several processes may ask for it at the same time."""
    text = translation_unit(stem, build)
    flags = [*_COMMON, *FLAGS[build]]
    key = "\n".join([text, HEADER.read_text(), *flags, compiler_version()])
    folder = cache_folder() / "cuda-emulator"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{build}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    if not path.is_file():
        with path.with_suffix(".lock").open("w") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.is_file():
                _compile(stem, text, flags, path)
    loaded = ctypes.CDLL(str(path))
    if build == "tsan":
        ctypes.c_void_p.in_dll(loaded, "emulated_fibers").value = ctypes.addressof(_fibers)
    return loaded


def _compile(stem: str, text: str, flags: list[str], path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unit = Path(folder, f"{stem}.cpp")
        unit.write_text(text)
        made = unit.with_suffix(".so")
        command = [str(compiler()), *flags, "-o", str(made), str(unit)]
        # The sanitizers' libraries, where this process has them loaded, are no business of the compiler's.
        clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        done = subprocess.run(command, capture_output=True, text=True, env=clean)
        if done.returncode:
            raise RuntimeError(f"{stem}.cu does not compile with g++:\n{done.stderr}")
        made.replace(path)
