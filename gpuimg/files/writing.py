"""Images into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpuimg.files.drafts import replacing, target_of
from gpuimg.files.formats import Format, check_fits, format_of
from gpuimg.files.limits import PathLike, one_line
from gpuimg.files.meta import NO_META, Meta, Pixels
from gpuimg.images import check_axes


def save_image(path: PathLike, array: Any, *, axes: str | None = None) -> None:
    """Write an image file, in the format that the name's suffix says, in the array's own depth.

    The file appears complete or not at all: it is written under another name in the same folder and then renamed. A
    file that is replaced keeps its mode and, where permitted, its owner.

    Parameters
    ----------
    path : ends in .tif or .tiff (any integers or floats), .png (uint8, uint16), .jpg or .jpeg (uint8, lossy), .npy
        (NumPy's format, with any dtype), .webp, .jp2 or .bmp (uint8), .avif (uint8, lossy), .pgm, .ppm or .pnm (uint8,
        uint16) or .pfm (float32).
    array : shape (H, W) or (H, W, C), any shape with ``axes``. bool is stored as 0 and 255. PNG takes 1 to 4 channels
        (of 2 and 4 the last is alpha), as does JPEG 2000; WebP and AVIF take 3 or 4; JPEG, BMP, PNM and PFM 1 or 3.
    axes : what the axes of the array are, a letter each, as in the filters: Y, X, C for channels, and T, Z, N for a
        stack, such as "NYX" or "TYXC". A stack is written as the pages of a TIFF file or the first axis of an NPY
        file, several axes of a stack in order. None: (H, W), or (H, W, C) with at most four channels.

    Raises
    ------
    ImageFileError
        The file cannot be written: no such folder, no permission, disk full.
    TypeError
        The format cannot hold the dtype without losing depth.
    ValueError
        An unknown suffix, an empty array, ``axes`` that do not fit it, or a shape that the format cannot hold.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.save_image("ramp.png", np.arange(65536, dtype=np.uint16).reshape(256, 256))
    >>> gpuimg.open_image("ramp.png").dtype
    dtype('uint16')
    >>> gpuimg.save_image("stack.tif", np.zeros((5, 32, 32), np.float32), axes="TYX")
    >>> gpuimg.open_image("stack.tif").shape
    (5, 32, 32)
    """
    path = Path(path)
    form = format_of(path)
    image = np.asarray(array)
    check_fits(path, image.shape, image.dtype, axes=axes)
    with one_line(path), replacing(path) as file:
        write_image(file, form, image, axes=axes)


def write_image(file: BinaryIO, form: Format, image: Pixels, *, axes: str | None = None, meta: Meta = NO_META) -> None:
    """Write an image that fits a format (see `check_fits`); a profile of colours that it does not have is left out."""
    if image.dtype == bool and "bool" not in form.dtypes:
        image = image.view(np.uint8) * np.uint8(255)
    pages = image[np.newaxis]
    if axes is not None:
        known = check_axes(axes, image.shape, name="array")
        pages = known.arranged(image)
        pages = pages.reshape(-1, *pages.shape[known.stack :])
    channels = pages.shape[3] if pages.ndim == 4 else 1
    if meta.profile[16:20] != (b"GRAY" if channels < 3 else b"RGB "):
        meta = meta._replace(profile=b"")
    assert form.write is not None, f"{form.name} is read only"
    form.write(file, pages, meta)


def check_target(path: PathLike) -> None:
    """Raise now what `save_image` would raise after the work: an unknown suffix, no such folder, no permission."""
    path = Path(path)
    format_of(path)
    with one_line(path):
        target_of(path)
