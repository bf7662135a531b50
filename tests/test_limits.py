"""What extreme parameters cost: work stops soon however long a row takes, and memory is bounded by image and result."""

import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

import gpuimg
from gpuimg.filters import smooth, transform
from gpuimg.images import FLOAT64, MODES
from gpuimg.keeping import kept
from gpuimg.plans.graph import graph_of

SOON = 5.0  # seconds, of work that takes minutes
IMAGE = np.random.default_rng(2).integers(0, 256, (900, 1000), np.uint8)
HOLES = (np.arange(1499 * 1499).reshape(1499, 1499) % 3 > 0).astype(np.uint8)
LONG = {
    "corner_harris": partial(gpuimg.corner_harris, IMAGE, sigma=800),
    "canny": partial(gpuimg.canny, np.tile(IMAGE, (2, 8)), sigma=900),
    "gaussian": partial(gpuimg.gaussian, np.tile(IMAGE, (2, 8)).astype(np.float64), sigma=900),
    "median of bytes": partial(gpuimg.median, IMAGE, size=30001),
    "median of words": partial(gpuimg.median, IMAGE.astype(np.uint16), size=1501),
    "uniform": partial(gpuimg.uniform, IMAGE.astype(np.float32), size=20001),
    "erosion": partial(gpuimg.erosion, np.tile(IMAGE, (4, 4)), footprint=HOLES),
}


def compile_for(name, backend):
    small = {key: given[:9, :9] if key == "footprint" else 9 for key, given in LONG[name].keywords.items()}
    LONG[name].func(LONG[name].args[0][:20, :20], backend=backend, **small)


@pytest.mark.parametrize("backend", ["single", "multicore"])
@pytest.mark.parametrize("name", LONG)
def test_a_cancelled_job_ends_within_a_row(name, backend):
    compile_for(name, backend)
    with gpuimg.Pool(running=1) as pool:
        long = LONG[name]
        job = pool.submit(long.func, *long.args, backend=backend, **long.keywords)
        time.sleep(0.3)
        assert job.cancel()
        start = time.monotonic()
    assert job.cancelled()
    assert time.monotonic() - start < SOON


@pytest.mark.skipif(os.name != "posix", reason="Windows sends no signal to one process")
@pytest.mark.parametrize(
    ("name", "backend"),
    [*((name, backend) for name in LONG for backend in ("single", "multicore")), ("corner_harris", "processes")],
)
def test_an_interrupt_ends_a_call_within_a_row(name, backend):
    compile_for(name, backend)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            LONG[name](backend=backend)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - start < 0.3 + SOON
    np.testing.assert_array_equal(gpuimg.invert(IMAGE, backend=backend), 255 - IMAGE)


def test_long_work_has_the_same_results_and_errors_where_signals_are_handled(monkeypatch):
    from gpuimg.backend import chain

    expected = gpuimg.unsharp_mask(IMAGE, 3, backend="multicore"), gpuimg.histogram(IMAGE, backend="single")[0]
    monkeypatch.setattr(chain, "LONG_WORK", 0)
    np.testing.assert_array_equal(gpuimg.unsharp_mask(IMAGE, 3, backend="multicore"), expected[0])
    np.testing.assert_array_equal(gpuimg.histogram(IMAGE, backend="single")[0], expected[1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (8, 5), (1, 9), (7, 2, 3)])
def test_gaussians_far_wider_than_the_image(shape, mode):
    image = np.random.default_rng(3).random(shape)
    sigma = (60, 45.5)
    found = gpuimg.gaussian(image, sigma, mode=mode, cval=0.3, backend="single")
    expected = ndimage.gaussian_filter(image, (*sigma, 0)[: image.ndim], mode=mode, cval=0.3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    bytes_found = gpuimg.gaussian((255 * image).astype(np.uint8), sigma, mode=mode, cval=76, backend="single")
    numbers = (255 * image).astype(np.uint8).astype(float)
    expected = ndimage.gaussian_filter(numbers, (*sigma, 0)[: image.ndim], mode=mode, cval=76)
    assert np.abs(bytes_found - expected).max() <= 1


def test_ordinary_taps_are_not_folded():
    for mode in (border.code for border in MODES.values()):
        assert smooth.folded_taps(2.0, 4.0, FLOAT64, 8, mode) is smooth.gaussian_taps(2.0, 4.0, FLOAT64)


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


SMALL = np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    "call",
    [
        partial(gpuimg.gaussian, SMALL, 131000, backend="single"),
        partial(gpuimg.unsharp_mask, SMALL, 131000, backend="single"),
        partial(gpuimg.corner_harris, SMALL, sigma=131000, backend="single"),
        partial(gpuimg.canny, SMALL, sigma=131000, backend="single"),
        partial(gpuimg.resize, SMALL, (3_000_000, 1), backend="single"),
        partial(gpuimg.resize, SMALL, (1, 3_000_000), order=0, backend="single"),
    ],
)
def test_memory_that_parameters_ask_for(call):
    smooth.gaussian_taps.cache_clear()
    graph_of.cache_clear()
    assert peak(call) < 50 << 20


def test_tiles_are_the_parts_of_the_whole(constants):
    image = np.random.default_rng(5).random((9, 7, 3))
    for order, anti_aliasing, shape in (
        (0, None, (40, 33)),
        (1, None, (41, 30)),
        (1, True, (4, 50)),
        (1, None, (3, 3)),
    ):
        whole = gpuimg.resize(image, shape, order, anti_aliasing, backend="single")
        constants(transform, TILE_SIDE=2)
        out = np.empty_like(whole)
        np.testing.assert_array_equal(gpuimg.resize(image, shape, order, anti_aliasing, backend="single"), whole)
        assert gpuimg.resize(image, shape, order, anti_aliasing, backend="single", out=out) is out
        np.testing.assert_array_equal(out, whole)
        constants(transform, TILE_SIDE=1 << 16)


def test_a_result_in_tiles_may_lie_in_the_image(constants):
    image = np.random.default_rng(5).random((9, 7))
    turned = gpuimg.resize(image, (7, 9), backend="single")
    constants(transform, TILE_SIDE=2)
    out = image.reshape(-1)[:63].reshape(7, 9)
    gpuimg.resize(image, (7, 9), backend="single", out=out)
    np.testing.assert_array_equal(out, turned)


def test_what_is_kept_is_bounded_in_bytes():
    calls = []

    @kept(8, len, most=100)
    def made(size):
        calls.append(size)
        return bytes(size)

    for size in (40, 50, 40, 101, 101, 20, 20, 40):
        assert len(made(size)) == size
    assert calls == [40, 50, 101, 101, 20, 40]


SCARCE = """
import resource, numpy as np, gpuimg
from gpuimg import memory
image = np.ones((6000, 6000), np.uint8)
memory.MOST_KEPT = 1 << 30
blocks = [memory.new_array((100 << 20,), np.dtype(np.uint8)) for _ in range(4)]
gpuimg.invert(image[:16], backend="single")
del blocks
assert memory.kept() >= 400 << 20
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20),) * 2)
{call}
assert memory.kept() < 400 << 20
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit holds on Linux")
@pytest.mark.parametrize(
    "call",
    [
        'assert (gpuimg.invert(image, backend="single") == 254).all()',
        "memory.new_array((1 << 20, 7), np.dtype(np.uint8))\nmemory.release()",
        """def scratch(): return np.empty(300 << 20, np.uint8)
from gpuimg.run import _with_what_memory_there_is
assert _with_what_memory_there_is(scratch).size""",
    ],
)
def test_what_is_kept_is_given_back_where_memory_is_short(call):
    done = subprocess.run([sys.executable, "-c", SCARCE.format(call=call)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
