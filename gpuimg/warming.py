"""`warmup`: compile filters before they are used, in several processes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import numpy as np

from gpuimg.backend.compiling import start_python
from gpuimg.errors import BackendFailed
from gpuimg.filters import all_filters
from gpuimg.jobs.chains import filter_of
from gpuimg.machine import processor_count
from gpuimg.registry import Filter, arguments

DTYPES = ("uint8", "float32")
VALUES = 9  # of an image that filters are compiled with: some need more than one class
SHAPES = ((24, 40), (24, 40, 3))


class Warmed(NamedTuple):
    """What `warmup` compiled.

    Attributes
    ----------
    filters : number of filters, each with all requested dtypes that it takes
    failed : errors by filter and dtype
    """

    filters: int
    failed: dict[str, str]


def warmup(
    filters: Iterable[Any] | None = None,
    dtypes: Iterable[Any] = DTYPES,
    *,
    progress: Callable[[str], None] | None = None,
) -> Warmed:
    """Compile filters for this machine in advance, so that their first use does not wait.

    Compiled code is kept in gpuimg's cache folder (``GPUIMG_CACHE_DIR``) for all processes, until gpuimg or Numba
    changes. Filters that are already there take some milliseconds.

    Parameters
    ----------
    filters : filters or their names, by default all
    dtypes : of the images; each filter is compiled for those that it takes
    progress : called with the name of each filter and dtype once it is ready

    Returns
    -------
    Warmed : how many were compiled, and which failed

    Raises
    ------
    ValueError : a name is not that of a filter

    Examples
    --------
    >>> import gpuimg
    >>> gpuimg.warmup(["invert"], ["uint8"])
    Warmed(filters=1, failed={})
    """
    chosen = list(all_filters().values()) if filters is None else [_filter(each) for each in filters]
    wanted = [np.dtype(each) for each in dtypes]
    tasks = [(entry.name, dtype.name) for entry in chosen for dtype in wanted if dtype in entry.dtypes]
    return Warmed(len(tasks), compile_all(tasks, progress or (lambda _: None)))


def compile_all(
    tasks: Sequence[tuple[str, str]], report: Callable[[str], None], seconds: float | None = None
) -> dict[str, str]:
    """Compile filters for dtypes in several processes, within a time limit; return ``failed`` of `Warmed`."""
    failed: dict[str, str] = {}
    count = min(processor_count(), max(len(tasks), 1))
    with ThreadPoolExecutor(count) as threads:
        shares = [
            threads.submit(list, _compiled_elsewhere(tasks[number::count], report, seconds)) for number in range(count)
        ]
        for share in as_completed(shares):
            failed.update(share.result())
    return failed


def _filter(given: Any) -> Filter:
    entry = filter_of(given)
    if entry is None:
        raise TypeError(f"filters must be gpuimg's filters or their names, got {given!r}")
    return entry


def _compiled_elsewhere(
    tasks: Sequence[tuple[str, str]], report: Callable[[str], None], seconds: float | None = None
) -> Iterator[tuple[str, str]]:
    """Compile in another process and yield the failures. Numba compiles one function at a time in each process."""
    with start_python(f"from {__name__} import compile_given; compile_given()", text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(tasks))
        process.stdin.close()
        is_late = threading.Event()
        timer = threading.Timer(seconds or 0.0, _stop, (process, is_late))
        if seconds is not None:
            timer.start()
        for line in process.stdout:
            name, error = json.loads(line)
            report(name)
            if error:
                yield name, error
        timer.cancel()
    if process.returncode and not is_late.is_set():
        raise BackendFailed(f"a process that compiles filters ended with exit code {process.returncode}")


def _stop(process: subprocess.Popen[str], is_late: threading.Event) -> None:
    is_late.set()
    process.terminate()


def compile_given() -> None:
    """Compile the tasks read from standard input, and write each to standard output when it is ready."""
    filters = all_filters()
    for name, dtype in json.load(sys.stdin):
        error = ""
        try:
            compile_filter(filters[name], dtype)
        except Exception as raised:
            error = str(raised) or type(raised).__name__
        print(json.dumps([f"{name} {dtype}", error]), flush=True)


def compile_filter(entry: Filter, dtype: str) -> None:
    """Compile a filter by using it, with all its examples."""
    for example in entry.examples:
        for shape in SHAPES[1:] if entry.color else SHAPES[:1] if entry.grey else SHAPES:
            image = (np.arange(math.prod(shape)) % VALUES).astype(dtype).reshape(shape)
            entry.function(image, backend="single", **arguments(example, image))
