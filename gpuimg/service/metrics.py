"""Prometheus metrics of the service, correct for several workers and across restarts.

Each worker keeps its metrics in separate files, and the worker that is asked adds them up. The files are named by a
worker's place and the parity of its number there, so that a new worker continues the files of the one before the last,
and the number of files does not grow.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from gpuimg.service.work import Made

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # as named by prometheus-client
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)


def _share_files(place: str) -> bool:
    """Keep the metrics in files, if there is a folder for them; to be called before any metric is created."""
    folder = os.environ.get(FOLDER)
    if not folder or not place:
        return False
    forget(folder, place)
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]
    return True


def forget(folder: str, place: str) -> None:
    """Remove the gauges of a worker that has ended."""
    for path in Path(folder).glob(f"gauge_*_{place}.db"):
        with suppress(OSError):
            path.unlink()


class Metrics:
    """The metrics of one process.

    Parameters
    ----------
    place : name of a worker's files; empty for a single process
    """

    def __init__(self, place: str = "") -> None:
        self._is_shared = _share_files(place)
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry, multiprocess_mode="livesum")
        self.answers = counter("gpuimg_requests", "Answered requests, by status code.", ["code"])
        self.in_progress = gauge("gpuimg_requests_in_progress", "Requests being read or processed.")
        self.queued = gauge("gpuimg_requests_queued", "Requests waiting to run.")
        self.running = gauge("gpuimg_requests_running", "Requests being processed.")
        self.places = gauge("gpuimg_places", "Maximum number of requests processed at a time.")
        self.seconds = Histogram(
            *("gpuimg_part_seconds", "Seconds of a request's parts.", ["part"]),
            buckets=SECONDS,
            registry=self._registry,
        )
        self.busy = counter("gpuimg_busy_seconds", "Busy seconds, summed over places.")
        self.bytes = counter("gpuimg_bytes", "Bytes of bodies.", ["direction"])
        self.megapixels = counter("gpuimg_megapixels", "Megapixels of decoded images.")
        self.cache = counter("gpuimg_cache", "Requests by source of the result: hit, remote, joined, made.", ["result"])
        self.steps = counter("gpuimg_filters", "Filters that ran, by backend.", ["filter", "backend"])
        self.filter_seconds = counter("gpuimg_filter_seconds", "Seconds of filters.", ["filter", "backend"])

    def made(self, made: Made, job_seconds: Mapping[str, float]) -> None:
        """Record the times of a job."""
        for part, seconds in {**job_seconds, **made.seconds}.items():
            if part != "running":
                self.seconds.labels(part).observe(seconds)
        self.busy.inc(job_seconds.get("running", 0.0))
        self.megapixels.inc(made.pixels / 1e6)
        for step in made.steps:
            self.steps.labels(step.name, step.backend).inc()
            self.filter_seconds.labels(step.name, step.backend).inc(step.seconds)

    def text(self) -> bytes:
        """Return the metrics of all workers in Prometheus' format."""
        if not self._is_shared:
            return generate_latest(self._registry)
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        return generate_latest(every)
