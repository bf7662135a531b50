"""Image files in and out, never losing depth silently: TIFF of any depth, PNG of 8 and 16 bits, JPEG, NumPy's NPY.

What comes out of a file:

- Values as they are stored. Colour profiles and gamma are not applied.
- One-bit images are bool. A palette becomes the colours it stands for. Grey of 2 or 4 bits is spread over 0..255.
- Alpha is one more channel: ``(H, W, 2)`` for grey, ``(H, W, 4)`` for colour. A single transparent colour is ignored.
- CMYK of 8 bits becomes RGB by the plain formula; deeper CMYK and Lab are refused.
- The picture stands upright: the camera's orientation mark is applied.
- The pages of a TIFF file are a stack, ``(N, H, W)`` or ``(N, H, W, C)``; of an animated PNG the still picture is read.

What goes into a file: bool as 0 and 255, everything else as it is, or an error that says which format can hold it.

A file is not trusted: its size in memory is checked against a limit before pixels are decoded, and a strip or tile that
decodes to more than its header says is refused.
"""

from gpuimg.files.formats import FORMATS, Format, check_fits
from gpuimg.files.meta import Meta
from gpuimg.files.reading import ImageFile, axes_of_pages, open_image, open_pages
from gpuimg.files.writing import check_target, save_image, write_image

__all__ = [
    "FORMATS",
    "Format",
    "ImageFile",
    "Meta",
    "axes_of_pages",
    "check_fits",
    "check_target",
    "open_image",
    "open_pages",
    "save_image",
    "write_image",
]
