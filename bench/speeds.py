"""Measure the default speeds for machines without a calibration: ``python bench/speeds.py`` writes gpuimg/speeds.json.

The file holds the seconds per element and unit of work on one thread, by kernel and types: the minimum over several
runs of each filter's examples, with every dtype that it takes.
"""

from __future__ import annotations

import argparse
import json
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
    figures, speeds = machine.figures(), {}
    for name, found in all_filters().items():
        print(name, file=sys.stderr)
        for dtype in found.dtypes:
            for call in tuning.example_calls(found, dtype):
                for _ in range(given.runs):
                    for key, seconds in tuning.learned(figures, call).items():
                        speeds[key] = min(speeds.get(key, seconds), seconds)
    rounded = {key: float(f"{seconds:.2g}") for key, seconds in sorted(speeds.items())}
    TARGET.write_text(json.dumps(rounded, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
