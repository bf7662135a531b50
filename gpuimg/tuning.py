"""`calibrate`: measure this machine, so that "auto" chooses by measured speeds instead of defaults.

Other processes disturb measurements. So each is taken several times: it counts if the times differ little and the
processors worked for this process most of the time. Otherwise it is repeated; if all attempts fail, the former figure
is kept.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from gpuimg import choosing, machine
from gpuimg.backend.compiled import Packed, Slots, Task
from gpuimg.backend.single import Single
from gpuimg.backend.walk import Bound, bound_to
from gpuimg.errors import CalibrationWarning, warn
from gpuimg.filters import all_filters
from gpuimg.images import UINT8
from gpuimg.machine import GPU_FIGURES, TABLES, Figures
from gpuimg.registry import Filter, arguments
from gpuimg.run import planned
from gpuimg.warming import compile_all

SHAPE = (1024, 1536)
DTYPES = ("uint8", "uint16", "float32")
SECONDS = 30.0
COMPILING = 15.0  # of these seconds
ATTEMPTS = 4
ATTEMPT_SECONDS = 1.5  # after which no measurement is repeated
ROUNDS = 9
FILTER_ATTEMPTS = 2
RUNS = 3  # of each filter
RUN_SPREAD = 1.5  # maximum ratio of the median to the minimum
SPREAD = 0.3  # maximum interquartile range of steady times, relative to the median
# Fraction of the processor time available to one thread each. Cores of two speeds reach two thirds with bands of equal
# size; one other busy process costs more, because all wait for the band on its core.
SHARE = 0.65
SINGLE_SHARE = 0.8
LIMITS = {
    "single_call": (1e-8, 1e-2),
    "multicore_call": (1e-8, 1e-1),
    "processes_call": (1e-6, 1.0),
    "multicore_speedup": (0.1, 4096.0),
    "copy_bandwidth": (1e7, 1e13),
    "pcie_bandwidth": (1e7, 1e13),
    "gpu_bandwidth": (1e8, 1e14),
    "gpu_call": (1e-7, 1.0),
    "gpu_launch": (1e-8, 1.0),
    "speeds": (1e-15, 1e-3),
    "cached_speeds": (1e-15, 1e-3),
    "overheads": (0.0, 1e-1),
}
CACHED_SIDES = (64, 256)  # of square images that fit in a core's cache
CACHED_RUNS = 5
NO_OVERHEAD = 1e-9  # seconds, for a kernel without any; zero is not stored


class Reading(NamedTuple):
    """A figure from several rounds.

    Attributes
    ----------
    value : the median
    spread : interquartile range relative to the median
    is_disturbed : whether other processes used much of the processor time
    """

    value: float
    spread: float
    is_disturbed: bool = False


def calibrate(*, progress: Callable[[str], None] | None = None) -> Figures:
    """Measure this machine and store the figures used to choose backends.

    Parameters
    ----------
    progress : called with the name of each item before it is measured, or when it is compiled

    Returns
    -------
    `gpuimg.machine.Figures` : seconds per call on each backend, bytes per second, and the speed of each kernel. They
    are stored in gpuimg's cache folder (``GPUIMG_CACHE_DIR``) and take effect at once.

    Raises
    ------
    OSError : the folder is not writable

    Warns
    -----
    CalibrationWarning : some figures could not be measured, because other processes interfered or time ran out. They
        keep their former values.

    Notes
    -----
    Takes about half a minute. Filters that are not compiled yet are compiled first, for at most half of that time; call
    `gpuimg.warmup` beforehand to measure all of them. Run nothing else on the machine meanwhile.
    """
    report = progress or (lambda _: None)
    deadline = perf_counter() + SECONDS
    figures = machine.figures()
    filters = all_filters()
    tasks = [(name, dtype) for name, entry in filters.items() for dtype in DTYPES if np.dtype(dtype) in entry.dtypes]
    compiled = _compile(tasks, report)
    measured = _measure_machine(report)
    disturbed = [name for name, value in measured.items() if value is None]
    late = 0
    for name, dtype in tasks:
        if (name, dtype) not in compiled or perf_counter() > deadline:
            late += 1
            continue
        report(f"{name} {dtype}")
        if not _measure_filter(figures, filters[name], dtype):
            disturbed.append(f"{name} {dtype}")
    for name, value in measured.items():
        if value is not None:
            setattr(figures, name, value)
    figures.measured.clear()
    figures.revision += 1
    machine.store(figures, _names_to_store(measured))
    _warn(disturbed, late, len(tasks))
    return figures


def _compile(tasks: Sequence[tuple[str, str]], report: Callable[[str], None]) -> set[tuple[str, str]]:
    """Compile as many filters as there is time for; return those that are ready."""
    ready = set()

    def done(task: str) -> None:
        report(f"compiled {task}")
        name, dtype = task.split()
        ready.add((name, dtype))

    failed = compile_all(tasks, done, COMPILING)
    return {task for task in ready if " ".join(task) not in failed}


def _names_to_store(measured: dict[str, float | None]) -> set[str]:
    """Return the names of figures measured now or before; others keep their defaults, which may change."""
    names = machine.stored().keys() | {name for name, value in measured.items() if value is not None}
    has_gpu = choosing.backend_named("cuda").unusable() is None
    return names - (set() if has_gpu else GPU_FIGURES) | set(TABLES)


def _warn(disturbed: Sequence[str], late: int, count: int) -> None:
    if disturbed:
        few = ", ".join(name.replace("_", " ") for name in disturbed[:5])
        others = f" and {len(disturbed) - 5} others" if len(disturbed) > 5 else ""
        message = (
            f"times were unsteady, so {few}{others} were not stored: calibrate again when the machine is less busy"
        )
        warn(message, CalibrationWarning)
    if late:
        left = f"{late} of {count} filters and dtypes were not measured in {SECONDS:g} s"
        message = f"{left}: calibrate again, preferably after a warmup"
        warn(message, CalibrationWarning)


# The machine -------------------------------------------------------------------------------------------------------


def _measure_machine(report: Callable[[str], None]) -> dict[str, float | None]:
    """Measure all figures except the kernels' speeds; None for those that could not be measured."""
    from gpuimg.filters.exposure import plan_threshold

    tiny = bound_to(partial(plan_threshold, value=100.0), np.zeros((16, 16), np.uint8))
    report("calls")
    measured = {}
    for name, repeat in (("single", 100), ("multicore", 100), ("processes", 3)):
        if choosing.backend_named(name).unusable() is None:
            measured[f"{name}_call"] = _steady(f"{name}_call", partial(_call, name, tiny, repeat))
    report("threads")
    speedup = _steady("multicore_speedup", _speedup)
    measured["multicore_speedup"] = None if speedup is None else max(1.0, speedup)
    report("memory")
    measured["copy_bandwidth"] = _steady("copy_bandwidth", _copy_bandwidth)
    gpu: Any = choosing.backend_named("cuda")
    if gpu.unusable() is None:
        report("cuda")
        measured |= {name: value if _is_sane(name, value) else None for name, value in gpu.measure().items()}
    return measured


def _steady(name: str, measure: Callable[[], Reading]) -> float | None:
    """Return the value of the first steady and plausible reading, or None."""
    deadline = perf_counter() + ATTEMPT_SECONDS
    for _ in range(ATTEMPTS):
        reading = measure()
        if reading.spread <= SPREAD and not reading.is_disturbed and _is_sane(name, reading.value):
            return reading.value
        if perf_counter() > deadline:
            break
    return None


def _is_sane(name: str, value: float) -> bool:
    low, high = LIMITS[name]
    return low <= value <= high


def _reading(values: Sequence[float], is_disturbed: bool = False) -> Reading:
    median = statistics.median(values)
    low, _, high = statistics.quantiles(values, n=4)
    return Reading(median, (high - low) / median if median > 0 else math.inf, is_disturbed)


class _Timer:
    """Measures the time of calls and the processor time used meanwhile."""

    def __init__(self, call: Callable[[], Any], repeat: int = 1) -> None:
        self.call, self.repeat = call, repeat
        self.wall = self.worked = 0.0
        call()  # compile, start threads and workers

    def seconds(self) -> float:
        """Return the seconds per call."""
        worked, start = process_time(), perf_counter()
        for _ in range(self.repeat):
            self.call()
        wall = perf_counter() - start
        self.wall += wall
        self.worked += process_time() - worked
        return wall / self.repeat

    def worked_less_than(self, share: float) -> bool:
        """Whether all processors together were busy for less than this fraction of the time."""
        return self.worked < share * self.wall


def _call(name: str, bound: Bound, repeat: int) -> Reading:
    """Measure the overhead of a call, with that on one thread as the zero point."""
    timer = _Timer(partial(choosing.backend_named(name).run, bound, None), repeat)
    seconds = [timer.seconds() for _ in range(ROUNDS)]
    return _reading(seconds, name == "single" and timer.worked_less_than(SINGLE_SHARE))


def _noise(dtype: Any, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return values > 127 if np.dtype(dtype) == np.dtype(bool) else values.astype(dtype)


def _speedup() -> Reading:
    from gpuimg.filters.smooth import gaussian

    image = _noise(UINT8, (2 * SHAPE[0], 2 * SHAPE[1]))
    single, multicore = (_Timer(partial(gaussian, image, backend=name)) for name in ("single", "multicore"))
    ratios = [_ratio(single.seconds(), multicore.seconds()) for _ in range(ROUNDS)]
    threads = min(choosing.backend_named("multicore").workers, machine.processor_quota())  # type: ignore[attr-defined]
    return _reading(ratios, single.worked_less_than(SINGLE_SHARE) or multicore.worked_less_than(SHARE * threads))


def _ratio(seconds: float, others: float) -> float:
    return seconds / others if others > 0 else math.inf


def _copy_bandwidth() -> Reading:
    source = np.ones(1 << 26, np.uint8)
    target = np.zeros_like(source)
    timer = _Timer(lambda: np.copyto(target, source))
    rates = [_ratio(source.nbytes, timer.seconds()) for _ in range(ROUNDS)]
    return _reading(rates, timer.worked_less_than(SINGLE_SHARE))


# Filters -----------------------------------------------------------------------------------------------------------


def _measure_filter(figures: Figures, found: Filter, dtype: str) -> bool:
    """Run a filter on one thread and keep the speeds of its kernels; return whether the times were steady.

    The first example that runs a kernel counts: mostly it has the default parameters, which calls have as well.
    """
    speeds: dict[str, float] = {}
    is_steady = True
    for call in example_calls(found, dtype):
        made = _steady_speeds(figures, call)
        is_steady &= made is not None
        for key, value in (made or {}).items():
            speeds.setdefault(key, value)
    figures.speeds |= speeds
    for name, table in cached_tables(found, dtype).items():
        getattr(figures, name).update({key: value for key, value in table.items() if _is_sane(name, value)})
    return is_steady


class Amount(NamedTuple):
    """The seconds of a kernel's calls in one run of a graph, their elements times work, and their number."""

    seconds: float
    effort: float
    calls: int


class _Timing(Single):
    """One thread; sums the times of all calls, however short, by the key of their speed."""

    worth_learning = 0

    def __init__(self) -> None:
        self.amounts: dict[str, Amount] = {}

    def call(self, task: Task, packed: Packed | Slots) -> float:
        start = perf_counter()
        seconds = super().call(task, packed)
        return seconds or perf_counter() - start

    def learn(self, key: str, work: float, elements: int, seconds: float) -> None:
        total, effort, calls = self.amounts.get(key, Amount(0.0, 0.0, 0))
        self.amounts[key] = Amount(total + seconds, effort + elements * work, calls + 1)


def cached_tables(found: Filter, dtype: Any) -> dict[str, dict[str, float]]:
    """Return the speeds of a filter's kernels in the cache, and their overheads, from the first example that runs each.

    The times are the minimum over several runs, which other processes hardly disturb. Those of two sizes are a line:
    its slope is the speed, its value at size zero the overhead.
    """
    tables: dict[str, dict[str, float]] = {"cached_speeds": {}, "overheads": {}}
    for example in found.examples:
        small, large = [_amounts(found, dtype, side, example) for side in CACHED_SIDES]
        for key in (small.keys() & large.keys()) - tables["overheads"].keys():
            tables["cached_speeds"][key], tables["overheads"][key] = _line(small[key], large[key])
    return tables


def _amounts(found: Filter, dtype: Any, side: int, example: Any) -> dict[str, Amount]:
    """Return the shortest times of a filter's kernels for a square image."""
    image = _noise(dtype, (side, side, 3) if found.color else (side, side))
    _, bound = planned(found.function, image, arguments(example, image))
    runs = []
    for _ in range(1 + CACHED_RUNS):  # the first one compiles and prepares the calls
        timing = _Timing()
        timing.run(bound)
        runs.append(timing.amounts)
    return {key: min(run[key] for run in runs[1:]) for key in set.intersection(*map(set, runs))}


def _line(small: Amount, large: Amount) -> tuple[float, float]:
    """Return the seconds per unit of effort, and those of each call with none."""
    per_call = small.seconds / small.calls, large.seconds / large.calls
    effort = small.effort / small.calls, large.effort / large.calls
    speed = per_call[1] / effort[1]
    if effort[1] > effort[0] and per_call[1] > per_call[0]:
        speed = min(speed, (per_call[1] - per_call[0]) / (effort[1] - effort[0]))
    return speed, max(NO_OVERHEAD, per_call[1] - speed * effort[1])


def example_calls(found: Filter, dtype: Any) -> Iterator[Callable[[], Any]]:
    """Yield calls of a filter with its examples' arguments, on one thread."""
    image = _noise(dtype, (*SHAPE, 3) if found.color else SHAPE)
    for example in found.examples:
        yield partial(found.function, image, backend="single", **arguments(example, image))


def _steady_speeds(figures: Figures, call: Callable[[], Any]) -> dict[str, float] | None:
    """Return the speeds that figures learn from a call, or None if the times are not steady."""
    for _ in range(FILTER_ATTEMPTS):
        worked, start = process_time(), perf_counter()
        runs = [learned(figures, call) for _ in range(RUNS)]
        is_disturbed = process_time() - worked < SINGLE_SHARE * (perf_counter() - start)
        speeds = {key: sorted([run[key] for run in runs if key in run]) for key in runs[0]}
        # The first run may find cold memory, so the slowest one is ignored.
        is_steady = all(values[0] * RUN_SPREAD >= statistics.median(values) for values in speeds.values())
        medians = {key: statistics.median(values) for key, values in speeds.items()}
        if is_steady and not is_disturbed and all(_is_sane("speeds", value) for value in medians.values()):
            return medians
    return None


def learned(figures: Figures, call: Callable[[], Any]) -> dict[str, float]:
    """Return the speeds learned from one call, without those known before."""
    known, figures.speeds = figures.speeds, {}
    try:
        call()
        return figures.speeds
    finally:
        figures.speeds = known
