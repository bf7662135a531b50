"""How free an asyncio loop stays while large images are filtered: ``python bench/loop_lag.py``.

The same filters, one way after the other: blocking calls in the loop; plain Python loops in threads; gpuimg in
`asyncio.to_thread`; in worker processes of a `ProcessPoolExecutor`; as jobs. Meanwhile a task sleeps for a few
milliseconds again and again: how much later than asked it wakes up is what everything else in the loop would wait,
clicks and requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpuimg
from gpuimg.demo import photo

PAUSE = 0.005
FILTERS = gpuimg.chain(("gaussian", {"sigma": 3}), ("median", {"size": 5}), ("unsharp_mask", {}))
PLAIN_PIXELS = 1_000_000  # of a plain Python loop, which takes minutes for 50 megapixels
LOADS = 10


class Row(NamedTuple):
    """What was measured: the lag's median, 99th percentile and maximum in milliseconds, and seconds for each image."""

    way: str
    median: float
    p99: float
    maximum: float
    seconds: float


async def lags(work: Callable[[], Awaitable[object]]) -> tuple[list[float], float]:
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
    await asyncio.sleep(0)
    done.set()
    await watching
    return found, seconds


def plain_gaussian(image: np.ndarray[Any, Any]) -> list[list[int]]:
    """A blur of three by three pixels as a Python loop."""
    pixels = image.tolist()
    return [
        [
            (row[x - 1] + 2 * row[x] + row[x + 1] + above[x] * 2 + below[x] * 2) // 8
            for x in range(1, len(row) - 1)
        ]
        for above, row, below in zip(pixels, pixels[1:], pixels[2:], strict=False)
    ]  # fmt: skip


def ways(image: np.ndarray[Any, Any], executor: ProcessPoolExecutor) -> dict[str, Callable[[], Awaitable[object]]]:
    """Each way to filter an image `LOADS` times."""
    small = image[:1000, : PLAIN_PIXELS // 1000]

    async def blocking() -> None:
        for _ in range(LOADS):
            FILTERS(image)
            await asyncio.sleep(0)

    async def plain() -> None:
        await asyncio.gather(*[asyncio.to_thread(plain_gaussian, small) for _ in range(LOADS)])

    async def threads() -> None:
        for _ in range(LOADS):
            await asyncio.to_thread(FILTERS, image)

    async def processes() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(LOADS):
            await loop.run_in_executor(executor, FILTERS, image)

    async def jobs() -> None:
        async with gpuimg.Pool(running=1) as pool:
            await asyncio.gather(*[pool.submit(FILTERS, image) for _ in range(LOADS)])

    return {
        "blocking calls in the loop": blocking,
        f"plain Python loops in threads ({PLAIN_PIXELS / 1e6:g} MP)": plain,
        "gpuimg in asyncio.to_thread": threads,
        "gpuimg in worker processes": processes,
        "gpuimg jobs": jobs,
    }


def measure(megapixels: float) -> list[Row]:
    image = photo(megapixels)
    FILTERS(image[:200])
    rows = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        executor.submit(FILTERS, image[:200]).result()
        for way, work in ways(image, executor).items():
            found, seconds = asyncio.run(lags(work))
            low, high = np.percentile(found, (50, 99))
            rows.append(Row(way, float(low), float(high), max(found), seconds / LOADS))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=50, help="of the image (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    given = parser.parse_args()
    rows = measure(given.megapixels)
    print(f"{'':44}{'lag, ms: median':>16}{'99 %':>9}{'most':>9}{'s an image':>12}")
    for row in rows:
        print(f"{row.way:44}{row.median:16.1f}{row.p99:9.1f}{row.maximum:9.1f}{row.seconds:12.2f}")
    if given.out is not None:
        given.out.write_text(json.dumps([row._asdict() for row in rows], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
