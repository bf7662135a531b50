"""Images out of files."""

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
    """An image that was read from a file; ``is_stack`` says whether it is a stack of pages."""

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
    """Read an image file: TIFF, PNG, JPEG, NPY, WebP, AVIF, JPEG 2000, BMP, GIF, PNM or PFM, told by its content.

    Parameters
    ----------
    path : the file: a path, or a file open for reading bytes, which is read from its position on, and whose position
        afterwards is unspecified.
    page : the page of a TIFF file to read, counted from 0. None reads all pages.
    max_pixels : refuse a page with more pixels (height x width). None stands for Pillow's own limit,
        ``PIL.Image.MAX_IMAGE_PIXELS`` (89 megapixels unless changed).
    max_bytes : refuse a file whose decoded pixels take more bytes (height x width x channels x bytes of a sample x
        pages). None stands for a quarter of the machine's memory.
    at_least : (rows, columns) that suffice, for a JPEG file to be decoded in less time at 1/2, 1/4 or 1/8 of its size,
        where that leaves as many of both. Files of other formats are read whole.
    metadata : whether to return the file's metadata as well.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C), or (N, H, W) or (N, H, W, C) where a TIFF file has N pages, in the file's own
    depth; of an NPY file the array as it is. Samples of 10, 12 or 14 bits are uint16, with values that are not scaled.
    CMYK of 8 bits becomes RGB. Of an animation, the first frame is read. See the notes at the head of `gpuimg.files`
    for palettes, alpha and the rest.
    With ``metadata=True``, a tuple of it and an `ImageMetadata`.

    Raises
    ------
    ImageFileDamaged
        The file is truncated or damaged.
    CodecMissing
        The file needs a codec that is not installed: ``pip install imagecodecs``.
    ImageFileError
        Base class of both. The file is missing, not readable, too large, or of a kind that would lose depth; it has no
        such page, or all pages were to be read and they differ in shape or dtype.

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
    """Read an image file as `open_image` does, and what else is known of it."""
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
    """A file that is open for reading, at its beginning."""
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
    """An image file whose header is read, and checked against limits; its pixels are not decoded yet.

    A file that is of none of the ``formats`` is refused before anything but its first bytes is looked at.

    Attributes
    ----------
    format : one of `FORMATS`
    nbytes : what its pixels take decoded
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
        """What it says of its image, once that is decoded, and what was left out of it."""
        try:
            return self._pages.metadata()
        except Exception as error:  # it may be damaged where the pixels are not
            return Read(NO_METADATA, (f"metadata ({brief(error)})",))

    @property
    def metadata(self) -> ImageMetadata:
        """What it says of its image, once that is decoded."""
        return self.read.metadata

    def decode(self) -> Pixels:
        """The pixels, (H, W) or (H, W, C), or a stack (N, H, W) or (N, H, W, C)."""
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
    """The axes of a file's pages: (N, H, W) or (N, H, W, C)."""
    return "NYXC"[:ndim]


def _stacked(images: Pages) -> Pixels:
    """One image as it is, several as a stack, in native byte order."""
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
