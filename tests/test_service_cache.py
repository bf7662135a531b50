"""Answers by content: what is kept, what is shared in flight, and a Redis that may fail in any way."""

import asyncio
import doctest
import gc
import hashlib
import logging
import random
import shutil
import signal
import socket
import subprocess
import time
import weakref
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from gpuimg.service import cache, remote
from gpuimg.service.cache import ENTRY_BYTES, Answer, Cache
from gpuimg.service.remote import CONNECTIONS, FAILURES, PREFIX, RATE, TOO_LARGE, Redis, frame, unframe

ANSWER = Answer(b"\x89PNG and some pixels", "image/png")
PASSWORD = "p@ss/w#rd: %20?"
QUOTED = "p%40ss%2Fw%23rd%3A%20%2520%3F"
PATIENCE = 20.0  # seconds for what takes milliseconds on a machine with nothing else to do


def run(main):
    """Run a coroutine; errors that nobody retrieves and tasks that are left over fail the test."""
    lost = []

    async def watched():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
        async with asyncio.timeout(3 * PATIENCE):
            await main()
        gc.collect()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watched())
    gc.collect()
    assert lost == []


class Maker:
    """Computes an answer when it is allowed to, and counts."""

    def __init__(self, answer=ANSWER, *, is_free=True):
        self.answer = answer
        self.calls = 0
        self.running = 0
        self.go = asyncio.Event()
        if is_free:
            self.go.set()

    async def __call__(self):
        self.calls += 1
        self.running += 1
        try:
            await self.go.wait()
            if isinstance(self.answer, BaseException):
                raise self.answer
            return self.answer
        finally:
            self.running -= 1


async def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "did not happen"
        await asyncio.sleep(0.005)


def answers(count):
    return [Answer(bytes([i]) * 600, "image/png") for i in range(count)]


@pytest.mark.parametrize("module", [cache, remote])
def test_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert result.failed == 0


# --- in memory


def test_a_key_depends_on_everything(monkeypatch):
    digest = hashlib.sha256(b"image").digest()
    names = [
        cache.key(digest, "sobel", "image/png"),
        cache.key(hashlib.sha256(b"other").digest(), "sobel", "image/png"),
        cache.key(digest, "invert", "image/png"),
        cache.key(digest, "sobel", "image/tiff"),
        cache.key(digest, "sobelimage", "/png"),
    ]
    monkeypatch.setattr(cache, "__version__", "0.0.1")
    names.append(cache.key(digest, "sobel", "image/png"))
    assert len(set(names)) == len(names)
    assert all(len(name) == 64 for name in names)


def test_what_was_made_is_a_hit():
    async def main():
        kept, make = Cache(10_000), Maker()
        assert await kept.get_or_make("a", make) == (ANSWER, "made")
        assert await kept.get_or_make("a", make) == (ANSWER, "hit")
        assert make.calls == 1
        assert kept.used == len(ANSWER.body) + ENTRY_BYTES

    run(main)


def test_the_least_recently_used_is_dropped():
    async def main():
        kept = Cache(4 * (600 + ENTRY_BYTES))
        for name, answer in zip("abcd", answers(4), strict=True):
            await kept.get_or_make(name, Maker(answer))
        assert (await kept.get_or_make("a", Maker()))[1] == "hit"
        assert await kept.get_or_make("e", Maker(answers(5)[4])) == (answers(5)[4], "made")
        assert kept.used <= 4 * (600 + ENTRY_BYTES)
        found = {name: (await kept.get_or_make(name, Maker()))[1] for name in "acdeb"}
        assert found == {"a": "hit", "c": "hit", "d": "hit", "e": "hit", "b": "made"}

    run(main)


@pytest.mark.parametrize(("extra", "second"), [(0, "hit"), (1, "made")])
def test_more_than_a_quarter_is_not_kept(extra, second):
    async def main():
        kept = Cache(4 * (600 + ENTRY_BYTES))
        make = Maker(Answer(bytes(600 + extra), "image/png"))
        assert (await kept.get_or_make("a", make))[1] == "made"
        assert await kept.get_or_make("a", make) == (make.answer, second)

    run(main)


def test_without_memory_requests_still_join():
    async def main():
        kept, make = Cache(0), Maker(is_free=False)
        tasks = [asyncio.create_task(kept.get_or_make("a", make)) for _ in range(3)]
        await until(lambda: make.running)
        make.go.set()
        assert [how for _, how in await asyncio.gather(*tasks)] == ["made", "joined", "joined"]
        assert (await kept.get_or_make("a", make))[1] == "made"
        assert make.calls == 2
        assert kept.used == 0

    run(main)


def test_nbytes_must_not_be_negative():
    with pytest.raises(ValueError, match="nbytes must not be negative, got -1"):
        Cache(-1)


# --- in flight


def test_an_error_goes_to_all_and_is_not_kept():
    async def main():
        kept, make = Cache(10_000), Maker(ValueError("sigma"), is_free=False)
        tasks = [asyncio.create_task(kept.get_or_make("a", make)) for _ in range(4)]
        await until(lambda: make.running)
        make.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found == [make.answer] * 4
        assert make.calls == 1
        assert kept.used == 0
        assert await kept.get_or_make("a", Maker()) == (ANSWER, "made")

    run(main)


@pytest.mark.parametrize("error", [ValueError, StopIteration])
def test_an_error_that_nobody_else_waits_for(error):
    def make():
        raise error("at once")

    async def main():
        kept = Cache(10_000)
        with pytest.raises((ValueError, RuntimeError)):
            await kept.get_or_make("a", make)
        assert await kept.get_or_make("a", Maker()) == (ANSWER, "made")

    run(main)


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_frees_the_picture_at_once(count):
    class Picture:
        pass

    async def main():
        kept, freed = Cache(0), []

        async def ask():
            picture = Picture()
            freed.append(weakref.ref(picture))

            async def make():
                await asyncio.sleep(0.01)
                raise ValueError(f"{picture} is no picture")

            with suppress(ValueError):
                await kept.get_or_make("a", make)

        await asyncio.gather(*(ask() for _ in range(count)))
        assert [picture() for picture in freed] == [None] * count

    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()


def test_the_next_one_computes_in_place_of_a_cancelled_one():
    async def main():
        kept, makers = Cache(10_000), [Maker(is_free=False) for _ in range(4)]
        tasks = [asyncio.create_task(kept.get_or_make("a", make)) for make in makers]
        await until(lambda: makers[0].running)
        tasks[0].cancel()
        await until(lambda: makers[1].running)
        tasks[1].cancel()
        await until(lambda: makers[2].running)
        makers[2].go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in found[:2])
        assert found[2:] == [(ANSWER, "made"), (ANSWER, "joined")]
        assert [make.calls for make in makers] == [1, 1, 1, 0]

    run(main)


def test_who_waits_may_be_cancelled():
    async def main():
        kept, make = Cache(10_000), Maker(is_free=False)
        tasks = [asyncio.create_task(kept.get_or_make("a", make)) for _ in range(3)]
        await until(lambda: make.running)
        tasks[1].cancel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await kept.get_or_make("a", make)
        make.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [found[0], found[2]] == [(ANSWER, "made"), (ANSWER, "joined")]
        assert isinstance(found[1], asyncio.CancelledError)
        assert make.calls == 1

    run(main)


def test_all_may_be_cancelled():
    async def main():
        kept, make = Cache(10_000), Maker(is_free=False)
        tasks = [asyncio.create_task(kept.get_or_make("a", make)) for _ in range(3)]
        await until(lambda: make.running)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in found)
        assert make.calls == 1
        assert await kept.get_or_make("a", Maker()) == (ANSWER, "made")

    run(main)


def test_a_computation_that_was_stopped_is_begun_again_by_the_next():
    async def main():
        kept, stopped, make = Cache(10_000), Maker(asyncio.CancelledError(), is_free=False), Maker()
        tasks = [asyncio.create_task(kept.get_or_make("a", each)) for each in (stopped, make)]
        await until(lambda: stopped.running)
        stopped.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1] == (ANSWER, "made")

    run(main)


@pytest.mark.parametrize("seed", range(5))
def test_cancelled_at_any_time(seed):
    rng = random.Random(seed)

    async def main():
        kept, running = Cache(0), dict.fromkeys("abc", 0)

        async def ask(name):
            async def make():
                running[name] += 1
                assert running[name] == 1, "computed twice at the same time"
                try:
                    for _ in range(rng.randrange(4)):
                        await asyncio.sleep(0)
                finally:
                    running[name] -= 1
                return Answer(name.encode(), "image/png")

            for _ in range(rng.randrange(10)):
                await asyncio.sleep(0)
            answer, _ = await kept.get_or_make(name, make)
            assert answer.body == name.encode()

        tasks = [asyncio.create_task(ask(rng.choice("abc"))) for _ in range(200)]
        victims = rng.sample(tasks, 100)
        for victim in victims:
            if rng.random() < 0.3:
                await asyncio.sleep(0)
            victim.cancel()
        for task in tasks:
            if task in victims:
                with suppress(asyncio.CancelledError):
                    await task
            else:
                await task

    run(main)


# --- with a Redis


class Server:
    """A Redis server of our own on a free port."""

    def __init__(self, folder, *options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--appendonly", "no", "--loglevel", "warning", *options]
        self.client = redis.Redis(port=self.port, password=PASSWORD if "--requirepass" in options else None)
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.client.ping()
                return
            except redis.ConnectionError:
                assert self.process.poll() is None, "redis-server ended"
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.client.close()

    def signal(self, number):
        self.process.send_signal(number)

    def lock_of(self, name):
        return self.client.get(f"{PREFIX}{name}:lock")


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture
def server(shared_server):
    shared_server.client.flushall()
    return shared_server


@pytest.fixture
def own_server(tmp_path, request):
    """One that a test may break."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    server = Server(tmp_path, *getattr(request, "param", ()))
    yield server
    server.close()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "gpuimg")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "gpuimg"]


@asynccontextmanager
async def cache_at(url, nbytes=0, **options):
    """A cache with a Redis, and the time to reach it on a busy machine."""
    kept = Cache(nbytes, Redis(url, **{"timeout": 2.0, **options}))
    try:
        yield kept
    finally:
        await kept.close()


def counted(kept):
    """The list that every command to come is added to."""
    commands, attempt = [], kept._remote._attempt

    async def count(ticket, command, limit):
        commands.append(command[0])
        return await attempt(ticket, command, limit)

    kept._remote._attempt = count
    return commands


async def settled(kept):
    await until(lambda: not kept._tasks)


def test_another_worker_finds_what_was_made(server):
    async def main():
        async with cache_at(server.url, seconds=100) as one, cache_at(server.url, nbytes=10_000) as two:
            assert await one.get_or_make("a", Maker()) == (ANSWER, "made")
            await settled(one)
            assert await two.get_or_make("a", Maker()) == (ANSWER, "remote")
            assert await two.get_or_make("a", Maker()) == (ANSWER, "hit")
            assert await one.get_or_make("a", Maker()) == (ANSWER, "remote")
            assert 50_000 < server.client.pttl(PREFIX + "a") <= 100_000
            assert server.client.keys() == [f"{PREFIX}a".encode()]

    run(main)


def test_a_found_answer_costs_two_commands_and_a_made_one_five(server):
    async def main():
        async with cache_at(server.url) as kept:
            commands = counted(kept)
            await kept.get_or_make("a", Maker())
            await settled(kept)
            assert commands == ["STRLEN", "SET", "STRLEN", "SET", "EVAL"]
            await kept.get_or_make("a", Maker())
            assert commands[5:] == ["STRLEN", "GET"]

    run(main)


def test_looking_up_computes_nothing(server):
    async def main():
        async with cache_at(server.url, nbytes=10_000) as one, cache_at(server.url, nbytes=10_000) as two:
            assert await one.get("a") is None
            await one.get_or_make("a", Maker())
            await settled(one)
            commands = counted(one), counted(two)
            assert await one.get("a") == await two.get("a") == await two.get("a") == ANSWER
            assert commands == ([], ["STRLEN", "GET"])
            server.client.set(f"{PREFIX}b:lock", "busy")
            assert await one.get("b") is None
            server.client.set(PREFIX + "b", TOO_LARGE)
            assert await one.get("b") is None

    run(main)


def test_closing_waits_for_what_is_being_sent(server):
    async def main():
        async with cache_at(server.url) as kept:
            await kept.get_or_make("a", Maker(Answer(bytes(3_000_000), "image/tiff")))
        assert unframe(PREFIX + "a", server.client.get(PREFIX + "a")) == (bytes(3_000_000), "image/tiff")
        assert await kept.get_or_make("a", Maker()) == (ANSWER, "made")
        await kept.close()
        await until(lambda: server.client.info("clients")["connected_clients"] == 1)

    run(main)


def test_requests_in_flight_may_outlive_the_cache(server):
    async def main():
        async with cache_at(server.url) as kept:
            make = Maker(is_free=False)
            task = asyncio.create_task(kept.get_or_make("a", make))
            await until(lambda: make.running)
        make.go.set()
        assert await task == (ANSWER, "made")
        await settled(kept)

    run(main)


@pytest.mark.parametrize("size", [1000, 1001])
def test_nobody_waits_for_an_answer_that_is_too_large(server, size):
    async def main():
        make = Maker(Answer(bytes(size), "image/png"), is_free=False)
        options = {"max_bytes": 1000, "lock_seconds": 60.0}
        async with cache_at(server.url, **options) as one, cache_at(server.url, **options) as two:
            tasks = [asyncio.create_task(each.get_or_make("a", make)) for each in (one, two)]
            await until(lambda: make.running)
            make.go.set()
            found = [how for _, how in await asyncio.gather(*tasks)]
            await settled(one)
            if size > 1000:
                assert found == ["made", "made"]
                assert server.client.get(PREFIX + "a") == TOO_LARGE
                commands = counted(one)
                await one.get_or_make("a", make)
                await settled(one)
                assert commands == ["STRLEN", "GET"]
            else:
                assert sorted(found) == ["made", "remote"]

    run(main)


@given(st.data())
def test_a_damaged_value_is_no_answer(data):
    value = frame("a", ANSWER)
    assert unframe("a", value) == ANSWER
    assert unframe("b", value) is None
    damaged = bytearray(value)
    damaged[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    assert unframe("a", bytes(damaged)) is None
    assert unframe("a", value[: data.draw(st.integers(0, len(value) - 1))]) is None
    assert unframe("a", value + data.draw(st.binary(min_size=1))) is None
    assert unframe("a", data.draw(st.binary(max_size=100))) is None


@pytest.mark.parametrize("other", [None, 1, True, "text", ["list"], b""])
def test_another_type_is_no_answer(other):
    assert unframe("a", other) is None


@pytest.mark.parametrize("answer", [Answer(b"", "image/png"), Answer(b"pixels", "")])
def test_parts_of_an_answer_may_be_empty(answer):
    assert unframe("a", frame("a", answer)) == answer


FOREIGN = {
    "damaged": lambda client, name: client.set(name, frame(name, ANSWER)[:-1] + b"?"),
    "another key's": lambda client, name: client.set(name, frame("other", ANSWER)),
    "text": lambda client, name: client.set(name, "hello"),
    "list": lambda client, name: client.rpush(name, "hello"),
    "hash": lambda client, name: client.hset(name, "hello", "world"),
    "huge": lambda client, name: client.setrange(name, 100_000_000, "x"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_value_is_replaced(server, said, kind):
    FOREIGN[kind](server.client, PREFIX + "a")
    sent = server.client.info("stats")["total_net_output_bytes"]

    async def main():
        async with cache_at(server.url, max_bytes=10_000) as kept:
            assert await kept.get_or_make("a", Maker()) == (ANSWER, "made")
            await settled(kept)
            assert await kept.get_or_make("a", Maker()) == (ANSWER, "remote")
            assert kept._remote.is_up

    run(main)
    assert server.client.info("stats")["total_net_output_bytes"] - sent < 1_000_000
    assert said() == []


def test_large_values_get_more_time(server, monkeypatch):
    limits, attempt = {}, Redis._attempt

    async def noted(self, ticket, command, limit):
        limits[command[0]] = limit
        return await attempt(self, ticket, command, limit)

    monkeypatch.setattr(Redis, "_attempt", noted)

    async def main():
        async with cache_at(server.url, timeout=1.0, max_bytes=int(2 * RATE)) as kept:
            make = Maker(Answer(bytes(int(2 * RATE)), "image/tiff"))
            await kept.get_or_make("a", make)
            await settled(kept)
            assert await kept.get_or_make("a", make) == (make.answer, "remote")

    run(main)
    assert limits["STRLEN"] == limits["EVAL"] == 1.0
    assert limits["SET"] == limits["GET"] == pytest.approx(3.0, rel=1e-3)


def test_many_large_answers_at_once(server, said):
    found = {str(i): Answer(bytes([i]) * 2_000_000, "image/tiff") for i in range(2 * CONNECTIONS)}

    async def main():
        async with cache_at(server.url) as kept:
            for name, answer in found.items():
                await kept.get_or_make(name, Maker(answer))
            await settled(kept)
            again = await asyncio.gather(*(kept.get_or_make(name, Maker()) for name in found))
            assert again == [(answer, "remote") for answer in found.values()]

    run(main)
    assert said() == []


# --- the lock


def test_two_workers_compute_once(server):
    async def main():
        make = Maker(is_free=False)
        async with cache_at(server.url, lock_seconds=60) as one, cache_at(server.url, lock_seconds=60) as two:
            commands = counted(one), counted(two)
            tasks = [asyncio.create_task(each.get_or_make("a", make)) for each in (one, two) for _ in range(3)]
            await until(lambda: sum(map(len, commands)) > 12)
            assert make.calls == 1
            make.go.set()
            found = sorted(how for _, how in await asyncio.gather(*tasks))
            assert found == ["joined"] * 4 + ["made", "remote"]
            assert make.calls == 1
            await settled(one)
            await settled(two)
            assert server.lock_of("a") is None

    run(main)


def test_the_lock_of_a_worker_that_died_expires(server):
    server.client.set(f"{PREFIX}a:lock", "dead", px=300)
    owners = []

    async def make():
        owners.append(server.lock_of("a"))
        return ANSWER

    async def main():
        async with cache_at(server.url, lock_seconds=60) as kept:
            assert await kept.get_or_make("a", make) == (ANSWER, "made")

    run(main)
    assert len(owners) == 1
    assert owners[0] not in (None, b"dead")


@pytest.mark.parametrize("how", ["error", "cancelled"])
def test_a_worker_that_fails_lets_its_lock_go(server, how):
    async def main():
        async with cache_at(server.url, lock_seconds=60) as one, cache_at(server.url, lock_seconds=60) as two:
            failing = Maker(ValueError("sigma"), is_free=False)
            first = asyncio.create_task(one.get_or_make("a", failing))
            await until(lambda: failing.running)
            commands = counted(two)
            second = asyncio.create_task(two.get_or_make("a", Maker()))
            await until(lambda: len(commands) > 4)
            if how == "error":
                failing.go.set()
            else:
                first.cancel()
            with pytest.raises((ValueError, asyncio.CancelledError)):
                await first
            assert await second == (ANSWER, "made")

    run(main)


def test_waiting_for_another_worker_ends(server):
    server.client.set(f"{PREFIX}a:lock", "busy")

    async def main():
        async with cache_at(server.url, lock_seconds=0.2) as kept:
            assert await kept.get_or_make("a", Maker()) == (ANSWER, "made")
            await settled(kept)
            assert server.lock_of("a") == b"busy"
            assert await kept.get_or_make("a", Maker()) == (ANSWER, "remote")

    run(main)


def test_a_lock_of_another_type_is_left_alone(server, said):
    server.client.rpush(f"{PREFIX}a:lock", "list")

    async def main():
        async with cache_at(server.url, lock_seconds=0.1) as kept:
            assert await kept.get_or_make("a", Maker()) == (ANSWER, "made")

    run(main)
    assert server.client.lrange(f"{PREFIX}a:lock", 0, -1) == [b"list"]
    assert said() == []


def test_a_lock_that_another_took_over_is_not_deleted(server):
    async def make():
        assert server.lock_of("a") is not None
        server.client.set(f"{PREFIX}a:lock", "another's")
        return ANSWER

    async def main():
        async with cache_at(server.url) as kept:
            await kept.get_or_make("a", make)

    run(main)
    assert server.lock_of("a") == b"another's"


def test_who_waits_for_another_worker_may_be_cancelled(server):
    server.client.set(f"{PREFIX}a:lock", "busy")

    async def main():
        async with cache_at(server.url, lock_seconds=60) as kept:
            commands = counted(kept)
            task = asyncio.create_task(kept.get_or_make("a", Maker()))
            await until(lambda: len(commands) > 4)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert server.lock_of("a") == b"busy"

    run(main)


def test_a_cancelled_request_does_not_cost_a_connection(server):
    async def main():
        async with cache_at(server.url) as kept:
            await asked(kept, 1)
            await settled(kept)
            before = server.client.info("stats")["total_connections_received"]
            for _ in range(3):
                server.client.client_pause(100)
                task = asyncio.create_task(kept.get_or_make("a", Maker()))
                await until(lambda: kept._remote._commands)
                await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda: not kept._remote._commands)
            await asked(kept, 1)
            assert server.client.info("stats")["total_connections_received"] == before

    run(main)


def test_closing_waits_for_the_command_of_a_cancelled_request(server, said):
    async def main():
        async with cache_at(server.url) as kept:
            await asked(kept, 1)
            await settled(kept)
            commands = kept._remote._commands
            server.client.client_pause(100)
            task = asyncio.create_task(kept.get_or_make("a", Maker()))
            await until(lambda: commands)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not commands

    run(main)
    assert said() == []


def test_cancelled_requests_leave_connections_in_order(server):
    rng = random.Random(1)

    async def main():
        async with cache_at(server.url, lock_seconds=0.2) as kept:

            async def ask():
                name = rng.choice("abcdefgh")
                answer = Answer(name.encode() * 1000, "image/png")
                assert (await kept.get_or_make(name, Maker(answer)))[0] == answer

            for _ in range(20):
                tasks = [asyncio.create_task(ask()) for _ in range(40)]
                for task in rng.sample(tasks, 20):
                    await asyncio.sleep(0.0003 * rng.random())
                    task.cancel()
                for found in await asyncio.gather(*tasks, return_exceptions=True):
                    assert found is None or isinstance(found, asyncio.CancelledError)
            await settled(kept)
            await until(lambda: not kept._remote._commands)
            assert not kept._remote._pool._in_use_connections
            assert kept._remote.is_up

    run(main)


# --- a Redis that fails


async def asked(kept, count):
    """Ask for answers that nobody has; all must be right."""
    for i in range(count):
        answer = Answer(str(i).encode(), "image/png")
        assert await kept.get_or_make(f"new {i} {random.random()}", Maker(answer)) == (answer, "made")


async def works_again(kept):
    await asked(kept, 1)
    await settled(kept)
    end = time.monotonic() + PATIENCE
    while (await kept.get_or_make("again", Maker()))[1] != "remote":
        assert time.monotonic() < end, "Redis is not used again"
        await asyncio.sleep(0.05)
    await settled(kept)


def test_killed_and_started_again(own_server, said):
    async def main():
        async with cache_at(own_server.url) as kept:
            await works_again(kept)
            own_server.kill()
            commands = counted(kept)
            await asked(kept, 30)
            assert FAILURES <= len(commands) < 15
            assert not kept._remote.is_up
            own_server.start()
            await works_again(kept)
            assert kept._remote.is_up

    run(main)
    down, up = said()
    assert down.startswith(f"Redis at 127.0.0.1:{own_server.port} is left alone for a while: ConnectionError")
    assert up == f"Redis at 127.0.0.1:{own_server.port} works again"


def test_never_started(said):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        async def main():
            async with cache_at(f"redis://127.0.0.1:{taken.getsockname()[1]}") as kept:
                await asyncio.gather(*(asked(kept, 1) for _ in range(50)))
                await asked(kept, 10)

        run(main)
    assert len(said()) == 1


def test_stopped_and_continued(own_server, said):
    timeout = 0.2

    async def main():
        async with cache_at(own_server.url, timeout=timeout) as kept:
            await works_again(kept)
            own_server.signal(signal.SIGSTOP)
            try:
                commands = counted(kept)
                for i in range(FAILURES):
                    begin = time.monotonic()
                    await asked(kept, 1)
                    assert len(commands) == i + 1, "one time-out a request"
                    assert time.monotonic() - begin < 20 * timeout
                assert not kept._remote.is_up
                await asyncio.gather(*(asked(kept, 1) for _ in range(100)))
                assert len(commands) <= FAILURES + 1, "only one tries again"
            finally:
                own_server.signal(signal.SIGCONT)
            await works_again(kept)

    run(main)
    assert [line.split(" ", 3)[3] for line in said()] == ["is left alone for a while: TimeoutError", "works again"]


def test_stopped_while_many_ask(own_server):
    async def main():
        async with cache_at(own_server.url, timeout=0.1) as kept:
            await works_again(kept)
            own_server.signal(signal.SIGSTOP)
            try:
                commands = counted(kept)
                await asyncio.gather(*(asked(kept, 1) for _ in range(100)))
                await settled(kept)
                assert FAILURES <= len(commands) <= 2 * CONNECTIONS, "who waits for a connection gives up too"
            finally:
                own_server.signal(signal.SIGCONT)
            await works_again(kept)

    run(main)


def test_full(own_server, said):
    async def main():
        async with cache_at(own_server.url, nbytes=0) as kept:
            await works_again(kept)
            own_server.client.config_set("maxmemory", 1)
            commands = counted(kept)
            await asked(kept, 5)
            assert commands == ["STRLEN", "SET"] * 5
            await asyncio.gather(*(asked(kept, 1) for _ in range(2 * FAILURES)))
            assert await kept.get_or_make("again", Maker()) == (ANSWER, "remote")
            assert kept._remote.is_up
            own_server.client.config_set("maxmemory", 0)
            await asked(kept, 1)
            await settled(kept)

    run(main)
    assert [line.split(" ", 3)[3] for line in said()] == [
        "keeps no more answers: OutOfMemoryError",
        "keeps answers again",
    ]


def test_full_while_computing(own_server, said):
    async def main():
        async with cache_at(own_server.url) as kept:
            make = Maker(is_free=False)
            task = asyncio.create_task(kept.get_or_make("a", make))
            await until(lambda: make.running)
            own_server.client.config_set("maxmemory", 1)
            make.go.set()
            assert await task == (ANSWER, "made")
            await settled(kept)
            assert own_server.client.keys() == [], "the lock is let go all the same"

    run(main)
    assert len(said()) == 1


def test_read_only(own_server, said):
    async def main():
        async with cache_at(own_server.url) as kept:
            await works_again(kept)
            own_server.client.replicaof("127.0.0.1", 1)
            await asked(kept, 5)
            assert await kept.get_or_make("again", Maker()) == (ANSWER, "remote")
            await settled(kept)

    run(main)
    assert [line.split(" ", 3)[3] for line in said()] == ["keeps no more answers: ReadOnlyError"]


@pytest.mark.parametrize("own_server", [("--requirepass", PASSWORD)], indirect=True)
@pytest.mark.parametrize("user", ["", f":{QUOTED}@", "default:wr%20ong@"])
def test_a_password(own_server, said, user):
    async def main():
        async with cache_at(f"redis://{user}127.0.0.1:{own_server.port}/3") as kept:
            if QUOTED in user:
                await works_again(kept)
                own_server.client.config_set("requirepass", "changed")
                own_server.client.client_kill_filter(_type="normal", skipme=True)
            await asked(kept, FAILURES + 3)
            assert not kept._remote.is_up

    run(main)
    (line,) = said()
    assert line == f"Redis at 127.0.0.1:{own_server.port} is left alone for a while: AuthenticationError"


@pytest.mark.parametrize(
    "url",
    [
        "http://secret@host",
        "redis://:secret/more@host",
        "redis://:12/34secret@host:6379",
        "redis://:secret#more@host",
        "redis://:#secret",
        "redis://:secret?more@host",
        "redis://user:pass@host:secret",
        "redis://host?secret=1",
        "redis://host?socket_timeout=secret",
        "redis://[secret",
        "redis://secret\u2100@host",
        "secret",
        "",
    ],
)
def test_a_wrong_url_is_not_repeated(url):
    with pytest.raises(ValueError, match=r"^url must be redis://, rediss:// or unix://") as caught:
        Redis(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_url_does_not_change_what_gpuimg_relies_on():
    found = Redis(
        "redis://host/2?decode_responses=true&retry_on_timeout=yes&max_connections=9&protocol=3&socket_timeout=9"
    )
    options = found._pool.connection_kwargs
    assert (found.address, options["db"]) == ("host:6379", 2)
    assert (options["decode_responses"], options["protocol"], options["socket_timeout"]) == (False, 2, None)
    assert options["retry"]._retries == 0
    assert Redis("unix:///run/redis.sock?password=secret").address == "/run/redis.sock"


@pytest.mark.parametrize("name", ["seconds", "timeout", "lock_seconds"])
@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_times_must_be_positive(name, value):
    with pytest.raises(ValueError, match=f"{name} must be positive and finite, got {value}"):
        Redis("redis://host", **{name: value})


def test_max_bytes_must_not_be_negative():
    with pytest.raises(ValueError, match="max_bytes must not be negative, got -1"):
        Redis("redis://host", max_bytes=-1)


RUBBISH = {
    "nothing": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "ok": b"+OK\r\n",
    "number": b":1\r\n",
    "large number": b":999999\r\n",
    "strings": b"$5\r\nhello\r\n" * 3,
    "huge": b"$999999999999\r\n",
    "negative": b"$-7\r\n*-7\r\n",
    "no number": b"$x\r\n:y\r\n",
    "nested": b"*1\r\n" * 5000,
    "long array": b"*100000000\r\n",
    "error": b"-ERR unknown\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "moved": b"-MOVED 1 127.0.0.1:1\r\n",
    "zeros": bytes(5000),
    "another's answer": b"$%d\r\n%b\r\n" % (len(frame("other", ANSWER)), frame("other", ANSWER)),
}


@pytest.mark.parametrize("user", ["", "name:secret@"])
@pytest.mark.parametrize("kind", RUBBISH)
def test_a_server_that_answers_rubbish(said, kind, user):
    async def serve(reader, writer):
        with suppress(ConnectionError):
            while RUBBISH[kind] and await reader.read(1 << 16):
                writer.write(RUBBISH[kind])
                await writer.drain()
        writer.close()

    async def main():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            async with cache_at(f"redis://{user}127.0.0.1:{port}", timeout=0.1, lock_seconds=0.05) as kept:
                await asked(kept, 8)
                await asyncio.gather(*(asked(kept, 1) for _ in range(8)))
        await asyncio.sleep(0.01)

    run(main)
    assert len(said()) <= 1
    assert not any("secret" in line for line in said())


def test_a_server_that_repeats_what_it_was_sent(said):
    async def serve(reader, writer):
        while sent := await reader.read(1 << 16):
            writer.write(b"-ERR " + sent.replace(b"\r\n", b" ") + b"\r\n")
        writer.close()

    async def main():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            async with cache_at(f"redis://:secret@127.0.0.1:{port}", timeout=0.1) as kept:
                await asked(kept, 8)
        await asyncio.sleep(0.01)

    run(main)
    assert len(said()) == 1
    assert "secret" not in said()[0]


# --- the breaker


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(remote, "time", clock)
    return clock


def opened(breaker):
    for _ in range(FAILURES):
        ticket = breaker.enter()
        begins = breaker.fail(ticket)
    assert begins
    return breaker


def test_few_failures_do_not_open_the_breaker(clock):
    breaker = remote._Breaker()
    for _ in range(5):
        for _ in range(FAILURES - 1):
            assert not breaker.fail(breaker.enter())
        assert not breaker.succeed(breaker.enter())
    assert not breaker.is_open


def test_one_attempt_a_rest_and_rests_grow(clock):
    breaker, rests = opened(remote._Breaker()), []
    for _ in range(12):
        begin = clock.now
        while (ticket := breaker.enter()) is None:
            clock.now += 0.01
        rests.append(clock.now - begin)
        assert breaker.enter() is None, "the others wait for what it finds"
        assert not breaker.fail(ticket)
    assert all(later > 0.9 * sooner for sooner, later in pairwise(rests[:6]))
    assert rests[0] <= remote.FIRST_REST + 0.02
    assert remote.LONGEST_REST / 2 <= rests[-1] <= remote.LONGEST_REST + 0.02
    ticket = None
    while ticket is None:
        clock.now += 1.0
        ticket = breaker.enter()
    assert breaker.succeed(ticket)
    assert not breaker.is_open
    assert breaker.enter() is not None


def test_an_attempt_that_is_lost_is_followed_by_another(clock):
    breaker = opened(remote._Breaker())
    clock.now += 1.0
    assert breaker.enter() is not None
    assert breaker.enter() is None
    clock.now += 1.0
    ticket = breaker.enter()
    assert ticket is not None
    assert breaker.succeed(ticket)


def test_failures_at_the_same_time_count_as_one_rest(clock):
    breaker = remote._Breaker()
    tickets = [breaker.enter() for _ in range(100)]
    assert [breaker.fail(ticket) for ticket in tickets].count(True) == 1
    clock.now += remote.FIRST_REST
    assert breaker.enter() is not None
    assert not breaker.succeed(tickets[0]), "an old success says nothing"
    assert breaker.is_open
