"""How long a request would wait, judged by how long the last ones took."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

KEPT = 0.98  # of what is known of a kind, at each work with such a part that ends: some fifty of them count
MOST_LATE = 4.0
EACH = 1 << 18  # bytes whose pixels take as long as all that does not depend on the size

Part = tuple[str, str]  # of a work: what it is, and of which kind, such as ("decode", "PNG") or ("filter", "median")


class Pace:
    """The seconds that the parts of works take for each byte of their images, learned from works that have ended."""

    def __init__(self) -> None:
        self._known: dict[Part, tuple[float, float]] = {}  # bytes and seconds, the last ones for the most part
        self._expected = self._waited = 1.0

    def learn(self, parts: Iterable[tuple[Part, float]], nbytes: int) -> None:
        """Learn from a work: the seconds of its parts, for an image of so many bytes."""
        for part, seconds in parts:
            for key in (part, (part[0], "")):  # the latter stands for kinds that are not known yet
                work, taken = self._known.get(key, (0.0, 0.0))
                self._known[key] = KEPT * work + nbytes + EACH, KEPT * taken + seconds

    def expect(self, parts: Iterable[Part], nbytes: int) -> float:
        """The seconds that a work with these parts will take; what is not known counts as 0."""
        return sum([self._rate(part) for part in parts]) * (nbytes + EACH)

    def learn_wait(self, expected: float, seconds: float) -> None:
        """Learn from a work that has waited, and of which `wait` said how long it would."""
        if expected > 0:
            self._expected = KEPT * self._expected + expected
            self._waited = KEPT * self._waited + seconds

    @property
    def lateness(self) -> float:
        """How many times longer the last works have waited than was expected."""
        return min(max(self._waited / self._expected, 1 / MOST_LATE), MOST_LATE)

    def _rate(self, part: Part) -> float:
        work, seconds = self._known.get(part) or self._known.get((part[0], "")) or (1.0, 0.0)
        return seconds / work


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
