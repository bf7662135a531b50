"""Image files in and out, never losing depth silently: TIFF of any depth, PNG of 8 and 16 bits, JPEG, NumPy's NPY.

What comes out of a file:

- Values as they are stored. Colour profiles and gamma are not applied.
- One-bit images are bool. A palette becomes the colours it stands for. Grey of 2 or 4 bits is spread over 0..255.
- Alpha is one more channel: ``(H, W, 2)`` for grey, ``(H, W, 4)`` for colour; filters need ``alpha=True`` to tell it
  from the others. A single transparent colour is ignored.
- CMYK of 8 bits becomes RGB by the plain formula; deeper CMYK and Lab are refused.
- The picture stands upright: the camera's orientation mark is applied.
- The pages of a TIFF file are a stack, ``(N, H, W)`` or ``(N, H, W, C)``; of an animated PNG the still picture is read.

What goes into a file: bool as 0 and 255, everything else as it is, or an error that says which format can hold it.

A file is not trusted: its size in memory is checked against a limit before pixels are decoded, and a strip or tile that
decodes to more than its header says is refused.
"""

from __future__ import annotations

import lzma
import math
import operator
import os
import re
import secrets
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np

from gpuimg.errors import ImageFileError
from gpuimg.images import ALPHA_CHANNELS, MOST_CHANNELS, ambiguous_axes, check_axes
from gpuimg.memory import machine_memory

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = "np.ndarray[Any, Any]"
PathLike: TypeAlias = "str | os.PathLike[str]"

BAND_BYTES = 1 << 22
MOST_PAGES = 10_000

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


def open_image(
    path: PathLike, *, page: int | None = None, max_pixels: int | None = None, max_bytes: int | None = None
) -> Pixels:
    """Read an image file: TIFF, PNG, JPEG or NPY, told by its content, not by its name.

    Parameters
    ----------
    path : the file.
    page : the page of a TIFF file to read, counted from 0. None reads all pages.
    max_pixels : refuse a page with more pixels (height x width). None stands for Pillow's own limit,
        ``PIL.Image.MAX_IMAGE_PIXELS`` (89 megapixels unless changed).
    max_bytes : refuse a file whose decoded pixels take more bytes (height x width x channels x bytes of a sample x
        pages). None stands for a quarter of the machine's memory.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C), or (N, H, W) or (N, H, W, C) where a TIFF file has N pages, in the file's own
    depth; of an NPY file the array as it is. See the notes at the head of this module for palettes, alpha, orientation
    and the rest.

    Raises
    ------
    ImageFileError
        The file is missing, not readable, truncated, damaged, too large, or of a kind that would lose depth; it has no
        such page, or all pages were to be read and they differ in shape or dtype.

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
    return open_pages(path, page=page, max_pixels=max_pixels, max_bytes=max_bytes)[0]


def open_pages(
    path: PathLike, *, page: int | None = None, max_pixels: int | None = None, max_bytes: int | None = None
) -> tuple[Pixels, bool, bool]:
    """Read an image file as `open_image` does; also return whether the array is a stack of pages and has alpha."""
    path = Path(path)
    with _one_line(path):
        if path.exists() and not path.is_file():
            raise ImageFileError(f"{path}: not a regular file")
        with path.open("rb") as file:
            image = ImageFile(file, str(path), page=page, max_pixels=max_pixels, max_bytes=max_bytes)
            return image.decode(), image.is_stack, image.has_alpha


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


class ImageFile:
    """An image file whose header is read, and checked against limits; its pixels are not decoded yet.

    Attributes
    ----------
    format : one of `FORMATS`
    nbytes : what its pixels take decoded
    is_stack : whether it has several pages
    has_alpha : whether the last channel is alpha
    meta : what it says of its pixels
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        page: int | None = None,
        max_pixels: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        chosen = None if page is None else operator.index(page)
        head = file.read(8)
        found = next((form for form in FORMATS if head.startswith(form.signatures)), None)
        if found is None:
            known = ", ".join([form.name for form in FORMATS[:-1]])
            raise ImageFileError(
                f"{name}: {f'not a {known} or {FORMATS[-1].name} file' if head else 'the file is empty'}"
            )
        self.name = name
        self.format = found
        file.seek(0)
        with self._errors():
            self._pages = found.read(file, _Limit(max_pixels, max_bytes), chosen)
        self.nbytes, self.meta = self._pages.nbytes, self._pages.meta
        self.is_stack, self.has_alpha = len(self._pages) > 1, self._pages.has_alpha

    def decode(self) -> Pixels:
        """The pixels, (H, W) or (H, W, C), or a stack (N, H, W) or (N, H, W, C)."""
        with self._errors():
            return _stacked(self._pages)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _Refused as refused:
            raise ImageFileError(f"{self.name}: {refused}") from None
        except MemoryError:
            raise ImageFileError(f"{self.name}: not enough memory for its pixels") from None
        except Exception as error:  # a damaged file can make a decoder raise anything
            raise ImageFileError(f"{self.name}: damaged {self.format.name} file ({_brief(error)})") from error


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
            raise _Refused(_differing({0: _described(first), number: _described(image)}))
        stack[number] = image
    return stack


def _described(image: Pixels) -> str:
    return f"{image.shape} {image.dtype.newbyteorder('=')}"


def _differing(pages: dict[int, str]) -> str:
    named = ", ".join(f"page {number} is {words}" for number, words in list(pages.items())[:4])
    return f"its pages have different shapes or dtypes: {named}; read one of them with page={min(pages)}"


def save_image(path: PathLike, array: Any, *, axes: str | None = None) -> None:
    """Write an image file, in the format that the name's suffix says, in the array's own depth.

    The file appears complete or not at all: it is written under another name in the same folder and then renamed. A
    file that is replaced keeps its mode and, where permitted, its owner.

    Parameters
    ----------
    path : ends in .tif or .tiff (any integers or floats), .png (uint8, uint16), .jpg or .jpeg (uint8, lossy) or .npy
        (NumPy's format, with any dtype).
    array : shape (H, W) or (H, W, C), any shape with ``axes``. bool is stored as 0 and 255. PNG takes 1 to 4 channels
        (of 2 and 4 the last is alpha), JPEG 1 or 3.
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
    with _one_line(path), _replacing(path) as file:
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
    form.write(file, pages, meta)


def check_target(path: PathLike) -> None:
    """Raise now what `save_image` would raise after the work: an unknown suffix, no such folder, no permission."""
    path = Path(path)
    format_of(path)
    with _one_line(path):
        _target(path)


def format_of(path: Path) -> Format:
    """The format that a file name's suffix stands for."""
    for form in FORMATS:
        if path.suffix.lower() in form.suffixes:
            return form
    known = ", ".join(suffix for form in FORMATS for suffix in form.suffixes)
    raise ValueError(f"{path}: the name must end in one of {known}, got {path.suffix or 'none'!r}")


def check_fits(
    path: PathLike, shape: tuple[int, ...], dtype: np.dtype[Any], remedy: str | None = None, axes: str | None = None
) -> None:
    """Raise unless the format of a file's name holds images of a shape and dtype; ``remedy`` says what would help."""
    path = Path(path)
    form = format_of(path)
    stack, shape = _checked_shape(path, form, shape, axes)
    if dtype.name not in ("bool", *form.dtypes):
        held = " and ".join(form.dtypes) if len(form.dtypes) < 3 else "real numbers"
        tiff = "save it as .tif" if dtype.name in TIFF_DTYPES else "convert it first"
        raise TypeError(f"{path}: a {form.name} file holds {held}, not {dtype}; {remedy or tiff}")
    channels = shape[2] if len(shape) == 3 else 1
    if form.channels and channels not in form.channels:
        raise ValueError(f"{path}: a {form.name} file has {_listed(form.channels)} channels, not {channels}")
    if max(shape[:2]) > form.longest_side:
        raise ValueError(f"{path}: a {form.name} image is at most {form.longest_side} pixels wide and high")
    if math.prod(stack) > MOST_PAGES:
        raise ValueError(f"{path}: a file has at most {MOST_PAGES} pages, not {math.prod(stack)}")


def _checked_shape(
    path: Path, form: Format, shape: tuple[int, ...], axes: str | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The extents of the stack and the shape of one image in an array to save."""
    known = None if axes is None else check_axes(axes, shape, name=f"the array for {path}")
    if known is None:
        many = len(shape) > 3 or (len(shape) == 3 and shape[2] > MOST_CHANNELS and not form.channels)
        if many and 0 not in shape:
            raise ValueError(f"{path}: {ambiguous_axes(shape, 'an image to save')}")
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"{path}: an image to save must have shape (H, W) or (H, W, C), none 0, got {shape}")
    if known is None:
        return (), shape
    if known.stack and not form.has_pages:
        raise ValueError(f"{path}: a {form.name} file holds one image, not a stack; a .tif file holds one as pages")
    ordered = tuple([shape[known.given.index(letter)] for letter in known.order])
    return ordered[: known.stack], ordered[known.stack :]


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" or {numbers[-1]}"


# Errors and targets ------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """Why a sound file is not read: it would lose something. The caller puts the file's name before it."""


class Pages:
    """The images of a file, each of them decoded when it is its turn; ``nbytes`` is what all take then."""

    def __init__(
        self, decoders: Sequence[Callable[[], Pixels]], nbytes: int, meta: Meta = NO_META, has_alpha: bool = False
    ) -> None:
        self.decoders = decoders
        self.has_alpha = has_alpha
        self.nbytes = nbytes
        self.meta = meta

    def __len__(self) -> int:
        return len(self.decoders)

    def __iter__(self) -> Iterator[Pixels]:
        return (decode() for decode in self.decoders)


class _Limit:
    """How many pixels a page may have, and how many bytes the decoded pixels of a file may take."""

    def __init__(self, max_pixels: int | None, max_bytes: int | None) -> None:
        if max_pixels is None:
            from PIL import Image

            max_pixels = Image.MAX_IMAGE_PIXELS
        self.pixels = max_pixels
        self.bytes = machine_memory() // 4 if max_bytes is None else max_bytes

    def check(self, cols: int, rows: int) -> None:
        if self.pixels is not None and cols * rows > self.pixels:
            raise _Refused(
                f"{cols} x {rows} pixels are over the limit of {self.pixels}; if the file is to be trusted, allow "
                f"max_pixels={cols * rows} (--max-pixels {cols * rows})"
            )

    def check_bytes(self, decoded: int) -> int:
        if decoded > self.bytes:
            raise _Refused(
                f"{decoded} bytes of decoded pixels are over the limit of {self.bytes}; if the file is to be trusted, "
                f"allow max_bytes={decoded} (--max-bytes {decoded})"
            )
        return decoded


def _size_of(file: BinaryIO) -> int:
    """Bytes of a file; its position stays."""
    at = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(at)
    return size


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn the system's errors into an `ImageFileError` of one line."""
    try:
        yield
    except ImageFileError:
        raise
    except OSError as error:
        raise ImageFileError(f"{path}: {(error.strerror or _brief(error)).lower()}") from error


def _brief(error: Exception) -> str:
    words = " ".join(str(error).split())
    return words if 0 < len(words) <= 120 else type(error).__name__


def _target(path: Path) -> Path:
    """The file that is to be replaced or made; a link stays and the file it points to is replaced."""
    try:
        target = path.resolve()
    except RuntimeError:  # what Python raised for a loop before 3.13
        target = path
    if target.is_symlink():
        raise ImageFileError(f"{path}: symbolic links form a loop")
    if target.exists() and not target.is_file():
        raise ImageFileError(f"{path}: not a regular file")
    if not target.parent.is_dir():
        raise ImageFileError(f"{path}: no such folder: {target.parent}")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise ImageFileError(f"{path}: permission denied")
    return target


DRAFT = re.compile(r"\.gpuimg-[0-9a-f]{12}\.part")
OLD_DRAFT, BETWEEN_SWEEPS = 24 * 3600, 3600  # seconds
_swept: dict[Path, float] = {}


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a new file that takes the place of `path` at the end, or vanishes upon any error, Ctrl-C included."""
    target = _target(path)
    _sweep(target.parent)
    draft = target.with_name(f".gpuimg-{secrets.token_hex(6)}.part")
    try:
        with _create(draft, target) as file:
            yield file
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _create(draft: Path, target: Path) -> BinaryIO:
    """Create a file with the mode and, where permitted, the owner of the one it will replace."""
    old = target.stat() if target.exists() else None
    mode = 0o666 if old is None else 0o600
    # Path.open takes no opener, and a file made of a descriptor has no name, which tifffile asks for.
    file = open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
    if old is None:
        return file
    try:
        if hasattr(os, "fchown"):
            with suppress(PermissionError):
                os.fchown(file.fileno(), -1, old.st_gid)
            with suppress(PermissionError):
                os.fchown(file.fileno(), old.st_uid, -1)
        # Last, since a change of the owner takes bits of the mode away.
        draft.chmod(stat.S_IMODE(old.st_mode))
    except BaseException:
        file.close()
        raise
    return file


def _sweep(folder: Path) -> None:
    """Remove drafts that killed processes left in a folder more than a day ago."""
    now = time.time()
    if now - _swept.get(folder, -math.inf) < BETWEEN_SWEEPS:
        return  # listing a large folder takes time, so it is not done for every file of a batch
    _swept[folder] = now
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if DRAFT.fullmatch(entry.name):
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and now - found.st_mtime > OLD_DRAFT:
                        Path(entry.path).unlink()


# TIFF --------------------------------------------------------------------------------------------------------------

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
TIFF_DTYPES = (*INTEGERS, "float16", "float32", "float64")
# Photometric interpretations whose samples are not what they seem: separated inks, luma and chroma, the Lab family.
INDIRECT_COLOURS = {5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32844: "LogL", 32845: "LogLuv"}
WHITE_IS_ZERO, PALETTE = 0, 3
JPEG_IN_TIFF = (6, 7)
PILLOW_BITS = {"I;16": 16, "I;16B": 16, "I": 32, "F": 32}  # of a sample, by mode; 8 in all others


def _read_tiff(file: BinaryIO, limit: _Limit, chosen: int | None) -> Pages:
    import tifffile

    _check_directories(file)
    file.seek(0)
    tiff = tifffile.TiffFile(file)  # it does not close a file that it did not open
    pages = _pages(tiff)
    if chosen is not None:
        _check_page(chosen, len(pages))
        pages = pages[chosen : chosen + 1]
    for page, _ in pages:
        limit.check(page.imagewidth, page.imagelength)
        limit.check(page.tilewidth or 0, page.tilelength or 0)
    decoded = limit.check_bytes(sum(_decoded_bytes(page) for page, _ in pages))
    described = {number: _header(page) for number, (page, _) in enumerate(pages)}
    others = {number: words for number, words in described.items() if words != described[0]}
    if others:
        raise _Refused(_differing({0: described[0], **others}))
    rest = _PillowTiff(file)
    decoders = [partial(_read_page, file, limit, page, number, rest) for page, number in pages]
    return Pages(decoders, decoded, _tiff_meta(pages[0][0]), _has_tiff_alpha(pages[0][0]))


ALPHA_SAMPLES = (1, 2)  # TIFF's numbers of premultiplied and of straight alpha


def _has_tiff_alpha(page: Any) -> bool:
    is_plain = page.photometric not in INDIRECT_COLOURS and page.samplesperpixel in ALPHA_CHANNELS
    return is_plain and len(page.extrasamples) == 1 and page.extrasamples[0] in ALPHA_SAMPLES


UNITS_PER_INCH = {2: 1.0, 3: 2.54}  # by TIFF's number of the unit


def _tiff_meta(page: Any) -> Meta:
    tags = {number: page.tags.valueof(number) for number in (282, 283, 296, 34675)}
    profile = tags[34675] if isinstance(tags[34675], bytes) else b""
    unit = UNITS_PER_INCH.get(tags[296] if tags[296] is not None else 2)
    with suppress(TypeError, ValueError, ZeroDivisionError):
        across, down = [unit * top / bottom for top, bottom in (tags[282], tags[283])]
        return _meta(profile, across, down, _tiff_orientation(page))
    return Meta(profile)


def _meta(profile: bytes, across: float, down: float, orientation: int) -> Meta:
    """What a file says of its pixels, as they stand upright; a resolution that cannot be is left out."""
    if orientation > 4:
        across, down = down, across
    if not (0 < across < 1e6 and 0 < down < 1e6):
        return Meta(profile)
    return Meta(profile, (across, down))


def _read_page(file: BinaryIO, limit: _Limit, page: Any, number: int, rest: _PillowTiff) -> Pixels:
    """Read a page; ``number`` counts images that lie in a row under one header."""
    import tifffile

    _check_complete(page, number, file)
    decodable = page.compression in tifffile.TIFF.DECOMPRESSORS and page.predictor in tifffile.TIFF.UNPREDICTORS
    if not decodable or page.photometric in INDIRECT_COLOURS:
        return rest.read(page)
    if page.axes not in ("YX", "YXS", "SYX"):
        raise _Refused(f"its axes are {page.axes}; only flat images are read")
    if number:
        samples = _uncompressed(file, page, number)
    else:
        _check_segments(file, page, limit)
        samples = page.asarray()
    if samples.shape != page.shape:
        raise ValueError("no pixels in it")
    image = _meaning(page, samples)
    if image.dtype != bool and image.dtype.name not in TIFF_DTYPES:
        raise _Refused(f"its pixels are {image.dtype}; real numbers are read")
    return _upright(image, _tiff_orientation(page))


def _check_page(page: int, count: int) -> None:
    if not 0 <= page < count:
        pages = f"{count} pages, so page must be from 0 to {count - 1}" if count > 1 else "1 page, so page must be 0"
        raise _Refused(f"has {pages}, got {page}")


def _upright(image: Pixels, orientation: int) -> Pixels:
    return UPRIGHT[orientation](image) if orientation in UPRIGHT else image


def _tiff_orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION_TAG)
    return int(tag.value) if tag is not None and tag.value in UPRIGHT else 1


def _header(page: Any) -> str:
    """What a page is by its header."""
    rows, cols = page.imagelength, page.imagewidth
    if _tiff_orientation(page) > 4:
        rows, cols = cols, rows
    shape = (rows, cols) if page.samplesperpixel == 1 else (rows, cols, page.samplesperpixel)
    return f"{shape} {page.dtype}"


def _decoded_bytes(page: Any) -> int:
    """The bytes that a page takes decoded, or one of its tiles if that is more."""
    itemsize = page.dtype.itemsize if page.dtype is not None else -(-int(np.max(page.bitspersample)) // 8)
    samples = itemsize * page.samplesperpixel
    tile = (page.tilewidth or 0) * (page.tilelength or 0) * max(1, page.tiledepth or 1)
    pixels = page.imagewidth * page.imagelength * max(1, page.imagedepth)
    colours = 3 * _palette(page.colormap).itemsize if page.photometric == PALETTE else 0
    return int(max(tile * samples, pixels * max(samples, colours)))


# Directories. The walk comes before tifffile sees the file, so that what it does with it is bounded by the file's size.

ENTRY: dict[bool, Any] = {False: [("tag", "u2"), ("type", "u2"), ("count", "u4"), ("value", "u4")]}
ENTRY[True] = [("tag", "u2"), ("type", "u2"), ("count", "u8"), ("value", "u8")]
TYPE_BYTES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8, 0], np.float64)
TEXTS = (1, 2, 6, 7)  # types of which tifffile makes no Python number each
MOST_TAGS, MOST_NUMBERS = 300_000, 4_000_000  # a tag takes some microseconds, a number some dozen bytes
MOST_SHARED = 4, 1 << 24  # tags may point at the same bytes: so many times the file's size and so many bytes more


def _check_directories(file: BinaryIO) -> None:
    """Refuse a chain of directories that loops, overlaps, leaves the file or has too many pages."""
    size = _size_of(file)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]
    entry = np.dtype([(name, order + code) for name, code in ENTRY[big]])
    count_code, offset_code = ("Q", "Q") if big else ("H", "I")

    def number(code: str, data: bytes) -> int:
        return int(struct.unpack(order + code, data)[0])

    offset = number(offset_code, head[8:16] if big else head[4:8])
    seen: set[int] = set()
    directories, tag_count, values, numbers = 0, 0, 0.0, 0.0
    while offset:
        if offset in seen:
            raise ValueError("its directories form a loop")
        if len(seen) == MOST_PAGES:
            raise _Refused(f"has more than {MOST_PAGES} pages")
        seen.add(offset)
        file.seek(min(offset, size))
        count = number(count_code, file.read(struct.calcsize(order + count_code)))
        directories += count * entry.itemsize
        if directories > size:
            raise ValueError("truncated or its directories overlap")
        tags = np.frombuffer(file.read(count * entry.itemsize), entry)
        nbytes = TYPE_BYTES[np.minimum(tags["type"], len(TYPE_BYTES) - 1)] * tags["count"]
        values += float(np.minimum(nbytes, size).sum())
        if values > MOST_SHARED[0] * size + MOST_SHARED[1]:
            raise ValueError("its tags overlap")
        tag_count += count
        numbers += float(tags["count"][~np.isin(tags["type"], TEXTS)].astype(np.float64).sum())
        if tag_count > MOST_TAGS or numbers > MOST_NUMBERS:
            raise _Refused(f"has more than {MOST_TAGS} tags or {MOST_NUMBERS} numbers in them")
        offset = number(offset_code, file.read(struct.calcsize(order + offset_code)))


def _pages(tiff: Any) -> list[tuple[Any, int]]:
    """The pages with an image, and how many images lie before theirs under the same header."""
    pages = [page for page in tiff.pages if not page.is_reduced and not page.is_mask]
    if not pages:
        raise ValueError("no image in it")
    # ImageJ and tifffile itself may keep a stack under a single page header.
    if len(pages) == 1 and (tiff.is_imagej or tiff.is_shaped) and pages[0].size:
        count = tiff.series[0].size // pages[0].size
        if count > MOST_PAGES:
            raise _Refused(f"has more than {MOST_PAGES} pages")
        return [(pages[0], number) for number in range(max(count, 1))]
    return [(page, 0) for page in pages]


def _check_complete(page: Any, number: int, file: BinaryIO) -> None:
    ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not ends or not page.size:
        raise ValueError("no pixels in it")
    if max(ends) > _size_of(file):
        raise ValueError("truncated")


def _uncompressed(file: BinaryIO, page: Any, number: int) -> Pixels:
    """One of the images that lie in a row under one header."""
    if not page.is_contiguous or page.predictor != 1 or page.fillorder != 1:
        raise _Refused("holds several compressed pages under one header, which are not read")
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    nbytes = page.size * dtype.itemsize
    file.seek(page.dataoffsets[0] + number * nbytes)
    data = file.read(nbytes)
    if len(data) < nbytes:
        raise ValueError("truncated")
    return np.frombuffer(data, dtype).reshape(page.shape)


# Compression methods that can turn few bytes into very many, and at most how many each byte becomes.
DEFLATE, LZMA, PACKBITS = (8, 32946, 50013), (34925,), (32773,)
GROWTH = {**dict.fromkeys(DEFLATE, 1032), **dict.fromkeys(LZMA, math.inf), **dict.fromkeys(PACKBITS, 64)}
HARMLESS = 1 << 24  # bytes: a segment that cannot become larger is not measured


def _check_segments(file: BinaryIO, page: Any, limit: _Limit) -> None:
    """Refuse a strip or tile that decodes to more than the header says, in bounded memory."""
    growth = GROWTH.get(page.compression)
    if growth is None:
        return
    rows, cols = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    rows = rows if page.is_tiled else min(rows, page.imagelength)
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    row_bytes = -(-cols * samples * int(np.max(page.bitspersample)) // 8)
    expected = rows * row_bytes * max(1, page.tiledepth or 1)
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if count * growth > min(HARMLESS, limit.bytes):
            file.seek(start)
            # Some writers fill the last strip up to full rows, so a strip may be a little longer than its image.
            if _longer_than(file.read(count), page.compression, max(2 * expected, 1 << 16)):
                raise ValueError("a strip or tile decodes to more than its header says")


def _longer_than(data: bytes, compression: int, most: int) -> bool:
    """Whether data are longer than ``most`` bytes when they are decoded; they are decoded a part at a time."""
    if compression in PACKBITS:
        return _packbits_longer_than(data, most)
    total = 0
    if compression in LZMA:
        decoder = lzma.LZMADecompressor()
        part = decoder.decompress(data, BAND_BYTES)
        while part and total <= most:
            total += len(part)
            part = b"" if decoder.eof else decoder.decompress(b"", BAND_BYTES)
        return total > most or bool(decoder.unused_data.strip(b"\0"))
    inflate = zlib.decompressobj()
    while data and total <= most and not inflate.eof:
        part = inflate.decompress(data, BAND_BYTES)
        total += len(part)
        data = inflate.unconsumed_tail
    return total > most


def _packbits_longer_than(data: bytes, most: int) -> bool:
    total = at = 0
    while at < len(data) and total <= most:
        code = data[at]
        total += code + 1 if code < 128 else 257 - code if code > 128 else 0
        at += code + 2 if code < 128 else 2 if code > 128 else 1
    return total > most


def _meaning(page: Any, samples: Pixels) -> Pixels:
    """Channels last, white high, palette applied."""
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, -1)
    if page.photometric == WHITE_IS_ZERO:
        if samples.dtype.kind not in "bu":
            raise _Refused(f"white is zero in it, which is not defined for {samples.dtype}")
        return ~samples if samples.dtype == bool else ((1 << page.bitspersample) - 1 - samples).astype(samples.dtype)
    if page.photometric == PALETTE:
        colours = _palette(page.colormap)
        image = np.empty((*samples.shape, 3), colours.dtype)
        for band, part in zip(_bands(samples), _bands(image, len(next(_bands(samples)))), strict=True):
            part[...] = colours[band.astype(np.intp)]
        return image
    return samples


def _palette(colours: Pixels) -> Pixels:
    """A palette of shape (3, n) as colours of shape (n, 3): of 8 bits where the 16 stored bits say no more."""
    colours = np.ascontiguousarray(colours.T)
    high = colours >> 8
    low = colours & 255
    return high.astype(np.uint8) if not low.any() or np.array_equal(high, low) else colours


class _PillowTiff:
    """Read what tifffile leaves to a codec package, as far as Pillow keeps the depth; results are upright."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.opened: Any = None

    def read(self, page: Any) -> Pixels:
        if page.compression in JPEG_IN_TIFF:
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
                self.file.seek(start)
                _check_scans(self.file.read(count))
        image = self._at(page.index)
        bits = max(np.atleast_1d(page.bitspersample))
        if image is not None and bits <= PILLOW_BITS.get(image.mode, 8):
            return _pixels(image)
        if page.photometric in INDIRECT_COLOURS:
            raise _Refused(f"{INDIRECT_COLOURS[page.photometric]} of {bits} bits is not read; convert it to RGB first")
        raise _Refused(
            f"{bits}-bit pixels compressed by {page.compression.name} cannot be read here without loss; "
            "`pip install imagecodecs` would help"
        )

    def _at(self, index: int) -> Any:
        from PIL import TiffImagePlugin

        try:
            if self.opened is None:
                self.file.seek(0)
                self.opened = TiffImagePlugin.TiffImageFile(self.file)
            self.opened.seek(index)
        except (SyntaxError, KeyError):  # no Pillow mode for such samples
            return None
        return self.opened


def _write_tiff(file: BinaryIO, pages: Pixels, meta: Meta) -> None:
    import tifffile

    channels = pages.shape[3] if pages.ndim == 4 else 1
    colour = channels in (3, 4)
    extra = {2: ["unassalpha"], 4: ["unassalpha"]}.get(channels)
    offset, _ = tifffile.imwrite(
        file,
        shape=pages.shape if channels > 1 else pages.shape[:3],
        dtype=pages.dtype.newbyteorder("="),
        photometric="rgb" if colour else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=extra,
        bigtiff=pages.nbytes > 4_000_000_000,
        metadata=None,
        software="gpuimg",
        iccprofile=meta.profile or None,
        resolution=meta.resolution,
        resolutionunit="INCH" if meta.resolution else None,
        returnoffset=True,
    )
    # The pixels do not go through ndarray.tofile: it can lose the last bytes on a full disk without an error.
    file.seek(offset)
    for page in pages:
        for band in _bands(page):
            file.write(np.ascontiguousarray(band, pages.dtype.newbyteorder("=")).data.cast("B"))


def _bands(image: Pixels, rows: int | None = None) -> Iterator[Pixels]:
    """The image in slices of rows, of some megabytes unless said otherwise."""
    rows = rows or max(1, BAND_BYTES // max(1, image.nbytes // image.shape[0]))
    return (image[top : top + rows] for top in range(0, image.shape[0], rows))


# PNG ---------------------------------------------------------------------------------------------------------------

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels
INCH = 0.0254  # metres
SUBTRACT_LEFT = 1  # the PNG filter that stores each byte less the one a pixel to its left


def _read_png(file: BinaryIO, limit: _Limit, chosen: int | None) -> Pages:
    from PIL.PngImagePlugin import PngImageFile

    _check_page(chosen or 0, 1)
    header = PngImageFile(file)
    limit.check(*header.size)
    decoded = limit.check_bytes(math.prod(header.size) * _pixel_bytes(header))
    coding = header.tile[0].args if header.tile else None
    has_alpha = header.mode in ("LA", "RGBA") or (header.mode == "P" and "transparency" in header.info)
    return Pages([lambda: _upright(*_read_still(file, coding))], decoded, _pillow_meta(header), has_alpha)


def _read_still(file: BinaryIO, coding: Any) -> tuple[Pixels, int]:
    from PIL.PngImagePlugin import PngImageFile

    def decode(coding: str | None = None) -> Image.Image:
        file.seek(0)
        image = PngImageFile(file)
        if coding is not None:
            image.tile = [image.tile[0]._replace(args=coding)]
        image.load()
        return image

    # Pillow keeps the upper byte of 16-bit colour. Its decoder can be told to take the lower bytes, so two rounds give
    # both; two channels of 16 bits are four bytes a pixel, which fit at once.
    if coding in ("RGB;16B", "RGBA;16B"):
        high = decode()
        low = np.asarray(decode(coding.replace("16B", "16L")))
        return np.asarray(high).astype(np.uint16) << 8 | low, _orientation(high)
    if coding == "LA;16B":
        image = decode("RGBA")
        return np.asarray(image).view(">u2"), _orientation(image)
    image = decode()
    return _pixels(image), _orientation(image)


def _write_png(file: BinaryIO, pages: Pixels, meta: Meta) -> None:
    (image,) = pages
    rows, cols = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    header = struct.pack(">IIBBBBB", cols, rows, image.itemsize * 8, PNG_COLOUR_TYPES[channels], 0, 0, 0)
    file.write(PNG_SIGNATURE)
    _write_chunk(file, b"IHDR", header)
    if meta.profile:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(meta.profile))
    if meta.resolution:
        across, down = [round(per_inch / INCH) for per_inch in meta.resolution]
        _write_chunk(file, b"pHYs", struct.pack(">IIB", across, down, 1))
    # Runs of equal differences only: as small as the full search on photographs, and several times faster.
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
    for band in _bands(image):
        _write_chunk(file, b"IDAT", deflate.compress(_filtered(band, channels * image.itemsize).data))
    _write_chunk(file, b"IDAT", deflate.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def _filtered(band: Pixels, pixel_bytes: int) -> Pixels:
    """Rows as PNG compresses them: the filter's number, then each byte less the one a pixel to its left."""
    raw = np.ascontiguousarray(band, band.dtype.newbyteorder(">")).view(np.uint8).reshape(len(band), -1)
    rows = np.empty((len(raw), 1 + raw.shape[1]), np.uint8)
    rows[:, 0] = SUBTRACT_LEFT
    rows[:, 1 : 1 + pixel_bytes] = raw[:, :pixel_bytes]
    np.subtract(raw[:, pixel_bytes:], raw[:, :-pixel_bytes], out=rows[:, 1 + pixel_bytes :])
    return rows


# JPEG and what Pillow decodes --------------------------------------------------------------------------------------


def _read_jpeg(file: BinaryIO, limit: _Limit, chosen: int | None) -> Pages:
    from PIL.JpegImagePlugin import JpegImageFile

    _check_page(chosen or 0, 1)
    _check_scans(file.read())
    file.seek(0)
    image = JpegImageFile(file)  # not PIL.Image.open, which has a limit of its own
    limit.check(*image.size)
    decoded = limit.check_bytes(math.prod(image.size) * _pixel_bytes(image))
    return Pages([lambda: _upright(_pixels(image), _orientation(image))], decoded, _pillow_meta(image))


MOST_SCANS = 100
START_OF_SCAN = b"\xff\xda"


def _check_scans(data: bytes) -> None:
    """Refuse a JPEG stream of many scans: a scan of a few bytes makes the decoder visit every pixel."""
    if data.count(START_OF_SCAN) > MOST_SCANS:
        raise _Refused(f"has more than {MOST_SCANS} scans")


def _pillow_meta(image: Any) -> Meta:
    """What Pillow found in a file's header."""
    profile = image.info.get("icc_profile") or b""
    with suppress(TypeError, ValueError):
        across, down = map(float, image.info.get("dpi") or ())
        return _meta(profile, across, down, _orientation(image))
    return Meta(profile)


def _write_jpeg(file: BinaryIO, pages: Pixels, meta: Meta) -> None:
    from io import BytesIO

    from PIL import Image

    (image,) = pages
    # Pillow hides the system's reason when it fails to write, so it writes to memory.
    packed = BytesIO()
    given: dict[str, Any] = {"icc_profile": meta.profile} if meta.profile else {}
    if meta.resolution:
        across, down = [min(max(round(per_inch), 1), 65535) for per_inch in meta.resolution]
        given["dpi"] = across, down
    Image.fromarray(image.squeeze(2) if image.shape[2:] == (1,) else image).save(
        packed, "JPEG", quality=95, subsampling=0, **given
    )
    file.write(packed.getbuffer())


def _pixel_bytes(image: Any) -> int:
    """The bytes of a decoded pixel of what Pillow reads."""
    if image.mode == "P":
        return 4
    deep = image.tile and "16B" in str(image.tile[0].args)
    return len(image.getbands()) * (2 if deep else {"I": 4, "F": 4, "I;16": 2, "I;16B": 2}.get(image.mode, 1))


def _pixels(image: Image.Image) -> Pixels:
    image.load()
    if image.mode == "P":
        return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
    if image.mode in ("CMYK", "RGBX", "YCbCr"):
        return np.asarray(image.convert("RGB"))
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I", "F"):
        raise _Refused(f"its pixels are {image.mode}; convert it to RGB first")
    return np.asarray(image)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # the camera's notes may be damaged where the picture is not
        return 1


# NPY ---------------------------------------------------------------------------------------------------------------

NPY_SIGNATURE = b"\x93NUMPY"
NPY_DTYPES = ("bool", *TIFF_DTYPES)
LONGEST_NPY_HEADER = 1 << 16


def _read_npy(file: BinaryIO, limit: _Limit, chosen: int | None) -> Pages:
    _check_page(chosen or 0, 1)
    shape, is_fortran, dtype = _npy_header(file)
    if dtype.name not in NPY_DTYPES:
        raise _Refused(f"its elements are {dtype}; real numbers are read")
    if not 2 <= len(shape) <= 5 or 0 in shape:
        raise _Refused(f"its shape is {shape}; an image has shape (H, W) or (H, W, C), none 0")
    limit.check(shape[1], shape[0])
    count = math.prod(shape)
    decoded = limit.check_bytes(count * dtype.itemsize)
    found = _size_of(file) - file.tell()
    if decoded != found:
        raise ValueError("truncated" if decoded > found else "more data than its header says")

    def decode() -> Pixels:
        flat = np.frombuffer(file.read(decoded), dtype, count)
        return flat.reshape(shape, order="F" if is_fortran else "C")

    return Pages([decode], decoded)


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    reading = np.lib.format
    version = reading.read_magic(file)
    if version == (1, 0):
        shape, is_fortran, dtype = reading.read_array_header_1_0(file, LONGEST_NPY_HEADER)
    elif version == (2, 0):
        shape, is_fortran, dtype = reading.read_array_header_2_0(file, LONGEST_NPY_HEADER)
    else:
        raise _Refused(f"version {version} of the format is not read")
    return shape, is_fortran, dtype


def _write_npy(file: BinaryIO, pages: Pixels, meta: Meta) -> None:
    image = pages[0] if len(pages) == 1 else pages
    plain = np.dtype(image.dtype.newbyteorder("="))
    header = {"descr": np.lib.format.dtype_to_descr(plain), "fortran_order": False, "shape": image.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for band in _bands(image):
        file.write(np.ascontiguousarray(band, plain).data.cast("B"))


class Format(NamedTuple):
    """A file format: its media type, how it is told, read and written, what it holds (``channels`` empty: any number).

    ``write`` takes images of shape (N, H, W) or (N, H, W, C); N is 1 unless the format has pages.
    """

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]
    read: Callable[[BinaryIO, _Limit, int | None], Pages]
    write: Callable[[BinaryIO, Pixels, Meta], None]
    dtypes: tuple[str, ...]
    channels: tuple[int, ...] = ()
    longest_side: int = 2**31 - 1
    has_pages: bool = False


# fmt: off
FORMATS = (
    Format("TIFF", "image/tiff", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _read_tiff, _write_tiff,
           TIFF_DTYPES, has_pages=True),
    Format("PNG", "image/png", (".png",), (PNG_SIGNATURE,), _read_png, _write_png, ("uint8", "uint16"), (1, 2, 3, 4)),
    Format("JPEG", "image/jpeg", (".jpg", ".jpeg"), (b"\xff\xd8\xff",), _read_jpeg, _write_jpeg, ("uint8",), (1, 3),
           65500),
    Format("NPY", "application/x-npy", (".npy",), (NPY_SIGNATURE,), _read_npy, _write_npy, NPY_DTYPES, has_pages=True),
)
# fmt: on
