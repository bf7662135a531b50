"""What one process of the service takes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpuimg.files import FORMATS
from gpuimg.machine import processor_count
from gpuimg.memory import machine_memory

# Strangers' files go through few decoders.
SERVED = tuple([form for form in FORMATS if form.name in ("TIFF", "PNG", "JPEG", "NPY")])


@dataclass(frozen=True)
class Limits:
    """Bounds of a request, and of all requests at once.

    Attributes
    ----------
    body_bytes : of a request
    received_bytes : of the bodies of all requests that are being read or worked on, and of the answers being sent
    reading : requests whose bodies are being read at a time; more are refused before theirs is
    pixels : of an image, or of a page of a stack; also of each step's result
    decoded_bytes : of an image's pixels, all pages together; also of each step's result
    steps : filters in a request
    formats : names of the file formats that are read and written
    running : requests that are worked on at a time
    processors : that the filters of those share, with those of other workers that have any
    working_bytes : decoded bytes of those, each with the result of its present step; one alone may have more
    queued : requests that wait for that
    queued_bytes : decoded bytes of those that wait
    waiting_seconds : that a request may be expected to wait, by how long the last ones took
    seconds : from a request's end of reading to its answer
    header_seconds : for a file's header to be read, by one of few threads
    reading_seconds : for a request's body to arrive
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
        """What one of several workers takes on: where nothing is given, they share memory."""
        whole = cls()
        shared = {
            "running": max(whole.running // workers, 1),
            "received_bytes": whole.received_bytes // workers,
            "queued_bytes": whole.queued_bytes // workers,
            "working_bytes": whole.working_bytes // workers,
        }
        return cls(**{**shared, **given})
