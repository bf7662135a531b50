"""Plants faults in the CUDA kernels and the code that launches them, one at a time: which checks notice each?

Not part of the test suite. ``python -m tests.cuda_emulator.mutate [word ...]`` runs the faults whose description holds
one of the words, or whose file is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .build import environment

ROOT = Path(__file__).parents[2]
COPIED = ("gpuimg", "kernels", "tests", "pyproject.toml", "README.md")
SECONDS = 400  # that a check may take
KERNELS = "tests/test_cuda_kernels.py"
BACKEND = "tests/test_cuda_backend.py"
CUPY = "tests/test_cuda_cupy.py"
FILTERS = "tests/test_filters.py"  # against oracles
ASSEMBLY = "tests/test_cuda_assembly.py"
SIGNS = (
    "ThreadSanitizer: data race",
    "AddressSanitizer",
    "runtime error",
    "EmulationError",
    "does not compile",
)


class Fault(NamedTuple):
    """Text to replace in a source, and what should notice.

    Attributes
    ----------
    tests : tests of `test_cuda_kernels` that should, as pytest's ``-k`` takes them
    file_of_tests : another file of tests
    filter : a filter that `check` should find to be wrong, in place of tests
    """

    what: str
    file: str
    right: str
    wrong: str
    tests: str = ""
    file_of_tests: str = KERNELS
    filter: str = ""


FAULTS = (
    # Loads and stores at any alignment.
    Fault("shifted load reads beyond the end", "vectors.cuh", "first + bytes + 16 <=", "first + bytes <=", "invert"),
    Fault("shifted load forgets four bytes", "vectors.cuh", "if (shift & 4)", "if (false)", "invert"),
    Fault("shifted load begins too early", "vectors.cuh", "first >= address_of(begin) && ", "", "invert"),
    Fault("single elements read beyond the end", "vectors.cuh", " && p + i < end ?", " ?", "threshold"),
    Fault("chunks are not aligned on the result", "vectors.cuh", "int(address_of(dst) / sizeof(U) % N)", "0", "invert"),
    Fault(
        "a full chunk where one is missing",
        "vectors.cuh",
        "first + N <= count) {",
        "first + N <= count + 1) {",
        "invert",
    ),
    Fault(
        "the last chunk is stored whole",
        "vectors.cuh",
        "first + i >= 0 && first + i < count",
        "first + i >= 0",
        "invert",
    ),
    Fault("the second chunk is left out", "vectors.cuh", "SCALE == 1 ? 2 : 1", "1", "invert"),
    Fault(
        "words of a store of 16 bytes are swapped",
        "vectors.cuh",
        '"r"(word.x), "r"(word.y), "r"(word.z)',
        '"r"(word.y), "r"(word.x), "r"(word.z)',
        "invert",
        ASSEMBLY,
    ),
    Fault(
        "values of a four are swapped",
        "tiles.cuh",
        '"f"(wide.v[0]), "f"(wide.v[1])',
        '"f"(wide.v[1]), "f"(wide.v[0])',
        "gaussian",
        ASSEMBLY,
    ),
    Fault(
        "a signed number is loaded as one without a sign",
        "numbers.cuh",
        "ld.global.nc.s16",
        "ld.global.nc.u16",
        "sobel",
        ASSEMBLY,
    ),
    Fault("NaN is no minimum", "minima.cuh", '"f"(a), "f"(b)', '"f"(a), "f"(a)', "minimum", ASSEMBLY),
    # Numbers.
    Fault("saturation one too low", "numbers.cuh", "high = 65535", "high = 65534", "rgb2gray"),
    Fault("rounding down", "numbers.cuh", "int(rint(", "int(floor(", "rgb2gray"),
    Fault("fixed point without a half", "rgb2gray.cu", "b + 32768) >> 16)\n", "b) >> 16)\n", "rgb2gray"),
    Fault("blue is green", "rgb2gray.cu", "STEP * i + 2", "STEP * i + 1", "rgb2gray"),
    Fault("not less but equal", "threshold.cu", "v > limit", "v >= limit", "threshold"),
    Fault("interpolation from the wrong knot", "interpolate.cu", "knots - 2)", "knots - 1)", "interpolate"),
    # Tables and counts in shared memory.
    Fault("table not ready", "lut.cu", "__syncthreads();", "", "lut"),
    Fault("channels do not begin anew", "lut.cu", "channel + 1 == step ? 0 : channel + 1", "channel + 1", "lut"),
    Fault("bins not zeroed", "counting.cuh", "counts[i] = 0;", ";", "histogram"),
    Fault(
        "bins zeroed while others count",
        "counting.cuh",
        "counts[i] = 0;\n    __syncthreads();",
        "counts[i] = 0;",
        "histogram",
    ),
    Fault(
        "bins read while others count",
        "counting.cuh",
        "    __syncthreads();\n    for (int i = threadIdx.x; i < int(bins); i",
        "    for (int i = threadIdx.x; i < int(bins); i",
        "histogram",
    ),
    Fault(
        "counting is not atomic",
        "counting.cuh",
        "atomicAdd(counts + ((quick(value, base) << shift) + own), 1u);",
        "counts[(quick(value, base) << shift) + own]++;",
        "histogram",
    ),
    Fault("the last run is lost", "counting.cuh", "    runs.flush();\n", "", "histogram"),
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
        "  while (bin < bins - 1 && v >= edges[bin + 1]) ++bin;\n",
        "",
        "bincount",
    ),
    Fault("NaN is not seen", "minmax.cu", "a < low || is_nan(a)", "a < low", "minmax"),
    Fault("partial results read too early", "minmax.cu", "    __syncthreads();\n", "", "minmax"),
    Fault("half of the threads not looked at", "minmax.cu", "half = THREADS / 2", "half = THREADS / 4", "minmax"),
    # Windows: borders, halos, barriers.
    Fault(
        "a barrier is missing at the end of a loop over rows",
        "minimum.cu",
        "    __syncthreads();\n  }\n}\n\n// The same for windows wider than shared memory",
        "  }\n}\n\n// The same for windows wider than shared memory",
        "minimum",
    ),
    Fault(
        "the constant is a neighbour",
        "borders.cuh",
        "if (mode == MODE_CONSTANT) return -1;\n  if (mode == MODE_N",
        "if (mode == MODE_N",
        "minimum",
    ),
    Fault(
        "indices of 32 bits",
        "minimum.cu",
        "r < 0 ? T(cval) : src[r * cols + x]",
        "r < 0 ? T(cval) : src[int(r) * int(cols) + int(x)]",
        "minimum or far",
    ),
    Fault(
        "a strip is a row too short",
        "strips.cuh",
        "top >= 0 && top + height <= rows, whole",
        "top >= 0 && top + height <= rows + 1, whole",
        "minimum",
    ),
    Fault("blocks of columns overlap", "columns.cuh", "* 4 + k) * blockDim.x", "* 3 + k) * blockDim.x", "footprint"),
    Fault(
        "a wrong stride over the grid's rows",
        "uniform.cu",
        "first += (long long)gridDim.y * n0) {\n    const long long begin = first - n0 / 2, skip",
        "first += (long long)(gridDim.y + 1) * n0) {\n    const long long begin = first - n0 / 2, skip",
        "uniform",
    ),
    Fault(
        "sums are read before all are there",
        "uniform.cu",
        "    __syncthreads();\n    const int there",
        "    const int there",
        "uniform",
    ),
    Fault(
        "a window begins one too late", "uniform.cu", "above = first - N / 2;", "above = first - N / 2 + 1;", "uniform"
    ),
    Fault(
        "sums of the wrong rows",
        "gaussian.cu",
        "OUTPUTS * sums_pitch + at.column;",
        "OUTPUTS * pitch + at.column;",
        "gaussian",
    ),
    Fault(
        "weights are not ready",
        "gaussian.cu",
        "along_weights.store(shared + layout.weights_at);\n  __syncthreads();",
        "along_weights.store(shared + layout.weights_at);",
        "gaussian",
    ),
    Fault(
        "a halo too narrow", "gaussian_launch.py", "halo = r1 * step\n", "halo = max(r1 - 1, 0) * step\n", "gaussian"
    ),
    Fault(
        "too little shared memory",
        "gaussian_launch.py",
        "shared = (2 * HEIGHT * pitch + distances) * itemsize",
        "shared = 2 * HEIGHT * pitch * itemsize",
        "gaussian",
    ),
    Fault(
        "taps of the next rows are missing",
        "convolve.cu",
        "(count + 2 * (DOWN - 1)) * wide; i +=",
        "(count + DOWN - 1) * wide; i +=",
        "convolve",
    ),
    Fault(
        "a tile is loaded over one that is read",
        "convolve.cu",
        "    __syncthreads();\n    load_tile(",
        "    load_tile(",
        "convolve",
    ),
    Fault("a rank too high", "median.cu", "if (below <= rank) found", "if (below < rank) found", "median or ranks"),
    Fault(
        "a value leaves the wrong histogram",
        "median.cu",
        "count(row - n0 / 2, -1);",
        "count(row - n0 / 2 + 1, -1);",
        "median",
    ),
    # Moving pixels.
    Fault("pixels of three channels from the wrong place", "flip.cu", "lead * 11 % N * 3", "lead * 5 % N * 3", "flip"),
    Fault("bytes in the order of words", "flip.cu", "0x0123 : 0x1032", "0x1032 : 0x1032", "flip"),
    Fault(
        "a tile is read before it is there",
        "transpose.cu",
        "  __syncthreads();\n#pragma unroll 1\n  for (int column",
        "#pragma unroll 1\n  for (int column",
        "transpose",
    ),
    Fault(
        "tail columns are lost",
        "rows_launch.py",
        "(-(-cols // (span - halo)), min(rows",
        "(max(cols // (span - halo), 1), min(rows",
        "minimum or uniform",
    ),
    # Components, lines.
    Fault(
        "uniting is not atomic",
        "unions.cuh",
        "const N before = atomicMin(parents + high, low);",
        "const N before = parents[high];\n    if (low < before) parents[high] = low;",
        filter="label",
    ),
    Fault("what a root pointed to is forgotten", "unions.cuh", "    a = before;  //", "    return;  //", "hysteresis"),
    Fault(
        "corners of tiles are not looked at",
        "label_slabs.cu",
        "position + 1 < end && at[over + along]",
        "position + 32 < end && at[over + along]",
        tests="label and cuda",
        file_of_tests=FILTERS,
    ),
    Fault(
        "sums of blocks are read before they are there",
        "integral.cu",
        "    __syncthreads();\n    if (at < whole) {\n      const S before",
        "    if (at < whole) {\n      const S before",
        filter="integral_image",
    ),
    Fault(
        "the way to the right is not gone",
        "distance.cu",
        "if (right < cols) best",
        "if (right + step < cols) best",
        tests="distance_transform_edt and cuda",
        file_of_tests=FILTERS,
    ),
    # The code that launches.
    Fault(
        "rows are found where their bytes are not",
        "device.py",
        "first * held.shape[1] * held.dtype.itemsize",
        "first * held.shape[1]",
        "tiles or bands",
        BACKEND,
    ),
    Fault(
        "more rows than a grid may have",
        "device.py",
        "range(top, bottom, how.rows)",
        "range(top, bottom, how.rows + 1)",
        "more_rows",
        BACKEND,
    ),
    Fault(
        "an offset is forgotten",
        "prepared.py",
        "(begins[number] + offset) % ADDRESSES",
        "begins[number] % ADDRESSES",
        "find_the_rows",
        BACKEND,
    ),
    Fault(
        "the wrong bytes are cleared",
        "prepared.py",
        "gpu.clear(begins[step.number] + step.offset,",
        "gpu.clear(begins[step.number],",
        "find_the_rows",
        BACKEND,
    ),
    Fault(
        "scratch memory that is too small",
        "prepared.py",
        "if wanted <= size <= LARGEST_WASTE * wanted",
        "if size <= LARGEST_WASTE * wanted",
        "scratch or turns",
        BACKEND,
    ),
    Fault(
        "constants are let go while they are read",
        "device.py",
        "            self.wait_for_all()\n",
        "",
        "tables_are_let_go",
        CUPY,
    ),
    Fault(
        "a result over its image",
        "cuda.py",
        "    if out is None or not gpu.owns(out):\n        return False\n",
        "    return False\n",
        "overlap",
        BACKEND,
    ),
    Fault(
        "rows that another image needs are left out", "cuda.py", "max(known[1], last)", "last", "tiles_read", BACKEND
    ),
    Fault(
        "the rows before are not read",
        "cuda.py",
        "needed[key] = min(known[0], first),",
        "needed[key] = max(known[0], first),",
        "tiles_read",
        BACKEND,
    ),
    Fault(
        "a piece is done twice",
        "cuda.py",
        "edges = [node.pieces * number // pieces for",
        "edges = [node.pieces * number // (pieces + 1) for",
        "pieces",
        BACKEND,
    ),
    Fault(
        "kernels do not wait for what they read",
        "stages.py",
        "self._compute.wait_event(self._sending.send(host, array, self._down))",
        "self._sending.send(host, array, self._down)",
        "",
        CUPY,
    ),
    Fault(
        "memory is let go before it was read",
        "stages.py",
        "self._down.wait_event(self._read.popleft()[1])",
        "self._read.popleft()",
        "",
        CUPY,
    ),
    Fault("results are fetched before they are made", "stages.py", "        self._up.wait_event(made)\n", "", "", CUPY),
    Fault(
        "a stage is filled while it is read",
        "stages.py",
        "        self._stages[-1].wait()\n        return",
        "        return",
        "",
        CUPY,
    ),
    Fault(
        "the default stream in place of the current one",
        "cupygpu.py",
        "shared_mem, current_stream().ptr, 0,",
        "shared_mem, 0, 0,",
        "",
        CUPY,
    ),
    Fault(
        "clearing in the default stream",
        "cupygpu.py",
        "memsetAsync(address, 0, nbytes, self._cupy.cuda.get_current_stream().ptr)",
        "memsetAsync(address, 0, nbytes, 0)",
        "everything_of_a_call",
        CUPY,
    ),
    Fault(
        "a small result is read before it has come",
        "cupygpu.py",
        "        stream.synchronize()\n        np.copyto",
        "        np.copyto",
        "",
        CUPY,
    ),
    # Streams that lag behind, memory that is used again.
    Fault(
        "tables are read before they have arrived",
        "device.py",
        "            self.synchronize()\n            with self._lock:",
        "            with self._lock:",
        "tables_have_arrived",
        CUPY,
    ),
    Fault(
        "results are written over before they have been copied",
        "stages.py",
        "self._compute.wait_event(self._received.popleft()[1])",
        "self._received.popleft()",
        "bands",
        CUPY,
    ),
    Fault(
        "memory for copies is requested in the stream of kernels",
        "stages.py",
        "        with self._down:\n            array = self._gpu.empty(host.shape, host.dtype)",
        "        array = self._gpu.empty(host.shape, host.dtype)",
        "bands",
        CUPY,
    ),
    Fault("the end of a copy is not noted", "stages.py", "stage.event.record(stream)", "pass", "bands", CUPY),
    Fault(
        "copies into page-locked memory are under way when it is let go",
        "stages.py",
        "        for stream in (self._down, self._compute, self._up):\n            stream.synchronize()",
        "        self._compute.synchronize()",
        "",
        CUPY,
    ),
    Fault(
        "tables go while prepared launches read them",
        "prepared.py",
        "        gpu.synchronize()  # the constants are freed",
        "        pass  # the constants are freed",
        "what_is_prepared",
        BACKEND,
    ),
    Fault("shared memory is not asked for", "cupygpu.py", "if shared_mem > granted", "if False", "everything_of", CUPY),
    Fault(
        "a module goes while its kernel is used", "cupygpu.py", "self._loaded.append(function)", "pass", "cupy_in", CUPY
    ),
    # Several devices.
    Fault("launches of another device", "prepared.py", "key = gpu.place(), node", "key = 0, node", "each_device", CUPY),
    Fault("tables of another device", "device.py", "(self.place(), id(table))", "(0, id(table))", "each_device", CUPY),
    Fault(
        "kernels of another device", "device.py", "(self.place(), stem, name)", "(0, stem, name)", "each_device", CUPY
    ),
    Fault(
        "one device alone is waited for",
        "cupygpu.py",
        "for place in {place for place, *_ in list(self._kernels)}:",
        "for place in {self.place()}:",
        "each_device",
        CUPY,
    ),
    Fault(
        "an image is worked on by the current device",
        "cupygpu.py",
        "return None if self.is_here(array) else array.device",
        "return None",
        "where_the_image",
        CUPY,
    ),
    Fault(
        "a result is moved by the current device",
        "run.py",
        "            with out.device:\n                out[...] = near",
        "            out[...] = near",
        "where_the_image",
        CUPY,
    ),
    Fault(
        "memory for a stack is the current device's",
        "run.py",
        "        with source.array.device:\n            return np",
        "        if True:\n            return np",
        "where_the_image",
        CUPY,
    ),
    Fault(
        "an image is arranged by the current device",
        "images.py",
        "    with array.device:\n        array = cupy.ascontiguousarray(array)",
        "    array = cupy.ascontiguousarray(array)",
        "where_the_image",
        CUPY,
    ),
    Fault(
        "out on another device is written through",
        "cuda.py",
        "out if gpu.is_here(out) and not",
        "out if not",
        "several_devices",
        CUPY,
    ),
    Fault(
        "a second image on another device is read there",
        "cuda.py",
        "bound = bound._replace(arrays=tuple(map(gpu.brought, bound.arrays)))",
        "pass",
        "several_devices",
        CUPY,
    ),
    Fault(
        "what another device is still to make is not waited for",
        "images.py",
        "    finish_on(array.device)\n",
        "",
        "several_devices",
        CUPY,
    ),
    Fault(
        "another device does not wait for what is copied to it",
        "cupygpu.py",
        "        self.synchronize()  # the other device's streams do not wait for this device's\n",
        "",
        "several_devices",
        CUPY,
    ),
    Fault(
        "a job runs in another stream of a device", "run.py", "stack.enter_context(stream)", "pass", "jobs_run", CUPY
    ),
    Fault(
        "a job does not wait for all devices", "run.py", "stack.callback(stream.synchronize)", "pass", "jobs_run", CUPY
    ),
    Fault(
        "a job knows the stream of its first image only",
        "run.py",
        "filter(lies_on_device, (image, *others))",
        "(image,)",
        "jobs_run",
        CUPY,
    ),
    Fault(
        "masks are not copied as bytes",
        "cupygpu.py",
        "target = target.view(source.dtype)",
        "pass",
        "masks",
        CUPY,
    ),
)


def outcome(root: Path, build: str, fault: Fault) -> str:
    """What the checks say of a tree in a build."""
    if fault.filter:
        command = ["-m", "tests.cuda_emulator.check", build, fault.filter]
    else:
        command = ["-m", "pytest", "-x", "-s", "-q", "-n", "0", "-p", "no:cacheprovider", fault.file_of_tests]
        command += ["-k", fault.tests] if fault.tests else []
    variables = {**os.environ, **environment(build), "GPUIMG_EMULATOR": build, "PYTHONPATH": str(root)}
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=root, env=variables, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"caught: it takes more than {SECONDS} s"
    text = done.stdout + done.stderr
    for sign in SIGNS:
        if sign in text:
            return f"caught: {sign}"
    if not fault.filter and done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        return "missed: no test was chosen"
    return "caught: a wrong result" if done.returncode else "missed"


def builds_of(fault: Fault) -> Iterator[str]:
    """The builds that may notice: what Python does looks the same in all."""
    yield "fast"
    if not fault.file.endswith(".py") or fault.file.endswith("_launch.py"):
        yield from ("asan", "tsan")


def is_caught(found: str) -> bool:
    return found.startswith("caught")


def source_of(fault: Fault, root: Path) -> Path:
    """The file of a tree that a fault is planted in."""
    folders = (root / "kernels").rglob, (root / "gpuimg/backend").rglob, (root / "gpuimg").glob
    places = [path for find in folders for path in find(fault.file)]
    if len(places) != 1:
        raise SystemExit(f"there are {len(places)} files {fault.file}")
    if fault.right not in places[0].read_text():
        raise SystemExit(f"{fault.file} does not hold {fault.right!r} any longer")
    return places[0]


def plant(fault: Fault, root: Path) -> None:
    """Copy the tree to ``root``, with the fault in it."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    path = source_of(fault, root)
    path.write_text(path.read_text().replace(fault.right, fault.wrong))


def main(words: list[str]) -> int:
    chosen = [fault for fault in FAULTS if not words or any(word in fault.what or word == fault.file for word in words)]
    missed = []
    for number, fault in enumerate(chosen):
        start, found = time.monotonic(), {}
        with tempfile.TemporaryDirectory() as folder:
            plant(fault, Path(folder))
            for build in builds_of(fault):
                found[build] = outcome(Path(folder), build, fault)
                if is_caught(found[build]):
                    break
        if not any(map(is_caught, found.values())):
            missed.append(fault)
        told = ", ".join(f"{build} {text}" for build, text in found.items())
        seconds = time.monotonic() - start
        print(f"[{number + 1}/{len(chosen)}] {fault.file}: {fault.what}: {told} ({seconds:.0f} s)", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults were caught")
    for fault in missed:
        print(f"missed: {fault.file}: {fault.what}")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
