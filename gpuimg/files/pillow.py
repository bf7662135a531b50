"""Pixels and metadata of images that Pillow opened."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuimg.files.limits import Refused
from gpuimg.files.meta import ORIENTATION_TAG, Meta, Pixels, meta_of

if TYPE_CHECKING:
    from PIL import Image


def pillow_meta(image: Any) -> Meta:
    """What Pillow found in a file's header."""
    profile = image.info.get("icc_profile") or b""
    with suppress(TypeError, ValueError):
        across, down = map(float, image.info.get("dpi") or ())
        return meta_of(profile, across, down, orientation_of(image))
    return Meta(profile)


def pixel_bytes(image: Any) -> int:
    """The bytes of a decoded pixel of what Pillow reads."""
    if image.mode == "P":
        return 4
    deep = image.tile and "16B" in str(image.tile[0].args)
    return len(image.getbands()) * (2 if deep else {"I": 4, "F": 4, "I;16": 2, "I;16B": 2}.get(image.mode, 1))


def pixels_of(image: Image.Image) -> Pixels:
    """The pixels of an image, of a palette or inks as the colours that they stand for."""
    image.load()
    if image.mode == "P":
        return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
    if image.mode in ("CMYK", "RGBX", "YCbCr"):
        return np.asarray(image.convert("RGB"))
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I", "F"):
        raise Refused(f"its pixels are {image.mode}; convert it to RGB first")
    return np.asarray(image)


def orientation_of(image: Image.Image) -> int:
    """The number that EXIF gives the orientation of an image."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # the camera's notes may be damaged where the picture is not
        return 1
