"""How long a request would wait, judged by how long the last ones took."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence

REMEMBERED = 50  # works of each kind
KEPT = 0.98  # of how long works have waited, at each that ends
MOST_LATE = 4.0
EACH = 1 << 18  # bytes whose pixels take as long as all that does not depend on the size

Part = tuple[str, str]  # of a work: what it is, and of which kind, such as ("decode", "PNG") or ("filter", "median")


class Pace:
    """The seconds that the parts of works take for each byte of their images, learned from works that have ended."""

    def __init__(self) -> None:
        self._known: dict[Part, deque[tuple[float, int]]] = {}  # seconds a byte, and bytes
        self._rates: dict[Part, float] = {}
        self._expected = self._waited = 1.0

    def learn(self, parts: Iterable[tuple[Part, float]], nbytes: int) -> None:
        """Learn from a work: the seconds of its parts, for an image of so many bytes."""
        work = nbytes + EACH
        for part, seconds in parts:
            for key in (part, (part[0], "")):  # the latter stands for kinds that are not known yet
                known = self._known.setdefault(key, deque(maxlen=REMEMBERED))
                known.append((seconds / work, work))
                self._rates[key] = _median(known)

    def expect(self, parts: Iterable[Part], nbytes: int) -> float:
        """The seconds that a work with these parts will take; what is not known counts as 0."""
        rates = [self._rates.get(part, self._rates.get((part[0], ""), 0.0)) for part in parts]
        return sum(rates) * (nbytes + EACH)

    def learn_wait(self, expected: float, seconds: float) -> None:
        """Learn from a work that has waited, and of which `wait` said how long it would."""
        if expected > 0:
            self._expected = KEPT * self._expected + expected
            self._waited = KEPT * self._waited + seconds

    @property
    def lateness(self) -> float:
        """How many times longer the last works have waited than was expected."""
        return min(max(self._waited / self._expected, 1 / MOST_LATE), MOST_LATE)


def _median(known: Iterable[tuple[float, int]]) -> float:
    """The rate that works of half of the bytes do not exceed: the first call of a filter, which takes long, does not
    count for much, as a mean would have it."""
    ordered = sorted(known)
    half = sum([nbytes for _, nbytes in ordered]) / 2
    for rate, nbytes in ordered:
        half -= nbytes
        if half <= 0:
            return rate
    return 0.0


def wait(running: Sequence[float], waiting: Iterable[float], places: int) -> float:
    """The seconds until one of several places is free for who comes after all that wait.

    Parameters
    ----------
    running, waiting : the seconds that each work takes still; those that wait get their places in this order
    """
    free = [0.0] * (places - len(running)) + list(running)
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + seconds)
    return free[0]
