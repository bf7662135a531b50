"""Measure the default speeds for machines without a calibration: ``python bench/speeds.py`` writes gpuimg/speeds.json.

The file holds the seconds per element and unit of work on one thread, by kernel and types: the median over the filters'
examples, with every dtype that they take, of the minimum over several runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

from gpuimg import machine, tuning
from gpuimg.filters import all_filters

TARGET = Path(machine.__file__).with_name("speeds.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    figures = machine.figures()
    speeds: dict[str, list[float]] = {}
    for name, found in all_filters().items():
        print(name, file=sys.stderr)
        for dtype in found.dtypes:
            for call in tuning.example_calls(found, dtype):
                runs = [tuning.learned(figures, call) for _ in range(given.runs)]
                for key in set().union(*runs):
                    speeds.setdefault(key, []).append(min(run[key] for run in runs if key in run))
    rounded = {key: float(f"{statistics.median(values):.2g}") for key, values in sorted(speeds.items())}
    TARGET.write_text(json.dumps(rounded, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
