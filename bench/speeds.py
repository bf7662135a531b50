"""Measure the default speeds for machines without a calibration: ``python bench/speeds.py`` writes gpuimg/speeds.json.

The file holds three tables of figures on one thread, by kernel and types: the seconds per element and unit of work for
large images (``speeds``) and for images in a core's cache (``cached_speeds``), and those of a call of any size
(``overheads``). They are the median over the filters that run a kernel, with their first example that does, of the
minimum over several runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).parents[1]))

from gpuimg import machine, tuning
from gpuimg.filters import all_filters
from gpuimg.registry import Filter

TARGET = Path(machine.__file__).with_name("speeds.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    tables: dict[str, dict[str, list[float]]] = {name: {} for name in machine.TABLES}
    for name, found in all_filters().items():
        print(name, file=sys.stderr)
        for dtype in found.dtypes:
            measured = {"speeds": _speeds(found, dtype, given.runs), **tuning.cached_tables(found, dtype)}
            for table, values in measured.items():
                for key, value in values.items():
                    tables[table].setdefault(key, []).append(value)
    rounded = {
        table: {key: float(f"{statistics.median(values):.2g}") for key, values in sorted(found_values.items())}
        for table, found_values in tables.items()
    }
    TARGET.write_text(json.dumps(rounded, indent=0) + "\n", encoding="utf-8")


def _speeds(found: Filter, dtype: Any, count: int) -> dict[str, float]:
    """Return the speeds of a filter's kernels for large images, from the first example that runs each."""
    speeds: dict[str, float] = {}
    for call in tuning.example_calls(found, dtype):
        runs = [tuning.learned(machine.figures(), call) for _ in range(count)]
        for key in set().union(*runs):
            speeds.setdefault(key, min(run[key] for run in runs if key in run))
    return speeds


if __name__ == "__main__":
    main()
