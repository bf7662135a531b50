"""Compiling: by the public interface of Numba or through its inside, for any processor, kept while it is valid."""

import json
import os
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest

import gpuimg
from gpuimg import kernels
from gpuimg.backend import jit, jit_fast

# Prints a digest of each result.
RESULTS = """
import hashlib, json, logging, sys
import numpy as np, gpuimg
from gpuimg.backend import compiled, jit_fast
logging.basicConfig(level=logging.INFO)
key, names = json.loads(sys.argv[1])
if key == "uncalled":
    from numba.core.codegen import JITCodeLibrary
    JITCodeLibrary.uncalled = lambda library: None
    jit_fast.PRIVATE["optimize"] = ("numba.core.codegen", "JITCodeLibrary.uncalled")
elif key:
    module, path = jit_fast.PRIVATE[key]
    jit_fast.PRIVATE[key] = (module, path + "_of_another_version")
rng = np.random.default_rng(5)
gray, color = rng.integers(0, 256, (70, 201), np.uint8), rng.integers(0, 256, (70, 201, 3), np.uint8)
table = rng.integers(0, 256, 256).astype(np.uint8)
calls = {
    "invert": lambda: gpuimg.invert(gray, backend="single"),
    "gaussian": lambda: gpuimg.gaussian(gray, 1.0, backend="single"),
    "lut": lambda: gpuimg.lut(gray, table, backend="single"),
    "histogram": lambda: gpuimg.histogram(gray, backend="multicore")[0],
    "label": lambda: gpuimg.label(gray // 64, backend="single"),
    "unsharp_mask": lambda: gpuimg.unsharp_mask(gray, 1.0, backend="multicore"),
    "rgb2gray": lambda: gpuimg.rgb2gray(color, backend="single"),
    "resize": lambda: gpuimg.resize(gray, (90, 301), backend="single"),
    "resize float": lambda: gpuimg.resize(gray.astype(np.float32), (90, 301), backend="single"),
    "median": lambda: gpuimg.median(gray, 3, backend="single"),
    "median large": lambda: gpuimg.median(gray, 15, backend="single"),
    "minimum": lambda: gpuimg.minimum(gray, 5, backend="single"),
    "rescale": lambda: gpuimg.rescale_intensity(gray, backend="single"),
    "extremes": lambda: gpuimg.rescale_intensity(gray.astype(np.float32), backend="single"),
}
found = {}
for name in names or calls:
    result = np.ascontiguousarray(calls[name]())
    found[name] = f"{result.dtype} {result.shape} {hashlib.sha256(result.tobytes()).hexdigest()}"
print(json.dumps(found))
"""
SHAPES = ["invert", "gaussian", "lut", "histogram", "label", "unsharp_mask"]


def results(names=None, *, without=None, **variables):
    """What the filters give in a new process, and what was logged."""
    done = subprocess.run(
        [sys.executable, "-c", RESULTS, json.dumps([without, names])],
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        timeout=400,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@cache
def native():
    """What the filters give with nothing changed."""
    return results()[0]


def assert_as_native(found):
    assert found == {name: native()[name] for name in found}


def test_every_filter_shape_works_by_the_public_interface_alone(tmp_path):
    slow, log = results(SHAPES, without="optimize", GPUIMG_CACHE_DIR=tmp_path)
    assert log.count("by Numba's public interface") == 1
    assert set(slow) == set(SHAPES)
    assert_as_native(slow)


@pytest.mark.parametrize("key", [key for key in jit_fast.PRIVATE if key != "optimize"] + ["uncalled"])
def test_each_private_name_of_numba_may_be_missing(tmp_path, key):
    slow, log = results(["invert"], without=key, GPUIMG_CACHE_DIR=tmp_path)
    assert log.count("by Numba's public interface") == 1
    assert_as_native(slow)


def test_the_fast_way_is_taken_with_the_numba_that_is_installed():
    assert jit_fast.usable()


@pytest.mark.parametrize(
    "variables",
    [
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "haswell"},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2"},
    ],
    ids=["generic", "haswell", "haswell without more"],
)
def test_any_processor_that_numba_compiles_for(variables):
    found, _ = results(**variables)
    assert len(found) == len(native())
    assert_as_native(found)


def test_what_the_target_is_not_known_to_have_is_not_used(monkeypatch):
    target = kernels.load("target")
    monkeypatch.setattr(target, "target_features", lambda: "+avx2,-avx512f,+avx512bw")
    assert target.has("avx2")
    assert not target.has("avx2", "avx512f")
    assert not target.has("neon")
    monkeypatch.undo()
    monkeypatch.delattr("numba.core.registry.cpu_target")
    assert target.target_features() == ""


def test_compiled_code_is_valid_until_something_it_depends_on_is_edited(tmp_path, monkeypatch):
    folder = tmp_path / "backend"
    folder.mkdir()
    for path in Path(jit.__file__).parent.glob("*.py"):
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(jit, "__file__", str(folder / "jit.py"))
    same = jit.code_digest.__wrapped__()
    assert same == jit.code_digest()
    for name in ("cuda", "cupygpu", "device"):
        _edit(folder / f"{name}.py")
    assert jit.code_digest.__wrapped__() == same
    for name in ("jit", "jit_fast", "driver"):
        _edit(folder / f"{name}.py")
        assert jit.code_digest.__wrapped__() != same
        same = jit.code_digest.__wrapped__()


def _edit(path):
    with path.open("a") as source:
        source.write("# edited\n")


def test_a_newer_numba_than_tested_is_named_once():
    code = """
    import warnings, numba, numpy as np, gpuimg
    numba.__version__ = "0.99.1"
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for dtype in (np.uint8, np.uint16):
            gpuimg.invert(np.zeros((9, 9), dtype), backend="single")
    (warning,) = [each for each in seen if each.category is gpuimg.UntestedVersionWarning]
    print(warning.message)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], timeout=240, check=True, capture_output=True, text=True
    )
    assert "Numba 0.99.1 is newer than 0.68" in done.stdout


def test_the_oldest_numba_is_the_one_that_the_package_asks_for():
    root = Path(gpuimg.__file__).parent.parent
    assert f'"numba>={jit.OLDEST[0]}.{jit.OLDEST[1]}"' in (root / "pyproject.toml").read_text()


ENVIRONMENT = """
import numpy as np, gpuimg
image = np.zeros((300, 300), np.uint8)
for status in gpuimg.backends():
    if status.name in ("single", "multicore"):
        try:
            gpuimg.invert(image, backend=status.name)
            print(status.name, "works" if status.usable else "is said not to work")
        except gpuimg.BackendUnavailable as error:
            assert status.reason == error.reason
            print(status.name, error.reason)
try:
    gpuimg.invert(image)
except gpuimg.GpuimgError as error:
    print("auto", error)
"""


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("NUMBA_DISABLE_JIT=1", "unset NUMBA_DISABLE_JIT"),
        ("NUMBA_DISABLE_JIT=0", None),
        ("NUMBA_OPT=0", None),
        ("NUMBA_THREADING_LAYER=safe", None),
        ("NUMBA_THREADING_LAYER=tbb", None),
        ("NUMBA_THREADING_LAYER=threadsafe", None),
        ("NUMBA_THREADING_LAYER=forksafe", None),
    ],
)
def test_what_numba_is_told_by_the_environment_works_or_is_named(tmp_path, variable, expected):
    name, value = variable.split("=")
    done = subprocess.run(
        [sys.executable, "-c", ENVIRONMENT],
        env={**os.environ, name: value, "GPUIMG_CACHE_DIR": str(tmp_path)},
        timeout=240,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    if expected is None:
        assert lines == ["single works", "multicore works"]
    else:
        assert [line.split()[0] for line in lines] == ["single", "multicore", "auto"]
        assert all(expected in line for line in lines)


APART = """
import numpy as np, gpuimg
image = np.random.default_rng(0).random((9, 40)).astype(np.float32)
found = [gpuimg.median(image, 3, backend="single") for _ in range({medians})]
found += [gpuimg.percentile(image, 20, 3, backend="single") for _ in range({percentiles})]
print(*[hashlib.sha256(each.tobytes()).hexdigest() for each in found])
"""


def test_code_that_processes_compiled_apart_works_together(tmp_path):
    """The kernels of both are made by one function out of others, and their code meets in the third process."""
    environment = {**os.environ, "GPUIMG_CACHE_DIR": str(tmp_path)}

    def said(**counts):
        script = "import hashlib" + APART.format(**counts)
        return subprocess.check_output([sys.executable, "-c", script], env=environment, text=True, timeout=200).split()

    one, other = said(medians=1, percentiles=0), said(medians=0, percentiles=1)
    assert said(medians=1, percentiles=1) == one + other


def test_functions_made_of_different_things_have_different_names():
    kernel = kernels.load("functions").kernel

    def adder(value):
        return kernel(lambda x: x + value)

    def twice(function):
        return kernel(lambda x: function(function(x)))

    def name(function):
        return function.py_func.__qualname__

    assert name(adder(1)) == name(adder(1)) != name(adder(2))
    assert name(twice(adder(1))) == name(twice(adder(1))) != name(twice(adder(2)))
    with pytest.raises(TypeError, match="cannot be named after"):
        adder(object())
