"""Race this checkout against another one: ``python bench/versions.py ../gpuimg-before --sizes 512,2``.

One process for each checkout stays alive, and they are called in turns on the cases of ``bench/run.py``. Printed are
the ratios of the times (above 1 this checkout is slower), the slowest first, and their geometric mean for each size and
dtype. Cases that one of the checkouts refuses are left out and named.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import run as races

HERE = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS = 2e-3  # shorter calls are repeated until a sample takes this long
MIN_ROUNDS = 7
SETTLE_SECONDS = 1e-3  # before a sample, so that the threads of the other process sleep
SHOWN = 1.05  # ratios below are counted in the mean only


class Item(NamedTuple):
    """A case, by its place in ``races.cases(dtype)``, and the size of the image."""

    number: int
    dtype: str
    size: str

    @property
    def case(self) -> races.Case:
        return races.cases(self.dtype)[self.number]

    def __str__(self) -> str:
        return f"{self.case} {self.dtype} {self.size}"


class Found(NamedTuple):
    """The times of a case in this checkout relative to those in the other one."""

    item: Item
    ratio: float  # of the medians
    ratio_of_minima: float
    seconds: float  # median of this checkout


class Checkout:
    """A process that times calls of the package in a folder."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        extra = {"PYTHONPATH": str(folder.resolve()), "NUMBA_NUM_THREADS": str(options.threads)}
        command = [sys.executable, __file__, "--serve", "--backend", options.backend, str(folder)]
        self._process = subprocess.Popen(
            command, env={**os.environ, **extra}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, *question: Any) -> float | None:
        """Send a question and return the answer; raises EOFError if the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(question, self._process.stdin)
        self._process.stdin.flush()
        answer: float | None = pickle.load(self._process.stdout)
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def serve(backend: str) -> None:
    """Answer the questions of `Checkout.ask` until standard input ends.

    The answer to ``("prepare", item)`` is the seconds of a call, or None if it fails, and that to ``("time", repeat)``
    the mean seconds of a call of the prepared case, after one that is not timed.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the package prints must not mix with the answers
    call: Callable[[], Any] = int
    while True:
        try:
            question, given = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if question == "prepare":
            try:
                call = prepared(given, backend)
                call()
                answer = measuring.seconds_of(call)
            except Exception as error:  # the other checkout may not have this filter
                print(f"without {given}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
                answer = None
        else:
            time.sleep(SETTLE_SECONDS)
            call()
            answer = measuring.seconds_of(call, given)
        pickle.dump(answer, answers)
        answers.flush()


def prepared(item: Item, backend: str) -> Callable[[], Any]:
    """Return the call of a case, without arguments."""
    from gpuimg.registry import arguments

    case = item.case
    image = races.image_for(case, item.dtype, races.megapixels(item.size))
    return partial(races.ours(case, arguments(case.params, image), backend), image)


def compared(mine: Checkout, other: Checkout, item: Item, seconds: float) -> Found | None:
    """Time a case in both checkouts in turns; None if one of them refuses it."""
    once = [answer for each in (mine, other) if (answer := each.ask("prepare", item)) is not None]
    if len(once) < 2:
        return None
    repeat = max(1, int(SAMPLE_SECONDS / max(*once, 1e-7)))
    taken: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(taken) < MIN_ROUNDS or time.perf_counter() < end:
        pair = [mine, other] if len(taken) % 2 else [other, mine]
        times = {each: each.ask("time", repeat) or 0.0 for each in pair}
        taken.append([times[mine], times[other]])
    median, minimum = np.median(taken, axis=0), np.min(taken, axis=0)
    return Found(item, median[0] / median[1], minimum[0] / minimum[1], median[0])


def measured(options: argparse.Namespace) -> Iterator[Found]:
    mine, other = (Checkout(folder, options) for folder in (HERE, options.folder))
    end = time.monotonic() + 60 * options.minutes
    try:
        for item in items(options):
            if time.monotonic() > end:
                print(f"out of time at {item}", file=sys.stderr)
                return
            found = compared(mine, other, item, options.seconds)
            if found is not None:
                yield found
    finally:
        mine.close()
        other.close()


def items(options: argparse.Namespace) -> Iterator[Item]:
    for dtype in options.dtypes:
        for size in options.sizes:
            for number, case in enumerate(races.cases(dtype)):
                if races.wanted(case, dtype, options.filters):
                    yield Item(number, dtype, size)


def summary(found: list[Found]) -> Iterator[str]:
    """Return the lines of a report: for each dtype and size the mean, and the cases that became slower."""
    for (dtype, size), group in groupby(found, lambda each: each.item[1:]):
        ordered = sorted(group, key=lambda each: -each.ratio)
        mean = measuring.geometric_mean([each.ratio for each in ordered])
        yield f"{dtype} {size}: {mean:.3f} in geometric mean of {len(ordered)} cases"
        for each in ordered:
            if each.ratio > SHOWN:
                minima = f"minima {each.ratio_of_minima:.2f}"
                yield f"  {each.ratio:.2f} ({minima}) {each.item.case}, {1e3 * each.seconds:.3f} ms"


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the other checkout")
    parser.add_argument("--filters", type=races.words, help="names, separated by commas; all by default")
    parser.add_argument("--sizes", type=races.words, default=["512", "2"], help="megapixels; 512 stands for 512x512")
    parser.add_argument("--dtypes", type=races.words, default=["uint8", "float32"])
    parser.add_argument("--backend", default="multicore")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=0.2, help="per case, for both checkouts")
    parser.add_argument("--minutes", type=float, default=10, help="start no case after these")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.folder / "gpuimg" / "__init__.py").is_file():  # the installed package would be timed instead
        parser.error(f"there is no gpuimg in {options.folder}")
    return options


def main() -> None:
    options = options_given()
    if options.serve:
        serve(options.backend)
    else:
        for line in summary(list(measured(options))):
            print(line)


if __name__ == "__main__":
    main()
