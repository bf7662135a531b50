"""A process that compiles for another one; see `gpuimg.backend.compiling`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

from gpuimg.backend.compiled import compile_here
from gpuimg.backend.driver import compile_loop
from gpuimg.backend.native import compile_call


def compile_task(task: list[str]) -> None:
    """Compile a kernel, given its name, form and function, or one of the two callers of kernels, given its name."""
    if task == ["_parallel_loop"]:
        compile_loop()
    elif task == ["_call_entry"]:
        compile_call()
    else:
        kernel, form, fill = task
        compile_here(kernel, form, fill)


def serve() -> None:
    """Compile the task in each line of standard input into the cache folder named there, until the input ends."""
    with suppress(BrokenPipeError):  # the other process has ended
        for line in sys.stdin:
            os.environ["GPUIMG_CACHE_DIR"], *task = json.loads(line)
            error = ""
            try:
                compile_task(task)
            except Exception as raised:
                error = str(raised) or type(raised).__name__
            print(json.dumps(error), flush=True)
