"""Step 3: the same call many times, and NVIDIA's compute-sanitizer over a subset."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from gpu_steps import device as devices
from gpu_steps.equality import Report, chosen, image_for, on_device, reference
from gpu_steps.running import COMMAND, Case, Details, Setting, Skip

CALLS = 20
SHAPE, REHEARSED_SHAPE = (1201, 1699), (33, 47)
SANITIZED_SHAPE = (45, 139)
TOOLS = ("memcheck", "racecheck")
TOOL_SECONDS = 75
TOOL_PARTS = (
    6  # a tool is slow: the filters are split into parts, several of which run at a time if there are processors
)


def cases(setting: Setting) -> Iterator[Case]:
    for entry, dtype in chosen(setting.rehearse, setting.filters):
        if dtype.name in ("uint8", "float32"):
            yield Case(f"{entry.name} {dtype}", partial(repeat, setting.rehearse, entry, dtype))
    for tool in TOOLS:
        for part in range(tool_parts(setting.rehearse, setting.filters)):
            run = partial(sanitize, setting, tool, part)
            yield Case(f"compute-sanitizer {tool}, part {part + 1}", run, 2 * TOOL_SECONDS)


def tool_parts(rehearse: bool, filters: tuple[str, ...]) -> int:
    """Return the number of parts for a tool: with few filters, some would be empty."""
    return 1 if rehearse or filters else TOOL_PARTS


def repeat(rehearse: bool, entry: Any, dtype: np.dtype[Any]) -> Details:
    """Call a filter repeatedly with the same image: all results must equal the reference."""
    device = devices.device(rehearse)
    image, given = _example(entry, dtype, REHEARSED_SHAPE if rehearse else SHAPE)
    expected = reference(entry, image, given)
    resident, arguments = device.put(image), on_device(device, entry, given)
    report = Report()
    first = None
    for number in range(3 if rehearse else CALLS):
        found = device.get(entry.function(resident, backend="cuda", **arguments))
        report.add(f"call {number}", found, expected)
        # Floats may differ from the CPU's in the last bit, but not between calls.
        first = found if first is None else first
        np.testing.assert_equal(found, first, err_msg=f"call {number} differs from the first")
    return report.details()


def _example(entry: Any, dtype: np.dtype[Any], shape: tuple[int, int]) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    from gpuimg.registry import arguments

    image = image_for(entry, (*shape, 3) if entry.color else shape, dtype)
    return image, arguments(entry.examples[0], image)


def sanitize(setting: Setting, tool: str, part: int) -> Details:
    """Run `sanitized` under a tool until the deadline; in a rehearsal without the tool."""
    patience = max(5.0, min(TOOL_SECONDS, setting.deadline - time.time()))
    found = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    command = [sys.executable, COMMAND, "--sanitized", str(part)]
    if setting.filters:
        command += ["--filters", ",".join(setting.filters)]
    if setting.rehearse:
        command.append("--rehearse")
    elif not os.access(found, os.X_OK):
        raise Skip("compute-sanitizer is not installed")
    else:
        command = [found, "--tool", tool, "--error-exitcode", "9", "--print-limit", "20", *command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired as late:
        printed = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        raise Skip(f"took over {patience:.0f} s; checked {len(printed.splitlines())} lines without a report") from None
    lines = (done.stdout + done.stderr).splitlines()
    summary = [line for line in lines if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line]
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode}:\n" + "\n".join(lines)[-3000:])
    checked = sum(line.startswith("checked ") for line in lines)
    if not checked:
        raise AssertionError("nothing was checked:\n" + "\n".join(lines)[-3000:])
    return {"checked": checked, "summary": summary}


def sanitized(rehearse: bool, part: int, filters: tuple[str, ...]) -> None:
    """Call each filter of a part once with small images.

    Every array is a separate allocation, so that its end is guarded.
    """
    device = devices.device(rehearse)
    device.cupy.cuda.set_allocator(None)
    wanted = [each for each in chosen(rehearse, filters) if each[1].name in ("uint8", "float32")]
    for entry, dtype in wanted[part :: tool_parts(rehearse, filters)]:
        image, given = _example(entry, dtype, REHEARSED_SHAPE if rehearse else SANITIZED_SHAPE)
        entry.function(device.put(image), backend="cuda", **on_device(device, entry, given))
        device.synchronize()
        print("checked", entry.name, dtype, flush=True)
