"""The stop flag: what looks at it, and that work which is watched has the same results."""

import contextlib
import ctypes
import gc
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

import gpuimg
from gpuimg import kernels, memory, stopping
from gpuimg.backend import driver, processes, single
from gpuimg.backend.compiled import DONE, Compiled, Packed, prepare
from tests.conftest import wait_until

IMAGE = np.random.default_rng(5).integers(0, 256, (310, 290), np.uint8)
ENTRY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
BANDS = 400


@pytest.fixture
def watch():
    made = stopping.Watch(1)
    with stopping.watched(made):
        yield made


def stopped_at(count, watch):
    """A compiled entry that sets the flag when it is called for this time, and its calls."""
    calls = []

    def fill(_slots, top, bottom):
        calls.append((top, bottom))
        if len(calls) == count:
            watch.stop()
        return DONE

    return ENTRY(fill), calls


@pytest.mark.parametrize("numba_threads", [True, False])
def test_the_flag_is_honoured_within_one_call_of_the_parallel_loop(watch, numba_threads, monkeypatch):
    if numba_threads and not driver.numba_is_safe():
        pytest.skip("Numba's threads are not used here")
    if not numba_threads:
        monkeypatch.setattr(driver, "numba_is_safe", lambda: False)
    slots = (ctypes.c_int64 * 2)(stopping.flag(), 0)
    packed = Packed("", ctypes.addressof(slots) + kernels.FLAG_BYTES, (slots,))
    entry, calls = stopped_at(3, watch)
    done = driver.fill_bands(Compiled(ctypes.cast(entry, ctypes.c_void_p).value, entry), packed, 0, BANDS, BANDS)
    assert done == len(calls)
    assert 3 <= done <= 3 + driver.thread_count()


def test_nothing_is_filled_once_work_is_to_stop(watch):
    result = np.zeros_like(IMAGE)
    code = prepare("invert", IMAGE, result, (0,))
    driver.parallel_loop()
    watch.stop()
    assert driver.fill_bands(*code, 0, len(IMAGE), 8) == 0
    assert not result.any()
    with pytest.raises(stopping.Stopped):
        single.check_done("invert", 0, 8)


def test_only_watched_work_stops(watch):
    watch.stop()
    with stopping.watched(None):
        np.testing.assert_array_equal(gpuimg.invert(IMAGE, backend="multicore"), 255 - IMAGE)


def seam_of_edges():
    """Weak pixels below a seam that a strong one above it is linked with."""
    edges = np.full((8, 20), 2, np.uint8)
    edges[3, 0] = 1
    return "edge_seams", edges, (1, 4, 1, 2, 1)


def slab_of_edges():
    edges = np.full((8, 30), 2, np.uint8)
    edges[0, 0] = 1
    return "edge_links", edges, (3, 8, 1)


def peak():
    seed = np.zeros((8, 20), np.uint8)
    seed[0] = 9
    return "reconstruction", seed, (np.full_like(seed, 9), 1, 1, 8, 1)


def square_of_bits():
    bits = np.full((8, 1), 0xFF, np.uint64)
    changed = np.ones((1, 1), np.int64)
    return "thinning", bits, (changed, 1, 8, np.full(256, 3, np.uint8), 64, 16, changed.copy())


def differences():
    line = np.arange(40, dtype=np.float32).reshape(1, 40) ** 2
    return "derivative", line, (1, 0, 0.0, 1, 2.0, 1.0, 0.125)


def directions():
    line = np.arange(40, dtype=np.float32).reshape(1, 40) ** 2
    return "gradient", line, (np.zeros_like(line), 1, 0, 0.0, 2.0, 1.0, 0.125)


@pytest.mark.parametrize("case", [seam_of_edges, slab_of_edges, peak, square_of_bits, differences, directions])
def test_kernels_that_look_at_the_flag_themselves(watch, case):
    kernel, image, args = case()
    assert kernels.STOP not in kernels.parameters(kernel)
    before = image.copy()
    code, packed = prepare(kernel, image, image, args)
    watch.stop()
    assert code.call(packed.address, 0, 1) == DONE
    np.testing.assert_array_equal(image, before)
    with stopping.watched(None):
        code, packed = prepare(kernel, image, image, args)
        assert code.call(packed.address, 0, 1) == DONE
    assert (image != before).any()


class Looked(stopping.Watch):
    """A watch that stops the work when it looks for this time."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def look(self):
        self.most -= 1
        if self.most == 0:
            self.stop()
        super().look()


def test_copies_stop_between_their_parts(monkeypatch):
    monkeypatch.setattr(memory, "COPIED_AT_ONCE", 10 * IMAGE.shape[1])
    source, target = IMAGE | 1, np.zeros_like(IMAGE)
    with stopping.watched(Looked(3)), pytest.raises(stopping.Stopped):
        memory.copy_pixels(source, target)
    np.testing.assert_array_equal(target[:20], source[:20])
    assert not target[20:].any()
    with stopping.watched(Looked(-1)):
        memory.copy_pixels(source, target)
    np.testing.assert_array_equal(target, source)


def test_copies_between_arrays_that_overlap(watch, monkeypatch):
    monkeypatch.setattr(memory, "COPIED_AT_ONCE", IMAGE.shape[1])
    image = IMAGE.copy()
    memory.copy_pixels(image[:-1], image[1:])
    np.testing.assert_array_equal(image[1:], IMAGE[:-1])


def test_threads_that_help_stop_too(watch, monkeypatch):
    monkeypatch.setattr(driver, "processor_count", lambda: 2)
    both, ended = threading.Barrier(2), []

    def work(number):
        both.wait(30)
        watch.stop()
        deadline = time.monotonic() + 30
        try:
            while time.monotonic() < deadline:
                stopping.look()
        except stopping.Stopped:
            ended.append(number)
            raise

    with pytest.raises(stopping.Stopped):
        driver.call_each(work, [(0,), (1,)], 2)
    assert sorted(ended) == [0, 1]


def test_pieces_keep_all_threads_busy(watch):
    rows = [bottom - top for top, bottom in single.pieces(64, 64 << 20, 4)]
    assert sum(rows) == 64
    assert min(rows) >= 4


@pytest.mark.parametrize("backend", ["single", "multicore", "processes"])
@pytest.mark.parametrize("filter", ["canny", "fill_holes", "unsharp_mask", "label", "histogram", "threshold_otsu"])
def test_watched_work_has_the_same_results(watch, filter, backend):
    function = getattr(gpuimg, filter)
    found = function(IMAGE, backend=backend)
    with stopping.watched(None):
        expected = function(IMAGE, backend=backend)
    for each, other in zip(
        *[every if isinstance(every, tuple) else (every,) for every in (found, expected)], strict=True
    ):
        np.testing.assert_array_equal(each, other)


def test_the_memory_of_a_cancelled_job_goes_without_the_garbage_collector():
    held, began, go = [], threading.Event(), threading.Event()

    def work(image):
        memory_of_work = image.copy()
        held.append(weakref.ref(memory_of_work))
        began.set()
        go.wait(30)
        stopping.look()

    gc.collect()
    gc.disable()
    try:
        with gpuimg.Pool(running=1) as pool:
            job = pool.submit(work, IMAGE)
            assert began.wait(30)
            assert job.cancel()
            go.set()
        assert job.cancelled()
        assert held[0]() is None
    finally:
        gc.enable()


class Begun(stopping.Watch):
    """A watch that stops the work as soon as a part of it is done."""

    def look(self):
        if self._part > 0:
            self.stop()
        super().look()


def test_workers_of_stopped_work_end_and_others_take_their_place():
    image = np.random.default_rng(1).random((1200, 1000), np.float32)
    before = list(processes._workers._workers)
    with stopping.watched(Begun()), pytest.raises(stopping.Stopped):
        gpuimg.median(image, 31, backend="processes")
    killed = list(processes._workers._killed)
    assert set(before) <= set(killed)
    np.testing.assert_array_equal(gpuimg.invert(IMAGE, backend="processes"), 255 - IMAGE)
    for worker in killed:
        worker.process.wait(30)  # killed, or at the end of its connection


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_long_call_leaves_no_threads_behind():
    # GNU OpenMP lets all its threads sleep between calls while there are more of them than processors.
    def threads():
        return len(list(Path("/proc/self/task").iterdir()))

    gpuimg.gaussian(IMAGE, sigma=2, backend="multicore")
    before = threads()
    seen = []

    def work():
        seen.append(threads())
        return gpuimg.gaussian(IMAGE, sigma=2, backend="multicore")

    np.testing.assert_array_equal(stopping.interruptibly(work, stopping.Watch()), gpuimg.gaussian(IMAGE, sigma=2))
    assert seen == [before + 1]
    assert wait_until(lambda: threads() <= before)


@pytest.mark.parametrize("message", ["can't start new thread", "can't create new thread at interpreter shutdown"])
def test_without_a_thread_long_work_is_done_in_the_caller_s(monkeypatch, message):
    def refuse(_thread):
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert stopping.interruptibly(threading.get_ident, stopping.Watch()) == threading.get_ident()


def test_an_error_of_a_signal_s_handler_is_not_taken_for_a_want_of_threads(monkeypatch):
    start, calls = threading.Thread.start, []

    def interrupted(thread):
        start(thread)
        raise RuntimeError("by a handler")

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(RuntimeError, match="by a handler"):
        stopping.interruptibly(lambda: calls.append(threading.get_ident()), stopping.Watch())
    assert threading.get_ident() not in calls


def test_calls_go_on_after_an_interrupt_within_numba():
    """An interrupt may leave the lock locked that Numba takes when it is asked for its threads."""
    parallel = pytest.importorskip("numba.np.ufunc.parallel")
    expected = [gpuimg.invert(IMAGE, backend="multicore"), gpuimg.histogram(IMAGE, backend="multicore")[0]]
    found = []

    def call():
        found.append(gpuimg.invert(IMAGE, backend="multicore"))
        found.append(gpuimg.histogram(IMAGE, backend="multicore")[0])

    lock = parallel._backend_init_process_lock or contextlib.nullcontext()
    thread = threading.Thread(target=call, daemon=True)
    with lock:
        thread.start()
        thread.join(20)
        ended = not thread.is_alive()
    thread.join()
    assert ended
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
