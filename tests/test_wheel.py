"""The built wheel holds every kernel, and finds them outside the checkout."""

import doctest
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gpuimg
from gpuimg import extras

ROOT = Path(gpuimg.__file__).parents[1]

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="needs the source checkout")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, timeout=300)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_source(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    for suffix in (".py", ".cu", ".cuh"):
        sources = [path.relative_to(ROOT).as_posix() for path in (ROOT / "kernels").glob(f"*/*{suffix}")]
        assert len(sources) > 8
        for name in sources:
            assert f"gpuimg/{name}" in held
    for path in (ROOT / "gpuimg").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in held
    page = [path.relative_to(ROOT).as_posix() for path in (ROOT / "gpuimg" / "service" / "page").iterdir()]
    assert len(page) > 8
    assert set(page) <= held
    assert any(name.endswith("LICENSE") for name in held)
    strange = {name for name in held if not name.startswith(("gpuimg/", "gpuimg-"))}
    assert not strange, "the wheel installs something besides gpuimg"
    assert not any("__pycache__" in name or "test" in name for name in held)


def test_an_unpacked_wheel_finds_its_kernels(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, gpuimg
from gpuimg import kernels
assert gpuimg.__file__.startswith(sys.argv[1]), gpuimg.__file__
assert kernels.names("cpu") and kernels.names("cuda")
assert kernels.find("invert.cu").is_file()
assert (gpuimg.invert(np.zeros((3, 4), np.uint8), backend="single") == 255).all()
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=tmp_path, timeout=300)


def test_remedies_name_the_packages_of_the_extras():
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, packages in extras.PACKAGES.items():
        assert packages == tuple(re.match(r"[\w-]+", requirement)[0] for requirement in optional[extra])
    assert doctest.testmod(extras) == (0, 1)
