"""Writes docs/filters.md and its pictures out of the registry and a result of bench/run.py.

``python docs/gallery.py`` writes the text and the pictures, ``python docs/gallery.py --text`` the text only.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docstring_parser
import numpy as np
from PIL import Image

import gpuimg
from gpuimg.advice import unwritten
from gpuimg.demo import photo
from gpuimg.filters import FAMILIES
from gpuimg.registry import Filter, arguments

HERE = Path(__file__).parent
TARGET, PICTURES = HERE / "filters.md", HERE / "pictures"
MEASURED = HERE.parent / "bench" / "results" / "epyc-2-cores.json"
SIZE, DTYPE = "50", "uint8"  # of the case that the text quotes
MEGAPIXELS = 0.045
OTHERS = ("regionprops_table", "disk", "square", "diamond")
SHARED = {"image", "axes", "alpha", "backend", "out", "mode", "cval"}
TITLES = {
    "color": "Colour",
    "exposure": "Intensities",
    "arithmetic": "Arithmetic",
    "thresholds": "Thresholds",
    "local_thresholds": "Local thresholds",
    "smooth": "Smoothing, sharpening and rank filters",
    "edges": "Edges",
    "morphology": "Morphology",
    "skeleton": "Skeletons",
    "transform": "Moving and resizing",
    "warp": "Warping",
    "pyramid": "Pyramids",
    "measure": "Measuring",
    "regions": "Regions",
    "segmentation": "Segmentation",
    "feature": "Features",
}
# What shows in a small picture; other filters are shown with their first example.
SHOWN: dict[str, Mapping[str, Any]] = {
    "adjust_gamma": {"gamma": 2.2},
    "gaussian": {"sigma": 3},
    "uniform": {"size": 9},
    "median": {"size": 9},
    "percentile": {"percentile": 20, "size": 9},
    "minimum": {"size": 9},
    "maximum": {"size": 9},
    "erosion": {"footprint": 9},
    "dilation": {"footprint": 9},
    "opening": {"footprint": 15},
    "closing": {"footprint": 15},
    "white_tophat": {"footprint": 15},
    "black_tophat": {"footprint": 15},
    "morphological_gradient": {"footprint": 3},
    "unsharp_mask": {"radius": 3, "amount": 2},
    "difference_of_gaussians": {"low_sigma": 2},
    "gaussian_laplace": {"sigma": 3},
    "bilateral": {"sigma_color": 30, "sigma_spatial": 4},
    "canny": {"sigma": 2},
    "threshold": {"value": 130},
    "where": {"a": lambda image: gpuimg.gaussian(image, 4), "b": 0},
    "rescale_intensity": {"in_range": (80, 200)},
    "remove_small_objects": {"min_size": 300},
    "remove_small_holes": {"area_threshold": 300},
    "label2rgb": {"image": lambda label: gpuimg.median(photo(MEGAPIXELS), 3)},
    "add": {"other": 60},
    "threshold_local": {"block_size": 35},
    "clip": {"min": 100, "max": 160},
    "rotate": {"angle": 20},
    "pad": {"pad_width": 16, "mode": "reflect"},
    "crop": {"crop_width": 40},
    "resize": {"output_shape": (90, 130)},
    "rescale": {"scale": 0.5},
}

INTRODUCTION = """\
# Filters

{count} filters, by family; `gpuimg filters NAME` prints the whole help of one. This page is made by
[gallery.py](gallery.py) from the filters' own documentation.

Every filter takes `axes`, `backend` and `out` by keyword, those with a neighbourhood also `mode` and `cval`. They are
explained once, in `help(gpuimg.filters)`. "Speed" says how many times as long other libraries take for 50 megapixels of
uint8, both on two threads where they can, as in [the README](../README.md#speed).
"""

GENERAL = """\
## Differences from other libraries

Names, parameters and meanings are those of scikit-image, else SciPy's. These differences hold for all filters:

- Values are never rescaled: where scikit-image converts integers to floats from 0 to 1, results here are in the image's
  own units, and of its dtype unless the filter says otherwise. So are thresholds, `sigma_color` and the like.
- Results of integer images are rounded half to even and saturated; SciPy truncates and wraps around.
- Weights on integers are fixed-point numbers: results are within 1 of exact arithmetic, and the same on every backend.
- Border modes have SciPy's names, and "reflect" is the default, where scikit-image has "nearest" for many filters.
- The last axis of an image `(H, W, C)` with up to four channels is never filtered across; scikit-image asks for
  `channel_axis`, SciPy filters across.
- NaN stays where it touches: a weight of zero touches nothing.

| filter | |
|---|---|
"""


def whole() -> str:
    """The text of docs/filters.md."""
    entries = sorted(gpuimg.FILTERS.values(), key=lambda each: (FAMILIES.index(each.family), each.name))
    known = ratios()
    parts = [INTRODUCTION.format(count=len(entries))]
    for family in FAMILIES:
        names = ", ".join(f"[`{each.name}`](#{each.name})" for each in entries if each.family == family)
        parts.append(f"- {TITLES[family]}: {names}\n")
    parts.append("\n")
    for family in FAMILIES:
        parts.append(f"## {TITLES[family]}\n\n")
        parts += [section(each, known.get(each.name, "")) for each in entries if each.family == family]
    parts.append("## Tables and footprints\n\n")
    parts += [f"- `{name}{_bare(getattr(gpuimg, name))}`: {_summary(getattr(gpuimg, name))}\n" for name in OTHERS]
    parts.append("\n" + GENERAL)
    parts += [f"| [`{each.name}`](#{each.name}) | {text} |\n" for each in entries if (text := difference(each))]
    return "".join(parts)


def section(entry: Filter, speed: str) -> str:
    """What is said of one filter."""
    parsed = docstring_parser.parse(inspect.getdoc(entry.function) or "", docstring_parser.DocstringStyle.NUMPYDOC)
    call = f"{entry.name}{_bare(entry.function)}".replace("'", '"')
    lines = [f"### {entry.name}\n", f"{parsed.short_description}\n", f"`{call}`\n"]
    if picture(entry.name).exists():
        shown = f"pictures/{picture(entry.name).name}"
        lines.append(f"![An image before and after {entry.name}]({shown})\n")
    given = [each for each in parsed.params if each.args[0] == "param" and each.arg_name.split(",")[0] not in SHARED]
    for each in given:
        described = f": {_line(each.description)}" if each.description else ""
        lines.append(f"- `{each.arg_name}` ({_line(each.type_name or '')}){described}")
    if given:
        lines.append("")
    if text := difference(entry):
        lines.append(f"{text}\n")
    dtypes = ", ".join(dtype.name for dtype in entry.dtypes)
    where = "without CUDA" if unwritten(entry.name) else "all backends"
    lines.append(f"{dtypes}; {where}.{' ' + speed if speed else ''}\n")
    return "\n".join(lines) + "\n"


def _summary(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _bare(function: Callable[..., Any]) -> inspect.Signature:
    """A signature without types, and without what all filters take."""
    full = inspect.signature(function)
    kept = [each for each in full.parameters.values() if each.name not in {"axes", "alpha", "backend", "out"}]
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in kept]
    return full.replace(parameters=bare, return_annotation=inspect.Signature.empty)


def difference(entry: Filter) -> str:
    """The paragraphs of a filter's help that begin with "Differs from", in one line."""
    paragraphs = re.split(r"\n\n|-\n", inspect.getdoc(entry.function) or "")
    return " ".join(_line(each) for each in paragraphs if each.startswith("Differs from"))


def _line(text: str) -> str:
    """A text in one line, with Markdown's marks for code."""
    plain = re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))
    return re.sub(r"\s?\[(\d)\]_", "", plain).replace("|", "\\|")


def ratios() -> dict[str, str]:
    """By filter, how many times as long other libraries took in its first case."""
    entries = [each for each in json.loads(MEASURED.read_text())["results"] if "ratio" in each]
    entries = [each for each in entries if (each["size"], each["dtype"]) == (SIZE, DTYPE)]
    cases: dict[str, str] = {}
    found: dict[str, dict[str, float]] = {}
    for each in entries:
        if cases.setdefault(each["filter"], each["case"]) == each["case"]:
            found.setdefault(each["filter"], {})[each["library"]] = each["ratio"]
    return {
        name: f"Speed, {cases[name]}: " + ", ".join(f"{library} {ratio:.1f}" for library, ratio in sorted(row.items()))
        for name, row in found.items()
    }


# Pictures ----------------------------------------------------------------------------------------------------------


def picture(name: str) -> Path:
    return PICTURES / f"{name}.webp"


def draw_all() -> None:
    """Draw the pictures of all filters whose result is an image."""
    PICTURES.mkdir(exist_ok=True)
    for entry in gpuimg.FILTERS.values():
        before, after = pair(entry)
        if after is not None:
            gap = np.full((max(len(before), len(after)), 8, 3), 255, np.uint8)
            sides = [_as_tall(before, len(gap)), gap, _as_tall(after, len(gap))]
            Image.fromarray(np.hstack(sides)).save(picture(entry.name), quality=85, method=6)


def pair(entry: Filter) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """What is shown before and after; None if the result is no image."""
    image, given = subject(entry)
    result = entry.function(image, **given)
    result = result[0] if isinstance(result, tuple) else result
    is_image = isinstance(result, np.ndarray) and result.ndim >= 2 and result.shape[-1] > 2
    return visible(image, entry.name == "label2rgb"), visible(result, entry.name in LABELS) if is_image else None


def subject(entry: Filter) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """The image that a filter is shown on, and its arguments."""
    grey = gpuimg.median(photo(MEGAPIXELS), 3)
    image = np.stack([grey, np.roll(grey, 9, axis=1), 255 - np.flipud(grey)], axis=-1) if entry.color else grey
    if entry.name in MASKS:
        image = gpuimg.opening(gpuimg.threshold(grey, 130), 3)
    if entry.name in BACK:
        image = BACK[entry.name](image)
    elif image.dtype not in entry.dtypes:
        image = image.astype(np.float32) / np.float32(255)
    return image, arguments(SHOWN.get(entry.name, entry.examples[0]), image)


def _labels(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return gpuimg.label(gpuimg.opening(gpuimg.threshold(image, 130), 3))  # type: ignore[no-any-return]


BACK = {"label2rgb": _labels, "hsv2rgb": gpuimg.rgb2hsv, "lab2rgb": gpuimg.rgb2lab, "ycbcr2rgb": gpuimg.rgb2ycbcr}
MASKS = {"label", "distance_transform_edt", "fill_holes", "skeletonize", "thin", "clear_border", "find_boundaries"}
MASKS |= {"remove_small_objects", "remove_small_holes"}
LABELS = {"label", "watershed"}


def visible(image: np.ndarray[Any, Any], is_labels: bool = False) -> np.ndarray[Any, Any]:
    """An image as (H, W, 3) bytes: masks in black and white, labels in colours, other dtypes by most of their range."""
    if image.dtype == bool:
        shown = image * np.uint8(255)
    elif is_labels:
        colours = np.random.default_rng(1).integers(60, 256, (int(image.max()) + 1, 3), np.uint8)
        colours[0] = 0
        shown = colours[np.maximum(image, 0)]
    elif image.dtype == np.uint8:
        shown = image
    else:
        low, high = np.percentile(image, (0.5, 99.5), axis=(0, 1))
        shown = np.clip((image - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(
        np.broadcast_to(shown[..., None], (*shown.shape, 3)) if shown.ndim == 2 else shown[..., :3]
    )


def _as_tall(image: np.ndarray[Any, Any], rows: int) -> np.ndarray[Any, Any]:
    return np.pad(image, [(0, rows - len(image)), (0, 0), (0, 0)], constant_values=255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", action="store_true", help="leave the pictures as they are")
    if not parser.parse_args().text:
        draw_all()
    TARGET.write_text(whole())


if __name__ == "__main__":
    main()
