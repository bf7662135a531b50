"""Several processes that answer on one port: a supervisor and its workers.

The supervisor holds the listening sockets, from which all workers accept: no connection waits for a worker that hangs
or restarts. (With SO_REUSEPORT, the kernel would distribute connections randomly, also to those.) Workers balance
connections by each other's loads in shared memory. Two pipes connect a worker to its supervisor: the worker's event
loop writes a line per second to one, and standard input ends with the supervisor.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpuimg.service.loads import Loads

BEAT_SECONDS = 1.0  # between the lines that a worker's event loop writes
READY, ALIVE = b"ready\n", b"alive\n"

PLACES = "ab"  # per slot: two of its workers may run at the same time

_ENVIRONMENT = "GPUIMG_WORKER"  # slot:place:slots:pipe:loads:socket,socket..., the last four as file descriptors
_log = logging.getLogger("gpuimg.service")


@dataclass(frozen=True)
class Times:
    """Time-outs of the supervisor, in seconds.

    Attributes
    ----------
    start : time until a new worker is ready; then it is killed
    silence : time between heartbeats of a ready worker; then it is killed
    drain : time for a worker to finish accepted requests
    grace : time to exit after that; then it is killed
    quick : a worker that ends earlier than this is replaced after a delay
    first_delay, longest_delay : the delay after the first such exit, doubled with each further one, and its limit
    """

    start: float = 60.0
    silence: float = 10.0
    drain: float = 30.0
    grace: float = 5.0
    quick: float = 10.0
    first_delay: float = 1.0
    longest_delay: float = 30.0

    def delay(self, deaths: int) -> float:
        """Return the delay before the next start after a number of consecutive quick exits."""
        return min(self.first_delay * 2.0 ** min(deaths - 1, 60), self.longest_delay) if deaths else 0.0


def supervise(
    command: Sequence[str],
    sockets: Sequence[socket.socket],
    count: int,
    *,
    environments: Sequence[Mapping[str, str]] = (),
    times: Times | None = None,
    on_ready: Callable[[], object] = lambda: None,
    on_death: Callable[[int, str], object] = lambda pid, place: None,
) -> int:
    """Run workers until a signal ends them all; POSIX only, in the main thread.

    A worker that has ended is replaced, immediately or, if it ended early, after a growing delay. A worker whose event
    loop is silent is killed and replaced. SIGHUP replaces the workers one after the other; each accepts requests until
    its successor is ready. SIGTERM and SIGINT let all workers finish accepted requests; a second one kills them.

    Parameters
    ----------
    command
        Command line that starts a worker, which calls `inherited`.
    sockets
        Listening sockets of all workers. They are closed when the workers are told to end.
    count
        Number of workers.
    environments
        Additional environment variables of each worker.
    times
        Time-outs; the workers pass ``drain`` to `gpuimg.service.serving.serve`.
    on_ready
        Called once, when every worker has been ready for the first time.
    on_death
        Called with the process ID and the `Parent.place` of every worker that has ended.

    Returns
    -------
    int
        Exit code: 0, 1 if a worker had to be killed at the end, 128 plus the number of a second signal.
    """
    variables = environments or [{}] * count
    slots = [_Slot(index, given) for index, given in zip(range(count), variables, strict=True)]
    return _Supervisor(command, sockets, slots, times or Times(), on_ready, on_death).run()


@dataclass(eq=False)
class _Worker:
    """A worker process; it is killed at ``deadline``, for the reason ``late``."""

    slot: _Slot
    place: int
    process: subprocess.Popen[bytes]
    pipe: int
    started: float
    deadline: float
    late: str
    is_ready: bool = False
    is_leaving: bool = False

    def __str__(self) -> str:
        return f"worker {self.slot.index} (pid {self.process.pid})"


@dataclass(eq=False)
class _Slot:
    """A place for one worker; in a rolling restart, the old and the new worker overlap."""

    index: int
    environment: Mapping[str, str]
    current: _Worker | None = None
    next: _Worker | None = None
    old: _Worker | None = None
    starts: int = 0
    deaths: int = 0  # consecutive quick exits
    start_at: float = math.inf
    was_ready: bool = False


class _Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        slots: Sequence[_Slot],
        times: Times,
        on_ready: Callable[[], object],
        on_death: Callable[[int, str], object],
    ) -> None:
        self._command = list(command)
        self._sockets = sockets
        self._slots = slots
        self._memory = Loads.create(_places(len(slots)))
        self._loads = Loads(_places(len(slots)), 0, self._memory)
        self._times = times
        self._on_ready: Callable[[], object] | None = on_ready
        self._on_death = on_death
        self._workers: set[_Worker] = set()
        self._selector = selectors.DefaultSelector()
        self._restarts: deque[_Slot] = deque()
        self._restarting: _Slot | None = None
        self._is_ending = False
        self._code = 0

    def run(self) -> int:
        numbers = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with self._selector, _signals(numbers) as wakeup:
            self._selector.register(wakeup, selectors.EVENT_READ)
            try:
                for slot in self._slots:
                    self._fill(slot)
                while self._workers or not self._is_ending:
                    self._wait(wakeup)
            finally:
                self._kill_all()
                os.close(self._memory)
        return self._code

    def _wait(self, wakeup: int) -> None:
        """Handle messages of the workers and signals, then deadlines."""
        due = min((*(worker.deadline for worker in self._workers), *(slot.start_at for slot in self._slots)))
        timeout = None if due == math.inf else max(0.0, due - time.monotonic())
        for key, _ in self._selector.select(timeout):
            if key.fd != wakeup:
                self._listen(key.data)
        if timeout is not None and time.monotonic() > due + BEAT_SECONDS:
            self._forgive()
        for number in _read(wakeup) or b"":
            self._on_signal(number)
        for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
            self._bury(worker)
        self._do_what_is_due()
        self._restart_next()

    def _on_signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._is_ending:
                self._code = 128 + number
                self._kill_all()
            else:
                self._end(number)
        elif number == signal.SIGHUP and not self._is_ending:
            _log.info("restarting the workers one after the other")
            self._restarts = deque(self._slots)

    def _listen(self, worker: _Worker) -> None:
        """Handle a worker's heartbeat."""
        said = _read(worker.pipe)
        if said is None:
            self._selector.unregister(worker.pipe)  # the worker has ended or is ending
            return
        if READY in said:
            worker.is_ready = worker.slot.was_ready = True
            _log.info("%s is ready", worker)
            if self._on_ready and all(slot.was_ready for slot in self._slots):
                self._on_ready()
                self._on_ready = None
        self._trust(worker)

    def _trust(self, worker: _Worker) -> None:
        if worker.is_ready and not worker.is_leaving:
            worker.deadline = time.monotonic() + self._times.silence
            worker.late = f"its event loop has been silent for {self._times.silence:g} s"

    def _forgive(self) -> None:
        """Extend the workers' deadlines after the supervisor was suspended, possibly together with them."""
        for worker in self._workers:
            self._trust(worker)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if now >= worker.deadline:
                _log.error("%s is killed: %s", worker, worker.late)
                worker.deadline = math.inf
                worker.process.kill()
                if self._is_ending:
                    self._code = 1
        for slot in self._slots:
            if now >= slot.start_at:
                self._fill(slot)

    def _fill(self, slot: _Slot) -> None:
        """Start the worker of an empty slot."""
        slot.start_at = math.inf
        slot.current = self._start(slot)
        if slot.current is None:
            self._retry(slot, f"worker {slot.index} is missing")

    def _start(self, slot: _Slot) -> _Worker | None:
        pipe, end = os.pipe()
        sockets = [each.fileno() for each in self._sockets]
        slot.starts += 1
        place = len(PLACES) * slot.index + slot.starts % len(PLACES)
        files = f"{end}:{self._memory}:{','.join(map(str, sockets))}"
        given = f"{slot.index}:{place}:{len(self._slots)}:{files}"
        try:
            # A separate process group: Ctrl-C is for the supervisor, which lets the workers finish.
            process = subprocess.Popen(
                self._command,
                bufsize=0,
                stdin=subprocess.PIPE,
                pass_fds=(end, self._memory, *sockets),
                env={**os.environ, **slot.environment, _ENVIRONMENT: given},
                process_group=0,
            )
        except OSError as error:
            os.close(pipe)
            _log.error("worker %d cannot be started: %s", slot.index, error)
            return None
        finally:
            os.close(end)
        os.set_blocking(pipe, False)
        now = time.monotonic()
        late = f"it was not ready within {self._times.start:g} s"
        worker = _Worker(slot, place, process, pipe, now, now + self._times.start, late)
        self._workers.add(worker)
        self._selector.register(pipe, selectors.EVENT_READ, worker)
        _log.info("%s starts", worker)
        return worker

    def _retry(self, slot: _Slot, why: str) -> None:
        slot.deaths += 1
        delay = self._times.delay(slot.deaths)
        slot.start_at = time.monotonic() + delay
        _log.error("%s; next start in %g s", why, delay)

    def _bury(self, worker: _Worker) -> None:
        """Replace a worker that has ended, unless it was told to."""
        self._forget(worker)
        slot, lived = worker.slot, time.monotonic() - worker.started
        why = f"{worker} {_how(worker.process.returncode)} {lived:.1f} s after its start"
        if worker.is_leaving:
            _log.info("%s", why)
        if worker is slot.old:
            slot.old = None
        elif worker is slot.next:
            slot.next = None
            if not self._is_ending:
                self._give_up_restart(why)
        else:
            slot.current, slot.next = slot.next, None
            if self._is_ending:
                return
            if slot.current is not None:
                _log.error("%s; its successor is about to start", why)
            elif worker.is_ready and lived >= self._times.quick:
                slot.deaths = 0
                _log.error("%s; another one starts", why)
                self._fill(slot)
            else:
                self._retry(slot, why)

    def _forget(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.pipe)
        os.close(worker.pipe)
        self._loads.empty(worker.place)
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        try:
            self._on_death(worker.process.pid, _name(worker.place))
        except Exception:
            _log.exception("clearing up after %s failed", worker)

    def _restart_next(self) -> None:
        """Take the next step of a rolling restart; a slot's turn ends when its old worker has gone."""
        slot = self._restarting
        if slot is not None:
            if slot.next is not None and slot.next.is_ready and slot.current is not None:
                slot.old, slot.current, slot.next = slot.current, slot.next, None
                self._dismiss(slot.old)
            if slot.old is not None or slot.next is not None or slot.current is None or not slot.current.is_ready:
                return
            self._restarting = None
        if self._restarts:
            slot = self._restarting = self._restarts.popleft()
            if slot.current is None:
                self._fill(slot)
                return
            slot.next = self._start(slot)
            if slot.next is None:
                self._give_up_restart(f"worker {slot.index} has no successor")

    def _give_up_restart(self, why: str) -> None:
        self._restarts.clear()
        self._restarting = None
        _log.error("%s; no further worker is restarted, the old ones go on", why)

    def _dismiss(self, worker: _Worker) -> None:
        """Let a worker finish accepted requests and end."""
        if not worker.is_leaving:
            worker.is_leaving = True
            seconds = self._times.drain + self._times.grace
            worker.deadline = time.monotonic() + seconds
            worker.late = f"it did not end within {seconds:g} s"
            worker.process.terminate()

    def _end(self, number: int) -> None:
        _log.info("%s: the workers finish what they have admitted", signal.Signals(number).name)
        self._is_ending = True
        self._restarts.clear()
        self._restarting = None
        for worker in self._workers:
            self._dismiss(worker)
        for slot in self._slots:
            slot.start_at = math.inf
        for each in self._sockets:  # the workers close theirs too: new connections are refused, not kept waiting
            each.close()

    def _kill_all(self) -> None:
        for worker in list(self._workers):
            worker.process.kill()
            worker.process.wait()
            self._forget(worker)


def _places(slots: int) -> int:
    return len(PLACES) * slots


def _name(place: int) -> str:
    slot, which = divmod(place, len(PLACES))
    return f"{slot}{PLACES[which]}"


def _how(code: int) -> str:
    """Describe how a process ended."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _read(fd: int) -> bytes | None:
    """Read available bytes; None at the end of a pipe."""
    try:
        return os.read(fd, 65536) or None
    except BlockingIOError:
        return b""


@contextlib.contextmanager
def _signals(numbers: Iterable[int]) -> Iterator[int]:
    """Return a file descriptor from which the numbers of signals are read as bytes."""
    with contextlib.ExitStack() as after:
        wakeup, end = os.pipe()
        for fd in (wakeup, end):
            os.set_blocking(fd, False)
            after.callback(os.close, fd)
        after.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(end))
        for number in numbers:
            # Without a handler, the number is not written.
            after.callback(signal.signal, number, signal.signal(number, lambda *_: None))
        yield wakeup


# In a worker -------------------------------------------------------------------------------------------------------


class Parent:
    """A worker's view of its supervisor.

    Attributes
    ----------
    slot : the worker's slot, counted from 0
    place : unique among all workers that may run at the same time; there are two per slot
    loads : loads of the workers
    sockets : listening sockets
    """

    def __init__(self, slot: int, place: int, slots: int, pipe: int, memory: int, sockets: Sequence[int]) -> None:
        self.slot = slot
        self.place = _name(place)
        self.loads = Loads(_places(slots), place, memory)
        os.close(memory)
        self.sockets = [socket.socket(fileno=fd) for fd in sockets]
        self._pipe = pipe
        os.set_blocking(pipe, False)
        for fd in (pipe, *sockets):
            os.set_inheritable(fd, False)

    def beat(self, word: bytes = ALIVE) -> None:
        """Send a heartbeat."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # it is stopped, or gone
            os.write(self._pipe, word)

    def watch(self, on_end: Callable[[], object], seconds: float) -> None:
        """Call ``on_end`` in a thread when the supervisor has ended, and end this process ``seconds`` later."""

        def wait() -> None:
            while os.read(0, 4096):
                pass
            _log.error("the supervisor of worker %d (pid %d) is gone: it ends", self.slot, os.getpid())
            on_end()
            time.sleep(seconds)
            os._exit(1)

        threading.Thread(target=wait, name="gpuimg-parent", daemon=True).start()


def inherited() -> Parent | None:
    """Return what this process has inherited from its supervisor; None without one. Call it once.

    Returns
    -------
    Parent or None
    """
    given = os.environ.pop(_ENVIRONMENT, None)
    if given is None:
        return None
    *numbers, sockets = given.split(":")
    slot, place, slots, pipe, memory = map(int, numbers)
    return Parent(slot, place, slots, pipe, memory, [int(fd) for fd in sockets.split(",")])
