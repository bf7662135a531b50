"""What "auto" goes by on a machine that has not been measured: ``python bench/speeds.py`` writes gpuimg/speeds.json.

The file holds the seconds for each element and unit of work on one thread, by kernel and types: the least of several
runs of the examples of each filter, with every dtype that it takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(1, str(Path(__file__).parents[1]))

from gpuimg import machine, tuning
from gpuimg.filters import all_filters
from gpuimg.registry import Filter, arguments

TARGET = Path(machine.__file__).with_name("speeds.json")


def calls(found: Filter, dtype: np.dtype[Any]) -> Iterator[Any]:
    """The examples of a filter, on one thread."""
    image = tuning._noise(dtype, (*tuning.SHAPE, 3) if found.color else tuning.SHAPE)
    if dtype == np.dtype(bool):
        image = tuning._noise(np.uint8, image.shape) > 127
    for example in found.examples:
        yield partial(found.function, image, backend="single", **arguments(example, image))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    figures, speeds = machine.figures(), {}
    for name, found in all_filters().items():
        print(name, file=sys.stderr)
        for dtype in found.dtypes:
            for call in calls(found, np.dtype(dtype)):
                for _ in range(given.runs):
                    for key, seconds in tuning._learned(figures, call).items():
                        speeds[key] = min(speeds.get(key, seconds), seconds)
    rounded = {key: float(f"{seconds:.2g}") for key, seconds in sorted(speeds.items())}
    TARGET.write_text(json.dumps(rounded, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
