"""Limits of one process of the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpuimg.files import FORMATS
from gpuimg.machine import processor_count
from gpuimg.memory import machine_memory

# Untrusted files are passed to few decoders.
SERVED = tuple([form for form in FORMATS if form.name in ("TIFF", "PNG", "JPEG", "NPY")])


@dataclass(frozen=True)
class Limits:
    """Limits of a request, and of all requests together.

    Attributes
    ----------
    body_bytes : maximum bytes of a request's body
    received_bytes : maximum bytes of the bodies of all requests being read or processed, and of answers being sent
    reading : maximum number of requests whose bodies are being read; further ones are rejected before reading
    pixels : maximum pixels of an image, of a page of a stack, and of each step's result
    decoded_bytes : maximum bytes of an image's pixels, all pages together, and of each step's result
    steps : maximum number of filters in a request
    formats : names of the file formats that are read and written
    running : maximum number of requests processed at the same time
    processors : processors shared by their filters, and by those of other workers with running jobs
    working_bytes : maximum decoded bytes of running requests, including their current results; a single request may
        exceed it
    queued : maximum number of waiting requests
    queued_bytes : maximum decoded bytes of waiting requests
    waiting_seconds : maximum expected wait of a request, estimated from recent requests
    seconds : time limit from the end of reading a request to its answer
    header_seconds : time limit for reading a file's header, in one of few threads
    reading_seconds : time limit for receiving a request's body
    """

    body_bytes: int = 256 << 20
    received_bytes: int = field(default_factory=lambda: max(machine_memory() // 8, 256 << 20))
    reading: int = 64
    pixels: int = 100_000_000
    decoded_bytes: int = field(default_factory=lambda: max(machine_memory() // 16, 256 << 20))
    steps: int = 16
    formats: tuple[str, ...] = tuple([form.name for form in SERVED])
    running: int = field(default_factory=processor_count)
    processors: int = field(default_factory=processor_count)
    working_bytes: int = field(default_factory=lambda: max(machine_memory() // 8, 256 << 20))
    queued: int = 64
    queued_bytes: int = field(default_factory=lambda: max(machine_memory() // 8, 256 << 20))
    waiting_seconds: float = 2.0
    seconds: float = 60.0
    header_seconds: float = 1.5
    reading_seconds: float = 60.0

    @classmethod
    def of_one_of(cls, workers: int, **given: Any) -> Limits:
        """Return the limits of one of several workers, which share the memory by default."""
        whole = cls()
        shared = {
            "running": max(whole.running // workers, 1),
            "received_bytes": whole.received_bytes // workers,
            "queued_bytes": whole.queued_bytes // workers,
            "working_bytes": whole.working_bytes // workers,
        }
        return cls(**{**shared, **given})
