"""How long a request would wait, judged by how long the last ones took."""

from __future__ import annotations

import math
from collections.abc import Iterable

KEPT = 0.98  # of what is known, at each work that ends: some fifty of them count
EACH = 1 << 18  # bytes whose pixels take as long as all that does not depend on the size


class Pace:
    """The seconds that works take for each byte of their images, learned from works that have ended.

    Works run beside each other, so what counts is the time in which any of them ran.
    """

    def __init__(self) -> None:
        self._work = 0.0
        self._seconds = 0.0
        self._until = -math.inf  # up to here the time is counted

    def ended(self, nbytes: int, began: float, ended: float) -> None:
        """Learn from a work, by the times of its begin and its end in seconds of one clock."""
        self._work = KEPT * self._work + nbytes + EACH
        self._seconds = KEPT * self._seconds + max(0.0, ended - max(began, self._until))
        self._until = max(self._until, ended)

    def seconds(self, waiting: Iterable[int], running: Iterable[int]) -> float:
        """How long works of so many bytes will take; those that run count by half. 0 if nothing is known."""
        if not self._work:
            return 0.0
        left = sum([nbytes + EACH for nbytes in waiting]) + sum([nbytes + EACH for nbytes in running]) / 2
        return left * self._seconds / self._work
