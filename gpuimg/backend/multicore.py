"""All cores: the compiled kernel, a band of rows for each thread."""

from __future__ import annotations

from typing import Any

from gpuimg.backend.base import Array, CpuBackend
from gpuimg.backend.compiled import prepare
from gpuimg.backend.driver import fill_bands, numba_is_safe, numba_layer, thread_count
from gpuimg.backend.single import timed


class Multicore(CpuBackend):
    """All cores of this machine, in threads."""

    name = "multicore"

    @property
    def workers(self) -> int:
        return thread_count()

    def detail(self) -> str:
        layer = f"Numba's {numba_layer()} layer" if numba_is_safe() else "a thread pool"
        return f"{thread_count()} threads, {layer}"

    def fill(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], rows: int, bands: int) -> float:
        code, packed = prepare(kernel, src, dst, args)

        def fill(top: int, bottom: int) -> tuple[int, int]:
            few = min(bands, bottom - top)
            return fill_bands(code, packed.address, top, bottom, few), few

        return timed(kernel, fill, rows, (src.size + dst.size) // bands, rows <= bands)
