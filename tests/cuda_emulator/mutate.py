"""Plants faults in the CUDA kernels, one at a time, and says which checks notice each. Not part of the test suite.

``python -m tests.cuda_emulator.mutate [word ...]`` runs the faults whose description holds one of the words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from gpuimg import kernels

from .build import environment


class Fault(NamedTuple):
    """Text to replace in a source, and the tests of `test_cuda_kernels` that should notice."""

    what: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = (
    Fault("shifted load reads beyond the end", "vectors.cuh", "first + bytes + 16 <=", "first + bytes <=", "invert"),
    Fault("shifted load forgets four bytes", "vectors.cuh", "if (shift & 4)", "if (false)", "invert"),
    Fault("shifted load begins too early", "vectors.cuh", "first >= address_of(begin) && ", "", "invert"),
    Fault("single elements read beyond the end", "vectors.cuh", " && p + i < end ?", " ?", "threshold"),
    Fault("chunks are not aligned on the result", "vectors.cuh", "int(address_of(dst) / sizeof(U) % N)", "0", "invert"),
    Fault(
        "a full chunk where one is missing",
        "vectors.cuh",
        "first[k] + N <= count)",
        "first[k] + N <= count + 1)",
        "invert",
    ),
    Fault("the last chunk is stored whole", "vectors.cuh", "&& first[k] + i < count) to", ") to", "invert"),
    Fault("the second chunk is left out", "vectors.cuh", "SCALE == 1 ? 2 : 1", "1", "invert"),
    Fault("saturation one too low", "numbers.cuh", "high = 65535", "high = 65534", "rgb2gray"),
    Fault("rounding down", "numbers.cuh", "int(rint(", "int(floor(", "rgb2gray"),
    Fault("fixed point without a half", "rgb2gray.cu", "b + 32768) >> 16)\n", "b) >> 16)\n", "rgb2gray"),
    Fault("blue is green", "rgb2gray.cu", "STEP * i + 2", "STEP * i + 1", "rgb2gray"),
    Fault("not less but equal", "threshold.cu", "v > limit", "v >= limit", "threshold"),
    Fault("table not ready", "lut.cu", "__syncthreads();", "", "lut"),
    Fault("channels do not begin anew", "lut.cu", "channel + 1 == step ? 0 : channel + 1", "channel + 1", "lut"),
    Fault("bins not zeroed", "counting.cuh", "shared_bins[i] = 0;", ";", "histogram"),
    Fault("bins zeroed while others count", "counting.cuh", "= 0;\n  __syncthreads();", "= 0;", "histogram"),
    Fault(
        "bins read while others count",
        "counting.cuh",
        "  __syncthreads();\n  for (int i = threadIdx.x; shared",
        "  for (int i = threadIdx.x; shared",
        "histogram",
    ),
    Fault("counting is not atomic", "counting.cuh", "atomicAdd(mine + bin, run);", "mine[bin] += run;", "histogram"),
    Fault("the last run is lost", "counting.cuh", "    flush(last, run);\n  }\n\n", "  }\n\n", "histogram"),
    Fault(
        "adding to the result is not atomic",
        "counting.cuh",
        "atomicAdd(reinterpret_cast<unsigned long long*>(to), (unsigned long long)count);",
        "*to += count;",
        "histogram",
    ),
    Fault("the last bin is open", "bincount.cu", "v <= high", "v < high", "bincount"),
    Fault(
        "the guess is believed",
        "bincount.cu",
        "    while (bin < bins - 1 && v >= edges[bin + 1]) ++bin;\n",
        "",
        "bincount",
    ),
    Fault("NaN is not seen", "minmax.cu", "a < low || is_nan(a)", "a < low", "minmax"),
    Fault("partial results read too early", "minmax.cu", "    __syncthreads();\n", "", "minmax"),
    Fault("half of the threads not looked at", "minmax.cu", "half = THREADS / 2", "half = THREADS / 4", "minmax"),
    Fault("interpolation from the wrong knot", "interpolate.cu", "knots - 2)", "knots - 1)", "interpolate"),
)

RUN = (
    "import sys; from pathlib import Path; from gpuimg import kernels; kernels._root = Path(sys.argv[1]); "
    "import pytest; sys.exit(pytest.main(sys.argv[2:]))"
)


def outcome(root: Path, build: str, tests: str) -> str:
    """What the tests say of the kernels below ``root`` in a build."""
    options = ["-x", "-s", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/test_cuda_kernels.py", "-k", tests]
    variables = {**os.environ, **environment(build), "GPUIMG_EMULATOR": build}
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(root), *options], env=variables, capture_output=True, text=True, timeout=300
        )
    except subprocess.TimeoutExpired:
        return "caught: it hangs"
    text = done.stdout + done.stderr
    for sign in (
        "ThreadSanitizer: data race",
        "AddressSanitizer",
        "runtime error",
        "EmulationError",
        "does not compile",
    ):
        if sign in text:
            return f"caught: {sign}"
    return "caught: a wrong result" if done.returncode else "missed"


def main(words: list[str]) -> int:
    missed = 0
    chosen = [fault for fault in FAULTS if not words or any(word in fault.what for word in words)]
    for fault in chosen:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(kernels._root, folder, dirs_exist_ok=True)
            (path,) = Path(folder).glob(f"*/{fault.file}")
            text = path.read_text()
            if fault.right not in text:
                raise SystemExit(f"{fault.file} does not hold {fault.right!r} any longer")
            path.write_text(text.replace(fault.right, fault.wrong))
            found = {}
            for build in ("fast", "asan", "tsan"):
                found[build] = outcome(Path(folder), build, fault.tests)
                if found[build] != "missed":
                    break
        missed += all(text == "missed" for text in found.values())
        print(
            f"{fault.file}: {fault.what}: {', '.join(f'{build} {text}' for build, text in found.items())}", flush=True
        )
    print(f"{len(chosen) - missed} of {len(chosen)} faults were caught")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
