"""Options, tolerances and images that all tests share."""

import errno
import os
import shutil
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import gpuimg
from gpuimg import choosing, machine
from gpuimg.backend import processes
from gpuimg.plans.graph import graph_of
from gpuimg.registry import arguments

BACKENDS = ("single", "multicore", "processes", "cuda")

# Relative to the maximum magnitude in the image: a few units in the last place, and what float32 sums add up.
TOLERANCES = {"float32": 2e-6, "float64": 1e-13}

# Skipped tests fail where GPUIMG_REQUIRE_TOOLS is set, but for these reasons.
MAY_BE_MISSING = ("torch is not installed", "needs a real GPU", "permissions do not bind this user")

# OpenMP's threads sleep between calls: they would spin for milliseconds on the cores that other tests run on.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

hypothesis.settings.register_profile("default", deadline=None, max_examples=30)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        choices=BACKENDS,
        help="run the filters' tests on this backend only; cuda: on a real GPU (by default the CPU emulates one)",
    )


def pytest_generate_tests(metafunc):
    own = any("backend" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "backend" in metafunc.fixturenames and not own:
        chosen = metafunc.config.getoption("--backend")
        metafunc.parametrize("backend", [chosen] if chosen else BACKENDS, indirect=True)


def pytest_collection_modifyitems(config, items):
    """A filter whose CUDA kernel is not written yet has no test on that backend; `test_backends` has their names."""
    from gpuimg.advice import unwritten

    lost = [item for item in items if (name := _on_cuda(item)) is not None and unwritten(name)]
    if lost:
        config.hook.pytest_deselected(items=lost)
        items[:] = [item for item in items if item not in lost]


def _on_cuda(item):
    """The filter that a test calls on the device, if that is what it does."""
    given = getattr(item, "callspec", None)
    if given is None or given.params.get("backend") != "cuda":
        return None
    name = given.params.get("name")
    return name if name in gpuimg.FILTERS else None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Where all tools are known to be there, a skipped test is a test that was lost."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("GPUIMG_REQUIRE_TOOLS") and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr)
        if not any(known in reason for known in MAY_BE_MISSING):
            report.outcome = "failed"
            report.longrepr = f"skipped where nothing may be skipped: {reason}"


@pytest.fixture(autouse=True, scope="session")
def _shared():
    """What is asked for on all cores is shared out, however small the images of tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "ALONE_UP_TO", 0)
        yield


@pytest.fixture
def backend(request):
    """The name of a backend that can run here; "cuda" is emulated unless it was asked for."""
    name = request.param
    if name != "cuda" or request.config.getoption("--backend") == "cuda":
        yield name
        return
    if shutil.which("g++") is None:
        pytest.skip("the emulator needs g++")
    from tests.cuda_emulator.emulator import emulated

    with emulated():
        yield name


def assert_same(actual, expected, message=""):
    """Equal in dtype, shape and every value; NaN equals NaN."""
    assert np.asarray(actual).dtype == np.asarray(expected).dtype, message
    np.testing.assert_array_equal(actual, expected, err_msg=message, strict=True)


def assert_close(actual, expected, image, message=""):
    """Equal within the tolerance of the dtype, by the scale of the image's values; NaN in the same places."""
    assert actual.dtype == expected.dtype, message
    assert actual.shape == expected.shape, message
    scale = max(float(np.nanmax(np.abs(array.astype(np.float64)), initial=1e-30)) for array in (image, expected))
    tolerance = TOLERANCES[str(expected.dtype)] * scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=message)


def assert_angles_close(actual, expected, uncertainty=0.0, ulps=4):
    """Equal within ``uncertainty`` radians and some units in the last place; -pi is pi. NaN in the same places."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    apart = np.abs(actual.astype(np.float64) - expected)
    apart = np.minimum(apart, 2 * np.pi - apart)
    allowed = ulps * np.spacing(np.abs(expected)).astype(np.float64) + uncertainty
    np.testing.assert_array_less(np.nan_to_num(apart), np.nan_to_num(allowed, nan=np.inf))


def parts(result):
    """All results of a filter, also where it is one."""
    return result if isinstance(result, tuple) else (result,)


def example(name, shape=(12, 17)):
    """An image of noise that a filter takes, uint8 where it can be, and arguments for it."""
    found = gpuimg.FILTERS[name]
    kind = "uint8" if "u" in found.kinds else "float32"
    image = noise((*shape, 3) if found.color else shape, kind)
    return image, arguments(found.examples[0], image)


LEVELS = {f"threshold_{name}" for name in ("otsu", "yen", "triangle", "li", "multiotsu")}
SCALAR = {"histogram", "peak_local_max", *LEVELS}  # filters whose result is no image
PLANES = {"label2rgb"}  # filters of images without channels


def noise(shape, dtype, seed=0):
    """An image of noise over the whole range of an integer dtype, or normally distributed."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "f":
        return rng.normal(0.3, 1.0, shape).astype(dtype)
    if dtype.kind == "c":
        return (rng.normal(0.3, 1.0, shape) + 1j * rng.normal(0.3, 1.0, shape)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def result_of(backend, bound, out=None):
    """The only result of a graph on a backend."""
    (result,) = backend.run(bound, None if out is None else (out,))
    return result


def set_constants(monkeypatch, module, **values):
    """Set constants that plans are made from, and forget the graphs that were made from others."""
    for name, value in values.items():
        monkeypatch.setattr(module, name, value)
    graph_of.cache_clear()


@pytest.fixture
def figures_file(tmp_path, monkeypatch):
    """Where figures are stored; until some are, they are the shipped ones, whatever was learned from calls before."""
    folder = tmp_path / "figures"
    folder.mkdir()
    monkeypatch.setattr(machine, "figures_path", lambda: folder / "figures.json")
    machine.figures.cache_clear()
    yield folder / "figures.json"
    machine.figures.cache_clear()


@pytest.fixture
def constants(monkeypatch):
    """`set_constants`; afterwards the constants are what they were, and no graph made from others is left."""
    with monkeypatch.context() as patch:
        yield partial(set_constants, patch)
    graph_of.cache_clear()


def segments():
    """The names of shared memory on this machine."""
    folder = Path("/dev/shm")
    return {path.name for path in folder.glob("psm_*")} if folder.is_dir() else set()


def wait_until(condition, seconds=20):
    """Whether something becomes true; the time allowed is for a busy machine."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def alive(pid):
    """Whether a process has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not stat.parent.parent.is_dir()


def assert_gone(numbers):
    """Processes that were there have ended."""
    assert numbers
    assert wait_until(lambda: not any(map(alive, numbers))), [number for number in numbers if alive(number)]


def shared_memory_of(pid):
    """The shared memory that a process has open or mapped."""
    opened = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            opened.append(path.readlink())
    mapped = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [str(line) for line in [*opened, *mapped] if "memfd:gpuimg" in str(line) or "/psm_" in str(line)]


def assert_no_shared_memory(before):
    """None is left by name, besides what there was before, and on Linux none in this process and the workers."""
    assert wait_until(lambda: segments() <= before), segments() - before
    if sys.platform == "linux":
        pids = [os.getpid(), *[worker.process.pid for worker in processes._workers._workers]]
        assert wait_until(lambda: not any(map(shared_memory_of, pids))), list(map(shared_memory_of, pids))


@pytest.fixture
def without_memfd(monkeypatch):
    """The memory that systems without nameless files in memory have."""

    def missing(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", missing, raising=False)
