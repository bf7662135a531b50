"""What the kernels' machine code for sm_90 takes, kept in ``tests/cuda_budget.toml`` and compared with it by a test.

``python -m tests.cuda_emulator.budget`` compares, ``--write`` writes the file anew, ``--table`` compares with a copy.

Of every instance, from the compiler and the machine code alone:

registers, shared
    of a thread, and of a block without what a launch adds.
threads, warps
    of a block, as its launch bounds or its launch say, and of a multiprocessor, by threads, registers and ``shared``.
size
    all instructions that can be reached, without subroutines (those of divisions).
instructions
    for each stored element, on the way with the fewest: a way from the first block to an exit that enters no loop, or a
    turn of a loop that enters none inside it, where loops inside it load nothing from global memory. It loads from
    global memory at least as many elements as it stores. What lies at edges costs more and so is not on it. Every
    instruction of a block on the way counts, whatever its predicate. Folds of an image into a few numbers (`FOLDS`)
    count by loaded elements.
radius_1, radius_2, ...
    where threads of a block wait for each other, and of small convolutions: those that warps issue for each pixel of an
    interior block, whose machine code is executed as the launch code launches it, for windows of that radius
    (`interior.cases`). Every instruction counts, those of idle threads, of prologues and of values around the tile too.
turn
    where there is none of these: those of a turn of a loop without others inside, the one that loads most bytes
    (from global and shared memory) of all such turns.

``instructions`` are left out where there is no such way, as where taps are in a loop whose turns depend on arguments;
where threads of a block wait for each other, as in phases through shared memory, but in folds; and for kernels whose
loops or branches depend on data (`BY_DATA`).
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import struct
import tomllib
from collections.abc import Iterator
from pathlib import Path

from gpuimg import kernels
from gpuimg.backend.device import KERNEL, instances, launch_of, parameters, source
from tests.cuda_emulator import interior, nvrtc
from tests.cuda_emulator.sass import Code, disassembled

FILE = Path(__file__).parents[1] / "cuda_budget.toml"
COMMAND = "python -m tests.cuda_emulator.budget --write"
ARCHITECTURE = 90
ABOVE, BELOW = 1.03, 0.9  # how far a figure may be from its budget

FOLDS = {"bincount", "histogram", "minmax", "slab_sums", "sum", "translucent"}
EDGE_LOOPS = {"flip", "pad"}  # a loop inside that loads is for edges alone: it has no taps
BY_DATA = {
    *("edge_links", "label_pixels", "label_roots", "label_slabs", "peak_places", "peak_spacing", "reconstruction"),
    *("reconstruction_rows", "thinning", "unions", "watershed", "watershed_labels", "watershed_lengths"),
    *("watershed_levels", "probe", "distance", "edge_maxima", "nonmaximum", "nan_rank_few", "nan_rank"),
    *("remap_cubic", "remap_linear", "remap_nearest", "warp_cubic", "warp_linear", "warp_nearest"),
}
# Threads of a block where a kernel has no launch bounds and its launch code does not go by its first line.
THREADS = {
    "median slide": 32,
    **dict.fromkeys(("minimum columns", "minimum along", "minimum along_far"), 128),
    **dict.fromkeys(("uniform columns", "uniform along", "uniform along_far"), 128),
}

# A multiprocessor of sm_90: CUDA C++ Programming Guide, technical specifications.
PARTITIONS, PARTITION_REGISTERS, REGISTER_UNIT = 4, 16384, 256
MOST_WARPS, MOST_BLOCKS = 64, 32
SHARED, SHARED_RESERVED, SHARED_UNIT = 228 << 10, 1 << 10, 128


def compiler() -> str:
    return importlib.metadata.version("nvidia-cuda-nvrtc")


def measured(stem: str) -> dict[str, dict[str, float]]:
    """The figures of all instances of a kernel."""
    result = nvrtc.compile_kernel(stem, ARCHITECTURE)
    codes, bounds = disassembled(result.cubin), launch_bounds(result.cubin)
    found = {}
    for name, usage in result.usages.items():
        mangled = result.mangled[name]
        code = Code(codes[mangled])
        threads = bounds.get(mangled) or _threads(stem, name)
        found[name] = {
            **_counted(stem, name, code),
            "size": sum(1 for _ in code),
            "registers": usage.registers,
            "shared": usage.shared,
            "threads": threads,
            "warps": occupancy(usage.registers, usage.shared, threads),
        }
    return found


def occupancy(registers: int, shared: int, threads: int) -> int:
    """Warps of a multiprocessor when it has as many blocks as fit."""
    warps = -(-threads // 32)
    each = -(-registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
    held = -(-shared // SHARED_UNIT) * SHARED_UNIT + SHARED_RESERVED
    by_registers = PARTITION_REGISTERS // each * PARTITIONS // warps
    return min(by_registers, SHARED // held, MOST_WARPS // warps, MOST_BLOCKS) * warps


def _threads(stem: str, name: str) -> int:
    own = THREADS.get(f"{stem} {name.partition('<')[0]}")
    across, down = launch_of(stem).block
    return own or across * down


def launch_bounds(cubin: bytes) -> dict[str, int]:
    """The most threads of a block by mangled kernel name, where a kernel says so: an attribute of its section."""
    (at,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names = struct.unpack_from("<HHH", cubin, 58)
    sections = [struct.unpack_from("<IIQQQQ", cubin, at + number * size) for number in range(count)]
    strings = sections[names][4]
    found = {}
    for offset, _, _, _, first, length in sections:
        name = cubin[strings + offset : cubin.index(b"\0", strings + offset)].decode()
        if name.startswith(".nv.info."):
            for attribute, value in _attributes(cubin[first : first + length]):
                if attribute == 5:  # EIATTR_MAX_THREADS
                    across, down, deep = struct.unpack("<III", value)
                    found[name.removeprefix(".nv.info.")] = across * down * deep
    return found


def _attributes(section: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(section):
        form, attribute, length = struct.unpack_from("<BBH", section, at)
        at += 4
        if form == 4:  # the length of a value that follows; else the value itself
            yield attribute, section[at : at + length]
            at += length


def _counted(stem: str, name: str, code: Code) -> dict[str, float]:
    cases = interior.cases(stem, name)
    if cases:
        return {f"radius_{radius}": round(interior.instructions(code, name, case), 2) for radius, case in cases.items()}
    figure = None if stem in BY_DATA else _instructions(stem, name, code)
    if figure is not None:
        return {"instructions": round(figure, 2)}
    innermost = [head for head, body in code.loops.items() if code.inner(head) == body]
    turns = [way for head in innermost for way in code.ways(head, ("LDG", "LDS")) if way.loaded]
    most = max(turns, key=lambda way: (way.loaded, -way.instructions), default=None)
    return {"turn": most.instructions} if most else {}


def _instructions(stem: str, name: str, code: Code) -> float | None:
    read, size = element_size(stem, name, True), element_size(stem, name, False)
    if code.waits() and stem not in FOLDS:
        return None
    counted = stem in FOLDS | EDGE_LOOPS
    heads = [-1, *(head for head in code.loops if counted or not code.loads_inside(head))]
    ways = [way for head in heads for way in code.ways(head)]
    if stem in FOLDS:
        return min((way.instructions * read / way.loaded for way in ways if way.loaded), default=None)
    whole = (way for way in ways if way.stored and way.loaded * size >= way.stored * read)
    return min((way.instructions * size / way.stored for way in whole), default=None)


_SIZES = {"char": 1, "short": 2, "int": 4, "float": 4, "long": 8, "double": 8}


def element_size(stem: str, name: str, of_source: bool) -> int:
    """Bytes of an element of the image that a kernel reads first, or of the result that it stores first."""
    texts = _parameter_texts(stem, name.partition("<")[0])
    types = parameters(stem, name)
    number = next(i for i, text in enumerate(texts) if "*" in text and text.split()[0].startswith("const") == of_source)
    return _SIZES[types[number].rstrip("*").split()[-1]]


@functools.cache
def _parameter_texts(stem: str, base: str) -> list[str]:
    """A kernel's parameters as its source has them."""
    kernel = next(found for found in KERNEL.finditer(source(stem)) if found["name"] == base)
    return [text for text in kernel["parameters"].split(",") if text.strip()]


# ---------------------------------------------------------------- the file


@functools.cache
def budget() -> dict[str, dict[str, dict[str, float]]]:
    """The figures of the file, by stem and instance."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))["kernels"]


@functools.cache
def written_with() -> str:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))["compiler"]


def written(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """The text of the file."""
    lines = [f"# Written by `{COMMAND}`; what the figures are stands in that module.", f'compiler = "{compiler()}"']
    for stem, found in figures.items():
        lines += ["", f"[kernels.{stem}]"]
        for name, values in found.items():
            lines.append(f'"{name}" = {{ {", ".join(f"{key} = {value}" for key, value in values.items())} }}')
    return "\n".join(lines) + "\n"


def differences(stem: str, found: dict[str, dict[str, float]], allowed: dict[str, dict[str, float]]) -> list[str]:
    """What has left its budget, a line each."""
    lines = [f"{stem} has no budget for {name}" for name in found.keys() - allowed.keys()]
    lines += [f"{stem} has a budget for {name}, which there is not" for name in allowed.keys() - found.keys()]
    for name in found.keys() & allowed.keys():
        lines += [f"{name}: {text}" for text in _compared(found[name], allowed[name])]
    return sorted(lines)


def _compared(found: dict[str, float], allowed: dict[str, float]) -> Iterator[str]:
    for key in found.keys() ^ allowed.keys():
        yield f"{key} is now {found.get(key, 'not counted')}, in the budget {allowed.get(key, 'not counted')}"
    for key in found.keys() & allowed.keys():
        now, before = found[key], allowed[key]
        if key == "threads":
            if now != before:
                yield f"{now} threads a block, in the budget {before}"
        elif key == "warps":
            if now < before:
                yield f"{now} warps fit, in the budget {before}"
            elif now > before:
                yield f"{now} warps fit, in the budget {before}: raise the budget with {COMMAND}"
        elif now > ABOVE * before:
            yield f"{now} {key}, in the budget {before}"
        elif now < BELOW * before:
            yield f"{now} {key}, in the budget {before}: lower the budget with {COMMAND}"


# ---------------------------------------------------------------- goals

# An H100: multiprocessors, instructions of warps a clock, clocks and bytes a second.
MULTIPROCESSORS, ISSUES, CLOCK, BANDWIDTH = 132, 4, 1.7e9, 3.35e12
FLAT = (
    "clip",
    "convert",
    "double_threshold",
    "interpolate",
    "invert",
    "lut",
    "negate",
    "power",
    "rescale",
    "threshold",
)
SEPARABLE = (
    *("uniform few", "uniform few_bytes", "uniform bytes", "uniform near", "minimum near", "gaussian near"),
    "gaussian fixed",
)
GREATEST_RADIUS = 6  # that the goals are for
# Images read and elements stored for each pixel, and the goals on bytes and on others.
GOALS = {
    **dict.fromkeys(FLAT, ("pointwise", 1, 1, 2.0, 1.0)),
    **dict.fromkeys(("arithmetic", "difference", "weighted_sum"), ("pointwise, two images", 2, 1, 2.0, 1.0)),
    "arithmetic_number": ("pointwise", 1, 1, 2.0, 1.0),
    "threshold_image": ("pointwise, two images", 2, 1, 2.0, 1.0),
    "derivative": ("3x3", 1, 1, 2.0, 1.0),
    "gradient": ("3x3", 1, 2, 2.0, 1.0),
    "laplace": ("3x3", 1, 1, 2.0, 1.0),
    "convolve few_convolve": ("few weights", 1, 1, 2.0, 1.0),
    **dict.fromkeys(("convolve byte_convolve", "convolve near_convolve"), ("weights", 1, 1, 2.0, 1.0)),
    **dict.fromkeys(SEPARABLE, ("separable", 1, 1, 2.0, 1.0)),
    "median_tiles nine": ("median 3", 1, 1, 1.5, 1.5),
    "median_tiles twentyfive": ("median 5", 1, 1, 3.0, 3.0),
}


def table() -> Iterator[str]:
    """Lines: the time that issuing a pixel's instructions takes, by the time that a copy of it takes."""
    yield f"{'kind':22} {'instance':52} {'instr/px':>8} {'bytes/px':>8} {'issue/copy':>10} {'goal':>5}"
    for key, (kind, read, stored, bytes_goal, goal) in GOALS.items():
        stem, _, base = key.partition(" ")
        for name, values in budget()[stem].items():
            if base and name.partition("<")[0] != base:
                continue
            source_size, size = element_size(stem, name, True), element_size(stem, name, False)
            moved = read * source_size + stored * size
            limit = bytes_goal if max(source_size, size) == 1 else goal
            figures = {key: values[key] for key in values if key == "instructions" or key.startswith("radius_")}
            for figure, count in figures.items():
                radius = figure.removeprefix("radius_") if figure != "instructions" else ""
                count *= stored
                ratio = count / 32 / (MULTIPROCESSORS * ISSUES * CLOCK) / (moved / BANDWIDTH)
                verdict = "met" if ratio <= limit else "missed"
                if radius and int(radius) > GREATEST_RADIUS:
                    verdict = "-"
                what = f"{stem}: {name}" + (f" radius {radius}" if radius else "")
                yield f"{kind:22} {what:52} {count:8.1f} {moved:8} {ratio:10.2f} {limit:5} {verdict}"
            if not figures:
                yield f"{kind:22} {stem + ': ' + name:52} {'-':>8} {moved:8} {'-':>10} {limit:5} not counted"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cuda_emulator.budget", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the file anew")
    parser.add_argument("--table", action="store_true", help="compare the budget with the time of a copy on an H100")
    chosen = parser.parse_args()
    if chosen.table:
        print("\n".join(table()))
        return
    figures = {stem: measured(stem) for stem in kernels.names("cuda") if instances(stem)}
    if chosen.write:
        FILE.write_text(written(figures), encoding="utf-8")
        return
    for stem, found in figures.items():
        for line in differences(stem, found, budget().get(stem, {})):
            print(line)


if __name__ == "__main__":
    main()
