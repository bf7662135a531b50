"""Step 2: compare every filter and dtype with one CPU thread, integers bit for bit."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from gpu_steps import device as devices
from gpu_steps.device import ALIGNMENT, Array, Device
from gpu_steps.running import Case, Details, Setting

TOLERANCES = {"float32": 2e-6, "float64": 1e-13}  # relative to the largest value, as in the tests
CHANNELS = (1, 3, 4)
# Heights and widths: within a vector, a warp, a block, several blocks, many blocks.
SHAPES = ((23, 1), (19, 31), (37, 129), (41, 1100), (5, 20011))
LONG = (70000, 9)  # more rows than a grid has in y
HUGE = (46400, 46300)  # more than 2**31 pixels
REHEARSED = {"shapes": ((9, 31), (3, 129)), "long": (300, 9), "huge": (64, 48)}
HUGE_FILTERS = ("invert", "threshold", "flip", "gaussian", "minimum", "uniform", "histogram", "equalize_hist")
MOST_MESSAGES = 5
NONNEGATIVE = ("adjust_gamma",)


def chosen(rehearse: bool, filters: tuple[str, ...] = ()) -> Iterator[tuple[Any, np.dtype[Any]]]:
    """Yield the filters with CUDA kernels, only those named if any, with the dtypes that each takes."""
    from gpuimg.advice import unwritten
    from gpuimg.filters import all_filters

    for name, entry in all_filters().items():
        if unwritten(name) or (filters and name not in filters):
            continue
        for dtype in entry.dtypes:
            if not rehearse or dtype.name in ("bool", "uint8", "int32", "float32"):
                yield entry, dtype


def cases(setting: Setting) -> Iterator[Case]:
    shapes = REHEARSED["shapes"] if setting.rehearse else SHAPES
    long, huge = (REHEARSED[key] if setting.rehearse else whole for key, whole in (("long", LONG), ("huge", HUGE)))
    yield Case("filters without CUDA kernels", unwritten_filters)
    for entry, dtype in chosen(setting.rehearse, setting.filters):
        yield Case(f"{entry.name} {dtype}", partial(compare, setting.rehearse, entry, dtype, shapes))
    for entry, dtype in chosen(setting.rehearse, setting.filters):
        if dtype.name in ("uint8", "float32"):
            what = f"{entry.name} {dtype} of {long[0]}x{long[1]}"
            yield Case(what, partial(compare, setting.rehearse, entry, dtype, (long,), channels=(1, 3)))
    for entry, dtype in chosen(setting.rehearse, setting.filters):
        if setting.huge and entry.name in HUGE_FILTERS and dtype.name == "uint8":
            yield Case(f"{entry.name} of {huge[0]}x{huge[1]}", partial(compare_huge, setting.rehearse, entry, huge))


def unwritten_filters() -> Details:
    from gpuimg.advice import unwritten
    from gpuimg.filters import all_filters

    return {"names": [name for name in all_filters() if unwritten(name)]}


def noise(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Return an image of noise with flat areas and the dtype's extreme values."""
    rng = np.random.default_rng([seed, *shape])
    kind = np.dtype(dtype)
    image: Array
    if kind.kind == "b":
        image = rng.random(shape) < 0.5
    elif kind.kind in "fc":
        image = rng.normal(0.5, 1, shape).astype(kind)
    else:
        info = np.iinfo(kind)
        image = rng.integers(info.min, info.max, shape, kind, endpoint=True)
        image.flat[0], image.flat[-1] = info.max, info.min
    image[: shape[0] // 4] = image.flat[0]
    return image


def image_for(entry: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an image of noise that a filter takes."""
    image = noise(shape, dtype)
    return np.maximum(image, 0) if entry.name in NONNEGATIVE else image


def combinations(
    entry: Any, dtype: Any, shapes: Any, channels: tuple[int, ...] = CHANNELS
) -> Iterator[tuple[Array, dict[str, Any]]]:
    """Yield images with the parameters of a filter's examples, alternating between border modes and the default."""
    from gpuimg.images import MODES
    from gpuimg.registry import arguments

    modes = itertools.cycle((*MODES, None))
    has_mode = "mode" in inspect.signature(entry.function).parameters
    for example, shape, count in itertools.product(entry.examples, shapes, channels):
        if entry.color and count == 1:
            continue
        image = image_for(entry, shape if count == 1 else (*shape, count), dtype)
        given = arguments(example, image)
        if has_mode and (mode := next(modes)):
            given.setdefault("mode", mode)
        yield image, given


def reference(entry: Any, image: Array, given: dict[str, Any]) -> Any:
    """Return the result on one CPU thread, or None if the filter does not take such an image."""
    try:
        return entry.function(image, backend="single", **given)
    except (TypeError, ValueError):
        return None


def on_device(device: Device, entry: Any, given: dict[str, Any], offset: int = 0) -> dict[str, Any]:
    """Return the parameters with images copied to the device."""
    return {key: device.put(value, offset) if entry.is_image(key, value) else value for key, value in given.items()}


def compare(
    rehearse: bool, entry: Any, dtype: np.dtype[Any], shapes: Any, channels: tuple[int, ...] = CHANNELS
) -> Details:
    """Compare results for images at every alignment, written over a pattern, with poisoned intermediate memory."""
    from gpuimg.run import planned_results

    device = devices.device(rehearse)
    steps = range(0, ALIGNMENT, dtype.itemsize)
    offsets = itertools.cycle(itertools.product(steps, repeat=2))
    report = Report()
    for image, given in combinations(entry, dtype, shapes, channels):
        expected = reference(entry, image, given)
        if expected is None:
            continue
        first, second = next(offsets)
        arguments = on_device(device, entry, given, first)
        if planned_results(entry.function, image, given):
            outs = tuple([poisoned_like(device, part, second) for part in _parts(expected)])
            arguments["out"] = outs if isinstance(expected, tuple) else outs[0]
        device.poison_free_memory(2 * image.nbytes)
        result = entry.function(device.put(image, first), backend="cuda", **arguments)
        what = f"{image.shape} with {_brief(given)}, offsets {first} and {second}"
        report.add(what, device.get(result), expected)
        report.add(f"{what}, from NumPy", entry.function(image, backend="cuda", **given), expected)
    return report.details()


def poisoned_like(device: Device, result: Array, offset: int) -> Any:
    """Return memory for a result on the device, offset from the alignment by about ``offset`` bytes."""
    return device.poisoned(result.shape, result.dtype, offset - offset % result.dtype.itemsize)


def compare_huge(rehearse: bool, entry: Any, shape: tuple[int, int]) -> Details:
    """Compare results for an image with more pixels than a 32-bit integer can count."""
    from gpuimg.registry import arguments

    device = devices.device(rehearse)
    block = noise((shape[0] // 8, shape[1]), np.uint8)
    image = np.concatenate([np.roll(block, 7 * number, axis=1) for number in range(8)])
    report = Report()
    given = arguments(entry.examples[0], image)
    expected = entry.function(image, backend="multicore", **given)  # bit-identical to "single", by the tests
    report.add(str(shape), device.get(entry.function(device.put(image), backend="cuda", **given)), expected)
    return {"pixels": image.size, **report.details()}


def _brief(given: dict[str, Any]) -> dict[str, Any]:
    return {key: f"array {value.shape}" if isinstance(value, np.ndarray) else value for key, value in given.items()}


class Report:
    """Counts results that are identical, and collects those that differ too much."""

    def __init__(self) -> None:
        self.compared = self.identical = 0
        self.largest = 0.0
        self.wrong: list[str] = []

    def add(self, what: str, found: Any, expected: Any) -> None:
        self.compared += 1
        pairs = zip(_parts(found), _parts(expected), strict=True)
        problems = [problem for left, right in pairs if (problem := self._problem(left, right))]
        if problems:
            self.wrong.append(f"{what}: {'; '.join(problems)}")
        elif all(np.array_equal(a, b, equal_nan=_is_float(b)) for a, b in _pairs(found, expected)):
            self.identical += 1

    def _problem(self, found: Any, expected: Any) -> str:
        found, expected = np.asarray(found), np.asarray(expected)
        if (found.shape, found.dtype) != (expected.shape, expected.dtype):
            return f"{found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
        if not _is_float(expected):
            differing = np.flatnonzero(found.reshape(-1) != expected.reshape(-1))
        else:
            finite = np.isfinite(expected)
            scale = float(np.abs(expected[finite]).max(initial=0)) or 1.0
            with np.errstate(invalid="ignore", over="ignore"):
                distance = np.abs(found.astype(np.float64) - expected.astype(np.float64)) / scale
            same = (found == expected) | (np.isnan(found) & np.isnan(expected))
            self.largest = max(self.largest, float(np.where(same, 0, distance).max(initial=0)))
            tolerance = TOLERANCES.get(expected.dtype.name, 0.0)  # other dtypes are only moved
            differing = np.flatnonzero(~(same | (distance <= tolerance)).reshape(-1))
        if not differing.size:
            return ""
        at = int(differing[0])
        pair = f"{found.reshape(-1)[at]} instead of {expected.reshape(-1)[at]}"
        return f"{differing.size} of {expected.size} differ, the first at element {at}: {pair}"

    def details(self) -> Details:
        if self.wrong:
            shown = "\n".join(self.wrong[:MOST_MESSAGES])
            raise AssertionError(f"{len(self.wrong)} of {self.compared} results are wrong:\n{shown}")
        if not self.compared:
            raise AssertionError("nothing was compared")
        return {"compared": self.compared, "identical": self.identical, "largest_difference": self.largest}


def _parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _pairs(found: Any, expected: Any) -> list[tuple[Array, Array]]:
    return [(np.asarray(a), np.asarray(b)) for a, b in zip(_parts(found), _parts(expected), strict=True)]


def _is_float(array: Array) -> bool:
    return array.dtype.kind == "f"
