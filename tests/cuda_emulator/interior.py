"""Instructions a pixel of kernels whose threads wait for each other: an interior block of a real launch is executed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import gpuimg
from gpuimg.backend.cuda import Cuda
from tests.cuda_emulator.emulator import EmulatedGpu, as_cuda
from tests.cuda_emulator.execute import Block, Launch, Memory
from tests.cuda_emulator.sass import Code

ROWS, COLS = 320, 1536  # of the images: the block in the middle of the grid touches no edge


class RecordingGpu(EmulatedGpu):
    """A device that keeps what it is to launch, with all its memory, and launches nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[Launch] = []
        self.arrays: list[np.ndarray] = []

    @property
    def multiprocessors(self) -> int:
        return 132

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        array = super().empty(shape, dtype)
        self.arrays.append(array)
        return array

    def load(self, stem: str, name: str) -> Any:
        def start(grid: Any, block: Any, layout: Any, values: Any, shared_mem: int) -> None:
            slots = np.frombuffer(layout.pack(*values), np.uint64).copy()
            self.recorded.append(Launch(stem, name, tuple(grid), tuple(block), slots))

        return start


class Recorded(Cuda):
    def unusable(self) -> str | None:
        return None


@contextlib.contextmanager
def recording() -> Iterator[RecordingGpu]:
    """A context in which the backend "cuda" records its launches."""
    gpu = RecordingGpu()
    with as_cuda(Recorded(gpu)):
        yield gpu


class Case(NamedTuple):
    """A call that launches an instance, and the image's dtype."""

    call: Callable[..., Any]
    dtype: np.dtype


NUMPY = {
    "unsigned char": "uint8",
    "unsigned short": "uint16",
    "short": "int16",
    "int": "int32",
    "float": "float32",
    "double": "float64",
}
# The radii that are counted: of the Gaussian's kernels those that fit, by what a thread holds.
RADII = (1, 2, 3, 6)
WIDE_RADIUS = 7  # of means with kernels for any size
GAUSSIAN_RADII = {"4": (2, 4), "6": (6,), "8": (8,), "12": (12,)}


def cases(stem: str, name: str) -> dict[int, Case]:
    """The calls, by the window's radius, that launch an instance; none where it is not executed."""
    base, _, text = name.rstrip(">").partition("<")
    chosen = [part.strip() for part in text.split(",")]
    radii: tuple[int, ...] = ()
    if stem == "gaussian" and base == "near":
        radii = GAUSSIAN_RADII[chosen[1]]
    elif name == "fixed<unsigned char>":
        radii = (2, 4, 6, 8, 12)
    elif stem == "minimum" and base == "near":
        radii = RADII
    elif stem == "uniform" and base in ("few", "few_bytes"):
        radii = (int(chosen[-1]) // 2,)
    elif stem == "uniform" and base in ("near", "bytes") and name != "near<unsigned char, int>":
        radii = (WIDE_RADIUS,)
    elif base == "few_convolve":
        radii = (int(chosen[-1]) // 2,)
    elif base == "byte_convolve":
        radii = (3, 6)
    elif base == "near_convolve" and chosen in (["unsigned char", "int"], *(_WEIGHED)):
        radii = (1, 2) if chosen[0] == "double" else (3,)
    if not radii:
        return {}
    dtype = np.dtype(NUMPY.get(chosen[0], "uint8"))
    call = _convolve_colors if name == "near_convolve<unsigned char, int>" else _CALLS[stem]
    return {radius: Case(partial(call, radius), dtype) for radius in radii}


_WEIGHED = (["unsigned short", "float"], ["short", "float"], ["float", "float"], ["double", "double"])


def _convolve(radius: int, image: np.ndarray, backend: str) -> Any:
    side = np.arange(1, 2 * radius + 2)
    return gpuimg.convolve(image, np.outer(side, side) / side.sum() ** 2, backend=backend)


def _convolve_colors(radius: int, image: np.ndarray, backend: str) -> Any:
    return _convolve(radius, image.reshape(ROWS, -1, 3), backend).reshape(image.shape)


_CALLS: dict[str, Callable[..., Any]] = {
    "gaussian": lambda radius, image, backend: gpuimg.gaussian(image, radius / 4, backend=backend),
    "minimum": lambda radius, image, backend: gpuimg.minimum(image, 2 * radius + 1, backend=backend),
    "uniform": lambda radius, image, backend: gpuimg.uniform(image, 2 * radius + 1, backend=backend),
    "convolve": _convolve,
}


def image_of(dtype: np.dtype) -> np.ndarray:
    numbers = np.random.default_rng(1)
    if dtype.kind == "f":
        return numbers.random((ROWS, COLS)).astype(dtype)
    bounds = np.iinfo(dtype)
    return numbers.integers(bounds.min, bounds.max, (ROWS, COLS), dtype, endpoint=True)


def instructions(code: Code, name: str, case: Case) -> float:
    """What a warp issues for 32 pixels of the block in the middle of the grid, from its beginning to its end.

    Raises AssertionError if its results are not the CPU's.
    """
    image = image_of(case.dtype)
    wanted = np.ascontiguousarray(case.call(image, "single"))
    with recording() as gpu:
        case.call(image, "cuda")
    names = [launch.name for launch in gpu.recorded]
    assert name in names, f"{name} is not among the launches: {names}"
    launch = gpu.recorded[names.index(name)]
    target = next(array for array in gpu.arrays if array.ctypes.data == int(launch.slots[3]))
    target[...] = 0
    across, down = ((count - 1) // 2 for count in (*launch.grid, 1)[:2])
    memory = Memory(gpu.arrays)
    block = Block(code, launch, (across, down), memory)
    issued = block.run()
    stored = memory.written(target)
    compare = (
        np.testing.assert_array_equal if target.dtype.kind != "f" else partial(np.testing.assert_allclose, rtol=1e-5)
    )
    compare(np.asarray(target)[stored], wanted.reshape(target.shape)[stored])
    return issued * 32 / int(stored.sum())
