"""All cores: the compiled kernel, a band of rows for each thread."""

from __future__ import annotations

from typing import Any

from gpuimg.backends.base import Array, CpuBackend
from gpuimg.backends.compiled import compiled, form_of, pack
from gpuimg.backends.driver import fill_bands, thread_count
from gpuimg.backends.single import FIRST_PIECE_ELEMENTS, check_done, pieces


class Multicore(CpuBackend):
    """All cores of this machine, in threads."""

    name = "multicore"

    @property
    def workers(self) -> int:
        return thread_count()

    def fill(self, kernel: str, src: Array, dst: Array, args: tuple[Any, ...], bands: int) -> None:
        packed_for = (src, dst, *args)
        code = compiled(kernel, form_of(packed_for))
        packed = pack(packed_for)
        rows = dst.shape[0]
        bands = min(bands, rows)
        elements = src.size + dst.size
        if bands == 1 or rows == bands or elements <= FIRST_PIECE_ELEMENTS * bands:
            check_done(kernel, fill_bands(code, packed.address, 0, rows, bands), bands)
            return
        for top, bottom in pieces(rows, elements // bands):
            few = min(bands, bottom - top)
            check_done(kernel, fill_bands(code, packed.address, top, bottom, few), few)
