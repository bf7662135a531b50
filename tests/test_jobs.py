"""Jobs and pools: results, order, bounds, cancelling, errors, loops, forks and the end of the program."""

import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import traceback
import warnings

import numpy as np
import pytest

import gpuimg
from gpuimg import stopping

IMAGE = np.random.default_rng(3).integers(0, 256, (90, 70), np.uint8)


@pytest.fixture
def pool():
    with gpuimg.Pool(running=2, queued=4) as made:
        yield made


class Gate:
    """A function of an image that waits until it is let go; looks at the stop flag meanwhile."""

    def __init__(self):
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.order = []

    def __call__(self, image, name=""):
        self.order.append(name)
        self.began.release()
        deadline = time.monotonic() + 30
        while not self.go.wait(0.002):
            stopping.look()
            assert time.monotonic() < deadline
        return image

    def wait(self):
        assert self.began.acquire(timeout=30)


# ---------------------------------------------------------------- results


def test_a_job_gives_the_filters_result(pool):
    job = pool.submit(gpuimg.gaussian, IMAGE, sigma=2)
    np.testing.assert_array_equal(job.result(30), gpuimg.gaussian(IMAGE, 2))
    assert job.done()
    assert not job.cancelled()
    assert job.exception() is None
    assert job.progress == 1.0
    assert job.where[0] in ("single", "multicore")
    assert job.seconds.queued >= 0
    assert job.seconds.running > 0


@pytest.mark.parametrize("filter", ["sobel", gpuimg.sobel, gpuimg.chain("sobel"), lambda image: gpuimg.sobel(image)])
def test_what_can_be_submitted(filter):
    np.testing.assert_array_equal(gpuimg.submit(filter, IMAGE).result(30), gpuimg.sobel(IMAGE))


def test_what_holds_where_a_job_is_submitted_holds_for_it(pool):
    with gpuimg.use_backend("single"):
        job = pool.submit("invert", IMAGE)
        backends = list(gpuimg.stream([IMAGE] * 3, lambda image: gpuimg.explain("invert", image).requested, pool=pool))
    job.result(30)
    assert job.where[0] == "single"
    assert backends == ["single"] * 3

    async def main():
        with gpuimg.use_backend("single"):
            return [each async for each in gpuimg.stream([IMAGE], requested_for, pool=pool)]

    def requested_for(image):
        return gpuimg.explain("invert", image).requested

    assert asyncio.run(main()) == ["single"]


def test_a_chain_runs_its_filters_in_order():
    chain = gpuimg.chain(("gaussian", {"sigma": 2}), gpuimg.sobel, (gpuimg.threshold, {"value": 5}))
    expected = gpuimg.threshold(gpuimg.sobel(gpuimg.gaussian(IMAGE, 2)), 5)
    np.testing.assert_array_equal(chain(IMAGE), expected)
    np.testing.assert_array_equal(gpuimg.submit(chain, IMAGE, backend="single").result(30), expected)
    assert len(chain) == 3
    assert repr(chain) == "gpuimg.chain(('gaussian', {'sigma': 2}), ('sobel', {}), ('threshold', {'value': 5}))"


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ((), ValueError, "at least one filter"),
        (("blur",), ValueError, "there is no filter 'blur'"),
        ((len,), TypeError, "must be one of gpuimg's filters"),
        ((("gaussian", {"radius": 2}),), TypeError, "gaussian has no parameter 'radius'; it has sigma"),
        ((("gaussian", 2),), TypeError, "a pair of one and a dict"),
    ],
)
def test_wrong_chains(steps, error, message):
    with pytest.raises(error, match=message):
        gpuimg.chain(*steps)


def test_wrong_jobs(pool):
    with pytest.raises(ValueError, match="there is no filter 'blur'"):
        pool.submit("blur", IMAGE)
    with pytest.raises(TypeError, match="a filter, its name, a chain or a function"):
        pool.submit(3, IMAGE)
    for wrong in ({"running": 0}, {"queued": -1}, {"queued_bytes": 2.5}, {"running": True}, {"niceness": -1}):
        with pytest.raises(ValueError, match="must be a whole number"):
            gpuimg.Pool(**wrong)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows a niceness of threads")
def test_threads_can_be_nicer_than_the_rest():
    def niceness(_=None):
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    with gpuimg.Pool(running=2, niceness=3) as pool:
        assert pool.submit(niceness, IMAGE).result(30) == min(niceness() + 3, 19)
    with gpuimg.Pool(running=2) as pool:
        assert pool.submit(niceness, IMAGE).result(30) == niceness()


def test_an_error_is_raised_where_the_result_is_taken(pool):
    job = pool.submit(gpuimg.gaussian, IMAGE, sigma=-1)
    with pytest.raises(ValueError, match="sigma must be at least 0") as caught:
        job.result(30)
    assert "in gaussian" in "".join(traceback.format_tb(caught.tb))
    assert isinstance(job.exception(), ValueError)
    assert pool.submit(gpuimg.invert, IMAGE).result(30).shape == IMAGE.shape


def test_callbacks_find_the_place_free(pool):
    found = []
    one = gpuimg.Pool(running=1, queued=0)
    done = threading.Event()

    def again(job):
        found.append(job.result())
        # The pool's only thread is here, and its queue has no place: to wait for one would last for ever.
        one.submit(gpuimg.invert, IMAGE).add_done_callback(lambda second: (found.append(second.result()), done.set()))

    one.submit(gpuimg.sobel, IMAGE).add_done_callback(again)
    assert done.wait(30)
    np.testing.assert_array_equal(found[1], 255 - IMAGE)
    one.close()


def test_callbacks_that_are_added_in_a_loop_are_called_there(pool):
    async def main():
        called = asyncio.get_running_loop().create_future()
        job = pool.submit(gpuimg.invert, IMAGE)
        job.add_done_callback(lambda job: called.set_result((threading.current_thread(), job.result()[0, 0])))
        return await called

    assert asyncio.run(main(), debug=True) == (threading.current_thread(), 255 - IMAGE[0, 0])


def test_a_callback_that_raises_does_no_harm(pool, caplog):
    job = pool.submit(gpuimg.invert, IMAGE)
    job.result(30)
    job.add_done_callback(lambda job: 1 / 0)
    np.testing.assert_array_equal(pool.submit(gpuimg.invert, IMAGE).result(30), 255 - IMAGE)
    assert "division by zero" in caplog.text


def test_wait_and_as_completed(pool):
    jobs = [pool.submit(gpuimg.gaussian, IMAGE, sigma=sigma) for sigma in (1, 2, 3)]
    done, waiting = concurrent.futures.wait(jobs, 30)
    assert (done, waiting) == (set(jobs), set())
    assert set(concurrent.futures.as_completed(jobs)) == set(jobs)


# ---------------------------------------------------------------- order and bounds


def test_first_in_first_out():
    gate = Gate()
    with gpuimg.Pool(running=1) as pool:
        jobs = [pool.submit(gate, IMAGE, name=number) for number in range(20)]
        gate.go.set()
        concurrent.futures.wait(jobs, 30)
    assert gate.order == list(range(20))


def test_so_many_run_at_a_time():
    gate, running, most, lock = Gate(), 0, 0, threading.Lock()

    def count(image):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate(image)
        with lock:
            running -= 1
        return image

    with gpuimg.Pool(running=3) as pool:
        jobs = [pool.submit(count, IMAGE) for _ in range(12)]
        for _ in range(3):
            gate.wait()
        gate.go.set()
        concurrent.futures.wait(jobs, 30)
    assert most == 3


def test_the_processors_may_change():
    counts, seen = iter([3, 1, 0]), []

    def look(image):
        seen.append(stopping.watch().processors)
        return image

    with gpuimg.Pool(running=1, processors=lambda: next(counts)) as pool:
        for _ in range(3):
            pool.submit(look, IMAGE).result(30)
    assert seen == [3, 1, 1]


def test_jobs_share_the_processors():
    gate, seen = Gate(), []

    def look(image):
        seen.append(stopping.watch().processors)
        return gate(image)

    with gpuimg.Pool(running=4, processors=8) as pool:
        alone = pool.submit(look, IMAGE)
        gate.wait()
        others = [pool.submit(look, IMAGE) for _ in range(3)]
        for _ in others:
            gate.wait()
        gate.go.set()
        concurrent.futures.wait([alone, *others], 30)
    assert seen[0] == 8
    assert sorted(seen[1:]) in ([2, 2, 2], [2, 2, 4])


def test_a_full_queue_refuses_or_waits():
    gate = Gate()
    with gpuimg.Pool(running=1, queued=2) as pool:
        jobs = [pool.submit(gate, IMAGE) for _ in range(3)]
        gate.wait()
        with pytest.raises(gpuimg.QueueFull, match=r"2 jobs with 12600 bytes of pixels wait; at most 2"):
            pool.submit_nowait(gate, IMAGE)
        submitted = []
        thread = threading.Thread(target=lambda: submitted.append(pool.submit(gate, IMAGE)))
        thread.start()
        thread.join(0.1)
        assert not submitted
        gate.go.set()
        thread.join(30)
        concurrent.futures.wait([*jobs, *submitted], 30)
        assert len(submitted) == 1
        assert submitted[0].result().shape == IMAGE.shape


def test_the_queue_is_bounded_by_bytes():
    gate = Gate()
    with gpuimg.Pool(running=1, queued=100, queued_bytes=2 * IMAGE.nbytes) as pool:
        jobs = [pool.submit(gate, IMAGE)]
        gate.wait()
        jobs += [pool.submit_nowait(gate, IMAGE) for _ in range(2)]
        with pytest.raises(gpuimg.QueueFull):
            pool.submit_nowait(gate, IMAGE[:1])
        jobs[1].cancel()
        jobs.append(pool.submit_nowait(gate, IMAGE[:1]))
        gate.go.set()
    assert [job.cancelled() for job in jobs] == [False, True, False, False]


def test_a_single_large_image_is_taken_when_no_other_waits():
    gate = Gate()
    with gpuimg.Pool(running=1, queued_bytes=10) as pool:
        jobs = [pool.submit(gate, IMAGE)]
        gate.wait()
        jobs.append(pool.submit_nowait(gate, IMAGE))
        with pytest.raises(gpuimg.QueueFull):
            pool.submit_nowait(gate, IMAGE)
        gate.go.set()
    assert all(job.result().shape == IMAGE.shape for job in jobs)


def test_waiting_for_a_place_in_a_loop():
    gate = Gate()

    async def main():
        async with gpuimg.Pool(running=1, queued=1) as pool:
            jobs = [await pool.submit_async(gate, IMAGE, name=number) for number in range(2)]
            third = asyncio.ensure_future(pool.submit_async(gate, IMAGE, name=2))
            given_up = asyncio.ensure_future(pool.submit_async(gate, IMAGE, name="never"))
            await asyncio.sleep(0.05)
            assert not third.done()
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            gate.go.set()
            jobs.append(await third)
            return [(await job).shape for job in jobs]

    assert asyncio.run(main(), debug=True) == [IMAGE.shape] * 3
    assert gate.order == [0, 1, 2]


def test_a_job_whose_deadline_has_passed_is_not_begun():
    gate = Gate()
    with gpuimg.Pool(running=1) as pool:
        first = pool.submit(gate, IMAGE, name="first")
        gate.wait()
        late = pool.submit(gate, IMAGE, name="late", deadline=0.01)
        time.sleep(0.03)
        gate.go.set()
        with pytest.raises(TimeoutError, match=r"was not done 0\.01 s after"):
            late.result(30)
        assert first.result(30) is IMAGE
    assert gate.order == ["first"]


def test_a_running_job_stops_at_its_deadline():
    gate = Gate()
    with gpuimg.Pool(running=1) as pool, pytest.raises(TimeoutError):
        pool.submit(gate, IMAGE, deadline=0.05).result(30)


# ---------------------------------------------------------------- cancelling


def test_a_waiting_job_goes_away():
    gate = Gate()
    with gpuimg.Pool(running=1) as pool:
        first = pool.submit(gate, IMAGE, name="first")
        gate.wait()
        second = pool.submit(gate, IMAGE, name="second")
        assert second.cancel()
        assert second.cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            second.result()
        gate.go.set()
        assert first.result(30) is IMAGE
        assert not first.cancel()
    assert gate.order == ["first"]


@pytest.mark.parametrize("backend", ["single", "multicore", "processes"])
def test_a_running_job_stops_between_bands(backend):
    image = np.random.default_rng(1).integers(0, 256, (3000, 3000), np.uint8)
    gpuimg.median(image[:300], 31, backend=backend)
    with gpuimg.Pool() as pool:
        job = pool.submit(gpuimg.median, image.astype(np.float32), size=31, backend=backend)
        while job.where is None:
            time.sleep(0.001)
        time.sleep(0.05)
        assert job.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            job.result(30)
        assert job.cancelled()
        assert job.cancel()
        assert job.progress < 1
        with pytest.raises(concurrent.futures.CancelledError):
            job.exception()
        assert job.where[0] == backend
        np.testing.assert_array_equal(pool.submit(gpuimg.invert, image, backend=backend).result(60), 255 - image)


def test_a_place_is_free_only_when_its_thread_has_stopped():
    gate, held = Gate(), threading.Event()

    def stubborn(image):
        gate.began.release()
        held.wait(30)
        stopping.look()
        raise AssertionError

    with gpuimg.Pool(running=1, queued=0) as pool:
        job = pool.submit(stubborn, IMAGE)
        gate.wait()
        assert job.cancel()
        assert not job.done()
        with pytest.raises(gpuimg.QueueFull):
            pool.submit_nowait(gpuimg.invert, IMAGE)
        held.set()
        with pytest.raises(concurrent.futures.CancelledError):
            job.result(30)
        np.testing.assert_array_equal(pool.submit(gpuimg.invert, IMAGE).result(30), 255 - IMAGE)


def test_a_job_cancelled_at_its_very_end_has_no_result():
    gate = Gate()

    def deaf(image):
        gate.began.release()
        gate.go.wait(30)
        return image

    with gpuimg.Pool(running=1) as pool:
        job = pool.submit(deaf, IMAGE)
        gate.wait()
        assert job.cancel()
        gate.go.set()
        with pytest.raises(concurrent.futures.CancelledError):
            job.result(30)
        assert job.cancelled()


def test_no_backend_is_tried_instead_of_a_stopped_one(recwarn):
    job = gpuimg.submit(gpuimg.invert, IMAGE)
    job.result(30)
    assert issubclass(stopping.Stopped, BaseException)
    assert not issubclass(stopping.Stopped, Exception)
    assert not recwarn.list


def test_progress_grows():
    image = np.random.default_rng(1).random((2000, 2000), np.float32)
    seen = []
    chain = gpuimg.chain(("median", {"size": 9}), ("gaussian", {"sigma": 9}), "sobel")
    job = gpuimg.submit(chain, image, backend="single")
    while not job.done():
        seen.append(job.progress)
        time.sleep(0.001)
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert job.progress == 1.0


# ---------------------------------------------------------------- loops


def test_jobs_are_awaited():
    async def main():
        job = gpuimg.submit(gpuimg.sobel, IMAGE)
        both = await asyncio.gather(job, gpuimg.submit(gpuimg.invert, IMAGE))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(take(gpuimg.submit(gpuimg.flip, IMAGE, axis=0)))
        return [*both, task.result(), await job]

    async def take(job):
        return await job

    sobel, inverted, flipped, again = asyncio.run(main(), debug=True)
    np.testing.assert_array_equal(sobel, gpuimg.sobel(IMAGE))
    np.testing.assert_array_equal(inverted, 255 - IMAGE)
    np.testing.assert_array_equal(flipped, IMAGE[::-1])
    assert again is sobel


@pytest.mark.parametrize("how", ["wait_for", "task"])
def test_cancelling_the_await_cancels_the_job(how):
    gate = Gate()

    async def main():
        with gpuimg.Pool(running=1) as pool:
            job = pool.submit(gate, IMAGE)
            if how == "wait_for":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(job, 0.05)
            else:
                task = asyncio.ensure_future(take(job))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            while not job.done():
                await asyncio.sleep(0.001)
            return job.cancelled()

    async def take(job):
        return await job

    assert asyncio.run(main(), debug=True)


def test_an_error_is_raised_by_await():
    async def main():
        await gpuimg.submit(gpuimg.gaussian, IMAGE, sigma=-1)

    with pytest.raises(ValueError, match="sigma must be at least 0"):
        asyncio.run(main())


def test_a_loop_that_closes_first():
    gate = Gate()

    async def main(pool):
        job = pool.submit(gate, IMAGE)
        task = asyncio.ensure_future(take(job))
        await asyncio.sleep(0.02)
        return job, task

    async def take(job):
        return await job

    with gpuimg.Pool(running=1) as pool, warnings.catch_warnings():
        warnings.simplefilter("error")
        job, task = asyncio.run(main(pool))
        assert task.cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            job.result(30)
        np.testing.assert_array_equal(pool.submit(gpuimg.invert, IMAGE).result(30), 255 - IMAGE)


# ---------------------------------------------------------------- the end


def test_closing_waits_for_all_jobs_and_takes_no_more():
    pool = gpuimg.Pool(running=2)
    jobs = [pool.submit(gpuimg.gaussian, IMAGE, sigma=2) for _ in range(20)]
    pool.close()
    assert all(job.done() for job in jobs)
    assert not pool._threads
    with pytest.raises(RuntimeError, match="the pool is closed"):
        pool.submit(gpuimg.invert, IMAGE)
    pool.close()


def test_closing_with_cancel_stops_all_jobs():
    gate = Gate()
    pool = gpuimg.Pool(running=1, queued=1)
    jobs = [pool.submit(gate, IMAGE) for _ in range(2)]
    blocked = []
    thread = threading.Thread(target=lambda: blocked.append(pool.submit(gate, IMAGE)))
    thread.start()
    gate.wait()
    while not pool._waiting:
        time.sleep(0.001)
    pool.close(cancel=True)
    thread.join(30)
    assert all(job.cancelled() for job in [*jobs, *blocked])


def test_an_error_in_the_context_stops_its_jobs():
    gate = Gate()

    def leave(pool):
        with pool:
            pool.submit(gate, IMAGE)
            raise KeyError("mine")

    with pytest.raises(KeyError):
        leave(gpuimg.Pool(running=1))


def test_idle_threads_end(monkeypatch):
    monkeypatch.setattr("gpuimg.jobs.pool.IDLE_SECONDS", 0.02)
    pool = gpuimg.Pool(running=3)
    concurrent.futures.wait([pool.submit(gpuimg.invert, IMAGE) for _ in range(9)], 30)
    deadline = time.monotonic() + 30
    while pool._threads:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    np.testing.assert_array_equal(pool.submit(gpuimg.invert, IMAGE).result(30), 255 - IMAGE)
    pool.close()


def run_script(script):
    done = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


START = "import os, numpy as np, gpuimg\nimage = np.arange(10000, dtype=np.uint8).reshape(100, 100)\n"


def test_jobs_are_finished_at_the_end_of_the_program():
    script = START + (
        "for sigma in range(1, 9):\n"
        "    job = gpuimg.submit('gaussian', image, sigma=sigma)\n"
        "    job.add_done_callback(lambda job: os.write(1, b'%d %d\\n' % job.result().shape))\n"
    )
    assert run_script(script).splitlines() == ["100 100"] * 8


def test_the_default_pool_takes_more_after_it_was_closed():
    from gpuimg.jobs.pool import default_pool

    default_pool().close()
    np.testing.assert_array_equal(gpuimg.submit(gpuimg.invert, IMAGE).result(30), 255 - IMAGE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_an_empty_pool():
    gate = Gate()
    pool = gpuimg.Pool(running=1)
    jobs = [pool.submit(gate, IMAGE) for _ in range(3)]
    gate.wait()
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def child():
        with contextlib.suppress(Exception):
            states = [job.cancelled() or isinstance(job.exception(0), BaseException) for job in jobs]
            answers.put((states, pool.submit(gpuimg.invert, IMAGE).result(30).sum()))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process that has threads
        process = context.Process(target=child)
        process.start()
    process.join(60)
    assert process.exitcode == 0
    assert answers.get() == ([True] * 3, (255 - IMAGE).sum())
    gate.go.set()
    assert [job.result(30) is IMAGE for job in jobs] == [True] * 3
    pool.close()


# ---------------------------------------------------------------- streams


def counted(count, read):
    for number in range(count):
        read.append(number)
        yield np.full((30, 20), number, np.uint8)


async def counted_async(count, read):
    for image in counted(count, read):
        await asyncio.sleep(0.001)
        yield image


def test_results_come_in_the_order_of_the_images(pool):
    def uneven(image):
        time.sleep(0.01 * (image[0, 0] % 3))
        return gpuimg.invert(image)

    found = [int(result[0, 0]) for result in gpuimg.stream(counted(20, []), uneven, pool=pool)]
    assert found == [255 - number for number in range(20)]
    assert list(gpuimg.stream([], "invert", pool=pool)) == []


def test_a_bounded_number_is_read_ahead(pool):
    read = []
    results = gpuimg.stream(counted(30, read), "invert", pool=pool, ahead=3)
    assert read == []
    for number in range(30):
        np.testing.assert_array_equal(next(results), np.full((30, 20), 255 - number, np.uint8))
        time.sleep(0.002)
        assert len(read) <= number + 1 + 3 + 1  # those under way, and the one that is being read
    with pytest.raises(StopIteration):
        next(results)
    assert len(read) == 30


def test_reading_computing_and_writing_overlap(pool):
    """The caller with the first result, the job of the second image and the reader of the third one meet."""
    meeting = threading.Barrier(3, timeout=30)

    def images():
        yield IMAGE
        yield IMAGE + 1
        meeting.wait()
        yield IMAGE

    def work(image):
        if image[0, 0] != IMAGE[0, 0]:
            meeting.wait()
        return image

    results = gpuimg.stream(images(), work, pool=pool, ahead=3)
    next(results)
    meeting.wait()
    assert len(list(results)) == 2


def test_an_error_ends_a_stream_and_stops_its_jobs(pool):
    def fail(image):
        if image[0, 0] == 3:
            raise ValueError("no threes")
        return image

    results = gpuimg.stream(counted(100, []), fail, pool=pool)
    found = []
    with pytest.raises(ValueError, match="no threes"):
        found.extend(int(result[0, 0]) for result in results)
    assert list(results) == []

    def broken():
        yield IMAGE
        raise OSError("the disk is gone")

    results = gpuimg.stream(broken(), "invert", pool=pool)
    with pytest.raises(OSError, match="the disk is gone"):
        list(results)


def test_a_stream_that_is_closed_stops_its_jobs():
    gate = Gate()
    with gpuimg.Pool(running=2) as pool:
        results = gpuimg.stream(counted(100, []), lambda image: image if image[0, 0] == 0 else gate(image), pool=pool)
        next(results)
        gate.wait()
        results.close()
        with pytest.raises(StopIteration):
            next(results)


@pytest.mark.parametrize("source", [counted, counted_async])
def test_a_stream_in_a_loop(source):
    read = []

    async def main():
        async with gpuimg.Pool(running=2) as pool:
            found = []
            async for result in gpuimg.stream(source(25, read), "invert", pool=pool, ahead=4):
                found.append(int(result[0, 0]))
                assert len(read) <= len(found) + 6
            return found

    assert asyncio.run(main(), debug=True) == [255 - number for number in range(25)]


def test_a_stream_in_a_loop_that_is_left():
    gate = Gate()

    async def main():
        async with gpuimg.Pool(running=2) as pool:
            results = gpuimg.stream(counted_async(100, []), gate, pool=pool)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(results), 0.05)
            await results.aclose()

    asyncio.run(main(), debug=True)


def test_wrong_streams(pool):
    with pytest.raises(ValueError, match="ahead must be a whole number"):
        gpuimg.stream([IMAGE], "invert", ahead=0)
    with pytest.raises(TypeError, match="use 'async for'"):
        next(gpuimg.stream(counted_async(1, []), "invert", pool=pool))
