"""All CUDA kernels on the emulator under AddressSanitizer with UBSan, and on small images under ThreadSanitizer."""

import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory

import pytest

from gpuimg.backend import device
from gpuimg.filters import all_filters
from tests import test_cuda_kernels
from tests.cuda_emulator import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="the emulator needs g++")

ROOT = Path(__file__).parent.parent


def command_of(name, *command):
    """The command that runs Python with a sanitizer's libraries, and its environment."""
    if not all(Path(path).is_file() for path in build.environment(name)["LD_PRELOAD"].split(":")):
        pytest.skip(f"g++ has no runtime library for {name}")
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    return [sys.executable, "-m", "tests.cuda_emulator.sanitized", name, *command], variables


def sanitized(name, *command):
    """Run Python with a sanitizer's libraries, and return its exit code and what it wrote."""
    command, variables = command_of(name, *command)
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=500)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def checked():
    """Compares a filter in a sanitizer's build, and returns the exit code and what was written.

    One process for each build imports everything for many filters; a new one follows where it has ended.
    """
    with ExitStack() as at_end:
        folder = Path(at_end.enter_context(TemporaryDirectory()))
        servers = {}

        def start(build):
            command, variables = command_of(build, "-m", "tests.cuda_emulator.check", build, "--serve")
            file = at_end.enter_context((folder / f"{build}.errors").open("w"))
            server = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdin=PIPE, stdout=PIPE, stderr=file, text=True, bufsize=1
            )
            return at_end.enter_context(server)

        def ask(build, name, written):
            with suppress(BrokenPipeError):
                servers[build].stdin.write(f"{name} {written}\n")
            return servers[build].stdout.readline()

        def check(build, name):
            written = folder / f"{build}-{name}"
            if build not in servers or servers[build].poll() is not None:
                servers[build] = start(build)
            code = ask(build, name, written)
            if not code and not written.exists():  # it was at its end
                servers[build].wait()
                servers[build] = start(build)
                code = ask(build, name, written)
            if code:
                return int(code), written.read_text()
            code = servers[build].wait()
            texts = [path.read_text() for path in (written, folder / f"{build}.errors") if path.exists()]
            return code, "\n".join(texts)

        yield check


@pytest.mark.parametrize("name", sorted(all_filters()))
def test_addresses(name, checked):
    code, text = checked("asan", name)
    assert code == 0, text
    assert "results are the same" in text


@pytest.mark.parametrize("name", sorted(all_filters()))
def test_races(name, checked):
    code, text = checked("tsan", name)
    assert code == 0, text
    assert "results are the same" in text


KERNEL_TESTS = [name for name in vars(test_cuda_kernels) if name.startswith("test_")]
PARTS = 6  # for two processes to share: each part takes a while


@pytest.mark.parametrize("part", range(PARTS))
def test_addresses_of_single_kernels(part):
    chosen = [f"tests/test_cuda_kernels.py::{name}" for name in KERNEL_TESTS[part::PARTS]]
    code, text = sanitized("asan", "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *chosen)
    assert code == 0, text


FAULTY = """
import sys
from pathlib import Path
import numpy as np
from gpuimg import kernels
from tests.cuda_emulator.emulator import EmulatedGpu
kernels._root = Path(sys.argv[2])
gpu = EmulatedGpu(build=sys.argv[1])
gpu.launch("faulty", gpu.put(np.zeros((2, 3), np.uint8)), gpu.empty((2, 3), np.uint8), 0, 2)
"""


@pytest.mark.parametrize(
    ("name", "fault", "report"),
    [
        ("asan", "dst[0] = src[rows * cols];", "use-after-poison"),
        ("asan", "dst[0] = src[-1];", "use-after-poison"),
        ("asan", "__shared__ T s[3]; s[threadIdx.x % 3 + cols - 2] = 1; dst[0] = s[0];", "out of bounds"),
        ("asan", "dst[0] = reinterpret_cast<const uint4*>(src + 1)->x;", "misaligned address"),
        ("asan", "DYNAMIC_SHARED(T, s); dst[0] = s[64];", "heap-buffer-overflow"),
        ("tsan", "__shared__ T s; s = threadIdx.x; __syncthreads(); dst[0] = s;", "data race"),
        ("tsan", "dst[0] = src[0] + threadIdx.x;", "data race"),
    ],
)
def test_planted_faults_are_reported(tmp_path, name, fault, report):
    (tmp_path / "cuda").mkdir()
    headers = device._joined("numbers.cuh", set())
    (tmp_path / "cuda" / "faulty.cu").write_text(
        "// launch: flat, pixels 1\n// instances: faulty<unsigned char, unsigned char>\n" + headers + "\n"
        "template <typename T, typename U> __global__ void faulty(const T* src, long long rows, long long cols, U* dst,"
        f" long long r, long long c, long long top, long long bottom) {{\n{fault}\n}}\n"
    )
    code, text = sanitized(name, "-c", FAULTY, name, str(tmp_path))
    assert code != 0
    assert report in text
