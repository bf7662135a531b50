"""Every filter on the emulated device, in several thread orders and builds: the results must be the same.

``python -m tests.cuda_emulator.sanitized asan -m tests.cuda_emulator.check asan [filter ...]``

With ``--serve`` it reads lines of a filter and a file from standard input instead; see `serve`.
"""

from __future__ import annotations

import inspect
import itertools
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuimg.advice import unwritten
from gpuimg.backend.device import OutOfDeviceMemory
from gpuimg.errors import BackendUnavailable
from gpuimg.filters import all_filters
from gpuimg.images import MODES
from gpuimg.registry import Filter, arguments

from . import build as builds
from .emulator import emulated

ORDERS = (0, 1, 7)
SHAPES = ((1, 1), (1, 17), (19, 1), (9, 64), (37, 45), (12, 16, 3), (5, 7, 4))
TINY = ((4, 37),)
SECONDS = 500  # that a filter may take
# Of the emulator, that a process under ThreadSanitizer loads before it is replaced: each has 256 fibers, which count as
# threads, and 8128 are allowed.
MOST_LIBRARIES = 20


def image_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A noisy image that has flat areas, and the dtype's minimum and maximum."""
    rng = np.random.default_rng(len(shape) + shape[0])
    if dtype.kind == "b":
        image = rng.random(shape) < 0.5
    elif dtype.kind in "fc":
        image = rng.normal(0.5, 1, shape).astype(dtype)
    else:
        info = np.iinfo(dtype)
        image = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        image.flat[0], image.flat[-1] = info.max, info.min
    image[: shape[0] // 3] = image.flat[0]
    return image


def cases(names: list[str], tiny: bool = False) -> Iterator[tuple[Filter, dict[str, Any], np.ndarray[Any, Any]]]:
    """Filters with parameters and images; the border modes and the default take turns."""
    modes = itertools.cycle((*MODES, None))
    for name, entry in all_filters().items():
        if unwritten(name) or (names and name not in names):
            continue
        for example, dtype, shape in itertools.product(entry.examples, entry.dtypes, TINY if tiny else SHAPES):
            color = entry.color
            image = image_of((*shape[:2], 3 if len(shape) == 2 else 4) if color else shape, dtype)
            given = arguments(example, image)
            if "cval" in inspect.signature(entry.function).parameters and (mode := next(modes)):
                given.setdefault("mode", mode)
            yield entry, given, image


def outcome(entry: Filter, image: np.ndarray[Any, Any], given: dict[str, Any]) -> Any:
    """What a filter returns on the emulated device; None where it does not take such an image."""
    try:
        return entry.function(image, backend="cuda", **given)
    except BackendUnavailable:
        raise
    except (TypeError, ValueError):
        return None


def compare(build: str, names: list[str], *, tiny: bool = False) -> int:
    """Run all cases in a build and all orders against the fast build in order, and return how many were compared."""
    devices = [
        {"build": build, "order": order, "fill": fill} for order, fill in zip(ORDERS, (0xFF, 0, 0x7F), strict=True)
    ]
    count = 0
    for entry, given, image in cases(names, tiny):
        with emulated(build="fast", offset=1) as gpu:
            expected = outcome(entry, image, given)
        if expected is None:
            continue
        # With less memory the image is cut into tiles: kernels may read the rows of their halo, and no others.
        for options in (*devices, {"build": build, "limit": gpu.peak * 2 // 3}):
            try:
                with emulated(**options):
                    found = outcome(entry, image, given)
            except OutOfDeviceMemory:
                continue
            what = f"{entry.name} of {image.dtype} {image.shape} with {given}, {options}"
            for left, right in zip(_parts(found), _parts(expected), strict=True):
                np.testing.assert_array_equal(left, right, err_msg=what)
            count += 1
    return count


def _parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def report(build: str, names: list[str]) -> None:
    """Compare, and print how many results are the same."""
    print(compare(build, names, tiny=build == "tsan"), "results are the same")


def serve(build: str) -> None:
    """Compare one filter after the other, with all modules loaded once.

    What is written about a filter goes into the file of its line; the exit code is printed, negative for a signal. Each
    runs in a fork, except under ThreadSanitizer, which does not follow fibers into one: there a report ends this
    process, and so does the number of fibers.
    """
    all_filters()
    with emulated(build=build):  # which runs its first kernel, so that no fork has to
        pass
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        name, _, path = line.rstrip("\n").partition(" ")
        print(_code_here(path, build, name) if build == "tsan" else _code_of_fork(path, build, name), file=answers)
        if build == "tsan" and builds.library.cache_info().currsize > MOST_LIBRARIES:
            break


def _code_of_fork(path: str, build: str, name: str) -> int:
    pid = os.fork()
    if not pid:
        os._exit(_code_here(path, build, name))  # the sanitizers end a process at their first report, not at its end
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _code_here(path: str, build: str, name: str) -> int:
    """Run `report` of a filter, with all output in a file, and return the exit code."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    signal.alarm(SECONDS)
    try:
        report(build, [name])
        return 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        signal.alarm(0)
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    build, *names = sys.argv[1:]
    if names == ["--serve"]:
        serve(build)
    else:
        report(build, names)
