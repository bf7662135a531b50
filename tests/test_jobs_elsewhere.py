"""Jobs in other loops, and jobs in great numbers."""

import asyncio
import concurrent.futures
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import weakref
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import gpuimg
from gpuimg import stopping
from tests.conftest import assert_no_shared_memory, segments, wait_until

IMAGE = np.random.default_rng(3).integers(0, 256, (90, 70), np.uint8)
LARGE = np.random.default_rng(3).integers(0, 256, (900, 700), np.uint8)


# ---------------------------------------------------------------- loops of others


def tornado():
    """Tornado's loop and its generator coroutines; before 6.6 they never end after a cancelled future."""
    found = pytest.importorskip("tornado", reason="tornado is not installed")
    if found.version_info < (6, 6):
        pytest.skip("tornado is older than 6.6")
    from tornado import gen, ioloop

    return ioloop.IOLoop, gen


def test_native_coroutines_of_tornado():
    IOLoop, _ = tornado()

    async def main():
        job = gpuimg.submit(gpuimg.sobel, IMAGE)
        return await job, await job

    first, second = IOLoop.current().run_sync(main, timeout=60)
    assert first is second
    np.testing.assert_array_equal(first, gpuimg.sobel(IMAGE))


def test_generator_coroutines_of_tornado():
    IOLoop, gen = tornado()

    @gen.coroutine
    def main():
        one = yield gpuimg.submit(gpuimg.invert, IMAGE)
        many = yield [gpuimg.submit(gpuimg.gaussian, IMAGE, sigma=sigma) for sigma in (1, 2)]
        named = yield {"sobel": gpuimg.submit("sobel", IMAGE), "flip": gpuimg.submit("flip", IMAGE, axis=0)}
        try:
            yield gpuimg.submit(gpuimg.gaussian, IMAGE, sigma=-1)
        except ValueError as error:
            return one, many, named, str(error)

    one, many, named, error = IOLoop.current().run_sync(main, timeout=60)
    np.testing.assert_array_equal(one, 255 - IMAGE)
    np.testing.assert_array_equal(many[1], gpuimg.gaussian(IMAGE, 2))
    np.testing.assert_array_equal(named["flip"], IMAGE[::-1])
    assert "sigma must be at least 0" in error


def test_a_generator_coroutine_of_tornado_ends_when_its_job_is_cancelled():
    IOLoop, gen = tornado()

    began = threading.Event()

    def wait(image):
        began.set()
        while True:
            stopping.look()
            time.sleep(0.001)

    @gen.coroutine
    def main():
        job = gpuimg.submit(wait, IMAGE)
        IOLoop.current().call_later(0.02, job.cancel)
        try:
            yield job
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            return "cancelled"

    assert IOLoop.current().run_sync(main, timeout=30) == "cancelled"


def test_jobs_under_uvloop():
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")

    async def main():
        async with gpuimg.Pool(running=2) as pool:
            jobs = [await pool.submit_async("gaussian", IMAGE, sigma=sigma) for sigma in (1, 2, 3)]
            results = await asyncio.gather(*jobs)
            found = [int(result[0, 0]) async for result in gpuimg.stream([IMAGE] * 5, "invert", pool=pool)]
            return results, found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop, debug=True) as runner:
        results, found = runner.run(main())
    np.testing.assert_array_equal(results[2], gpuimg.gaussian(IMAGE, 3))
    assert found == [255 - int(IMAGE[0, 0])] * 5


# ---------------------------------------------------------------- many


def test_ten_thousand_jobs_of_mixed_size():
    rng = np.random.default_rng(7)
    images = [rng.integers(0, 256, (int(rows), int(cols)), np.uint8) for rows, cols in rng.integers(1, 80, (40, 2))]
    images.append(rng.integers(0, 256, (1500, 1500), np.uint8))
    calls = [("invert", {}), ("minimum", {"size": 3}), ("flip", {"axis": 1}), ("threshold", {"value": 90})]
    expected = {
        (number, name): getattr(gpuimg, name)(image, **params)
        for number, image in enumerate(images)
        for name, params in calls
    }
    chosen = random.Random(3)
    threads = set(threading.enumerate())
    with gpuimg.Pool(running=4, queued=200) as pool:
        jobs = []
        for count in range(10_000):
            number = 40 if count % 500 == 0 else chosen.randrange(40)
            name, params = chosen.choice(calls)
            jobs.append((number, name, pool.submit(name, images[number], **params)))
    for number, name, job in jobs:
        np.testing.assert_array_equal(job.result(0), expected[number, name])
    left = [thread for thread in set(threading.enumerate()) - threads if thread.name == "gpuimg job"]
    assert left == []


class Held:
    """A job's function that a test holds and lets go."""

    def __init__(self):
        self.go = threading.Event()
        self.began = threading.Event()
        self.ended = threading.Event()

    def __call__(self, image):
        self.began.set()
        try:
            deadline = time.monotonic() + 60
            while not self.go.wait(0.0005):
                stopping.look()
                assert time.monotonic() < deadline
            return image.sum()
        finally:
            self.ended.set()


class PoolMachine(RuleBasedStateMachine):
    """Random calls against a model: a list of jobs, of which the first so many that have not ended run."""

    RUNNING, QUEUED = 2, 3

    def __init__(self):
        super().__init__()
        self.segments = segments()
        self.pool = gpuimg.Pool(running=self.RUNNING, queued=self.QUEUED)
        self.jobs = []  # (function, job, what has been asked of it)

    @staticmethod
    @cache
    def smooth():
        return gpuimg.median(LARGE, 9)

    def settle(self):
        """Wait until the pool has done what it can do now."""
        running = [each for each in self.jobs if each[2] == ""][: self.RUNNING]
        for function, _, _ in running:
            assert function.began.wait(30)

    def alive(self):
        return [each for each in self.jobs if each[2] == ""]

    @rule()
    def submit(self):
        function = Held()
        if len(self.alive()) >= self.RUNNING + self.QUEUED:
            with pytest.raises(gpuimg.QueueFull):
                self.pool.submit_nowait(function, IMAGE)
        else:
            self.jobs.append([function, self.pool.submit_nowait(function, IMAGE), ""])
            self.settle()

    @rule(number=st.integers(0, 4))
    def let_go(self, number):
        running = self.alive()[: self.RUNNING]
        if number < len(running):
            running[number][2] = "done"
            running[number][0].go.set()
            assert running[number][1].result(30) == IMAGE.sum()
            self.settle()

    @rule(number=st.integers(0, 9))
    def cancel(self, number):
        alive = self.alive()
        if number < len(alive):
            function, job, _ = alive[number]
            alive[number][2] = "cancelled"
            assert job.cancel()
            with pytest.raises(concurrent.futures.CancelledError):
                job.result(30)
            assert function.began.is_set() == (number < self.RUNNING)
            self.settle()

    @rule(number=st.integers(0, 4))
    def cancel_the_await(self, number):
        alive = self.alive()
        if number < len(alive):

            async def wait():
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(alive[number][1], 0.001)

            asyncio.run(wait())
            alive[number][2] = "cancelled"
            with pytest.raises(concurrent.futures.CancelledError):
                alive[number][1].result(30)
            self.settle()

    @rule(backend=st.sampled_from(("single", "multicore", "processes")))
    def real_work(self, backend):
        if len(self.alive()) < self.RUNNING:
            job = self.pool.submit("invert", IMAGE, backend=backend)
            np.testing.assert_array_equal(job.result(30), 255 - IMAGE)

    @rule(backend=st.sampled_from(("single", "multicore", "processes")), seconds=st.sampled_from((0, 0.001, 0.01)))
    def cancel_real_work(self, backend, seconds):
        if len(self.alive()) < self.RUNNING:
            job = self.pool.submit("median", LARGE, size=9, backend=backend)
            time.sleep(seconds)
            if job.cancel():
                with pytest.raises(concurrent.futures.CancelledError):
                    job.result(30)
            else:
                np.testing.assert_array_equal(job.result(0), self.smooth())

    @rule()
    def cancel_what_has_ended(self):
        for _, job, asked in self.jobs:
            if asked:
                assert job.cancel() == (asked == "cancelled")

    @invariant()
    def all_is_as_the_model_says(self):
        alive = self.alive()
        for place, (function, job, _) in enumerate(alive):
            assert not job.done()
            assert job.running() == (place < self.RUNNING)
            assert function.began.is_set() == (place < self.RUNNING)
        for _, job, asked in self.jobs:
            if asked:
                assert job.done()
                assert job.cancelled() == (asked == "cancelled")
        assert len(self.pool._queue) == max(0, len(alive) - self.RUNNING)
        assert self.pool._bytes == IMAGE.nbytes * len(self.pool._queue)

    def teardown(self):
        self.pool.close(cancel=True)
        for _, job, _ in self.jobs:
            assert job.done()
        assert not self.pool._threads
        assert_no_shared_memory(self.segments)


@pytest.mark.parametrize("memory", ["as it is", "without_memfd"])
def test_random_calls_against_a_model(memory, request):
    if memory == "without_memfd":
        request.getfixturevalue(memory)
    # Two times 30 runs of 50 steps are 3,000 steps.
    checks = [HealthCheck.too_slow]
    run_state_machine_as_test(
        PoolMachine,
        settings=settings(max_examples=30, stateful_step_count=50, deadline=None, suppress_health_check=checks),
    )


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_job_that_ends_early_lets_go_of_its_memory_without_the_collector(is_cancelled):
    made, began = [], threading.Event()

    def work(image):
        scratch = image.copy()
        made.append(weakref.ref(scratch))
        began.set()
        while is_cancelled:
            stopping.look()
            time.sleep(0.001)
        raise ValueError(f"{scratch.shape} is wrong")

    gc.collect()
    gc.disable()
    try:
        job = gpuimg.submit(work, IMAGE)
        assert began.wait(30)
        job.cancel()
        concurrent.futures.wait([job], 30)
        del job
        assert wait_until(lambda: made[0]() is None)
    finally:
        gc.enable()


def test_several_threads_and_loops_at_once():
    """Submit, cancel and await from several threads, each job's result checked; nothing is lost."""
    expected = {name: getattr(gpuimg, name)(IMAGE) for name in ("invert", "sobel")}
    errors, counts = [], []

    def work(seed, pool):
        chosen = random.Random(seed)

        async def loop():
            ended = cancelled = 0
            for _ in range(150):
                name = chosen.choice(["invert", "sobel"])
                job = await pool.submit_async(name, IMAGE)
                if chosen.random() < 0.3:
                    job.cancel()
                try:
                    if chosen.random() < 0.5:
                        result = await job
                    else:
                        result = await asyncio.to_thread(job.result, 30)
                    np.testing.assert_array_equal(result, expected[name])
                    ended += 1
                except (asyncio.CancelledError, concurrent.futures.CancelledError):
                    assert job.cancelled()
                    cancelled += 1
            counts.append((ended, cancelled))

        try:
            asyncio.run(loop())
        except BaseException as error:
            errors.append(error)

    with gpuimg.Pool(running=3, queued=4) as pool:
        threads = [threading.Thread(target=work, args=(seed, pool)) for seed in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
    assert errors == []
    assert [sum(pair) for pair in counts] == [150] * 5
    assert pool._bytes == 0


INTERRUPTED = """
import sys, time, numpy as np, gpuimg
image = np.random.default_rng(0).integers(0, 256, (1200, 1200), np.uint8)
expected = gpuimg.median(image, 9, backend="multicore")
print("ready", flush=True)
pool = gpuimg.Pool(running=2, queued=3)
jobs, interrupts = [], 0
for _ in range(40):
    try:
        jobs.append(pool.submit("median", image, size=9))
        if len(jobs) % 3 == 0:
            jobs[-1].result()
    except KeyboardInterrupt:
        interrupts += 1
while True:
    try:
        pool.close()
        break
    except KeyboardInterrupt:
        interrupts += 1
for job in jobs:
    if not job.cancelled():
        np.testing.assert_array_equal(job.result(0), expected)
print(interrupts, len(jobs), flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX systems")
def test_interrupts_at_random_moments():
    command = [sys.executable, "-X", "dev", "-c", INTERRUPTED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        chosen = random.Random(1)
        for _ in range(15):
            time.sleep(chosen.random() * 0.05)
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGINT), err
    if process.returncode == 0:
        interrupts, _ = map(int, out.split())
        assert interrupts <= 15
