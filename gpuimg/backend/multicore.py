"""All cores: the compiled kernel, a band of rows for each thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpuimg import stopping
from gpuimg.backend.chain import InProcess
from gpuimg.backend.compiled import Packed, Slots, Task
from gpuimg.backend.driver import (
    call_each,
    fill_bands,
    most_threads,
    numba_is_safe,
    numba_layer,
    thread_count,
)
from gpuimg.backend.single import Single, check_done, is_short, timed
from gpuimg.backend.walk import Bound, Outs
from gpuimg.kernels import is_uneven

UNEVEN_BANDS = 4  # per thread, if some rows take much longer than others
WATCHED_BANDS = 2  # per thread, if the work can be stopped: threads check between bands


class Multicore(InProcess):
    """All cores of this machine, in threads."""

    name = "multicore"

    @property
    def workers(self) -> int:
        return thread_count()

    def speedup(self) -> float:
        all_threads = super().speedup()
        if stopping.watch() is None:  # no limit
            return max(1.0, all_threads)
        return max(1.0, all_threads * self.workers / most_threads())

    def detail(self) -> str:
        layer = f"Numba's {numba_layer()} layer" if numba_is_safe() else "a thread pool"
        return f"{thread_count()} threads, {layer}"

    def call(self, task: Task, packed: Packed | Slots) -> float:
        kernel, code, rows, elements, halo, _ = task
        bands = min(rows, self.workers)
        rounds = UNEVEN_BANDS if is_uneven(kernel) else 1 if stopping.watch() is None else WATCHED_BANDS
        most = rounds * bands
        if is_short(elements):
            most = min(rows, most)
            check_done(kernel, fill_bands(code, packed, 0, rows, most), most)
            stopping.look()
            return 0.0

        def fill(top: int, bottom: int) -> tuple[int, int]:
            few = min(most, bottom - top)
            return fill_bands(code, packed, top, bottom, few), few

        return timed(kernel, fill, rows, elements // bands, bands, halo)

    def run_apart(self, bounds: Sequence[Bound], outs: Sequence[Outs]) -> list[tuple[Any, ...]]:
        """Run whole images on one thread each while there is one for every thread, the rest in bands."""
        count = len(bounds) - len(bounds) % self.workers
        calls = list(zip(bounds[:count], outs[:count], strict=True))
        return call_each(Single().run, calls, self.workers) + super().run_apart(bounds[count:], outs[count:])
