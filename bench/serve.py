"""Measure the service's capacity and its behaviour under load and faults: ``python bench/serve.py [SECTION ...]``.

``capacity``: its capacity, then half, one and three times that load, with requests sent at planned times; compared with
Tornado with blocking calls and FastAPI with OpenCV (bench/serve_peers.py).
``correct``: answers compared with direct calls of gpuimg. ``flat``: its memory over time.
``faults``: workers and Redis killed under load, and how soon health and metrics answer at three times the capacity.

The client shares the machine with the service. ``--quick`` runs everything briefly, for rough figures.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import math
import os
import random
import resource
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from PIL import Image
from serve_client import Asked, Client, Outcome, arrivals, closed_loop, open_loop, percentile, probe
from serve_targets import Memory, Redis, Target, clients_of, gpuimg_service, peer, redis

sys.path.insert(1, str(Path(__file__).parents[1]))

from measuring import image_of, machine

import gpuimg
from gpuimg.files import check_fits
from gpuimg.service.limits import SERVED
from gpuimg.service.work import encoded, plain

Step = tuple[str, dict[str, Any]]
Steps = Sequence[Step]
Row = dict[str, Any]
Kind = tuple[float, bool, str, int]  # megapixels, whether in colour, the format, the chain's index in `MIXED`
Pixels = np.ndarray[Any, Any]

MIX = {0.1: 30, 1.0: 15, 6.0: 4, 50.0: 1}  # megapixels: number of requests in 50
LOADS = (0.5, 1.0, 3.0)  # multiples of the capacity
REPEATS = 0.5  # fraction of the requests, with a cache
HOT = 8  # different repeated requests of each size
MEGABYTE = 1e6
PROCESSORS = os.cpu_count() or 1
WORK = ("decode", "compute", "encode")
SIGMA = None  # placeholder for a number that differs between requests

MIXED: tuple[Steps, ...] = (
    (("gaussian", {"sigma": SIGMA}),),
    (("gaussian", {"sigma": SIGMA}), ("sobel", {}), ("threshold", {"value": 8})),
    (("median", {"size": 5}), ("gaussian", {"sigma": SIGMA})),
)
CHECKED: tuple[Steps, ...] = (
    *MIXED,
    (("gaussian", {"sigma": SIGMA, "mode": "nearest"}), ("sobel", {"axis": 0})),
    (("difference_of_gaussians", {"low_sigma": SIGMA, "high_sigma": 4}),),
    (("unsharp_mask", {"radius": SIGMA, "amount": 1.5}), ("rot90", {})),
    (("gaussian", {"sigma": SIGMA}), ("threshold_otsu", {})),
    (("gaussian", {"sigma": SIGMA}), ("histogram", {})),
    (("median", {"size": 3}), ("unsharp_mask", {"radius": SIGMA}), ("equalize_hist", {})),
    (("canny", {"sigma": SIGMA}),),
    (("rgb2gray", {}), ("gaussian", {"sigma": SIGMA}), ("opening", {"footprint": 5})),
    (("gaussian", {"sigma": SIGMA}), ("resize", {"output_shape": (31, 47)}), ("invert", {})),
)

numbers = itertools.count()


# Requests ----------------------------------------------------------------------------------------------------------


def sigma() -> float:
    """Return a width that no earlier request had."""
    return round(1 + next(numbers) % 1_000_000 / 1e6, 6)


def filled(steps: Steps, width: float) -> Steps:
    return [
        (name, {key: width if value is SIGMA else value for key, value in params.items()}) for name, params in steps
    ]


def texts(steps: Steps) -> tuple[str, ...]:
    return tuple(
        [":".join(filter(None, [name, ",".join(f"{key}={value}" for key, value in params.items())]))
         for name, params in steps]
    )  # fmt: skip


def accepted(form: str) -> str:
    own = next(each.media_type for each in SERVED if each.name == form)
    return f"{own}, application/x-npy;q=0.5"


class Traffic:
    """An endless sequence of requests of all sizes; every fifty have the same mix.

    Parameters
    ----------
    largest : megapixels; larger sizes count as this one
    """

    def __init__(self, largest: float) -> None:
        self._deck = [min(size, largest) for size, count in MIX.items() for _ in range(count)]
        self._files = {
            (size, color, form.name): encoded(image_of(size, "uint8", color), form.name)
            for size in sorted(set(self._deck))
            for color in (False, True)
            for form in SERVED
        }
        self._work: dict[Kind, float] = {}

    def requests(self, repeats: float = 0.0, seed: int = 0) -> Iterator[Asked]:
        """Yield requests, the same for a seed except for widths; ``repeats`` is the fraction of repeated ones."""
        rng, other = random.Random(seed), random.Random(1)
        hot = {size: [self._new(size, other) for _ in range(HOT)] for size in sorted(set(self._deck))}
        while True:
            for size in rng.sample(self._deck, len(self._deck)):
                yield rng.choice(hot[size]) if rng.random() < repeats else self._new(size, rng)

    def every(self, most: float = 6.0) -> Iterator[Asked]:
        """Yield each kind of request up to a size once."""
        for size, color, form in self._files:
            for number in range(len(MIXED)) if size <= most else ():
                yield self._asked((size, color, form, number))

    def weigh(self, target: Target) -> None:
        """Measure the work of each kind of request: the seconds reported by an otherwise idle service."""
        for outcome in asyncio.run(asked_once(target.port, [*self.every(math.inf)] * 2, clients=1)):
            kind, taken = outcome.asked.kind, sum([outcome.parts.get(part, 0.0) for part in WORK])
            self._work[kind] = min(taken, self._work.get(kind, math.inf))

    def _new(self, size: float, rng: random.Random) -> Asked:
        form = rng.choice(SERVED).name
        return self._asked((size, rng.random() < 0.5, form, rng.randrange(len(MIXED))))

    def _asked(self, kind: Kind) -> Asked:
        size, _, form, number = kind
        steps = texts(filled(MIXED[number], sigma()))
        return Asked(self._files[kind[:3]], steps, accepted(form), size, kind=kind, work=self._work.get(kind, 0.0))


class Picture(NamedTuple):
    """An image file and its decoded pixels."""

    pixels: Pixels
    form: str
    body: bytes


def picture(pixels: Pixels, form: str) -> Picture:
    body = encoded(pixels, form)
    return Picture(np.asarray(Image.open(BytesIO(body))) if form == "JPEG" else pixels, form, body)


def checked(given: Picture, steps: Steps) -> Asked:
    """Return a request with the expected answer."""
    expected = _expected(given, steps)
    return Asked(given.body, texts(steps), accepted(given.form), given.pixels.size / 1e6, expected)


def _expected(given: Picture, steps: Steps) -> str:
    """Return `Outcome.found` of a correct answer, from calls of gpuimg's functions."""
    result: Any = given.pixels
    try:
        for name, params in steps:
            result = getattr(gpuimg, name)(result, **params)
    except (TypeError, ValueError):
        return "422"
    if not isinstance(result, np.ndarray):
        return f"200 {hashlib.sha256(json.dumps(plain(result)).encode()).hexdigest()}"
    form = given.form if _holds(given.form, result) else "NPY"
    return f"200 {hashlib.sha256(encoded(result, form)).hexdigest()}"


def _holds(name: str, image: Pixels) -> bool:
    form = next(each for each in SERVED if each.name == name)
    try:
        check_fits(f"a{form.suffixes[0]}", image.shape, image.dtype)
    except (TypeError, ValueError):
        return False
    return True


def small_pictures() -> list[Picture]:
    """Return small pictures of every format, dtype and kind that the service takes."""
    found = []
    for form in SERVED:
        for dtype in ("uint8", "uint16", "float32"):
            if dtype not in form.dtypes:
                continue
            for number, color in enumerate((False, True)):
                whole = image_of(0.1, dtype, color)
                found += [picture(whole[:rows, : rows + 29].copy(), form.name) for rows in (37 + number, 97, 160)]
    return found


def checked_pool(sizes: Sequence[float], widths: int) -> list[Asked]:
    """Return requests of these sizes with known answers."""
    pictures = [
        picture(image_of(size, "uint8", color), form.name)
        for size in sizes
        for color in (False, True)
        for form in SERVED
    ]
    return [
        checked(each, filled(steps, 1 + number / 8))
        for each in pictures
        for steps in MIXED
        for number in range(widths)
    ]  # fmt: skip


# What was measured -------------------------------------------------------------------------------------------------


def milliseconds(outcomes: Sequence[Outcome]) -> Row:
    """Return the latency of requests that were not refused; unanswered ones count with the time waited."""
    taken = [1e3 * each.seconds for each in outcomes if each.status != 503]
    return {"p50_ms": percentile(taken, 0.5), "p99_ms": percentile(taken, 0.99)}


def counts(outcomes: Sequence[Outcome]) -> Row:
    statuses = Counter(each.status for each in outcomes)
    return {
        "requests": len(outcomes),
        "answered": statuses[200],
        "refused": statuses[503] / max(1, len(outcomes)),
        "lost": statuses[0],
        "failed": len(outcomes) - statuses[200] - statuses[503] - statuses[0],
    }


def throughput(outcomes: Sequence[Outcome], start: float, seconds: float) -> Row:
    """Return the throughput while requests were being sent; afterwards the load decreases."""
    good = [each for each in outcomes if each.status == 200 and each.planned + each.seconds <= start + seconds]
    return {
        "per_second": len(good) / seconds,
        "mp_per_second": sum(each.asked.megapixels for each in good) / seconds,
        "work_per_second": sum(each.asked.work for each in good) / seconds,
    }


def shares(outcomes: Sequence[Outcome]) -> Row:
    return {"cache": dict(Counter(each.cache for each in outcomes if each.cache))}


async def loaded(
    target: Target, requests: Iterator[Asked], rate: float, options: argparse.Namespace, seconds: float, **client: Any
) -> list[Outcome]:
    asking = Client(target.port, **client)
    try:
        return await open_loop(asking, requests, arrivals(rate, seconds, options.seed), options.patience)
    finally:
        await asking.close()


async def carried(target: Target, requests: Iterator[Asked], clients: int, seconds: float) -> Row:
    """Measure a service with as many clients as it has places."""
    asking = Client(target.port)
    start = time.monotonic()
    try:
        outcomes = await closed_loop(asking, requests, clients, seconds)
    finally:
        await asking.close()
    seconds = min(seconds, time.monotonic() - start)
    return {**counts(outcomes), **throughput(outcomes, start, seconds), **milliseconds(outcomes)}


def warm_up(target: Target, requests: Iterator[Asked]) -> None:
    """Send every kind of request to every worker, as far as chance allows."""
    repeated = [each for each in requests for _ in range(target.workers)]
    asyncio.run(carried(target, iter(repeated), PROCESSORS, math.inf))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measured_capacity(target: Target, requests: Iterator[Asked], options: argparse.Namespace) -> Row:
    clients = PROCESSORS * target.workers
    row = {"clients": clients, **asyncio.run(carried(target, requests, clients, options.seconds))}
    say(f"{target}: {row['per_second']:.1f} requests/s, {row['mp_per_second']:.1f} MP/s")
    return row


# Sections ----------------------------------------------------------------------------------------------------------


def capacity(options: argparse.Namespace) -> list[Row]:
    """Measure the capacity, and the service under load; the load is the same for all services."""
    traffic = Traffic(options.largest)
    rows: list[Row] = []
    rate = math.nan
    for repeats, start in ways():
        with start() as target:
            warm_up(target, traffic.every())
            if math.isnan(rate):
                traffic.weigh(target)
            found = measured_capacity(target, traffic.requests(repeats), options)
            rate = found["per_second"] if math.isnan(rate) else rate
            named = {"target": target.name, "workers": target.workers}
            rows.append({**named, "load": None, **found, "peak_mb": target.rss / MEGABYTE})
            for load in LOADS:
                rows.append({**named, "load": load, **at_load(target, traffic, repeats, load * rate, options)})
                say(f"{target} at {load} times {rate:.1f} requests/s: p99 {rows[-1]['p99_ms']:.0f} ms")
    return rows


def ways() -> list[tuple[float, Callable[[], AbstractContextManager[Target]]]]:
    """Return fractions of repeated requests with their services; the first one's capacity sets the load."""
    found: list[tuple[float, Callable[[], AbstractContextManager[Target]]]] = []
    for workers in (1, 2):
        plainly = partial(gpuimg_service, "--cache-memory", "0", workers=workers, name="gpuimg serve, no cache")
        found += [
            (0.0, plainly),
            (REPEATS, partial(gpuimg_service, workers=workers, name="gpuimg serve, cache")),
            (0.0, partial(peer, "blocking", workers=workers)),
            (0.0, partial(peer, "fastapi", workers=workers)),
        ]
    return found


def at_load(target: Target, traffic: Traffic, repeats: float, rate: float, options: argparse.Namespace) -> Row:
    start = time.monotonic()
    with Memory(target) as memory:
        requests = traffic.requests(repeats, options.seed)
        outcomes = asyncio.run(loaded(target, requests, rate, options, options.seconds))
    return {
        "rate": rate,
        **counts(outcomes),
        **throughput(outcomes, start, options.seconds),
        **milliseconds(outcomes),
        **shares(outcomes),
        "peak_mb": memory.peak / MEGABYTE,
    }


def correct(options: argparse.Namespace) -> list[Row]:
    """Compare answers with direct calls."""
    pictures = small_pictures()
    rng = random.Random(options.seed)
    rows: Counter[str] = Counter()
    wrong: list[str] = []
    with gpuimg_service("--waiting-seconds", "60", workers=2) as target:
        for start in range(0, options.count, 500):
            batch = [
                checked(rng.choice(pictures), filled(rng.choice(CHECKED), sigma()))
                for _ in range(min(500, options.count - start))
            ]
            outcomes = asyncio.run(asked_once(target.port, batch))
            rows.update(each.found.partition(" ")[0] or each.error for each in outcomes)
            wrong += [_described(each) for each in outcomes if each.is_wrong or each.status in (0, 503)]
            say(f"{start + len(batch)} answers, {len(wrong)} wrong")
    return [{"answers": options.count, "wrong": len(wrong), "statuses": dict(rows), "which": wrong[:20]}]


async def asked_once(port: int, requests: Sequence[Asked], clients: int = 16) -> list[Outcome]:
    asking = Client(port, checks=True)
    try:
        return await closed_loop(asking, iter(requests), clients)
    finally:
        await asking.close()


def _described(outcome: Outcome) -> str:
    asked = outcome.asked
    return f"{' '.join(asked.steps)} as {asked.accept}: {outcome.found or outcome.error}, not {asked.expected}"


def flat(options: argparse.Namespace) -> list[Row]:
    """Measure memory over time."""
    traffic = Traffic(options.largest)
    seconds = options.flat_seconds
    with gpuimg_service("--cache-memory", options.cache_memory, workers=options.workers) as target:
        warm_up(target, traffic.every())
        rate = measured_capacity(target, traffic.requests(), options)["per_second"]
        with Memory(target, min(10.0, seconds / 10)) as memory:
            outcomes = asyncio.run(loaded(target, traffic.requests(), rate, options, seconds))
    begun = memory.samples[0][0]
    times = [at - begun for at, _ in memory.samples]
    sizes = [nbytes / MEGABYTE for _, nbytes in memory.samples]
    half = len(times) // 2
    return [
        {
            "target": str(target),
            "seconds": seconds,
            "rate": rate,
            **counts(outcomes),
            "start_mb": sizes[0],
            "median_mb": statistics.median(sizes),
            "most_mb": max(sizes),
            "end_mb": sizes[-1],
            "slope_mb_per_minute": 60 * slope(times, sizes),
            "slope_of_second_half": 60 * slope(times[half:], sizes[half:]),
            "samples": [[round(at, 1), round(size, 1)] for at, size in zip(times, sizes, strict=True)],
        }
    ]


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the least-squares line."""
    return statistics.linear_regression(times, values).slope if len(times) > 1 else math.nan


class Kill(NamedTuple):
    """A killed worker: its time by time.monotonic, and the ports of its connected clients."""

    at: float
    pid: int
    ports: set[int]

    def explains(self, outcome: Outcome) -> bool:
        """Return whether a request was under way in this worker."""
        return outcome.port in self.ports and outcome.planned <= self.at


def killed_workers(options: argparse.Namespace) -> list[Row]:
    pool = checked_pool(pool_sizes(options), options.widths)
    with gpuimg_service("--cache-memory", "0", workers=2) as target:
        rate = half_rate(target, pool, options)
        outcomes, kills = asyncio.run(under_kills(target, repeated(pool, options.seed), rate, options))
    begun = min(each.planned for each in outcomes)
    lost = [each for each in outcomes if each.status == 0]
    rows: list[Row] = [
        {
            "event": f"worker {kill.pid} killed after {kill.at - begun:.1f} s",
            "connected": len(kill.ports),
            "lost": sum(kill.explains(each) for each in lost),
        }
        for kill in kills
    ]
    unexplained = [each for each in lost if not any(kill.explains(each) for kill in kills)]
    totals = {**counts(outcomes), **milliseconds(outcomes), "wrong": sum(each.is_wrong for each in outcomes)}
    which = [f"{each.error} after {each.seconds:.2f} s" for each in unexplained[:20]]
    return [*rows, {"event": "all", "rate": rate, **totals, "unexplained": len(unexplained), "which": which}]


def pool_sizes(options: argparse.Namespace) -> list[float]:
    return [size for size in MIX if size <= min(options.largest, 6.0)]


def repeated(pool: Sequence[Asked], seed: int) -> Iterator[Asked]:
    rng = random.Random(seed)
    while True:
        yield rng.choice(pool)


def varied(pool: Sequence[Asked]) -> Iterator[Asked]:
    """Yield requests like these that are in no cache."""
    for asked in repeated(pool, 1):
        yield asked._replace(steps=texts(filled(random.choice(MIXED), sigma())))


def half_rate(target: Target, pool: Sequence[Asked], options: argparse.Namespace) -> float:
    """Return half the capacity for these requests without a cache."""
    warm_up(target, itertools.islice(varied(pool), 32))
    return 0.5 * float(measured_capacity(target, varied(pool), options)["per_second"])


async def under_kills(
    target: Target, requests: Iterator[Asked], rate: float, options: argparse.Namespace
) -> tuple[list[Outcome], list[Kill]]:
    kills: list[Kill] = []

    async def kill() -> None:
        while True:
            await asyncio.sleep(options.kill_every)
            while len(pids := target.ready_workers()) < target.workers:
                await asyncio.sleep(0.1)
            busiest = max(pids, key=lambda pid: len(clients_of(pid)))
            kills.append(await killed(busiest))
            say(f"worker {busiest} killed")

    killing = asyncio.create_task(kill())
    try:
        # One connection per request, so that each connected client has a request under way.
        outcomes = await loaded(target, requests, rate, options, 3 * options.seconds, checks=True, reuses=False)
    finally:
        killing.cancel()
    return outcomes, kills


async def killed(pid: int) -> Kill:
    """Kill a worker, stopped first so that it accepts no connection after they are counted."""
    process = psutil.Process(pid)
    process.suspend()
    while process.status() != psutil.STATUS_STOPPED:
        await asyncio.sleep(0.001)
    ports = clients_of(pid)
    process.kill()
    return Kill(time.monotonic(), pid, ports)


class Phase(NamedTuple):
    """An action on Redis, and how long it lasts."""

    name: str
    begin: Callable[[Redis], None]


PHASES = (
    Phase("Redis works", lambda server: None),
    Phase("stopped (SIGSTOP)", lambda server: server.send(signal.SIGSTOP)),
    Phase("goes on (SIGCONT)", lambda server: server.send(signal.SIGCONT)),
    Phase("killed (SIGKILL)", lambda server: server.send(signal.SIGKILL)),
    Phase("started again", lambda server: server.start()),
)


def failing_redis(options: argparse.Namespace) -> list[Row]:
    pool = checked_pool(pool_sizes(options), options.widths)
    with redis(megabytes=48) as server, gpuimg_service(
        "--cache-memory", "0", "--cache", server.url, workers=2
    ) as target:  # fmt: skip
        rate = half_rate(target, pool, options)
        outcomes, times = asyncio.run(through_phases(server, target, repeated(pool, options.seed), rate, options))
    rows: list[Row] = []
    for number, phase in enumerate(PHASES):
        within = [each for each in outcomes if number == sum(each.planned >= at for at in times) - 1]
        wrong = sum(each.is_wrong for each in within)
        rows.append(
            {"event": phase.name, "rate": rate, **counts(within), **milliseconds(within), **shares(within)}
            | {"wrong": wrong}
        )
    return rows


async def through_phases(
    server: Redis, target: Target, requests: Iterator[Asked], rate: float, options: argparse.Namespace
) -> tuple[list[Outcome], list[float]]:
    times: list[float] = []
    seconds = options.seconds / 2

    async def go() -> None:
        for phase in PHASES:
            times.append(time.monotonic())
            await asyncio.to_thread(phase.begin, server)
            await asyncio.sleep(seconds)

    going = asyncio.create_task(go())
    outcomes = await loaded(target, requests, rate, options, len(PHASES) * seconds, checks=True)
    with suppress(asyncio.CancelledError):
        await going
    times[0] = -math.inf
    return outcomes, times


def overloaded_health(options: argparse.Namespace) -> list[Row]:
    """Measure how soon health and metrics answer at three times the capacity."""
    traffic = Traffic(options.largest)
    rows: list[Row] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        for workers in (1, 2):
            with gpuimg_service("--cache-memory", "0", workers=workers) as target:
                warm_up(target, traffic.every())
                rate = 3 * measured_capacity(target, traffic.requests(), options)["per_second"]
                probing = executor.submit(probe, target.port, options.seconds)
                outcomes = asyncio.run(loaded(target, traffic.requests(), rate, options, options.seconds))
                for path, late in probing.result().items():
                    rows.append({"event": f"{path}, {target}", "rate": rate, **lateness(late)})
                rows[-1]["refused"] = counts(outcomes)["refused"]
    return rows


def lateness(late: Sequence[float]) -> Row:
    return {
        "requests": len(late),
        "p50_ms": percentile(late, 0.5),
        "p99_ms": percentile(late, 0.99),
        "most_ms": max(late),
    }


SECTIONS: dict[str, tuple[Callable[[argparse.Namespace], list[Row]], ...]] = {
    "capacity": (capacity,),
    "correct": (correct,),
    "flat": (flat,),
    "faults": (killed_workers, failing_redis, overloaded_health),
}
NOTES = {
    "capacity": f"""Sizes {MIX} megapixels of 50 requests (at most --largest), grey and RGB of uint8, as PNG, JPEG,
TIFF and NPY; chains gaussian | gaussian sobel threshold | median gaussian. Load: multiples of the first service's
capacity. A first row without a load: a closed loop with one client per place. Latency from the planned time, without
refused requests; unanswered ones count with the time waited. Throughput: answers received while requests were sent.
work: seconds that the requests take in the first service, one alone (decoding, filters, encoding); requests differ by a
factor of a thousand, so it measures throughput better than their number.
Memory: resident, all processes, sampled; shared memory counts for each. cache: {REPEATS:.0%} of the requests are
repeated ones. blocking: gpuimg in Tornado's event loop, no limits. fastapi: OpenCV with all threads in
asyncio.to_thread, uvicorn, no limits; the border modes (except for median, which repeats the edge) and the
settings of the codecs are gpuimg's.""",
    "correct": "Small images, many chains and all formats, two workers, 16 clients.",
    "flat": "Memory: resident, all processes; slopes of the fitted line, in megabytes per minute.",
    "killed_workers": """Two workers. connected: requests under way in the worker. unexplained: lost, but not
under way in a killed worker. failed: answers other than 200 and 503.""",
    "failing_redis": "Two workers, no cache in memory, a Redis of 48 MB. cache: where results were found.",
    "overloaded_health": "At three times the capacity, on new connections. refused: fraction of the load's requests.",
}


# The report --------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, dict):
        return " ".join(f"{key}:{count}" for key, count in value.items())
    return "" if value is None else str(value)


def table(rows: Sequence[Row]) -> list[str]:
    """Return lines with a column for each key, except those with lists as values."""
    keys = [
        key for key in dict.fromkeys(itertools.chain(*rows)) if not any(isinstance(row.get(key), list) for row in rows)
    ]
    cells = [keys, *[[shown(row.get(key)) for key in keys] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a short run of everything, images up to 1 megapixel")
    parser.add_argument("--seconds", type=float, help="per load (default: 20)")
    parser.add_argument("--largest", type=float, help="megapixels (default: 50)")
    parser.add_argument("--count", type=int, help="answers to compare (default: 10000)")
    parser.add_argument("--flat-seconds", type=float, help="to watch the memory (default: 600)")
    parser.add_argument("--workers", type=int, default=1, help="of `flat` (default: %(default)s)")
    parser.add_argument("--cache-memory", default="0", help="of `flat`, such as 64M (default: %(default)s)")
    parser.add_argument("--kill-every", type=float, help="seconds between kills of workers (default: 6)")
    parser.add_argument("--patience", type=float, help="seconds to wait for answers after a load (default: 60)")
    parser.add_argument("--widths", type=int, help="variants of each checked request (default: 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"section must be one of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    for name, (usual, quick) in DEFAULTS.items():
        if getattr(given, name) is None:
            setattr(given, name, quick if given.quick else usual)
    return given


DEFAULTS: dict[str, tuple[float, float]] = {  # default, quick
    "seconds": (20.0, 1.5),
    "largest": (50.0, 1.0),
    "count": (10_000, 200),
    "flat_seconds": (600.0, 4.0),
    "kill_every": (6.0, 2.0),
    "patience": (60.0, 10.0),
    "widths": (5, 1),
}


def main() -> None:
    options = options_given()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # exit normally, which ends the started processes
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # an overload has many connections
    found: dict[str, Any] = {"machine": machine(PROCESSORS), "options": {**vars(options), "out": None}}
    for section in options.sections or SECTIONS:
        for part in SECTIONS[section]:
            rows = found[part.__name__] = part(options)
            print(f"\n{part.__name__}\n{NOTES[part.__name__]}\n", *table(rows), sep="\n", flush=True)
            for line in [line for row in rows for line in row.get("which", ())]:
                print(f"  {line}")
            if options.out is not None:
                options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
