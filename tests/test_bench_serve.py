"""The service's load benchmark: when requests leave, what is counted, and how it is shown."""

import asyncio
import math
import sys
from itertools import islice, repeat
from pathlib import Path

import pytest

pytest.importorskip("tornado", reason="Tornado is not installed")
pytest.importorskip("psutil", reason="psutil is not installed")
pytest.importorskip("resource", reason="it raises limits as POSIX has them")

from tests.service import running

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def bench(monkeypatch):
    """bench/serve.py, which imports what is beside it as scripts do."""
    monkeypatch.syspath_prepend(str(BENCH))
    import serve

    yield serve
    for name in [name for name in sys.modules if name in ("serve", "measuring") or name.startswith("serve_")]:
        del sys.modules[name]


def service():
    from gpuimg.service.core import Service

    return Service()


def outcome(bench, status, seconds=0.1, planned=0.0, **more):
    return bench.Outcome(bench.Asked(b"", (), "*/*", 2.0, "200 right", work=4.0), status, planned, seconds, **more)


def test_requests_leave_at_the_rate_that_is_asked_for(bench):
    times = bench.arrivals(50.0, 100.0, seed=3)
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 100
    assert len(times) == pytest.approx(5000, rel=0.1)
    assert times == bench.arrivals(50.0, 100.0, seed=3) != bench.arrivals(50.0, 100.0, seed=4)


def test_requests_leave_before_earlier_ones_are_answered(bench):
    """All three wait for each other; latency counts from the planned time."""

    class Waiting(bench.Client):
        under_way = 0

        async def ask(self, asked, planned=None):
            self.under_way += 1
            while self.under_way < 3:
                await asyncio.sleep(0)
            return bench.Outcome(asked, 200, planned, 0.0)

    found = asyncio.run(bench.open_loop(Waiting(0), repeat("a request"), [0.0, 0.001, 0.003], 1.0))
    start = found[0].planned
    assert [round(each.planned - start, 6) for each in found] == [0.0, 0.001, 0.003]


def test_what_is_not_answered_in_time_is_lost(bench):
    async def receive(reader, writer):
        await reader.read()
        writer.close()

    async def main():
        server = await asyncio.start_server(receive, "127.0.0.1", 0)
        async with server:
            client = bench.Client(server.sockets[0].getsockname()[1])
            asked = bench.Asked(b"body", ("invert",), "*/*", 1.0)
            return await bench.open_loop(client, repeat(asked), [0.0, 0.01], 0.1)

    found = asyncio.run(main())
    assert [(each.status, each.error) for each in found] == [(0, "no answer in time")] * 2
    assert bench.counts(found)["lost"] == 2


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.99, 4), (1.0, 4)]
)
def test_percentile_is_one_of_the_values(bench, share, expected):
    assert bench.percentile([3, 1, 4, 2], share) == expected


def test_percentile_of_nothing(bench):
    assert math.isnan(bench.percentile([], 0.5))


def test_counts_tell_refusals_losses_and_failures_apart(bench):
    statuses = [200, 200, 503, 0, 504, 422, 200, 503]
    found = bench.counts([outcome(bench, status) for status in statuses])
    assert found == {"requests": 8, "answered": 3, "refused": 0.25, "lost": 1, "failed": 2}


def test_latency_leaves_refusals_out_and_losses_in(bench):
    found = bench.milliseconds([outcome(bench, 200, 0.2), outcome(bench, 503, 0.001), outcome(bench, 0, 9.0)])
    assert found == {"p50_ms": 200.0, "p99_ms": 9000.0}


def test_throughput_counts_answers_during_the_load(bench):
    within, after = (outcome(bench, 200, planned=10.0, seconds=seconds) for seconds in (4.0, 9.0))
    found = bench.throughput([within, after, outcome(bench, 0, seconds=99.0)], 10.0, 8.0)
    assert found == {"per_second": 0.125, "mp_per_second": 0.25, "work_per_second": 0.5}


def test_a_wrong_answer_is_one_that_differs_and_is_no_refusal(bench):
    given = [(200, "200 right"), (200, "200 other"), (503, "503"), (0, ""), (422, "422")]
    assert [outcome(bench, status, found=found).is_wrong for status, found in given] == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_a_kill_explains_the_requests_that_were_in_the_worker(bench):
    kill = bench.Kill(5.0, 1, {1000})
    assert kill.explains(outcome(bench, 0, planned=4.0, port=1000))
    assert not kill.explains(outcome(bench, 0, planned=4.0, port=1001))
    assert not kill.explains(outcome(bench, 0, planned=6.0, port=1000))


def test_slope_of_a_straight_line(bench):
    assert bench.slope([0.0, 10.0, 20.0], [5.0, 6.0, 7.0]) == pytest.approx(0.1)


def test_tables_have_a_column_a_key(bench):
    rows = [{"event": "all", "p50_ms": 1.23456, "which": ["x"]}, {"event": "b", "lost": 3, "cache": {"hit": 2}}]
    assert bench.table(rows) == [
        "event  p50_ms  lost  cache",
        "all    1.23",
        "b              3     hit:2",
    ]


def test_requests_have_their_shares_and_differ(bench):
    traffic = bench.Traffic(largest=0.1)
    asked = list(islice(traffic.requests(), 100))
    assert len({(each.body, each.steps) for each in asked}) == 100
    assert [(each.body, each.accept) for each in islice(traffic.requests(), 100)] == [
        (each.body, each.accept) for each in asked
    ]
    often = list(islice(traffic.requests(repeats=1.0), 100))
    assert len({(each.body, each.steps) for each in often}) <= bench.HOT
    assert bench.texts([("gaussian", {"sigma": 2, "mode": "wrap"}), ("invert", {})]) == (
        "gaussian:sigma=2,mode=wrap",
        "invert",
    )


def test_every_checked_answer_is_right(bench):
    """The service's answers are what direct calls give, refusals included; another answer is found wrong."""
    pictures = bench.small_pictures()
    requests = [
        bench.checked(pictures[number % len(pictures)], bench.filled(steps, 1.25))
        for number, steps in enumerate(bench.CHECKED * 2)
    ]
    with running(service) as client:
        found = asyncio.run(bench.asked_once(client.port, requests))
        other = [requests[0]._replace(expected=requests[1].expected)]
        wrong = asyncio.run(bench.asked_once(client.port, other))
    assert [bench._described(each) for each in found if each.is_wrong] == []
    assert {each.status for each in found} <= {200, 422}
    assert [each.is_wrong for each in wrong] == [True]
