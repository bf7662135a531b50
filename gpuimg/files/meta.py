"""What a file says of its pixels, apart from their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Pixels: TypeAlias = "np.ndarray[Any, Any]"

# How to turn an image upright, by the number that EXIF and TIFF give its orientation.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image, 1),
}
ORIENTATION_TAG = 274


class Meta(NamedTuple):
    """What a file says of its pixels.

    Attributes
    ----------
    profile : the ICC profile of its colours, empty if there is none
    resolution : pixels per inch across and down
    """

    profile: bytes = b""
    resolution: tuple[float, float] | None = None


NO_META = Meta()


def meta_of(profile: bytes, across: float, down: float, orientation: int) -> Meta:
    """What a file says of its pixels, as they stand upright; a resolution that cannot be is left out."""
    if orientation > 4:
        across, down = down, across
    if not (0 < across < 1e6 and 0 < down < 1e6):
        return Meta(profile)
    return Meta(profile, (across, down))


def upright(image: Pixels, orientation: int) -> Pixels:
    """An image turned by the number that its file gives its orientation."""
    return UPRIGHT[orientation](image) if orientation in UPRIGHT else image
