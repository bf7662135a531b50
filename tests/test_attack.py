"""Hostile circumstances: interrupts, values at the ends of their range, images that change, guarded memory."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gpuimg
from gpuimg import choosing, machine, run
from gpuimg.advice import unwritten
from gpuimg.backend.walk import bound_to
from gpuimg.images import BOOL
from gpuimg.machine import Figures
from gpuimg.plans.nodes import point
from gpuimg.registry import arguments
from tests.conftest import assert_same, example

NEEDS_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="sends signals as POSIX systems do")


def python(code, *, timeout=200, **variables):
    """Run a script in a new process, whose crash or hang fails the test."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **variables},
        timeout=timeout,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
    return done.stdout


@NEEDS_SIGNALS
def test_no_thread_writes_after_repeated_interrupts():
    code = """
    import os, signal, threading, time
    import numpy as np, gpuimg
    from gpuimg.backend import driver

    rng = np.random.default_rng(5)
    image = rng.random((1100, 1000))  # large enough for its result's memory to be used again
    small = rng.random((64, 64))
    gpuimg.median(small, 41, backend="multicore")
    assert not driver.numba_is_safe()
    bright = np.full(image.shape, 2.0)
    expected = 1 - image
    interrupted = 0
    for turn in range(6):
        out = np.zeros(image.shape) if turn % 2 else None
        pid = os.getpid()
        def send():
            for delay in (0.05, 0.02, 0.01):
                time.sleep(delay)
                os.kill(pid, signal.SIGINT)
        sender = threading.Thread(target=send)
        try:
            try:
                sender.start()
                gpuimg.median(bright, 41, backend="multicore", out=out)
                time.sleep(1)
            finally:
                sender.join()
        except KeyboardInterrupt:
            interrupted += 1
        for _ in range(4):  # the last signal may come some time after it was sent
            try:
                sender.join()
                time.sleep(0.2)
                break
            except KeyboardInterrupt:
                pass
        held = None if out is None else out.copy()
        results = [gpuimg.invert(image, backend="multicore") for _ in range(2)]
        time.sleep(0.3)
        for result in results:
            np.testing.assert_array_equal(result, expected)
        if out is not None:
            np.testing.assert_array_equal(out, held)
    assert interrupted == 6, interrupted
    """
    python(code, NUMBA_THREADING_LAYER="workqueue")


def test_memory_of_bands_goes_back_when_a_call_ends():
    code = """
    import gc, weakref
    import numpy as np, gpuimg
    image = np.random.default_rng(5).random((500, 400))
    watched = weakref.ref(image)
    for _ in range(20):
        gpuimg.gaussian(image, 1, backend="multicore")
    del image
    gc.collect()
    import time
    time.sleep(0.2)
    assert watched() is None
    """
    python(code, NUMBA_THREADING_LAYER="workqueue")


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_first_call_in_a_thread_that_outlives_the_main_one(layer):
    code = """
    import threading, time
    import numpy as np, gpuimg
    def late():
        threading.main_thread().join()
        time.sleep(0.1)
        image = np.arange(200 * 300, dtype=np.uint16).reshape(200, 300)
        result = gpuimg.invert(image, backend="multicore")
        np.testing.assert_array_equal(result, 65535 - image)
        print("done")
    threading.Thread(target=late).start()
    """
    assert python(code, NUMBA_THREADING_LAYER=layer) == "done\n"


def _spread(low, high, dtype):
    """Values all over a range, its ends among them, whose width may not be a number of that dtype."""
    share = np.random.default_rng(9).random((23, 31))
    share[0, :2] = 0, 1
    wide = np.longdouble(low) + share * (np.longdouble(high) - np.longdouble(low))
    return wide.astype(dtype)


RANGES = [
    _spread(1e-310, 2e-310, np.float64),
    _spread(-3e-315, 1e-314, np.float64),
    _spread(0, 1e-306, np.float64),
    _spread(1e-300, 3e-299, np.float64),
    _spread(-1e308, 1e308, np.float64),
    _spread(-1.7e308, 1.2e308, np.float64),
    _spread(0, 1.79e308, np.float64),
    _spread(1e200, 3e200, np.float64),
    _spread(1, 1 + 2**-30, np.float64),
    _spread(1e-42, 4e-40, np.float32),
    _spread(-3e-38, 1e-37, np.float32),
    _spread(-3e38, 3.3e38, np.float32),
    _spread(-1.5e38, 1.5e38, np.float32),
    _spread(3e-30, 4e-30, np.float32),
]
EXTREME = pytest.mark.parametrize("image", RANGES, ids=lambda image: f"{image.dtype}-{image.min():g}-{image.max():g}")


def _overflows(image):
    with np.errstate(over="ignore"):
        return not np.isfinite(image.max() - image.min())


@EXTREME
@pytest.mark.parametrize("bins", [1, 7, 256, 3000])
def test_histograms_of_extreme_ranges(image, backend, bins):
    counts, edges = gpuimg.histogram(image, bins, backend=backend)
    assert counts.sum() == image.size
    assert np.isfinite(edges).all()
    if _overflows(image):  # NumPy has no bins for these: it has them for a quarter, bar what rounding does
        counted, quarters = np.histogram(image / 4, bins)
        np.testing.assert_allclose(edges / 4, quarters, rtol=1e-6, atol=abs(quarters).max() * 1e-6)
        assert np.abs(counts - counted).sum() <= 2 + bins // 100
    elif 0 < image.max() < bins * np.finfo(image.dtype).smallest_subnormal * 100:  # NumPy does not tell edges apart
        assert edges[0] <= image.min()
        assert image.max() <= edges[-1]
        assert_same(counts, np.histogram(image, edges)[0])
    else:
        counted, expected = np.histogram(image, bins)
        assert_same(counts, counted)
        assert_same(edges, expected)


@EXTREME
def test_equalizing_extreme_ranges(image, backend):
    found = gpuimg.equalize_hist(image, backend=backend)
    counts, edges = gpuimg.histogram(image, backend="single")
    centers = (edges[1:].astype(np.longdouble) + edges[:-1]) / 2
    first, last = np.longdouble(edges.dtype.type(centers[0])), np.longdouble(edges.dtype.type(centers[-1]))
    place = np.clip((image - first) / (last - first), 0, 1) * 255
    expected = np.interp(place.astype(np.float64), np.arange(256), np.cumsum(counts) / image.size)
    np.testing.assert_allclose(found, expected, atol=1e-4 if image.dtype == np.float64 else 5e-3)


@EXTREME
def test_otsu_in_extreme_ranges(image, backend):
    level = gpuimg.threshold_otsu(image, backend=backend)
    wide = image.astype(np.longdouble)
    share = (np.longdouble(level) - wide.min()) / (wide.max() - wide.min())
    normal = ((wide - wide.min()) / (wide.max() - wide.min())).astype(np.float64)
    assert abs(share - gpuimg.threshold_otsu(normal, backend="single")) < 0.02


@EXTREME
@pytest.mark.parametrize("target", [(-1, 1), (0, 5), (-1e30, 2e30)])
def test_rescaling_extreme_ranges(image, backend, target):
    found = gpuimg.rescale_intensity(image, out_range=target, backend=backend)
    wide = image.astype(np.longdouble)
    expected = (wide - wide.min()) / (wide.max() - wide.min()) * (target[1] - target[0]) + target[0]
    tolerance = (target[1] - target[0]) * (1e-6 if image.dtype == np.float32 else 1e-13)
    np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=0, atol=tolerance)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["histogram", "equalize_hist", "threshold_otsu", "threshold_li", "rescale_intensity"])
def test_a_range_that_is_not_finite_is_refused(name, bad, backend):
    for place in (0, 500, -1):
        image = _spread(0, 1, np.float64)
        image.flat[place] = bad
        with pytest.raises(ValueError, match="image must be finite"):
            gpuimg.FILTERS[name].function(image, backend=backend)


_NAMES = [name for name in Figures.__dataclass_fields__ if name not in ("guesses", "measured", "revision")]
_NOT_MEASURED = [
    "fast",
    None,
    0,
    0.0,
    -1.5,
    float("nan"),
    float("inf"),
    10**400,
    1e-320,
    [1.0],
    {"a": 1},
    {"a": None},
    True,
]


def _file_contents():
    own = machine.identity()
    good = dict.fromkeys(_NAMES, 1e-3)
    for value in _NOT_MEASURED:
        yield json.dumps({own: dict.fromkeys(_NAMES, value)}).encode()
        yield json.dumps({own: {**good, "speeds": {"threshold-BB": value, "threshold-B?": value}}}).encode()
        yield json.dumps({own: {name: {"threshold-B?": value} for name in machine.TABLES}}).encode()
        yield json.dumps({own: value}).encode()
        yield json.dumps(value).encode()
    yield json.dumps({"another-host-64": good}).encode()
    yield json.dumps({own: {}}).encode()
    yield json.dumps({own: {"speeds": {}, "unknown": 1, "revision": "many"}}).encode()
    yield b""
    yield b"{"
    yield b"\xff\xfe\x00binary\x80"
    yield b"[" * 200_000
    yield b'{"a":' * 5_000 + b"1" + b"}" * 5_000
    yield b'{"' + own.encode() + b'": ' + b'{"speeds":' * 900 + b"1" + b"}" * 901
    yield b" " * (machine.LONGEST_FILE + 10)
    yield b'{"' + own.encode() + b'": {"gpu_call": ' + b"9" * 10_000 + b"}}"


@pytest.mark.parametrize("content", list(_file_contents()), ids=lambda content: repr(content[:60]))
def test_any_figures_file_is_read(figures_file, content):
    figures_file.write_bytes(content)
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert_same(gpuimg.threshold(image, 3), image > 3)
    for name in _NAMES:
        found = getattr(machine.figures(), name)
        assert all(0 < value < np.inf for value in (found.values() if name in machine.TABLES else [found]))
    bound = bound_to(lambda value: point("threshold", value, dtype=BOOL, value=100, always=0), image)
    (estimate, *_) = choosing.candidates(choosing.job_of(bound.graph, False), bound)
    assert 0 < estimate.seconds < np.inf
    measured = Figures(speeds={"threshold-B?": 2e-10}, gpu_call=3e-5)
    machine.store(measured)
    machine.figures.cache_clear()
    assert machine.figures().gpu_call == 3e-5
    assert machine.figures().speeds == {"threshold-B?": 2e-10}
    assert_same(gpuimg.threshold(image, 3), image > 3)


def test_a_folder_in_the_place_of_the_figures(figures_file):
    figures_file.mkdir()
    assert machine.figures().gpu_call == Figures().gpu_call


def test_figures_of_other_machines_stay(figures_file, monkeypatch):
    machine.store(Figures(gpu_call=1e-5))
    with monkeypatch.context() as other:
        other.setattr(machine, "processor_count", lambda: 1234)
        assert machine.figures().gpu_call == Figures().gpu_call
        machine.store(Figures(gpu_call=2e-5))
    machine.figures.cache_clear()
    assert machine.figures().gpu_call == 1e-5
    assert len(json.loads(figures_file.read_text())) == 2


RACES = """
import threading, time
import numpy as np, gpuimg
rng = np.random.default_rng(3)
busy, sparse = rng.integers(0, 2, (200, 331), np.uint8), np.zeros((200, 331), np.uint8)
sparse[::9, ::7] = 200
image = busy.copy()
dots = np.where(sparse > 0, busy, np.uint8(0))  # where the image is never 0
dots[50:150] = 0
calls = [
    (lambda name: gpuimg.label(image, backend=name), 0, image.size),
    (lambda name: gpuimg.label(image[..., None].repeat(2, 2), 1, backend=name), 0, image.size),
    (lambda name: gpuimg.canny(image, 0.7, backend=name), 0, 1),
    (lambda name: gpuimg.distance_transform_edt(image, backend=name), 0, np.inf),
    (lambda name: gpuimg.reconstruction(dots, image, backend=name), 0, 255),
    (lambda name: gpuimg.fill_holes(image, backend=name), 0, 255),
    (lambda name: gpuimg.median(image, 31, backend=name), 0, 255),
    (lambda name: gpuimg.equalize_hist(image, backend=name), 0, 255),
]
over = threading.Event()
def rewrite():
    while not over.is_set():
        image[:] = sparse
        image[50:150, 3:] = rng.integers(0, 3, (100, 328), np.uint8)
        image[:] = busy
        image[rng.integers(0, 200, 50)] = 1
writers = [threading.Thread(target=rewrite) for _ in range(2)]
[each.start() for each in writers]
try:
    for call, low, high in calls:
        for name in ("single", "multicore"):
            end = time.perf_counter() + SECONDS
            while time.perf_counter() < end:
                result = call(name)
                assert (result >= low).all() and (result <= high).all()
finally:
    over.set()
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_images_that_change_meanwhile(layer):
    python(RACES.replace("SECONDS", "0.6"), timeout=120, NUMBA_THREADING_LAYER=layer)


def test_scratch_rows_are_long_enough(tmp_path):
    code = """
    import itertools
    import numpy as np, gpuimg
    image = np.random.default_rng(3).integers(0, 256, (11, 13), np.uint8)
    for mode, sigma in itertools.product(("constant", "reflect"), (0, (1, 0), (0, 1), 0.6)):
        for shape in ((11, 13), (1, 13), (11, 1), (3, 2), (2, 3, 3), (11, 4, 3)):
            part = image.ravel()[: np.prod(shape)].reshape(shape)
            gpuimg.canny(part, sigma, mode=mode, axes="YXC"[: part.ndim], backend="single")
    for cols, connectivity, step in itertools.product((1, 2, 64, 66, 67, 131), (1, 2), (1, 3)):
        mask = np.random.default_rng(cols).integers(0, 9, (67, cols, step), np.uint8)
        gpuimg.fill_holes(mask, connectivity, backend="single")
        gpuimg.reconstruction(mask // 2, mask, connectivity=connectivity, backend="single")
    """
    python(code, NUMBA_BOUNDSCHECK="1", GPUIMG_CACHE_DIR=str(tmp_path))


def test_results_over_a_table(backend):
    image = np.random.default_rng(4).integers(0, 256, (16, 16), np.uint8)
    table = np.random.default_rng(5).integers(0, 256, 256, np.uint8)
    expected = table[image]
    for turned in (False, True):
        entries = table.copy()
        out = entries.reshape(16, 16)[:, ::-1] if turned else entries.reshape(16, 16)
        result = gpuimg.lut(image, entries, out=out, backend=backend)
        assert result is out
        assert_same(result, expected)
    entries = table.copy()
    assert_same(gpuimg.lut(image[:8], entries, out=entries[128:].reshape(8, 16), backend=backend), expected[:8])


def test_results_over_every_other_array(backend):
    """Each array that a filter takes besides its image, in the memory that the result goes to."""
    checked = set()
    for name, found in gpuimg.FILTERS.items():
        if backend == "cuda" and unwritten(name):
            continue
        for given in found.examples:
            image, _ = example(name, (16, 16))
            named = arguments(given, image)
            for key, value in named.items():
                if not isinstance(value, np.ndarray):
                    continue
                expected = found.function(image, backend="single", **named)
                memory = np.zeros(max(expected.nbytes, value.nbytes) + 64, np.uint8)
                beside = memory[: value.nbytes].view(value.dtype).reshape(value.shape)
                beside[...] = value
                out = memory[: expected.nbytes].view(expected.dtype).reshape(expected.shape)
                result = found.function(image, backend=backend, out=out, **{**named, key: beside})
                assert_same(result, found.function(image, backend=backend, **named), f"{name}, {key}")
                checked.add((name, key))
    assert {("lut", "table"), ("blend", "other"), ("erosion", "footprint")} <= checked


def test_all_arrays_of_a_graph_count_as_read():
    table, image = np.zeros((1, 256), np.uint8), np.zeros((16, 16), np.uint8)
    bound = bound_to(lambda image, table: point("lut", image, table=table), image, tables=(table,))
    assert not run._usable_directly(table.reshape(16, 16), bound.arrays)
    assert not run._usable_directly(image, bound.arrays)
    assert run._usable_directly(np.zeros((16, 16), np.uint8), bound.arrays)


@pytest.mark.skipif(sys.platform != "linux", reason="guards memory by Linux' mprotect")
@pytest.mark.filterwarnings("ignore")
def test_no_filter_reads_or_writes_beyond_its_arrays():
    code = """
    import sys
    from tests.attack import fuzz
    sys.argv = ["fuzz", "--seconds", "20", "--seed", "1"]
    fuzz.main()
    """
    assert python(code, PYTHONWARNINGS="ignore").split()[1] == "calls"
