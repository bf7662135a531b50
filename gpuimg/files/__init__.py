"""Image files in and out, never losing depth silently; `gpuimg.files.formats` has the table of formats.

What comes out of a file:

- Values as they are stored. Colour profiles and gamma are not applied.
- Samples of 10, 12 or 14 bits come as uint16, with values up to 1023, 4095 or 16383: they are not scaled.
- One-bit images are bool. A palette becomes the colours it stands for. Of PNG, TIFF and JPEG 2000, samples of 2 or 4
  bits are spread over 0..255; of PGM, PPM and PAM, values come as they are stored, whatever the largest may be.
- Alpha is one more channel: ``(H, W, 2)`` for grey, ``(H, W, 4)`` for colour; filters need ``alpha=True`` to tell it
  from the others. It is straight: colours that a TIFF file holds multiplied by alpha are divided by it, integers
  rounded, and 0 where alpha is. A single transparent colour is ignored.
- CMYK of 8 bits becomes RGB by the plain formula; deeper CMYK and Lab are refused.
- The picture stands upright: the camera's orientation mark is applied. Metadata come with ``metadata=True``.
- The pages of a TIFF file are a stack, ``(N, H, W)`` or ``(N, H, W, C)``; of an animated PNG the still picture is read,
  of GIF, WebP and AVIF the first frame.
- Of FITS the first image is read, one of three axes as a stack; scaled by BSCALE and BZERO, blanks of scaled integers
  are NaN. The first row is the file's, which astronomers show at the bottom.

What goes into a file: bool as 0 and 255, everything else as it is, or an error that says which format can hold it.

Pillow and tifffile read most formats. imagecodecs (the ``codecs`` extra) is needed for TIFF of unusual bit depths, LZW
and ZSTD beyond 8 bits, LERC, JPEG 2000 and WebP in TIFF, and for AVIF and JPEG 2000 beyond 8 bits; astropy (``fits``)
is needed for FITS.

A file is not trusted: its size in memory is checked against a limit before pixels are decoded, and a strip or tile that
decodes to more than its header says is refused.
"""

from gpuimg.files.formats import FORMATS, Format, check_fits, check_options
from gpuimg.files.limits import warn_left_out
from gpuimg.files.meta import ImageMetadata, Written
from gpuimg.files.reading import ImageFile, axes_of_pages, open_image, open_pages
from gpuimg.files.writing import check_target, save_image, write_image

__all__ = [
    "FORMATS",
    "Format",
    "ImageFile",
    "ImageMetadata",
    "Written",
    "axes_of_pages",
    "check_fits",
    "check_options",
    "check_target",
    "open_image",
    "open_pages",
    "save_image",
    "warn_left_out",
    "write_image",
]
