"""What each worker of a service carries, in memory that they share: by it they take equal parts of the connections, and
one that has work while the others have none gets all processors."""

from __future__ import annotations

import mmap
import os
import tempfile

CLOSED = -1  # in the place of connections: none is accepted


class Loads:
    """How many connections and running jobs each process of a service has.

    A process writes the numbers of its own place only. What it reads of the others may be outdated by a moment, which
    costs some of the balance and nothing else.

    Parameters
    ----------
    places : of processes that may run at the same time
    place : this process's
    file : descriptor of the memory that `create` made; -1 for a process that is by itself

    Examples
    --------
    >>> file = Loads.create(2)
    >>> one, other = Loads(2, 0, file), Loads(2, 1, file)
    >>> one.connections, other.connections = 3, 1
    >>> one.fewest_connections()
    1
    >>> one.jobs = 1
    >>> other.processes_at_work()
    1
    """

    def __init__(self, places: int = 1, place: int = 0, file: int = -1) -> None:
        self._numbers = memoryview(mmap.mmap(file, _nbytes(places))).cast("i")
        self._connections, self._jobs = self._numbers[:places], self._numbers[places:]
        self._place = place

    @staticmethod
    def create(places: int) -> int:
        """Make the memory for so many places, all of them empty; returns its file descriptor."""
        with tempfile.TemporaryFile() as file:
            file.truncate(_nbytes(places))
            descriptor = os.dup(file.fileno())
        loads = Loads(places, 0, descriptor)
        for place in range(places):
            loads.empty(place)
        return descriptor

    @property
    def connections(self) -> int:
        """How many connections this process has; `CLOSED` if it accepts none."""
        return self._connections[self._place]

    @connections.setter
    def connections(self, count: int) -> None:
        self._connections[self._place] = count

    @property
    def jobs(self) -> int:
        """How many jobs this process runs."""
        return self._jobs[self._place]

    @jobs.setter
    def jobs(self, count: int) -> None:
        self._jobs[self._place] = count

    def fewest_connections(self) -> int:
        """What the process has that has the fewest, of those that accept any; `CLOSED` if there is none."""
        return min((count for count in self._connections if count != CLOSED), default=CLOSED)

    def processes_at_work(self) -> int:
        """How many processes run jobs."""
        return sum(count > 0 for count in self._jobs)

    def empty(self, place: int) -> None:
        """Forget a process that has ended."""
        self._connections[place], self._jobs[place] = CLOSED, 0


def _nbytes(places: int) -> int:
    return 2 * places * memoryview(b"").cast("i").itemsize
