"""Kernels compiled for real GPUs by NVRTC, without one: no spills, room for two blocks, 16-byte loads as promised."""

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from gpuimg import kernels
from gpuimg.backend.device import instances
from gpuimg.kernels.smooth import gaussian_launch
from tests.cuda_emulator import nvrtc

pytestmark = pytest.mark.skipif(nvrtc.compiler() is None, reason="NVRTC's wheel (nvidia-cuda-nvrtc) is not installed")

STEMS = kernels.names("cuda")
REGISTERS = 65536  # of a multiprocessor
THREADS = 256  # of the largest blocks we launch
SHARED = 48 << 10

# Kernels that do little else than read and write: each moves 16 bytes a thread, at least of the wider type.
MEMORY_BOUND = ("bincount", "histogram", "interpolate", "invert", "lut", "minmax", "rgb2gray", "threshold")
READING = ("bincount", "histogram", "minmax")
SIZES = {"char": 1, "short": 2, "int": 4, "float": 4, "long": 8, "double": 8}

compiled = functools.cache(nvrtc.compile_kernel)


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("stem", STEMS)
def test_no_spills_and_room_for_two_blocks(stem, architecture):
    usages = compiled(stem, architecture).usages
    assert set(usages) == set(instances(stem))
    for name, usage in usages.items():
        assert usage.spills == 0, name
        assert usage.stack == 0, f"{name} keeps arrays in local memory"
        assert usage.registers <= REGISTERS // (2 * THREADS), name
        assert usage.shared <= SHARED, name


def test_tiles_of_gaussians_fit_beside_what_the_kernels_have():
    for name, usage in compiled("gaussian", 75).usages.items():
        if name.startswith("smooth<"):
            assert usage.shared + gaussian_launch.SHARED_BYTES <= 64 << 10, name


def disassembled(cubin: bytes, folder: Path) -> dict[str, str]:
    """Machine code by mangled kernel name."""
    cuobjdump, nvdisasm = (nvrtc.wheel_file(f"*/bin/{tool}*") for tool in ("cuobjdump", "nvdisasm"))
    if cuobjdump is None or nvdisasm is None:
        pytest.skip("the wheels nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm are not installed")
    path = folder / "kernel.cubin"
    path.write_bytes(cubin)
    search = {**os.environ, "PATH": f"{nvdisasm.parent}{os.pathsep}{os.environ['PATH']}"}
    text = subprocess.run(
        [cuobjdump, "--dump-sass", path], check=True, capture_output=True, text=True, env=search
    ).stdout
    parts = re.split(r"Function : (\S+)", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("stem", MEMORY_BOUND)
def test_sixteen_bytes_at_a_time(stem, tmp_path):
    result = compiled(stem, 90)
    codes = disassembled(result.cubin, tmp_path)
    for name in instances(stem):
        code = codes[result.mangled[name]]
        read, written = (SIZES[ctype.split()[-1]] for ctype in _types(name))
        if read >= written or stem in READING:
            assert re.search(r"LDG\.E\.(\w+\.)*128", code), f"{name} has no 16-byte load"
        if written >= read and stem not in READING:
            assert re.search(r"STG\.E\.(\w+\.)*128", code), f"{name} has no 16-byte store"


def _types(name: str) -> list[str]:
    return [part.strip() for part in name.partition("<")[2].rstrip(">").split(",")[:2]]
