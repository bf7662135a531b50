"""Step 4: streams, threads, and memory reused while the device lags behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import gpuimg
from gpu_steps import device as devices
from gpu_steps.equality import Report, noise
from gpu_steps.running import Case, Details, Setting, Skip

LATE_SECONDS = 0.05
SIDE, REHEARSED_SIDE = 1500, 60
MEBIBYTE = 1 << 20


def cases(setting: Setting) -> Iterator[Case]:
    side = REHEARSED_SIDE if setting.rehearse else SIDE
    image = noise((side, side + 3), np.uint8)
    expected = gpuimg.gaussian(image, 2, backend="single")
    for name, check in (
        ("an image made on a non-blocking stream behind a long kernel", late_image),
        ("PyTorch on a side stream", torch_stream),
        ("two threads, a stream each", two_threads),
        ("results freed at once and memory used again", reused_memory),
    ):
        yield Case(name, partial(check, setting.rehearse, image, expected))
    for mebibytes in (1, 16):
        for more in (-1, 0, 1):
            nbytes = mebibytes * MEBIBYTE + more
            yield Case(f"copies of {nbytes} bytes", partial(staged, setting.rehearse, nbytes))


def late_image(rehearse: bool, image: Any, expected: Any) -> Details:
    """A filter's launches must follow the work that computes its image, in the same stream."""
    device = devices.device(rehearse)
    report = Report()
    for number in range(5):
        with device.stream():
            resident = device.poisoned(image.shape, image.dtype)
            source = device.put(image)
            device.spin(LATE_SECONDS)
            resident[...] = source
            result = gpuimg.gaussian(resident, 2, backend="cuda")
            report.add(f"round {number}", device.get(result), expected)
    return report.details()


def torch_stream(rehearse: bool, image: Any, expected: Any) -> Details:
    try:
        import torch
    except ImportError as error:
        raise Skip(f"PyTorch cannot be imported: {error}") from None
    if not torch.cuda.is_available():
        raise Skip("PyTorch finds no CUDA device")
    report = Report()
    side = torch.cuda.Stream()
    source = torch.from_numpy(image).cuda()
    for number in range(5):
        with torch.cuda.stream(side):
            tensor = torch.full_like(source, devices.POISON)
            torch.cuda._sleep(int(LATE_SECONDS * devices.CYCLES_PER_SECOND))
            tensor.copy_(source)
            result = gpuimg.gaussian(tensor, 2, backend="cuda")
            if not isinstance(result, torch.Tensor) or not result.is_cuda:
                raise AssertionError(f"a tensor on the device became {type(result)}")
            found = result + 0  # on the side stream
        report.add(f"round {number}", found.cpu().numpy(), expected)
    return report.details()


def two_threads(rehearse: bool, image: Any, expected: Any) -> Details:
    device = devices.device(rehearse)
    report, errors, lock = Report(), [], threading.Lock()

    def work(number: int) -> None:
        try:
            with device.stream():
                for call in range(10):
                    found = device.get(gpuimg.gaussian(device.put(image), 2, backend="cuda"))
                    with lock:
                        report.add(f"thread {number}, call {call}", found, expected)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            raise AssertionError("a thread hangs")
    if errors:
        raise errors[0]
    return report.details()


def reused_memory(rehearse: bool, image: Any, expected: Any) -> Details:
    """Results are freed while the device still writes them, and their memory is reused for the next ones."""
    device = devices.device(rehearse)
    report = Report()
    resident = device.put(image)
    for number in range(5):
        device.spin(LATE_SECONDS)
        for _ in range(20):
            gpuimg.gaussian(resident, 2, backend="cuda")
            gpuimg.invert(gpuimg.median(resident, 3, backend="cuda"), backend="cuda")
        report.add(f"round {number}", device.get(gpuimg.gaussian(resident, 2, backend="cuda")), expected)
    return report.details()


def staged(rehearse: bool, nbytes: int) -> Details:
    """Copies to the device and back through pinned buffers, with sizes around those of the buffers."""
    image = noise((1, nbytes), np.uint8)
    report = Report()
    report.add("a new result", gpuimg.invert(image, backend="cuda"), 255 - image)
    out = np.full_like(image, devices.POISON)
    gpuimg.invert(image, backend="cuda", out=out)
    report.add("out", out, 255 - image)
    mask = image > 100
    out = np.zeros_like(mask)
    gpuimg.threshold(image, 100, backend="cuda", out=out)
    report.add("a mask", out, mask)
    flipped = np.zeros_like(mask)
    gpuimg.flip(mask, 1, backend="cuda", out=flipped)
    report.add("a mask from a mask", flipped, mask[:, ::-1])
    return report.details()
