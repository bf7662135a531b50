"""Race the scripts in docs/workflows against their originals: ``python bench/workflows.py --out NAME.json``.

Both are warmed up and timed in turns on the same picture; scikit-image and SciPy use as many threads as they can.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from run import limit_threads, words


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="the JSON file; without it, standard output")
    parser.add_argument("--workflows", type=words, help="names, separated by commas; all by default")
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--backend", default="auto", help="ours")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--seconds", type=float, default=20, help="per pair, without warm-up")
    return parser.parse_args()


def raced(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time a script and its original."""
    import measuring
    from originals import WORKFLOWS

    import gpuimg

    flow = WORKFLOWS[name]
    script = flow.module()
    arguments = flow.picture(script, options.megapixels)
    with gpuimg.use_backend(options.backend):
        sides = [partial(flow.job(script), *arguments), partial(flow.original, *arguments)]
        ours, original = measuring.race(sides, options.seconds)
    ratio = original["median"] / ours["median"]
    print(f"{name}: {ours['median']:.3f} s, the original {ratio:.1f} times as long", file=sys.stderr, flush=True)
    return {"workflow": name, "ours": ours, "original": original, "ratio": ratio}


def main() -> None:
    options = options_given()
    limit_threads(options.threads)
    import measuring
    from originals import WORKFLOWS

    results = [raced(name, options) for name in options.workflows or WORKFLOWS]
    found = {
        "machine": measuring.machine(options.threads),
        "backend": options.backend,
        "megapixels": options.megapixels,
        "results": results,
    }
    measuring.report(found, options.out)


if __name__ == "__main__":
    main()
