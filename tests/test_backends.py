"""Traps of the CPU backends: caches, threads, forks, interrupts."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from numba.core import caching

import gpuimg
from gpuimg import kernels, stopping
from gpuimg.backend import compiled, driver
from tests.conftest import example, segments

IMAGE = np.random.default_rng(3).integers(0, 256, (200, 301), np.uint8)
EXPECTED = 255 - IMAGE
NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def python(code, *, timeout=240, check=True, **variables):
    """Run a script in a new process."""
    env = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=env,
        timeout=timeout,
        check=check,
        capture_output=True,
        text=True,
    )


def test_compiled_code_is_kept_on_disk_between_processes(tmp_path):
    code = """
    import numpy as np, gpuimg
    from gpuimg.backend import compiled
    image = np.zeros((6000, 600), np.uint8)
    gpuimg.invert(image, backend="multicore")
    print(sum(entry._cache_hits for entry in compiled._alive), len(compiled._alive))
    """
    first = python(code, GPUIMG_CACHE_DIR=str(tmp_path)).stdout.split()
    second = python(code, GPUIMG_CACHE_DIR=str(tmp_path)).stdout.split()
    assert first == ["0", "1"]
    assert second == ["1", "1"]
    assert any(path.name.startswith("driver._parallel_loop") for path in tmp_path.rglob("*.nbi"))


def test_an_edit_in_any_kernel_source_changes_the_cache_folder(tmp_path, monkeypatch):
    for path in kernels._root.glob("*/*.*"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(kernels, "_root", tmp_path)
    same = kernels.cpu_digest.__wrapped__()
    assert same == kernels.cpu_digest()
    for name in ("borders.cuh", "gaussian.cu", "gaussian_launch.py"):
        with kernels.find(name).open("a") as source:
            source.write("// edited\n")
        assert kernels.cpu_digest.__wrapped__() == same, name
    with kernels.find("borders.py").open("a") as source:
        source.write("# edited\n")
    assert kernels.cpu_digest.__wrapped__() != same


def test_it_works_where_no_folder_is_writable(tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    code = """
    import numpy as np, gpuimg
    for backend in ("single", "multicore"):
        assert (gpuimg.invert(np.zeros((300, 300), np.uint8), backend=backend) == 255).all()
    """
    python(code, GPUIMG_CACHE_DIR=str(blocked / "inside"))


def test_a_damaged_cache_is_not_fatal(tmp_path):
    code = """
    import numpy as np, gpuimg
    assert (gpuimg.invert(np.zeros((300, 300), np.uint8), backend="single") == 255).all()
    """
    python(code, GPUIMG_CACHE_DIR=str(tmp_path))
    for path in tmp_path.rglob("*.nb*"):
        path.write_bytes(b"damaged")
    python(code, GPUIMG_CACHE_DIR=str(tmp_path))


def test_many_threads_may_call_at_once():
    results = [None] * 16

    def call(index):
        results[index] = gpuimg.invert(IMAGE, backend="multicore")

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for result in results:
        np.testing.assert_array_equal(result, EXPECTED)


def test_the_workqueue_layer_which_aborts_is_never_entered():
    code = """
    import threading, numpy as np, gpuimg
    from gpuimg.backend import driver
    image = np.zeros((500, 500), np.uint8)
    def call():
        for _ in range(50):
            assert (gpuimg.invert(image, backend="multicore") == 255).all()
    threads = [threading.Thread(target=call) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert driver.numba_layer() == ""
    assert not driver.numba_is_safe()
    """
    python(code, NUMBA_THREADING_LAYER="workqueue")


def test_a_user_who_runs_numba_on_workqueue_is_noticed():
    code = """
    import numba, numpy as np, gpuimg
    from gpuimg.backend import driver
    numba.config.THREADING_LAYER = "workqueue"
    @numba.njit(parallel=True)
    def total(n):
        s = 0
        for i in numba.prange(n):
            s += i
        return s
    total(10)
    assert numba.threading_layer() == "workqueue"
    assert (gpuimg.invert(np.zeros((500, 500), np.uint8), backend="multicore") == 255).all()
    assert not driver.numba_is_safe()
    """
    python(code)


@NEEDS_FORK
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_a_forked_child_takes_the_thread_pool(layer):
    code = """
    import os, sys, warnings, numpy as np, gpuimg
    from gpuimg.backend import driver
    warnings.simplefilter("ignore", DeprecationWarning)
    image = np.zeros((500, 500), np.uint8)
    gpuimg.invert(image, backend="multicore")
    child = os.fork()
    if child == 0:
        good = (gpuimg.invert(image, backend="multicore") == 255).all() and not driver.numba_is_safe()
        os._exit(0 if good else 3)
    _, status = os.waitpid(child, 0)
    assert (gpuimg.invert(image, backend="multicore") == 255).all()
    sys.exit(os.waitstatus_to_exitcode(status))
    """
    python(code, NUMBA_THREADING_LAYER=layer)


def test_threads_are_those_numba_was_told_to_use():
    code = """
    import numba, numpy as np, gpuimg
    from gpuimg.backend import driver
    for count in (1, numba.config.NUMBA_NUM_THREADS, 1):
        numba.set_num_threads(count)
        assert not driver.numba_is_safe() or driver.thread_count() == count
        assert (gpuimg.invert(np.zeros((500, 500), np.uint8), backend="multicore") == 255).all()
    """
    python(code)


def test_importing_starts_no_thread_and_loads_no_heavy_library():
    code = """
    import sys, threading
    import gpuimg
    heavy = {"numba", "llvmlite", "cupy", "PIL", "scipy", "skimage", "rich", "click", "tifffile"} & set(sys.modules)
    assert not heavy, heavy
    assert threading.active_count() == 1
    """
    python(code)


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import gpuimg

if __name__ == "__main__":
    backend = sys.argv[1]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    image = np.random.default_rng(0).random((4000, 5000))
    gpuimg.median(image[:40, :40], 41, backend=backend)
    sent = []
    def interrupt():
        time.sleep(1.0)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    try:
        for _ in range(30):
            gpuimg.median(image, 41, backend=backend)
        sys.exit("was not interrupted")
    except KeyboardInterrupt:
        took = time.monotonic() - sent[0]
    print(f"{took:.2f}")
    sys.exit(0 if took < 1.0 else f"took {took:.2f} s")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals work differently on Windows")
@pytest.mark.parametrize("backend", ["single", "multicore", "processes"])
def test_ctrl_c_returns_within_a_second_and_leaves_nothing(tmp_path, backend):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    before = segments()
    process = subprocess.Popen(
        [sys.executable, str(script), backend], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        _, errors = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "leaked" not in errors, errors
    assert segments() <= before
    assert not _children_named(str(script))


def _children_named(script):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if script in path.read_bytes().decode(errors="replace"):
                found.append(path)
        except OSError:
            continue
    return found


def test_compiled_code_that_the_disk_has_no_room_for(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("GPUIMG_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    image, result = np.full((2, 3), 7, np.uint8), np.zeros((2, 3), np.uint8)
    packed = compiled.pack((image, result, 0))
    assert compiled.compile_here("invert", packed.form).call(packed.address, 0, 2) == compiled.DONE
    assert (result == 248).all()


def test_packing_of_arguments():
    table = np.zeros(4, np.float32)
    table.setflags(write=False)
    arguments = (np.zeros((2, 3), bool), table, 7, 1.5)
    packed = compiled.pack(arguments)
    assert packed.form == "u12_f41_i8_f8"
    words = np.frombuffer(packed.keep[0], np.int64)
    slots = words[1:]
    assert words[0] == stopping.UNSET
    assert packed.address == slots.ctypes.data
    assert slots[:6].tolist() == [arguments[0].ctypes.data, 2, 3, table.ctypes.data, 4, 7]
    assert slots[6:].view(np.float64).tolist() == [1.5]


def test_bands_cover_all_rows_on_the_thread_pool(monkeypatch):
    monkeypatch.setattr(driver, "numba_is_safe", lambda: False)
    for rows in (1, 2, 3, 7, 200):
        np.testing.assert_array_equal(gpuimg.invert(IMAGE[:rows], backend="multicore"), EXPECTED[:rows])


def test_masks_are_written_into_masks(backend):
    mask = IMAGE > 100
    out = np.zeros_like(mask)
    assert gpuimg.flip(mask, 1, backend=backend, out=out) is out
    np.testing.assert_array_equal(out, mask[:, ::-1])
    assert gpuimg.threshold(IMAGE, 50, backend=backend, out=out) is out
    np.testing.assert_array_equal(out, IMAGE > 50)


def test_every_filter_has_cuda_kernels():
    from gpuimg.advice import unwritten

    assert [name for name in gpuimg.FILTERS if unwritten(name)] == []


@pytest.mark.parametrize("name", ["integral_image", "corner_harris"])
def test_filters_without_a_cuda_kernel_run_on_the_cpu(name, monkeypatch, request):
    """As while a filter's kernels are still to be written for CUDA."""
    from gpuimg import advice
    from gpuimg.backend import cuda
    from tests.cuda_emulator.emulator import emulated

    request.addfinalizer(advice.unwritten.cache_clear)
    advice.unwritten.cache_clear()

    absent = {"integral_image": "sums_before", "corner_harris": "harris"}[name]
    monkeypatch.setattr(cuda, "exists", lambda stem: stem != absent)
    image, given = example(name)
    with emulated():
        with pytest.raises(gpuimg.BackendUnavailable, match="not written for CUDA yet"):
            gpuimg.FILTERS[name].function(image, backend="cuda", **given)
        found = gpuimg.FILTERS[name].function(image, backend="auto", **given)
        (status,) = (status for status in gpuimg.backends() if status.name == "cuda")
        assert name in status.detail
    np.testing.assert_equal(found, gpuimg.FILTERS[name].function(image, backend="single", **given))
