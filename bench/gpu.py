"""Check and measure gpuimg on a GPU: ``python bench/gpu.py --out gpu.json``.

Six steps: the environment and compilation of all kernels, every filter against the CPU, races, streams, memory, speed.
The JSON is written after every case, so that an interrupted run keeps its results. A failure does not end the run, and
a step whose process dies or hangs continues after the case that caused it. At the end each goal is reported as PASS or
FAIL; the exit code is 1 if one failed.

``--rehearse`` runs everything on the CPU with emulated kernels, at small sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))

from gpu_steps import STEPS
from gpu_steps.running import Details, Setting, watch, work
from measuring import commit

from gpuimg.filters import all_filters

BUDGET = 480
# Deadline of each step as a fraction of the budget; unused time goes to the next steps.
ENDS = {"environment": 0.2, "equality": 0.42, "races": 0.54, "streams": 0.58, "memory": 0.62, "speed": 0.97}
MEGAPIXELS = (2, 50, 400)
REHEARSED_MEGAPIXELS = (0.002, 0.003)
SECONDS_FOR_LARGEST = 300  # with less, 400 megapixels and the image of over 2**31 pixels are left out
SECONDS_FOR_MIDDLE = 120
SPEED = 0.7  # relative to the copy
SHARED = ("equality", "races")  # steps that mostly compute references on the CPU, shared by several processes
MOST_PROCESSES, MEMORY_OF_PROCESS = 12, 11 << 30


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the JSON file (default: %(default)s)")
    parser.add_argument("--only", default="1,2,3,4,5,6", help="the steps to run, for example 1,2")
    parser.add_argument("--filters", help="the filters to check and measure, separated by commas (default: all)")
    parser.add_argument("--budget", type=float, default=BUDGET, help="total seconds (default: %(default)s)")
    parser.add_argument("--rehearse", action="store_true", help="on the emulated device, at small sizes")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sanitized", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker is not None:
        return serve(given.worker)
    try:
        steps = [STEPS[int(number) - 1] for number in given.only.split(",")]
    except (ValueError, IndexError):
        parser.error(f"--only must be numbers from 1 to {len(STEPS)} with commas between them, got {given.only!r}")
    filters = tuple(given.filters.split(",")) if given.filters else ()
    unknown = set(filters) - set(all_filters())
    if unknown:
        parser.error(f"--filters must be names of filters, got {', '.join(sorted(unknown))}")
    if given.sanitized is not None:
        from gpu_steps.races import sanitized

        sanitized(given.rehearse, given.sanitized, filters)
        return 0
    return run(steps, given.out, given.budget, given.rehearse, filters)


def serve(descriptor: int) -> int:
    """Run one step in this process for `gpu_steps.running.watch`."""
    told = json.load(sys.stdin)
    listed = {name: tuple(told[name]) for name in ("megapixels", "done", "filters")}
    setting = Setting(**{**told, **listed})
    with os.fdopen(descriptor, "w") as pipe:

        def send(message: Details) -> None:
            pipe.write(json.dumps(message, default=str) + "\n")
            pipe.flush()

        return work(setting, send)


def run(steps: list[str], out: Path, budget: float, rehearse: bool, filters: tuple[str, ...] = ()) -> int:
    begin = time.time()
    document: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "rehearsal": rehearse,
        "filters": filters,
        "budget": budget,
        "steps": {},
        "goals": [],
    }
    sizes = REHEARSED_MEGAPIXELS if rehearse else MEGAPIXELS
    sizes = sizes[: 3 if budget >= SECONDS_FOR_LARGEST else 2 if budget >= SECONDS_FOR_MIDDLE else 1]
    for step in steps:
        start = time.time()
        results: list[Details] = []
        document["steps"][step] = {"results": results}

        def report(result: Details, results: list[Details] = results, step: str = step) -> None:
            results.append(result)
            _show(step, result)
            save(document, out)

        huge = rehearse or budget >= SECONDS_FOR_LARGEST
        parts = _processes(document["steps"]) if step in SHARED and not rehearse else 1
        watch(Setting(step, rehearse, sizes, huge, begin + budget * ENDS[step], filters=filters, parts=parts), report)
        document["steps"][step]["seconds"] = round(time.time() - start, 2)
    add_shares(document["steps"])
    document["goals"] = [goal._asdict() for goal in goals(document["steps"], rehearse)]
    document["seconds"] = round(time.time() - begin, 2)
    save(document, out)
    for goal in document["goals"]:
        print(f"{goal['status']:<6} {goal['goal']}: {goal['measured']}")
    print(f"{document['seconds']:.0f} seconds; {out}")
    return int(any(goal["status"] == "FAIL" for goal in document["goals"]))


def _processes(steps: dict[str, Any]) -> int:
    """Return how many processes may share the device, by its memory from step 1."""
    results = steps.get("environment", {"results": []})["results"]
    memory = next((result["device"]["totalGlobalMem"] for result in results if "device" in result), 0)
    return int(max(1, min(MOST_PROCESSES, len(os.sched_getaffinity(0)) * 3 // 4, memory // MEMORY_OF_PROCESS)))


def _show(step: str, result: Details) -> None:
    if result["status"] != "passed":
        why = result.get("error") or result.get("reason")
        print(f"{step}: {result['case']}: {result['status']}: {why}", flush=True)


def save(document: dict[str, Any], out: Path) -> None:
    """Replace the file atomically, so that it is always complete, even if the run is killed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=out.parent, suffix=".part", delete=False) as file:
        json.dump(document, file, indent=1, default=str)
    Path(file.name).replace(out)


def add_shares(steps: dict[str, Any]) -> None:
    """Add each measured speed's ratio to the copy's."""
    results = steps.get("speed", {"results": []})["results"]
    copy = next((result["copy"] for result in results if "copy" in result), None)
    for result in results:
        if copy is not None and "megapixels" in result:
            result["share_of_copy"] = result["gigabytes_per_second"] / copy


# ---------------------------------------------------------------- goals


class Goal(NamedTuple):
    """A goal, the measurement, and "PASS", "FAIL", "PART" if time ran out, or "-" in a rehearsal."""

    goal: str
    measured: str
    status: str


def goals(steps: dict[str, Any], rehearse: bool) -> Iterator[Goal]:
    for step in steps:
        yield _all_pass(step, steps[step]["results"])
    if "speed" in steps:
        passed = [result for result in steps["speed"]["results"] if result["status"] == "passed"]
        for name, judge in SPEEDS.items():
            try:
                measured, reached = judge(passed)
                status = "-" if rehearse else "PASS" if reached else "FAIL"
            except (LookupError, ValueError, statistics.StatisticsError):
                measured, status = "not measured", "-" if rehearse else "FAIL"
            yield Goal(name, measured, status)


def _all_pass(step: str, results: list[Details]) -> Goal:
    counts = {status: sum(result["status"] == status for result in results) for status in ("passed", "failed")}
    others = [result["case"] for result in results if result["status"] in ("skipped", "dropped")]
    failed = [result["case"] for result in results if result["status"] == "failed"]
    measured = f"{counts['passed']} passed, {counts['failed']} failed{_listed(failed)}"
    if others:
        measured += f", {len(others)} not run{_listed(others)}"
    cut = any(result["status"] == "dropped" for result in results)
    status = "FAIL" if failed or not counts["passed"] else "PART" if cut else "PASS"
    return Goal(f"step {STEPS.index(step) + 1}, {step}", measured, status)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:12])
    return f" ({shown}{', ...' if len(names) > 12 else ''})" if names else ""


def _named(passed: list[Details], case: str) -> Details:
    found = {result["case"]: result for result in passed}
    return found[case]


def _shares(passed: list[Details], wanted: Callable[[str], bool]) -> dict[str, float]:
    """Return the speeds relative to the copy's, for the middle size."""
    copy = _named(passed, "copy on the device")["copy"]
    found = [result for result in passed if "megapixels" in result]
    sizes = sorted({result["megapixels"] for result in found})
    return {
        f"{result['params']} {result['dtype']}": result["gigabytes_per_second"] / copy
        for result in found
        if result["megapixels"] == sizes[:2][-1] and wanted(result["params"])
    }


def _within(passed: list[Details], names: tuple[str, ...], times: float) -> tuple[str, bool]:
    """Return whether filters take at most ``times`` the time to copy their bytes, with the slowest ones."""
    shares = _shares(passed, lambda params: params in names)
    low = min(shares, key=lambda name: shares[name])
    slow = ", ".join(f"{name} {shares[name]:.0%}" for name in sorted(shares, key=shares.__getitem__)[:6])
    return f"lowest {slow}", shares[low] * times >= 1


POINTWISE = ("rgb2gray weights=rec601 RGB", "invert", "adjust_gamma gamma=2.2", "blend alpha=0.3", "flip axis=0")
SMALL = (
    *POINTWISE,
    *("threshold value=100", "threshold value=0.4", "lut", "flip axis=1", "rot90", "sobel", "scharr", "laplace"),
    *("gaussian sigma=1", "uniform size=3", "minimum size=3", "maximum size=3", "erosion footprint=3x3"),
    *("uniform size=5", "minimum size=5"),
)


def _peers(passed: list[Details]) -> tuple[str, bool]:
    ratios = [result["times_as_fast"] for result in passed if result.get("library") == "cupyx"]
    mean = statistics.geometric_mean(ratios)
    return f"{mean:.2f} times as fast over {len(ratios)} cases, minimum {min(ratios):.2f}", mean >= 5


def _small(passed: list[Details]) -> tuple[str, bool]:
    found = _named(passed, "threshold of a resident 64x64 image")
    taken = found["call_microseconds"]
    return f"{taken:.1f} microseconds, {found['launch_microseconds']:.1f} to launch", taken <= 20


def _end_to_end(passed: list[Details]) -> tuple[str, bool]:
    """Compare with the time of pinned copies alone, both directions at once if there are two."""
    speeds = _named(passed, "pinned copies")["gigabytes_per_second"]
    shares = []
    for result in passed:
        if "bytes_to_device" in result:
            sent, received = result["bytes_to_device"] / 1e9, result["bytes_to_host"] / 1e9
            alone = max(sent / speeds["to the device"], received / speeds["to the host"])
            together = (sent + received) / speeds["both at once"]
            shares.append((max(alone, together) / result["seconds"], result["case"]))
    low, case = min(shares)
    return f"lowest {low:.0%} ({case})", low >= 0.8


SPEEDS: dict[str, Callable[[list[Details]], tuple[str, bool]]] = {
    "pointwise, 3x3 and 5x5 filters at 70 % of the copy's speed": lambda passed: _within(passed, SMALL, 1 / SPEED),
    "gaussian sigma 1.5 within twice the copy": lambda passed: _within(passed, ("gaussian sigma=1.5",), 2),
    "gaussian sigma 5 within four times the copy": lambda passed: _within(passed, ("gaussian sigma=5",), 4),
    "median 5x5 within three times the copy": lambda passed: _within(passed, ("median size=5",), 3),
    "geometric mean over cupyx.scipy.ndimage at least 5": _peers,
    "a resident 64x64 image in 20 microseconds": _small,
    "NumPy to NumPy at 80 % of what pinned copies allow": _end_to_end,
}


if __name__ == "__main__":
    sys.exit(main())
