"""How free an asyncio loop stays while large images are filtered, by one way after the other.

A task sleeps for a few milliseconds again and again. How much later than asked it wakes up is what everything else in
the loop would wait: clicks, requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

import gpuimg
from gpuimg.demo_routes import Image

Way = Callable[[], Awaitable[object]]

PAUSE = 0.005
LOADS = 10
STEPS: tuple[Any, ...] = (("gaussian", {"sigma": 3}), ("median", {"size": 5}), "unsharp_mask")
PLAIN_PIXELS = 1_000_000  # of a plain Python loop, which takes minutes for 50 megapixels


class Lag(NamedTuple):
    """What was measured of one way.

    Attributes
    ----------
    median, p99, most : milliseconds by which the task woke up too late: median, 99th percentile, maximum
    seconds : for each image
    """

    way: str
    median: float
    p99: float
    most: float
    seconds: float


async def lags(work: Way) -> tuple[list[float], float]:
    """Milliseconds by which a task wakes up too late while work is done, and the seconds that it takes."""
    found: list[float] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            start = time.perf_counter()
            await asyncio.sleep(PAUSE)
            found.append(1e3 * (time.perf_counter() - start - PAUSE))

    watching = asyncio.create_task(watch())
    await asyncio.sleep(10 * PAUSE)
    found.clear()
    start = time.perf_counter()
    await work()
    seconds = time.perf_counter() - start
    await asyncio.sleep(PAUSE)
    done.set()
    await watching
    return found, seconds


def plain_blur(image: Image) -> list[list[int]]:
    """A blur as plain Python loops."""
    pixels = image.tolist()
    blurred = []
    for above, row, below in zip(pixels, pixels[1:], pixels[2:], strict=False):
        line = []
        for x in range(1, len(row) - 1):
            line.append((2 * row[x] + row[x - 1] + row[x + 1] + 2 * above[x] + 2 * below[x]) // 8)  # noqa: PERF401
        blurred.append(line)
    return blurred


def ways(image: Image, loads: int, executor: ProcessPoolExecutor) -> dict[str, Way]:
    """Each way to filter an image so many times."""
    filters = gpuimg.chain(*STEPS)
    side = max(1, PLAIN_PIXELS // image.shape[0])
    small = image[:, :side] if side < image.shape[1] else image

    async def blocking() -> None:
        for _ in range(loads):
            filters(image)
            await asyncio.sleep(0)

    async def plain() -> None:
        await asyncio.gather(*[asyncio.to_thread(plain_blur, small) for _ in range(loads)])

    async def threads() -> None:
        for _ in range(loads):
            await asyncio.to_thread(filters, image)

    async def processes() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(loads):
            await loop.run_in_executor(executor, filters, image)

    async def jobs() -> None:
        async with gpuimg.Pool(running=1) as pool:
            await asyncio.gather(*[pool.submit(filters, image) for _ in range(loads)])

    return {
        "blocking calls in the loop": blocking,
        f"plain Python loops in threads, {small.size / 1e6:.2g} MP": plain,
        "gpuimg in asyncio.to_thread": threads,
        "gpuimg in worker processes": processes,
        "gpuimg jobs": jobs,
    }


def measure(image: Image, begin: Callable[[str], None] = lambda _: None, loads: int = LOADS) -> list[Lag]:
    """Measure all ways; ``begin`` is called with what is measured now."""
    filters = gpuimg.chain(*STEPS)
    begin("compiling")
    filters(image[:200])
    found = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        executor.submit(filters, image[:200]).result()
        for way, work in ways(image, loads, executor).items():
            begin(way)
            late, seconds = asyncio.run(lags(work))
            middle, high = np.percentile(late, (50, 99))
            found.append(Lag(way, float(middle), float(high), max(late), seconds / loads))
    return found


def table(found: list[Lag]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows to show."""
    rows: list[tuple[str, ...]] = []
    for each in found:
        late = [f"{milliseconds:.1f}" for milliseconds in (each.median, each.p99, each.most)]
        rows.append((each.way, *late, f"{each.seconds:.2f}"))
    return ("way", "lag, ms: median", "99 %", "at most", "s an image"), rows
