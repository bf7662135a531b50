"""Cases, the process that runs the cases of a step, and the process that monitors it."""

from __future__ import annotations

import itertools
import json
import os
import selectors
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

Details = dict[str, Any]
START_SECONDS = 60.0  # until the first case, and between cases
GRACE_SECONDS = 20.0  # beyond the deadline for the case that is running
MOST_STARTS = 25
COMMAND = str(Path(__file__).parents[1] / "gpu.py")
DEVICE_LOST = 3  # exit code


class Case(NamedTuple):
    """A check or a measurement.

    Attributes
    ----------
    run : returns its findings, raises on failure, or raises `Skip`
    patience : seconds after which it is considered hung
    """

    name: str
    run: Callable[[], Details]
    patience: float = 60.0


class Skip(Exception):
    """Raised by a case that cannot run here, with the reason."""


class Setting(NamedTuple):
    """The parameters of a step.

    Attributes
    ----------
    step : its name
    rehearse : whether to run on the emulated device, at small sizes
    megapixels : sizes of the speed measurements
    huge : whether to check an image of more than 2**31 pixels
    deadline : on the clock `time.time`; cases not started by then are dropped
    done : names of cases that an earlier process of this step has reported
    filters : to check and measure; () for all
    part, parts : index of the part of the cases to run, and number of parts
    """

    step: str
    rehearse: bool
    megapixels: tuple[float, ...]
    huge: bool
    deadline: float
    done: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    part: int = 0
    parts: int = 1


def work(setting: Setting, send: Callable[[Details], None]) -> int:
    """Run the remaining cases of a step and return the exit code."""
    listed: Iterable[Case] = import_module(f"gpu_steps.{setting.step}").cases(setting)
    for case in itertools.islice(listed, setting.part, None, setting.parts):
        if case.name in setting.done:
            continue
        if time.time() > setting.deadline:
            send({"case": case.name, "status": "dropped", "reason": "no time left"})
            continue
        send({"start": case.name, "patience": case.patience})
        send(outcome(case))
        if not _healthy():
            return DEVICE_LOST
    send({"finished": True})
    return 0


def outcome(case: Case) -> Details:
    """Run a case and report it."""
    start = time.perf_counter()
    try:
        found = {"status": "passed", **case.run()}
    except Skip as reason:
        found = {"status": "skipped", "reason": str(reason)}
    except Exception as error:
        lines = traceback.format_exception(error)
        found = {"status": "failed", "error": _brief(error), "traceback": "".join(lines)[-4000:]}
    return {"case": case.name, "seconds": round(time.perf_counter() - start, 3), **found}


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()[:1500]}"


def _healthy() -> bool:
    """Whether the device still works: after an illegal access, nothing does in this process."""
    from gpu_steps.device import current

    device = current()
    return device is None or device.is_healthy()


def watch(setting: Setting, report: Callable[[Details], None]) -> None:
    """Run a step in ``setting.parts`` processes at a time, reporting each case as it ends."""
    lock = threading.Lock()

    def take(result: Details) -> None:
        with lock:
            report(result)

    shares = [setting._replace(part=part) for part in range(setting.parts)]
    with ThreadPoolExecutor(setting.parts) as pool:
        list(pool.map(_watch_part, shares, itertools.repeat(take)))


def _watch_part(setting: Setting, report: Callable[[Details], None]) -> None:
    """Run one part of a step, with a new process whenever one dies."""
    done: list[str] = []

    def take(result: Details) -> None:
        done.append(result["case"])
        report(result)

    for _ in range(MOST_STARTS):
        before = len(done)
        if _watch_process(setting._replace(done=tuple(done)), take):
            return
        if len(done) == before:
            report({"case": "(step)", "status": "failed", "error": "its process ended before the first case"})
            return
    report({"case": "(step)", "status": "failed", "error": f"given up after {MOST_STARTS} processes"})


def _watch_process(setting: Setting, take: Callable[[Details], None]) -> bool:
    """Run one process and return whether it finished the step."""
    reader, writer = os.pipe()
    command = [sys.executable, COMMAND, "--worker", str(writer)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr, pass_fds=(writer,), text=True) as process:
        os.close(writer)
        assert process.stdin is not None
        process.stdin.write(json.dumps(setting._asdict()))
        process.stdin.close()
        try:
            return _follow(reader, process, setting, take)
        finally:
            os.close(reader)
            process.kill()


def _follow(reader: int, process: Any, setting: Setting, take: Callable[[Details], None]) -> bool:
    running, patience, pending = "", START_SECONDS, b""
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while True:
            left = setting.deadline + GRACE_SECONDS - time.time()
            if not selector.select(min(patience, max(1.0, left))):
                why = "the time for this step was over" if left < patience else f"silent for {patience:.0f} seconds"
                take({"case": running or "(start)", "status": "failed", "error": f"stopped: {why}"})
                return left < patience
            piece = os.read(reader, 1 << 16)
            if not piece:
                break
            *lines, pending = (pending + piece).split(b"\n")
            for message in map(json.loads, lines):
                if "finished" in message:
                    return True
                if "start" in message:
                    running, patience = message["start"], message["patience"]
                else:
                    running, patience = "", START_SECONDS
                    take(message)
    code = process.wait(10)
    if running:
        take({"case": running, "status": "failed", "error": f"the process ended with exit code {code}"})
    return False
