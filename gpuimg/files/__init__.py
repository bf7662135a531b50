"""Reading and writing of image files, never losing depth silently; see `gpuimg.files.formats` for the formats.

Reading:

- Values are returned as stored. Colour profiles and gamma are not applied.
- Samples of 10, 12 or 14 bits are returned as uint16 with values up to 1023, 4095 or 16383: they are not scaled.
- One-bit images are bool. Palette images are converted to colours. Samples of 2 or 4 bits are scaled to 0..255 for PNG,
  TIFF and JPEG 2000; PGM, PPM and PAM values are returned as stored, whatever their maximum.
- Alpha is an additional channel: ``(H, W, 2)`` for grey, ``(H, W, 4)`` for colour; filters need ``alpha=True`` to
  recognise it. It is straight: premultiplied colours in TIFF files are divided by alpha, integers are rounded, and
  colours are 0 where alpha is 0. A single transparent colour is ignored.
- 8-bit CMYK is converted to RGB by the simple formula; deeper CMYK and Lab are rejected.
- Images are upright: the EXIF orientation is applied. Metadata are returned with ``metadata=True``.
- The pages of a TIFF file are a stack, ``(N, H, W)`` or ``(N, H, W, C)``; the still image of an animated PNG is read,
  and the first frame of GIF, WebP and AVIF.
- The first image of a FITS file is read, with three axes as a stack; it is scaled by BSCALE and BZERO, and blanks of
  scaled integers are NaN. The first row is the file's, which astronomers show at the bottom.

Writing: bool is written as 0 and 255, all other values unchanged; otherwise an error names a format that can hold them.

Pillow and tifffile read most formats. imagecodecs (the ``codecs`` extra) is needed for TIFF of unusual bit depths, LZW
and ZSTD beyond 8 bits, LERC, JPEG 2000 and WebP in TIFF, and for AVIF and JPEG 2000 beyond 8 bits; astropy (``fits``)
is needed for FITS.

Files are not trusted: the size in memory is checked against a limit before pixels are decoded, and strips or tiles that
decode to more than their header declares are rejected.
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
