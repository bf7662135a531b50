"""Runs Python with what a sanitizer's build needs: ``python -m tests.cuda_emulator.sanitized asan -m pytest ...``."""

from __future__ import annotations

import ctypes
import os
import sys

from .build import environment

ADDR_NO_RANDOMIZE = 0x0040000  # of personality(2)

if __name__ == "__main__":
    build, *command = sys.argv[1:]
    if sys.platform == "linux":  # ThreadSanitizer's shadow memory does not fit every random layout of addresses
        ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)
    os.execve(
        sys.executable, [sys.executable, *command], {**os.environ, **environment(build), "GPUIMG_EMULATOR": build}
    )
