"""What the scripts in docs/workflows replace: the same jobs by scikit-image and SciPy.

`WORKFLOWS` names them all. Tests compare a script with its original, and bench/workflows.py races them.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage
from skimage import color, exposure, filters, measure, morphology, segmentation, util

SCRIPTS = Path(__file__).parents[1] / "docs" / "workflows"
FRAME = 1024


class Workflow(NamedTuple):
    """A script and its original.

    Attributes
    ----------
    script : in docs/workflows; its function of the same name does the job
    picture : makes the job's arguments, of so many megapixels, by the script's own functions
    original : takes the same arguments
    """

    script: str
    picture: Callable[[ModuleType, float], tuple[Any, ...]]
    original: Callable[..., Any]

    def module(self) -> ModuleType:
        path = SCRIPTS / self.script
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made

    def job(self, module: ModuleType) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(module, Path(self.script).stem)
        return found


PROPERTIES = (
    *("label", "area", "bbox", "centroid", "intensity_mean", "intensity_min", "intensity_max"),
    *("perimeter", "eccentricity", "orientation"),
)


def _fewer_than(pixels: int) -> dict[str, int]:
    """The parameter of `remove_small_objects`, which since 0.26 is the greatest size that is removed."""
    known = inspect.signature(morphology.remove_small_objects).parameters
    return {"max_size": pixels - 1} if "max_size" in known else {"min_size": pixels}


def nuclei(image: Any, sigma: float = 2, min_size: int = 64) -> tuple[dict[str, Any], Any, Any]:
    smooth = filters.gaussian(image.astype(np.float32), sigma)
    mask = ndimage.binary_fill_holes(smooth > filters.threshold_otsu(smooth))
    labels = morphology.remove_small_objects(measure.label(mask), **_fewer_than(min_size))
    table = measure.regionprops_table(labels, image, PROPERTIES)
    grey = exposure.rescale_intensity(image, out_range=(0.0, 1.0))
    overlay = util.img_as_ubyte(color.label2rgb(labels, grey, bg_color=None))
    overlay[segmentation.find_boundaries(labels, mode="inner")] = 255
    return table, labels, overlay


def time_series(stack: Any, size: int = 3, sigma: float = 1.5) -> tuple[Any, Any, Any]:
    smooth = np.empty_like(stack)
    for number, frame in enumerate(stack):
        still = ndimage.median_filter(frame, size)
        smooth[number] = np.rint(filters.gaussian(still, sigma, mode="reflect", preserve_range=True))
    background = smooth.min(axis=0)
    frames = np.clip(smooth.astype(np.int32) - background, 0, 65535).astype(np.uint16)
    levels = np.array([filters.threshold_otsu(frame) for frame in frames], np.uint16)
    masks = np.stack([frame > level for frame, level in zip(frames, levels, strict=True)])
    return frames, levels, masks


def _sides(megapixels: float) -> tuple[int, int]:
    """Rows and columns of an image with the sides 3 and 4."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return height, round(megapixels * 1e6 / height)


WORKFLOWS = {
    "nuclei": Workflow("nuclei.py", lambda script, size: (script.picture(*_sides(size)),), nuclei),
    "time_series": Workflow(
        "time_series.py",
        lambda script, size: (script.picture(max(1, round(size * 1e6 / FRAME**2)), FRAME, FRAME),),
        time_series,
    ),
}
