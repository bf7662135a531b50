"""Expected waiting times of requests, estimated from recent requests."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence

REMEMBERED = 50  # jobs of each kind
KEPT = 0.98  # decay factor of past waits, per job that ends
MOST_LATE = 4.0
EACH = 1 << 18  # bytes whose pixels take as long as the constant part of a job

Part = tuple[str, str]  # of a job: its operation and kind, such as ("decode", "PNG") or ("filter", "median")


class Pace:
    """Seconds per byte of the parts of jobs, learned from jobs that have ended."""

    def __init__(self) -> None:
        self._known: dict[Part, deque[tuple[float, int]]] = {}  # seconds per byte, and bytes
        self._rates: dict[Part, float] = {}
        self._expected = self._waited = 1.0

    def learn(self, parts: Iterable[tuple[Part, float]], nbytes: int) -> None:
        """Learn from a job: the seconds of its parts, for an image of this size in bytes."""
        work = nbytes + EACH
        for part, seconds in parts:
            for key in (part, (part[0], "")):  # the latter is used for unknown kinds
                known = self._known.setdefault(key, deque(maxlen=REMEMBERED))
                known.append((seconds / work, work))
                self._rates[key] = _median(known)

    def expect(self, parts: Iterable[Part], nbytes: int) -> float:
        """Return the expected seconds of a job with these parts; unknown parts count as 0."""
        rates = [self._rates.get(part, self._rates.get((part[0], ""), 0.0)) for part in parts]
        return sum(rates) * (nbytes + EACH)

    def learn_wait(self, expected: float, seconds: float) -> None:
        """Learn from the actual and the predicted wait of a job."""
        if expected > 0:
            self._expected = KEPT * self._expected + expected
            self._waited = KEPT * self._waited + seconds

    @property
    def lateness(self) -> float:
        """Return the ratio of actual to expected waits of recent jobs."""
        return min(max(self._waited / self._expected, 1 / MOST_LATE), MOST_LATE)


def _median(known: Iterable[tuple[float, int]]) -> float:
    """Return the median rate, weighted by bytes: unlike the mean, it hardly depends on a filter's slow first call."""
    ordered = sorted(known)
    half = sum([nbytes for _, nbytes in ordered]) / 2
    for rate, nbytes in ordered:
        half -= nbytes
        if half <= 0:
            return rate
    return 0.0


def wait(running: Sequence[float], waiting: Iterable[float], places: int) -> float:
    """Return the seconds until a place is free for a new job, after all that wait.

    Parameters
    ----------
    running, waiting : remaining seconds of each job; waiting jobs are started in this order
    """
    free = [0.0] * (places - len(running)) + list(running)
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + seconds)
    return free[0]
