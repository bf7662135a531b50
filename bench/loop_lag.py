"""Measure the lag of an asyncio loop while large images are filtered: ``python bench/loop_lag.py``.

Compares blocking calls in the loop, plain Python loops in threads, and gpuimg in `asyncio.to_thread`, in worker
processes and as jobs; see `gpuimg.demo_lag`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

from gpuimg.demo import photo
from gpuimg.demo_lag import LOADS, measure, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=50, help="of the images (default: %(default)s)")
    parser.add_argument("--images", type=int, default=LOADS, help="per way (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    given = parser.parse_args()
    found = measure(photo(given.megapixels), loads=given.images)
    header, rows = table(found)
    for row in (header, *rows):
        print(f"{row[0]:44}" + "".join(f"{cell:>17}" for cell in row[1:]))
    if given.out is not None:
        given.out.write_text(json.dumps([row._asdict() for row in found], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
