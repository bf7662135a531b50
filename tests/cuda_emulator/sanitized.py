"""Runs Python with what a sanitizer's build needs: ``python -m tests.cuda_emulator.sanitized asan -m pytest ...``."""

from __future__ import annotations

import os
import sys

from .build import environment

if __name__ == "__main__":
    build, *command = sys.argv[1:]
    os.execve(
        sys.executable, [sys.executable, *command], {**os.environ, **environment(build), "GPUIMG_EMULATOR": build}
    )
