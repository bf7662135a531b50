"""Loads of the workers of a service, in shared memory: used to balance connections between the workers, and to let one
use all processors while the others are idle."""

from __future__ import annotations

import mmap
import os
import tempfile

CLOSED = -1  # in place of a number of connections: none is accepted


class Loads:
    """Numbers of connections and running jobs of each process of a service.

    A process writes only the numbers of its place. Those of others may be slightly outdated, which only affects the
    balance.

    Parameters
    ----------
    places : maximum number of processes at the same time
    place : place of this process
    file : descriptor of the memory from `create`; -1 for a single process

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
        """Create the memory for a number of places, all empty; return its file descriptor."""
        with tempfile.TemporaryFile() as file:
            file.truncate(_nbytes(places))
            descriptor = os.dup(file.fileno())
        loads = Loads(places, 0, descriptor)
        for place in range(places):
            loads.empty(place)
        return descriptor

    @property
    def connections(self) -> int:
        """Number of connections of this process; `CLOSED` if it accepts none."""
        return self._connections[self._place]

    @connections.setter
    def connections(self, count: int) -> None:
        self._connections[self._place] = count

    @property
    def jobs(self) -> int:
        """Number of jobs that this process runs."""
        return self._jobs[self._place]

    @jobs.setter
    def jobs(self, count: int) -> None:
        self._jobs[self._place] = count

    def fewest_connections(self) -> int:
        """Return the minimum number of connections of the processes that accept any; `CLOSED` if none does."""
        return min((count for count in self._connections if count != CLOSED), default=CLOSED)

    def processes_at_work(self) -> int:
        """Return the number of processes that run jobs."""
        return sum(count > 0 for count in self._jobs)

    def empty(self, place: int) -> None:
        """Clear the place of a process that has ended."""
        self._connections[place], self._jobs[place] = CLOSED, 0


def _nbytes(places: int) -> int:
    return 2 * places * memoryview(b"").cast("i").itemsize
