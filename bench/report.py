"""Create a table and two plots from a result of bench/run.py: ``python bench/report.py bench/results/NAME.json``.

For a result of bench/gpu.py, create a table only.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

PLOTTED = ("median", "gaussian", "erosion", "resize")
REFERENCE = "OpenCV"
BY_DTYPE = ("value", "low", "high", "out_range", "dtype")  # parameters that differ between dtypes


def races(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in found["results"] if "ratio" in entry]


def geometric_mean(ratios: list[float]) -> float:
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))


def by_case(entries: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in entries:
        cases.setdefault(entry["case"], {})[entry["library"]] = entry
    return cases


def table(found: dict[str, Any], size: str, dtype: str) -> str:
    """Return a Markdown table, a row per case: gpuimg's milliseconds and the libraries' times relative to it."""
    entries = [entry for entry in races(found) if entry["size"] == size and entry["dtype"] == dtype]
    libraries = sorted({entry["library"] for entry in entries}, key=lambda name: (name != REFERENCE, name))
    lines = [
        f"| filter | gpuimg, ms | {' | '.join(libraries)} |",
        f"|---|---|{'---|' * len(libraries)}",
    ]
    for case, row in by_case(entries).items():
        ours = min(entry["ours"]["median"] for entry in row.values())
        cells = [f"{row[name]['ratio']:.2f}" if name in row else "" for name in libraries]
        lines.append(f"| {case} | {1e3 * ours:.1f} | {' | '.join(cells)} |")
    ratios = [entry["ratio"] for entry in entries if entry["library"] == REFERENCE]
    if ratios:
        mean = geometric_mean(ratios)
        lines.append("")
        lines.append(f"Geometric mean over OpenCV {mean:.2f}, minimum {min(ratios):.2f}, of {len(ratios)} cases.")
    return "\n".join(lines)


def summary(found: dict[str, Any]) -> str:
    """Return a Markdown table, a row per case at the largest size: OpenCV for both dtypes, the fastest other."""
    largest = max(entry["megapixels"] for entry in races(found))
    entries = [entry for entry in races(found) if entry["megapixels"] == largest]
    lines = [
        "| filter | uint8, ms | OpenCV | fastest other | float32, ms | OpenCV |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    bytes_, floats = (by_case([e for e in entries if e["dtype"] == dtype]) for dtype in ("uint8", "float32"))
    for case in dict.fromkeys([*bytes_, *floats]):
        name, _, rest = case.partition(" ")
        cells = [f"`{name}`{' ' + rest if rest else ''}", *_pair(bytes_.get(case, {}))]
        others = {library: e["ratio"] for library, e in bytes_.get(case, {}).items() if library != REFERENCE}
        fastest = min(others, key=lambda library: others[library]) if others else None
        cells += [f"{others[fastest]:.1f} {fastest}" if fastest else "", *_pair(floats.get(case, {}))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gpu_table(found: dict[str, Any], megapixels: float) -> str:
    """Return a Markdown table of a result of bench/gpu.py.

    Per filter: microseconds on the device, speed relative to a copy, time of CuPy's filter relative to gpuimg's.
    """
    results = [each for each in found["steps"]["speed"]["results"] if each["status"] == "passed"]
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    for each in results:
        if each.get("megapixels") == megapixels:
            measured.setdefault(_common(each["params"]), {})[each["dtype"]] = each
    peers = {each["case"]: each["times_as_fast"] for each in results if each.get("library") == "cupyx"}
    lines = ["| filter | uint8, us | of the copy | CuPy | float32, us | of the copy | CuPy |", f"|---|{'---:|' * 6}"]
    for name, row in measured.items():
        cells = []
        for dtype in ("uint8", "float32"):
            each = row.get(dtype)
            if each is None:
                cells += ["", "", ""]
                continue
            peer = peers.get(f"{each['params']} {dtype} {megapixels:g} MP beside cupyx")
            cells += [
                f"{1e6 * each['seconds_on_device']:.0f}",
                f"{each['share_of_copy']:.0%}",
                "" if peer is None else f"{peer:.1f}",
            ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ratios = list(peers.values())
    if ratios:
        lines += ["", f"Geometric mean over CuPy {geometric_mean(ratios):.1f}, of {len(ratios)} cases."]
    return "\n".join(lines)


def _common(params: str) -> str:
    """Return a filter and its parameters that do not depend on the dtype, as Markdown."""
    name, _, rest = params.partition(" ")
    kept = [part for part in rest.split() if part.partition("=")[0] not in BY_DTYPE]
    return f"`{name}`{', ' if kept else ''}{' '.join(kept).replace('=', ' ')}"


def _pair(row: dict[str, dict[str, Any]]) -> tuple[str, str]:
    """Return gpuimg's milliseconds and OpenCV's ratio."""
    if not row:
        return "", ""
    ours = min(entry["ours"]["median"] for entry in row.values())
    return f"{1e3 * ours:.1f}", f"{row[REFERENCE]['ratio']:.2f}" if REFERENCE in row else ""


def reason(skipped: str) -> str:
    """Return why a race was left out, without the figure that depends on the size."""
    return skipped.partition(": a call")[0]


def plot_ratios(found: dict[str, Any], path: Path) -> None:
    """Plot OpenCV's time relative to gpuimg's per case, for the largest size."""
    import matplotlib.pyplot as plt

    largest = max(entry["megapixels"] for entry in races(found))
    entries = [e for e in races(found) if e["library"] == REFERENCE and e["megapixels"] == largest]
    figure, axes = plt.subplots(figsize=(8, 0.28 * len({e["case"] for e in entries}) + 1.5), layout="constrained")
    cases = list(by_case(entries))[::-1]
    dtypes = sorted({entry["dtype"] for entry in entries}, reverse=True)
    for place, dtype in enumerate(dtypes):
        chosen = {entry["case"]: entry["ratio"] for entry in entries if entry["dtype"] == dtype}
        heights = [cases.index(case) + (place - (len(dtypes) - 1) / 2) * 0.4 for case in chosen]
        axes.barh(heights, list(chosen.values()), height=0.38, label=dtype)
    axes.set_yticks(range(len(cases)), cases, fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(f"OpenCV's time over gpuimg's, {largest:g} megapixels, same threads")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_times(found: dict[str, Any], path: Path) -> None:
    """Plot time over megapixels for four filters, uint8."""
    import matplotlib.pyplot as plt

    entries = [entry for entry in races(found) if entry["dtype"] == "uint8"]
    colors = {name: f"C{place}" for place, name in enumerate(sorted({entry["library"] for entry in entries}))}
    figure, grid = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for axes, name in zip(grid.flat, PLOTTED, strict=True):
        cases = [entry["case"] for entry in entries if entry["filter"] == name]
        if not cases:
            continue
        chosen = [entry for entry in entries if entry["case"] == cases[0]]
        lines: dict[str, list[tuple[float, float]]] = {}
        for entry in chosen:
            lines.setdefault(entry["library"], []).append((entry["megapixels"], entry["theirs"]["median"]))
            if entry["library"] == REFERENCE:
                lines.setdefault("gpuimg", []).append((entry["megapixels"], entry["ours"]["median"]))
        for library, points in sorted(lines.items()):
            look = {"lw": 2.5, "color": "black"} if library == "gpuimg" else {"lw": 1, "color": colors[library]}
            axes.plot(*zip(*sorted(points), strict=True), marker="o", label=library, **look)
        axes.set(xscale="log", yscale="log", title=cases[0], xlabel="megapixels", ylabel="seconds")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument(
        "--plots", action="store_true", help="write NAME-ratios.png and NAME-times.png next to the result"
    )
    parser.add_argument("--summary", action="store_true", help="only the README's table, for the largest size")
    options = parser.parse_args()
    found = json.loads(options.result.read_text())
    if "steps" in found:
        print(gpu_table(found, 50))
        return
    if options.summary:
        print(summary(found))
        return
    print(json.dumps(found["machine"]))
    done = {(entry["megapixels"], entry["size"], entry["dtype"]) for entry in races(found)}
    for _, size, dtype in sorted(done):
        unit = "512x512" if size == "512" else f"{size} megapixels"
        print(f"\n{unit}, {dtype}: time of each library relative to gpuimg\n")
        print(table(found, size, dtype))
    skipped = [
        f"{entry.get('case', '')} {entry.get('dtype', '')} {entry.get('library', '')}: {reason(entry['skipped'])}"
        for entry in found["results"]
        if "skipped" in entry
    ]
    if skipped:
        print("\nLeft out:\n\n- " + "\n- ".join(dict.fromkeys(skipped)))
    if options.plots:
        plot_ratios(found, options.result.with_name(options.result.stem + "-ratios.png"))
        plot_times(found, options.result.with_name(options.result.stem + "-times.png"))


if __name__ == "__main__":
    main()
