"""Writing of image files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpuimg.files.drafts import replacing, target_of
from gpuimg.files.formats import Format, check_fits, check_options, format_of
from gpuimg.files.limits import PathLike, Target, one_line, path_of, warn_left_out
from gpuimg.files.meta import BIG_TIFF, NO_METADATA, PLAIN, ImageMetadata, Pixels, Written, fitting
from gpuimg.images import check_axes


def save_image(
    path: Target,
    array: Any,
    *,
    axes: str | None = None,
    format: str | None = None,
    metadata: ImageMetadata | None = None,
    quality: int | None = None,
    compression: str | int | None = None,
    subsampling: str | None = None,
) -> None:
    """Write an image file in the format of the name's suffix, in the array's depth.

    Writing is atomic: the file is written under another name in the same folder and then renamed. A replaced file keeps
    its mode and, where permitted, its owner. An open file is written at its position, which is not atomic: an error
    such as a full disk may leave it incomplete.

    Parameters
    ----------
    path : ends in .tif or .tiff (any integers or floats), .png (uint8, uint16), .jpg or .jpeg (uint8, lossy), .npy
        (NumPy's format, with any dtype), .webp, .jp2 or .bmp (uint8), .avif (uint8, lossy), .pgm, .ppm or .pnm (uint8,
        uint16) or .pfm (float32). Or a file open for writing bytes, with ``format``.
    array : shape (H, W) or (H, W, C), any shape with ``axes``. bool is stored as 0 and 255. PNG and JPEG 2000 take 1 to
        4 channels (the last of 2 or 4 is alpha); WebP and AVIF take 3 or 4; JPEG, BMP, PNM and PFM 1 or 3.
    axes : axes of the array, a letter each, as in the filters: Y, X, C for channels, and T, Z, N for a stack, such as
        "NYX" or "TYXC". A stack is written as the pages of a TIFF file or the first axis of an NPY file, several axes
        of a stack in order. None: (H, W), or (H, W, C) with at most four channels.
    format : "PNG", "TIFF" and so on, in place of the suffix.
    metadata : as returned by `open_image` with ``metadata=True``. TIFF supports all fields, PNG, JPEG, WebP and AVIF
        all but the axes of pages, BMP the resolution, other formats none. A colour profile that does not fit the image
        is left out. Pages with axes are written as OME-TIFF.
    quality : 1 to 100, for JPEG (default 95), AVIF (default 90) and WebP (lossless by default).
    compression : for TIFF "none" (default), "deflate", "lzw" or "zstd", on all processors; for PNG a level, 0 to 9.
    subsampling : chroma subsampling of JPEG and AVIF: "4:4:4" (default) is none, "4:2:2" halves the columns, "4:2:0"
        also the rows, which makes smaller files.

    Raises
    ------
    ImageFileError
        The file cannot be written: no such folder, no permission, disk full. LZW and ZSTD need a codec that is not
        installed.
    TypeError
        The format cannot hold the dtype without losing depth.
    ValueError
        The suffix is unknown, the array is empty, ``axes`` do not fit it, the format does not support its shape, or the
        format has no quality, compression or subsampling.

    Warns
    -----
    MetadataWarning
        Metadata that the format cannot hold, or that are damaged or larger than 8 MiB, were left out.

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
    file = path if hasattr(path, "write") else None
    if file is not None and format is None:
        raise ValueError('format must be given for an open file, for example format="PNG"')
    name = Path(f"the {format} file") if file is not None else path_of(path)  # type: ignore[arg-type]
    image = np.asarray(array)
    check_options(name, quality, compression, subsampling, format)
    check_fits(name, image.shape, image.dtype, axes=axes, format=format)
    if metadata is not None and not isinstance(metadata, ImageMetadata):
        raise TypeError(f"metadata must be an ImageMetadata, got {type(metadata).__name__}")
    how = Written(metadata or NO_METADATA, quality, compression, subsampling)
    form = format_of(name, format)
    if file is None:
        with one_line(name), replacing(name) as draft:
            left_out = write_image(draft, form, image, axes=axes, how=how)
    else:
        packed = BytesIO()  # TIFF's offsets count from the beginning, and some files cannot be wound back
        left_out = write_image(packed, form, image, axes=axes, how=how)
        with one_line(name):
            file.write(packed.getbuffer())
    warn_left_out(name, left_out, f"the {form.name} file cannot hold")


def write_image(
    file: BinaryIO, form: Format, image: Pixels, *, axes: str | None = None, how: Written = PLAIN
) -> list[str]:
    """Write an image that fits a format (see `check_fits`); return the names of metadata left out."""
    if image.dtype == bool and "bool" not in form.dtypes:
        image = image.view(np.uint8) * np.uint8(255)
    pages = image[np.newaxis]
    if axes is not None:
        known = check_axes(axes, image.shape, name="array")
        pages = known.arranged(image)
        pages = pages.reshape(-1, *pages.shape[known.stack :])
    held = dict(form.held)
    if form.has_pages and pages.nbytes > BIG_TIFF:
        held.pop("exif", None)  # Pillow writes its directories with offsets of 32 bits
    metadata, left_out = fitting(how.metadata, held, pages, in_exif=form.in_exif)
    assert form.write is not None, f"{form.name} is read only"
    form.write(file, pages, how._replace(metadata=metadata))
    return left_out


def check_target(
    path: PathLike,
    quality: int | None = None,
    compression: str | int | None = None,
    subsampling: str | None = None,
    format: str | None = None,
) -> None:
    """Raise in advance the errors of `save_image`: an unknown suffix, no such folder, no permission."""
    path = path_of(path)
    check_options(path, quality, compression, subsampling, format)
    with one_line(path):
        target_of(path)
