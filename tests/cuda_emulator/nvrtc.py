"""Compiles kernels for real GPUs with NVRTC alone, from its wheel: no GPU, no driver, no nvcc.

``python -m tests.cuda_emulator.nvrtc [stem ...]`` prints registers, spills and shared memory of every instance.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from gpuimg import kernels
from gpuimg.backend.device import OPTIONS, instances, source
from gpuimg.caching import cache_folder, read_sealed, write_sealed

ARCHITECTURES = (75, 86, 90, 120)


class Usage(NamedTuple):
    """What a kernel takes of a multiprocessor, as ptxas reports it."""

    registers: int
    stack: int
    spills: int
    shared: int


def wheel_file(pattern: str) -> Path | None:
    """A file in the wheels of NVIDIA's namespace package."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () for path in sorted(Path(folder).glob(pattern))), None)


@functools.cache
def compiler() -> ctypes.CDLL | None:
    """NVRTC, or None where its wheel is not installed."""
    found = _library()
    return ctypes.CDLL(str(found), mode=ctypes.RTLD_GLOBAL) if found else None


def _library() -> Path | None:
    return wheel_file("*/lib/libnvrtc.so.*[0-9]") or wheel_file("*/bin/**/nvrtc64_*.dll")


class Compiled(NamedTuple):
    """All instances of a kernel for one architecture: the code, and by name what each takes and is called in it."""

    cubin: bytes
    usages: dict[str, Usage]
    mangled: dict[str, str]


@functools.cache
def compiler_version() -> str:
    """The compiler's version and the digest of its library: what a kernel becomes depends on both."""
    found = _library()
    assert found is not None
    return f"{found.name} {hashlib.sha256(found.read_bytes()).hexdigest()}"


def compile_kernel(stem: str, architecture: int) -> Compiled:
    """Compile all instances of a kernel for one architecture, unless that was done before: results are kept on disk."""
    names = instances(stem)
    options = [*OPTIONS, f"-arch=sm_{architecture}", "--ptxas-options=-v"]
    key = json.dumps([stem, source(stem), names, options, compiler_version()])
    path = cache_folder() / "nvrtc" / f"{stem}-{architecture}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    try:
        cubin, log, mangled = json.loads(read_sealed(path))
    except (OSError, ValueError):
        cubin, log, mangled = _compile(stem, names, options)
        with contextlib.suppress(OSError):
            write_sealed(path, json.dumps([cubin, log, mangled]).encode())
    usages = dict(_usages(log))
    return Compiled(base64.b64decode(cubin), {name: usages[mangled[name]] for name in names}, mangled)


def _compile(stem: str, names: tuple[str, ...], options: list[str]) -> tuple[str, str, dict[str, str]]:
    """The code in base 64, the compiler's log, and what each instance is called in the code."""
    nvrtc = compiler()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source(stem).encode(), f"{stem}.cu".encode(), 0, None, None)
    for name in names:
        nvrtc.nvrtcAddNameExpression(program, name.encode())
    failed = nvrtc.nvrtcCompileProgram(
        program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options))
    )
    log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program).decode()
    if failed:
        raise RuntimeError(f"{stem}.cu does not compile ({' '.join(options)}):\n{log}")
    mangled = {}
    for name in names:
        lowered = ctypes.c_char_p()
        nvrtc.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(lowered))
        mangled[name] = lowered.value.decode()
    cubin = _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return base64.b64encode(cubin).decode(), log, mangled


def _text(size: ctypes._CFuncPtr, get: ctypes._CFuncPtr, program: ctypes.c_void_p) -> bytes:
    count = ctypes.c_size_t()
    size(program, ctypes.byref(count))
    buffer = ctypes.create_string_buffer(count.value)
    get(program, buffer)
    return buffer.raw[: count.value]


def _usages(log: str) -> list[tuple[str, Usage]]:
    found = []
    for entry in log.split("Compiling entry function '")[1:]:
        name = entry.partition("'")[0]
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        stack = re.search(r"(\d+) bytes stack frame", entry)
        registers = re.search(r"Used (\d+) registers", entry)
        shared = re.search(r"(\d+) bytes smem", entry)
        assert spills
        assert stack
        assert registers
        total = int(spills[1]) + int(spills[2])
        found.append((name, Usage(int(registers[1]), int(stack[1]), total, int(shared[1]) if shared else 0)))
    return found


if __name__ == "__main__":
    for stem in sys.argv[1:] or kernels.names("cuda"):
        for architecture in ARCHITECTURES:
            for name, usage in compile_kernel(stem, architecture).usages.items():
                figures = (
                    f"{usage.registers} registers, stack {usage.stack}, {usage.spills} spilled, {usage.shared} shared"
                )
                print(f"sm_{architecture}  {name}: {figures}")
