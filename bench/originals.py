"""The originals of the scripts in docs/workflows: the same jobs with scikit-image, SciPy, OpenCV and Pillow.

`WORKFLOWS` lists all of them. Tests compare each script with its original, and bench/workflows.py races them.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFilter, ImageOps
from scipy import ndimage
from skimage import color, exposure, feature, filters, measure, morphology, segmentation, transform, util

Array = np.ndarray[Any, Any]
SCRIPTS = Path(__file__).parents[1] / "docs" / "workflows"
FRAME = 1024


@cache
def script(name: str) -> ModuleType:
    """Import a script of docs/workflows as a module."""
    spec = importlib.util.spec_from_file_location(f"workflow_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[made.__name__] = made  # where classes look up their module
    spec.loader.exec_module(made)
    return made


class Workflow(NamedTuple):
    """A script and its original.

    Attributes
    ----------
    script : in docs/workflows; its function of the same name does the job
    picture : creates the job's arguments, for a number of megapixels, with the script's functions
    original : takes the same arguments
    """

    script: str
    picture: Callable[[ModuleType, float], tuple[Any, ...]]
    original: Callable[..., Any]

    def module(self) -> ModuleType:
        return script(Path(self.script).stem)

    def job(self, module: ModuleType) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(module, Path(self.script).stem)
        return found


PROPERTIES = (
    *("label", "area", "bbox", "centroid", "intensity_mean", "intensity_min", "intensity_max"),
    *("perimeter", "eccentricity", "orientation"),
)


def _fewer_than(pixels: int) -> dict[str, int]:
    """Return the parameter of `remove_small_objects`, since version 0.26 the maximum size removed."""
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


def page(image: Array, line: int = 32) -> tuple[Array, float]:
    grey = util.img_as_ubyte(color.rgb2gray(image))
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((line | 1, line | 1), np.uint8))
    light = cv2.GaussianBlur(closed, (0, 0), line / 4, borderType=cv2.BORDER_REFLECT)
    even = np.minimum(grey / light.astype(np.float32), 1)
    angles = np.arange(-3, 3.01, 0.25)
    small = transform.resize(even, (400, round(400 * even.shape[1] / even.shape[0])), anti_aliasing=True)
    angle = angles[np.argmax([transform.rotate(small, angle, cval=1).mean(axis=1).var() for angle in angles])]
    straight = transform.rotate(even, angle, cval=1)
    return straight > filters.threshold_sauvola(straight, line | 1, r=0.5), float(angle)


def sky(image: Array, size: int = 63, sigma: float = 1.5, level: float = 8) -> tuple[Array, Array, Array, Array]:
    repaired = _repaired(image)
    difference = repaired - _without_nan(ndimage.uniform_filter, repaired, size)
    square = difference * difference
    stands_out = square > 9 * _without_nan(ndimage.uniform_filter, square, size)
    background = _without_nan(ndimage.gaussian_filter, np.where(stands_out, np.nan, repaired), size / 6)
    stars = repaired - background
    blobs = -ndimage.gaussian_laplace(np.nan_to_num(stars), sigma)
    noise = 1.4826 * np.median(np.abs(blobs[::4, ::4]))
    rows, cols = feature.peak_local_max(blobs, min_distance=3, threshold_abs=level * noise).T
    flux = _without_nan(ndimage.uniform_filter, stars, 9)[rows, cols] * 81
    return rows, cols, flux, background


def _repaired(image: Array) -> Array:
    """Replace each NaN by the median of the numbers around it."""
    rows, cols = np.nonzero(np.isnan(image))
    padded = np.pad(image, 1, "symmetric")
    near = np.stack([padded[rows + down, cols + along] for down in range(3) for along in range(3)])
    any_number = ~np.isnan(near).all(axis=0)
    repaired = image.copy()
    repaired[rows[any_number], cols[any_number]] = np.nanmedian(near[:, any_number], axis=0)
    return repaired


def _without_nan(smooth: Any, image: Array, size: float) -> Array:
    is_number = ~np.isnan(image)
    weights = smooth(is_number.astype(np.float32), size)
    total = smooth(np.where(is_number, image, np.float32(0)), size)
    # The rounding error of a running sum where there are no numbers.
    return np.where(weights > 1e-6, total / np.maximum(weights, 1e-6), np.float32(np.nan))


def thumbnails(folder: Path, target: Path, box: tuple[int, int] = (256, 256), quality: int = 85) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    made = []
    for path in images_in(folder):
        made.append(target / f"{path.stem}.jpg")
        with Image.open(path) as opened:
            opened.thumbnail(box, Image.Resampling.LANCZOS)
            image = ImageOps.exif_transpose(opened).convert("RGB")
        small = image.filter(ImageFilter.UnsharpMask(1, 80, 0))
        small.save(made[-1], quality=quality, icc_profile=image.info.get("icc_profile"), exif=image.getexif())
    return made


def images_in(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png", ".tif"))


def _sides(megapixels: float, aspect: float = 3 / 4) -> tuple[int, int]:
    """Return the rows and columns of an image, with the ratio ``aspect``."""
    height = round((megapixels * 1e6 * aspect) ** 0.5)
    return height, round(megapixels * 1e6 / height)


def _folders(script: ModuleType, megapixels: float, count: int = 4) -> tuple[Path, Path]:
    """Create a folder of pictures with ``megapixels`` in total; return it and one for their thumbnails."""
    folder = Path(tempfile.mkdtemp(prefix="thumbnails-"))
    script.draw_into(folder / "pictures", count, *_sides(megapixels / count, 2 / 3))
    return folder / "pictures", folder / "thumbnails"


WORKFLOWS = {
    "nuclei": Workflow("nuclei.py", lambda script, size: (script.picture(*_sides(size)),), nuclei),
    "time_series": Workflow(
        "time_series.py",
        lambda script, size: (script.picture(max(1, round(size * 1e6 / FRAME**2)), FRAME, FRAME),),
        time_series,
    ),
    "page": Workflow("page.py", lambda script, size: (script.picture(*_sides(size, 4 / 3)),), page),
    "sky": Workflow("sky.py", lambda script, size: (script.picture(*_sides(size)),), sky),
    "thumbnails": Workflow("thumbnails.py", _folders, thumbnails),
}
