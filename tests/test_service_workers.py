"""Several processes on one port: what is lost when one of them dies, is replaced or is told to end. Nothing else is."""

import asyncio
import errno
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("tornado", reason="Tornado is not installed")

from tornado.web import Application

from gpuimg.errors import ServeError
from gpuimg.service import serving, workers
from gpuimg.service.loads import CLOSED, Loads

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="supervision needs POSIX signals"),
]

PATIENCE = 60  # seconds, more than any wait takes
SERVED = Path(__file__).with_name("served.py")
NOISE = re.compile(r"Traceback|Warning|Exception|was never|Task was destroyed|WARNING|ERROR")


class Service:
    """A running service, as its operator and its clients see it."""

    def __init__(self, **options):
        options = {"flags": ["-X", "dev", "-W", "error"], **options}
        self.process = subprocess.Popen(
            [sys.executable, *options["flags"], str(SERVED), json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SERVED.parents[1])},
        )
        self.printed, self.logged = [], []
        self.threads = [
            threading.Thread(target=self._copy, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.printed), (self.process.stderr, self.logged))
        ]
        for thread in self.threads:
            thread.start()

    def _copy(self, stream, lines):
        for line in stream:
            lines.append(line.rstrip())

    def until(self, pattern, times=1):
        """The matches in what was logged and printed, when there are as many."""

        def found():
            matches = [match for line in [*self.printed, *self.logged] if (match := re.search(pattern, line))]
            return matches if len(matches) >= times else None

        return eventually(found, f"{pattern} x {times}", self.printed, self.logged)

    @property
    def port(self):
        return urlsplit(self.until("listening on (.*)")[0][1]).port

    def pids(self):
        """Of the workers, oldest first."""
        return [int(found[1]) for line in self.logged if (found := re.search(r"\(pid (\d+)\) starts", line))]

    def living(self):
        return [pid for pid in self.pids() if not is_gone(pid)]

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def get(self, path="/"):
        """Status and body of an answer on a connection of its own."""
        connection = self.connect()
        try:
            return ask(connection, path)
        finally:
            connection.close()

    def wait(self):
        code = self.process.wait(PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)
        return code

    def assert_quiet(self):
        noise = [line for line in self.logged if NOISE.search(line) and "WARNING Executing" not in line]  # it is slow
        assert noise == []


@contextmanager
def served(answers=True, **options):
    """A service, by default one that answers; afterwards none of its processes is left."""
    service = Service(**options)
    try:
        assert not answers or service.port
        yield service
        if service.process.poll() is None:
            service.process.send_signal(signal.SIGTERM)
            service.wait()
        eventually(lambda: not service.living(), f"{service.pids()} are left")
    finally:
        for pid in service.living():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        service.process.kill()
        service.wait()
        service.process.stdout.close()
        service.process.stderr.close()


def eventually(found, *message):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        value = found()
        if value:
            return value
        time.sleep(0.01)
    pytest.fail(f"not within {PATIENCE} s: {' '.join(map(str, message))}")


def is_gone(pid):
    """Whether a process has ended, even if nobody has collected its exit code."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return Path("/proc/self").exists()


def ask(connection, path="/"):
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


class Load:
    """Clients that ask without pause, on connections of their own or on ones that they keep; errors are counted."""

    def __init__(self, service, path="/", fresh=2, kept=2):
        self.service = service
        self.path = path
        self.statuses, self.errors = [], []
        self.is_over = threading.Event()
        kinds = [False] * fresh + [True] * kept
        self.threads = [threading.Thread(target=self._run, args=(keep,), daemon=True) for keep in kinds]

    def _run(self, keep):
        connection = self.service.connect()  # http.client connects anew after an answer with Connection: close
        while not self.is_over.is_set():
            try:
                self.statuses.append(ask(connection, self.path)[0])
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
            if not keep:
                connection.close()
        connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        eventually(lambda: len(self.statuses) > 20, "no answers")
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self.threads)


# Several workers ---------------------------------------------------------------------------------------------------


def test_all_workers_answer_and_sigterm_ends_them():
    with served(count=2) as service:
        seen = set()
        eventually(lambda: seen.add(service.get()[1]) or len(seen) == 2, "one worker only answers")
        assert {int(pid) for pid in seen} == set(service.pids())
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 0
        assert {f"died {pid}" for pid in seen} <= set(service.printed)
        service.assert_quiet()


def test_a_killed_worker_loses_its_own_requests_only():
    with served(count=2, times={"first_delay": 0.05}) as service:
        with Load(service, "/slow?seconds=0.01") as load:
            os.kill(service.pids()[0], signal.SIGKILL)
            service.until("is ready", 3)
            answered = len(load.statuses)
            eventually(lambda: len(load.statuses) > answered + 50, "no answers any more")
        assert set(load.statuses) == {200}
        assert len(load.errors) <= len(load.threads)
        service.until(rf"worker 0 \(pid {service.pids()[0]}\) was killed by SIGKILL .* next start in 0\.05 s")


def test_connections_outlive_a_worker():
    with served(count=1, times={"first_delay": 1.0}) as service:
        os.kill(service.pids()[0], signal.SIGKILL)
        service.until("next start in 1 s")
        assert service.get() == (200, str(service.pids()[-1]))
        assert len(service.pids()) == 2


def test_a_handler_that_kills_its_process_costs_one_request():
    with served(count=1, times={"first_delay": 0.01}) as service:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            service.get("/die")
        assert service.get()[0] == 200


def test_a_stuck_worker_is_replaced():
    with served(count=1, times={"silence": 2.5, "first_delay": 0.01}) as service:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            service.get("/block?seconds=1000")
        assert service.get() == (200, str(service.pids()[-1]))
        service.until(r"worker 0 .* is killed: its event loop has been silent for 2\.5 s")


def test_a_worker_that_never_gets_ready_is_replaced():
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    with served(answers=False, count=1, command=command, times={"start": 0.2, "first_delay": 0.01}) as service:
        service.until(r"is killed: it was not ready within 0\.2 s", 2)


def test_starts_that_fail_are_repeated_with_growing_delays():
    times = {"first_delay": 0.01, "longest_delay": 0.08}
    command = [sys.executable, "-c", "raise SystemExit(7)"]
    with served(answers=False, count=1, command=command, times=times) as service:
        service.until("next start", 6)
    delays = [found[1] for line in service.logged if (found := re.search("exited with code 7 .* in (.*) s", line))]
    assert delays[:6] == ["0.01", "0.02", "0.04", "0.08", "0.08", "0.08"]
    assert len(service.pids()) in (len(delays), len(delays) + 1)


def test_a_command_that_is_missing_is_tried_again():
    with served(answers=False, count=1, command=["/nonexistent"], times={"first_delay": 0.01}) as service:
        service.until("cannot be started: .*No such file", 2)
        service.until(r"next start in 0\.02 s")


def test_delays_double_up_to_a_limit():
    times = workers.Times()
    assert [times.delay(deaths) for deaths in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert times.delay(10_000) == 30


def test_a_rolling_restart_loses_no_request():
    with served(count=2) as service:
        with Load(service) as load:
            for turn in range(3):
                service.process.send_signal(signal.SIGHUP)
                service.until("is ready", 4 + 2 * turn)
                service.until("exited with code 0", 2 + 2 * turn)
        assert load.errors == []
        assert set(load.statuses) == {200}
        assert len(service.pids()) == 8
        assert set(service.living()) == set(service.pids()[-2:])
        assert service.printed.count(f"listening on http://127.0.0.1:{service.port}") == 1
        service.assert_quiet()


def test_a_restart_that_fails_leaves_the_old_workers(tmp_path):
    broken = tmp_path / "broken"
    with served(count=2, broken=str(broken)) as service:
        before = set(service.pids())
        broken.touch()
        with Load(service) as load:
            service.process.send_signal(signal.SIGHUP)
            service.until("exited with code 3 .* the old ones go on")
        assert load.errors == []
        assert set(service.living()) == before


def test_workers_are_not_blamed_for_a_pause_of_all():
    with served(count=1, times={"silence": 2.0}) as service:
        everybody = [*service.pids(), service.process.pid]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        for pid in reversed(everybody):
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.2)
        assert service.get()[0] == 200
        assert len(service.pids()) == 1


def test_sigterm_lets_workers_finish():
    with served(count=2) as service, Load(service, "/slow?seconds=0.2", fresh=0, kept=8) as load:
        kept = [service.connect() for _ in range(6)]
        for connection in kept:
            assert ask(connection)[0] == 200
            connection.request("GET", "/slow?seconds=1.5")
        time.sleep(0.3)
        load.is_over.set()
        service.process.send_signal(signal.SIGTERM)
        for connection in kept:
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
            answer.read()
            connection.close()
        assert service.wait() == 0
        assert load.errors == []
        service.assert_quiet()
        with pytest.raises(ConnectionRefusedError):
            service.get()


def test_signals_to_all_processes_at_once_are_one_order_to_end():
    with served(count=1) as service:
        connection = service.connect()
        connection.request("GET", "/slow?seconds=1")
        time.sleep(0.3)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # as a service manager or a terminal sends them
            os.kill(service.pids()[0], number)
        service.process.send_signal(signal.SIGTERM)
        assert connection.getresponse().status == 200
        connection.close()
        assert service.wait() == 0


def test_a_second_sigterm_ends_all_at_once():
    with served(count=2) as service:
        connection = service.connect()
        connection.request("GET", "/slow?seconds=1000")
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        service.until("draining", 2)
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 128 + signal.SIGTERM
        assert not service.living()
        connection.close()


def test_connections_do_not_wait_for_a_stuck_worker():
    with served(count=2, times={"silence": 30.0}) as service:
        stuck = service.pids()[0]
        os.kill(stuck, signal.SIGSTOP)
        try:
            kept = [service.connect() for _ in range(50)]  # far more than the one that is stopped has
            start = time.monotonic()
            assert {ask(connection)[1] for connection in kept} == {str(service.pids()[1])}
            assert time.monotonic() - start < 10
            for connection in kept:
                connection.close()
        finally:
            os.kill(stuck, signal.SIGCONT)


def test_others_take_the_connections_of_a_worker_that_has_died():
    with served(count=2) as service:
        with Load(service) as load:
            os.kill(service.pids()[0], signal.SIGKILL)  # its place stays empty for a second
            service.until("next start in 1 s")
            answered = len(load.statuses)
            eventually(lambda: len(load.statuses) > answered + 50, "no answers any more")
            service.until("is ready", 3)
            service.process.send_signal(signal.SIGHUP)
            service.until("exited with code 0", 2)
        assert set(load.statuses) == {200}
        assert len(load.errors) <= len(load.threads)


def test_a_worker_that_does_not_end_is_killed():
    with served(count=1, times={"drain": 0.1, "grace": 0.4}) as service:
        connection = service.connect()
        connection.request("GET", "/block?seconds=1000")
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 1
        service.until(r"is killed: it did not end within 0\.5 s")
        connection.close()


@pytest.mark.parametrize("path", ["/", "/slow?seconds=0.5"])
def test_workers_end_with_their_supervisor(path):
    with served(count=2) as service:
        connection = service.connect()
        connection.request("GET", path)
        time.sleep(0.2)
        service.process.kill()
        assert connection.getresponse().status == 200
        connection.close()
        eventually(lambda: not service.living(), "workers are left")
        service.until("the supervisor of worker", 2)


def test_a_stuck_worker_ends_with_its_supervisor():
    with served(count=1, serve={"drain_seconds": 0.1}) as service:
        connection = service.connect()
        connection.request("GET", "/block?seconds=1000")
        time.sleep(0.2)
        service.process.kill()
        eventually(lambda: not service.living(), "the worker is left")
        connection.close()


def open_files(pid):
    names = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            names.append(path.readlink().name)
    return names


def test_workers_inherit_their_own_descriptors_only():
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    with served(count=2) as service:
        for pid in service.living():
            pipes = {target for target in open_files(pid) if target.startswith("pipe:")}
            others = {name for other in service.living() if other != pid for name in open_files(other)}
            standard = {Path(f"/proc/{pid}/fd/{fd}").readlink().name for fd in (1, 2)}
            assert len(pipes - standard) >= 2
            assert not (pipes - standard) & others


# One process -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_process_finishes_what_it_has_admitted(number):
    with served() as service:
        busy, idle = service.connect(), service.connect()
        assert ask(idle)[0] == 200
        busy.request("GET", "/slow?seconds=1")
        assert service.get("/ready")[0] == 200
        service.process.send_signal(number)
        service.until("draining")
        idle.request("GET", "/ready")  # a request that was on its way
        answer = idle.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (503, "close")
        assert busy.getresponse().headers["Connection"] == "close"
        idle.close()
        busy.close()
        assert service.wait() == 0
        service.assert_quiet()


def test_error_answers_say_close_too():
    with served() as service:
        connection = service.connect()
        ask(connection)
        other = service.connect()
        other.request("GET", "/slow?seconds=0.7")
        time.sleep(0.2)
        service.process.send_signal(signal.SIGTERM)
        service.until("draining")
        connection.request("GET", "/missing")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (404, "close")
        connection.close()
        other.close()


def test_idle_connections_do_not_hold_up_the_end():
    with served(serve={"idle_seconds": 0.2, "drain_seconds": 1000}) as service:
        idle = service.connect()
        ask(idle)
        new = socket.create_connection(("127.0.0.1", service.port), PATIENCE)
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 0
        assert new.recv(1) == b""
        new.close()
        idle.close()


def test_a_request_that_takes_too_long_is_cut_off():
    with served(serve={"drain_seconds": 0.3}) as service:
        connection = service.connect()
        connection.request("GET", "/slow?seconds=1000")
        time.sleep(0.2)
        service.process.send_signal(signal.SIGTERM)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            connection.getresponse()
        assert service.wait() == 0
        service.until(r"1 connections are cut off after 0\.3 s")
        assert not [line for line in service.logged if "Traceback" in line or "asyncio" in line]
        connection.close()


def test_a_second_sigterm_ends_one_process_at_once():
    with served() as service:
        connection = service.connect()
        connection.request("GET", "/slow?seconds=1000")
        time.sleep(0.2)
        service.process.send_signal(signal.SIGTERM)
        service.until("draining")
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 128 + signal.SIGTERM
        connection.close()


def test_connections_that_wait_at_the_end_are_answered():
    with served() as service:
        blocking = service.connect()
        blocking.request("GET", "/block?seconds=1")
        time.sleep(0.3)
        waiting = [service.connect() for _ in range(500)]  # more than are accepted between two looks at the signal
        for connection in waiting:
            connection.request("GET", "/")
        service.process.send_signal(signal.SIGTERM)
        assert [connection.getresponse().status for connection in (blocking, *waiting)] == [200] * 501
        for connection in (blocking, *waiting):
            connection.close()
        assert service.wait() == 0


# Parts of the connections ------------------------------------------------------------------------------------------


@contextmanager
def loads_of(places):
    """What so many processes carry; all in this one."""
    file = Loads.create(places)
    try:
        yield [Loads(places, place, file) for place in range(places)]
    finally:
        os.close(file)


def test_servers_take_equal_parts_of_the_connections():
    async def main(loads):
        sockets = serving.listen("127.0.0.1", 0)
        port = sockets[0].getsockname()[1]
        servers = [serving.Server(Application(), loads=each) for each in loads]
        clients = []

        async def connect(count):
            clients.extend([await asyncio.open_connection("127.0.0.1", port) for _ in range(count)])

        async def parts(count):
            async with asyncio.timeout(PATIENCE):
                while sum(each.connections for each in loads if each.connections != CLOSED) != count:
                    await asyncio.sleep(0.01)
            return [each.connections for each in loads]

        for server in servers:
            server.add_sockets([each.dup() for each in sockets])  # a loop tells one reader of a descriptor only
        assert [each.connections for each in loads] == [0, 0, 0]
        await connect(30)
        found = await parts(30)
        assert max(found) - min(found) <= 2

        await servers[2].close_all_connections()
        left = sum(await parts(30 - found[2]))
        await connect(6)  # they are for the one that has none
        assert (await parts(left + 6))[2] >= 5

        await servers[0].drain(0.0, 0.0)
        assert loads[0].connections == CLOSED
        left = sum(each.connections for each in loads[1:])
        await connect(20)
        _, *found = await parts(left + 20)
        assert max(found) - min(found) <= 2

        for _, writer in clients:
            writer.close()
        for server in servers[1:]:
            await server.drain(1.0, 0.0)
        for each in sockets:
            each.close()

    with loads_of(3) as loads:
        asyncio.run(main(loads))


def test_a_connection_that_nobody_else_takes_is_taken():
    async def main(loads):
        loads[1].connections = 0  # and stays so
        sockets = serving.listen("127.0.0.1", 0)
        server = serving.Server(Application(), loads=loads[0])
        server.add_sockets(sockets)
        clients = [await asyncio.open_connection("127.0.0.1", sockets[0].getsockname()[1]) for _ in range(20)]
        async with asyncio.timeout(PATIENCE):
            while loads[0].connections < 20:
                await asyncio.sleep(0.01)
        for _, writer in clients:
            writer.close()
        await server.drain(1.0, 0.0)

    with loads_of(2) as loads:
        asyncio.run(main(loads))


def test_the_place_of_a_process_that_has_ended_counts_no_more():
    with loads_of(4) as loads:
        assert loads[0].fewest_connections() == CLOSED
        assert loads[0].processes_at_work() == 0
        for each, connections, jobs in zip(loads, (5, 3, 4, 7), (1, 2, 0, 1), strict=True):
            each.connections, each.jobs = connections, jobs
        assert loads[3].fewest_connections() == 3
        assert loads[3].processes_at_work() == 3
        loads[0].empty(1)
        assert loads[3].fewest_connections() == 4
        assert loads[3].processes_at_work() == 2


def test_a_process_by_itself_has_the_fewest_connections():
    alone = Loads()
    alone.connections, alone.jobs = 7, 2
    assert (alone.fewest_connections(), alone.processes_at_work()) == (7, 1)


# Listening ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bound():
    """`serving.listen`; what it bound is closed afterwards."""
    made = []

    def listen(*args):
        sockets = serving.listen(*args)
        made.extend(sockets)
        return sockets

    yield listen
    for each in made:
        each.close()


def test_a_port_in_use_is_said_plainly(bound):
    port = bound("127.0.0.1", 0)[0].getsockname()[1]
    with pytest.raises(ServeError, match=rf"^port {port} of 127\.0\.0\.1 is in use: choose another one"):
        serving.listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("name.invalid", 0, "host 'name.invalid' is not known"),
        ("x" * 80, 0, "is not known"),
        ("192.0.2.1", 0, "host '192.0.2.1' is not an address of this machine"),
        ("127.0.0.1", 65536, "port must be from 0 to 65535, got 65536"),
        ("127.0.0.1", -1, "port must be from 0 to 65535, got -1"),
    ],
)
def test_a_wrong_host_or_port_is_said_plainly(host, port, message):
    with pytest.raises(ServeError, match=message):
        serving.listen(host, port)


def test_a_port_that_is_not_for_this_user_is_said_plainly(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(serving, "_bind", refuse)
    with pytest.raises(ServeError, match="port 80 requires privileges"):
        serving.listen("127.0.0.1", 80)


def test_names_and_ipv6_addresses_are_hosts(bound):
    for host in ("localhost", "::1", ""):
        try:
            group = bound(host, 0)
        except ServeError as error:
            if host != "::1":
                raise
            pytest.skip(f"no IPv6 here: {error}")
        shown = urlsplit(serving.url(host, group))
        assert shown.port == group[0].getsockname()[1]
        if host:
            assert shown.hostname == host
        with socket.create_connection((host or "127.0.0.1", shown.port), PATIENCE):
            pass


def test_a_missing_tornado_names_the_packages():
    code = "import sys; sys.modules['tornado'] = None\nimport gpuimg.service.serving"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "ServeError: the service needs tornado" in done.stderr
    assert "pip install tornado cachetools prometheus-client" in done.stderr
