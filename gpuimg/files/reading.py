"""Reading of image files."""

from __future__ import annotations

import io
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast, overload

import numpy as np

from gpuimg.errors import CodecMissing, ImageFileDamaged, ImageFileError
from gpuimg.files.codecs import NoCodec
from gpuimg.files.formats import FORMATS, Format
from gpuimg.files.limits import Limit, Refused, Target, brief, one_line, path_of, warn_left_out
from gpuimg.files.meta import NO_METADATA, ImageMetadata, Pixels, Read
from gpuimg.files.pages import Pages, differing
from gpuimg.images import pair, whole


class Opened(NamedTuple):
    """An image read from a file; ``is_stack`` is true if it is a stack of pages."""

    image: Pixels
    is_stack: bool
    has_alpha: bool
    metadata: ImageMetadata
    left_out: tuple[str, ...]


@overload
def open_image(
    path: Target,
    *,
    page: int | None = None,
    max_pixels: int | None = None,
    max_bytes: int | None = None,
    at_least: tuple[int, int] | None = None,
    metadata: Literal[False] = False,
) -> Pixels: ...


@overload
def open_image(
    path: Target,
    *,
    page: int | None = None,
    max_pixels: int | None = None,
    max_bytes: int | None = None,
    at_least: tuple[int, int] | None = None,
    metadata: Literal[True],
) -> tuple[Pixels, ImageMetadata]: ...


def open_image(
    path: Target,
    *,
    page: int | None = None,
    max_pixels: int | None = None,
    max_bytes: int | None = None,
    at_least: tuple[int, int] | None = None,
    metadata: bool = False,
) -> Pixels | tuple[Pixels, ImageMetadata]:
    """Read an image file: TIFF, PNG, JPEG, NPY, WebP, AVIF, JPEG 2000, BMP, GIF, PNM or PFM, detected by content.

    Parameters
    ----------
    path : a path, or a file open for reading bytes, which is read from its current position; the position afterwards is
        unspecified.
    page : the page of a TIFF file to read, counted from 0. None: all pages.
    max_pixels : maximum pixels of a page (height x width). None: Pillow's limit, ``PIL.Image.MAX_IMAGE_PIXELS``
        (89 megapixels unless changed).
    max_bytes : maximum bytes of the decoded pixels (height x width x channels x bytes of a sample x pages). None: a
        quarter of the machine's memory.
    at_least : minimum (rows, columns), for a JPEG file to be decoded faster at 1/2, 1/4 or 1/8 of its size, if that is
        not smaller. Files of other formats are read at full size.
    metadata : whether to return the file's metadata as well.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C), or (N, H, W) or (N, H, W, C) for a TIFF file of N pages, in the file's depth;
    the array of an NPY file is unchanged. Samples of 10, 12 or 14 bits are uint16, not scaled. 8-bit CMYK is converted
    to RGB. The first frame of an animation is read. For palettes, alpha and other details see `gpuimg.files`.
    With ``metadata=True``, a tuple of the array and an `ImageMetadata`.

    Raises
    ------
    ImageFileDamaged
        The file is truncated or damaged.
    CodecMissing
        The file needs a codec that is not installed: ``pip install imagecodecs``.
    ImageFileError
        Base class of both. The file is missing, not readable, too large, or cannot be read without losing depth; the
        page does not exist, or the pages differ in shape or dtype and ``page`` is None.

    Warns
    -----
    MetadataWarning
        With ``metadata=True``: metadata that are damaged, or a block of more than 8 MiB, were left out.

    Notes
    -----
    Both limits are checked before pixels are decoded, so that a small file cannot fill the memory. A file has at most
    10000 pages.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.save_image("small.png", np.eye(3, dtype=np.uint16))  # doctest: +SKIP
    >>> gpuimg.open_image("small.png").dtype  # doctest: +SKIP
    dtype('uint16')
    """
    if at_least is not None:
        rows, cols = pair("at_least", at_least)
        at_least = whole("at_least", rows), whole("at_least", cols)
    opened = open_pages(
        path, page=page, max_pixels=max_pixels, max_bytes=max_bytes, at_least=at_least, metadata=metadata
    )
    if not metadata:
        return opened.image
    warn_left_out(_name_of(path), opened.left_out, "not read:")
    return opened.image, opened.metadata


def open_pages(
    path: Target,
    *,
    page: int | None = None,
    max_pixels: int | None = None,
    max_bytes: int | None = None,
    at_least: tuple[int, int] | None = None,
    metadata: bool = False,
) -> Opened:
    """Read an image file as `open_image` does, and return further information about it."""
    name = _name_of(path)
    with one_line(name), _opened(path, name) as file:
        found = ImageFile(file, str(name), page=page, max_pixels=max_pixels, max_bytes=max_bytes, at_least=at_least)
        image = found.decode()
        read = found.read if metadata else Read(NO_METADATA)
        return Opened(image, found.is_stack, found.has_alpha, *read)


def _name_of(path: Target) -> Path:
    if not hasattr(path, "read"):
        return path_of(path)
    name = getattr(path, "name", None)
    return Path(name if isinstance(name, str) else "the file")


@contextmanager
def _opened(path: Target, name: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, or check that a file is open for reading bytes."""
    if not hasattr(path, "read"):
        if name.exists() and not name.is_file():
            raise ImageFileError(f"{name}: not a regular file")
        with name.open("rb") as opened:
            yield opened
        return
    file = cast(BinaryIO, path)
    if isinstance(file, io.BufferedReader | io.BufferedRandom | io.BytesIO) and file.seekable() and file.tell() == 0:
        yield file
        return
    data = file.read()
    if not isinstance(data, bytes):
        raise TypeError(f"the file must be open for reading bytes, got {type(data).__name__} from it")
    yield io.BytesIO(data)


class ImageFile:
    """An image file whose header has been read and checked against limits; its pixels are not decoded yet.

    A file in none of the ``formats`` is rejected after reading only its first bytes.

    Attributes
    ----------
    format : one of `FORMATS`
    nbytes : bytes of the decoded pixels
    is_stack : whether it has several pages
    has_alpha : whether the last channel is alpha
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        page: int | None = None,
        max_pixels: int | None = None,
        max_bytes: int | None = None,
        at_least: tuple[int, int] | None = None,
        formats: Sequence[Format] = FORMATS,
    ) -> None:
        chosen = None if page is None else operator.index(page)
        head = file.read(16)
        found = next((form for form in formats if form.signature.match(head)), None)
        if found is None:
            known = ", ".join([form.name for form in formats[:-1]])
            raise ImageFileError(
                f"{name}: {f'not a {known} or {formats[-1].name} file' if head else 'the file is empty'}"
            )
        self.name = name
        self.format = found
        file.seek(0)
        with self._errors():
            self._pages = found.read(file, Limit(max_pixels, max_bytes), chosen)
            if at_least is not None:
                self._pages.reduce(*at_least)
        self.nbytes = self._pages.nbytes
        self.is_stack, self.has_alpha = len(self._pages) > 1, self._pages.has_alpha

    @cached_property
    def read(self) -> Read:
        """The metadata, and the fields left out; available once the image is decoded."""
        try:
            return self._pages.metadata()
        except Exception as error:  # it may be damaged where the pixels are not
            return Read(NO_METADATA, (f"metadata ({brief(error)})",))

    @property
    def metadata(self) -> ImageMetadata:
        """The metadata; available once the image is decoded."""
        return self.read.metadata

    def decode(self) -> Pixels:
        """Decode the pixels, (H, W) or (H, W, C), or a stack (N, H, W) or (N, H, W, C)."""
        with self._errors():
            return _stacked(self._pages)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Refused as refused:
            raise ImageFileError(f"{self.name}: {refused}") from None
        except NoCodec as missing:
            raise CodecMissing(f"{self.name}: {missing}") from None
        except MemoryError:
            raise ImageFileError(f"{self.name}: not enough memory for its pixels") from None
        except Exception as error:  # a damaged file can make a decoder raise anything
            raise ImageFileDamaged(f"{self.name}: damaged {self.format.name} file ({brief(error)})") from error


def axes_of_pages(ndim: int) -> str:
    """Return the axes of a file's pages: (N, H, W) or (N, H, W, C)."""
    return "NYXC"[:ndim]


def _stacked(images: Pages) -> Pixels:
    """Return a single image, or stack several, in native byte order."""
    pages = iter(images)
    first = next(pages)
    first = np.ascontiguousarray(first, first.dtype.newbyteorder("="))
    if len(images) == 1:
        return first
    stack = np.empty((len(images), *first.shape), first.dtype)
    stack[0] = first
    for number, image in enumerate(pages, 1):
        if (image.shape, image.dtype.newbyteorder("=")) != (first.shape, first.dtype):
            raise Refused(differing({0: _described(first), number: _described(image)}))
        stack[number] = image
    return stack


def _described(image: Pixels) -> str:
    return f"{image.shape} {image.dtype.newbyteorder('=')}"
