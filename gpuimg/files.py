"""Image files in and out, never losing depth silently: TIFF of any depth, PNG of 8 and 16 bits, JPEG.

What comes out of a file:

- Values as they are stored. Colour profiles and gamma are neither applied nor kept.
- One-bit images are bool. A palette becomes the colours it stands for. Grey of 2 or 4 bits is spread over 0..255.
- Alpha is one more channel: ``(H, W, 2)`` for grey, ``(H, W, 4)`` for colour. A single transparent colour is ignored.
- CMYK of 8 bits becomes RGB by the plain formula; deeper CMYK and Lab are refused.
- The picture stands upright: the camera's orientation mark is applied.
- Files of several pages are refused; of an animated PNG the still picture is read.

What goes into a file: bool as 0 and 255, everything else as it is, or an error that says which format can hold it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np

from gpuimg.errors import ImageFileError

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = "np.ndarray[Any, Any]"
PathLike: TypeAlias = "str | os.PathLike[str]"

BAND_BYTES = 1 << 22

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


def open_image(path: PathLike, *, max_pixels: int | None = None) -> Pixels:
    """Read an image file: TIFF, PNG or JPEG, told by its content, not by its name.

    Parameters
    ----------
    path : the file.
    max_pixels : refuse a larger image, before its pixels are decoded, so that a small file cannot fill the memory. None
        stands for Pillow's own limit, ``PIL.Image.MAX_IMAGE_PIXELS`` (89 megapixels unless changed).

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C), in the file's own depth. See the notes at the head of this module for palettes,
    alpha, orientation and the rest.

    Raises
    ------
    ImageFileError
        The file is missing, not readable, truncated, damaged, too large, or of a kind that would lose depth.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.save_image("small.png", np.eye(3, dtype=np.uint16))  # doctest: +SKIP
    >>> gpuimg.open_image("small.png").dtype  # doctest: +SKIP
    dtype('uint16')
    """
    path = Path(path)
    with _one_line(path):
        if path.exists() and not path.is_file():
            raise ImageFileError(f"{path}: not a regular file")
        with path.open("rb") as file:
            head = file.read(8)
            form = next((form for form in FORMATS if head.startswith(form.signatures)), None)
            if form is None:
                raise ImageFileError(f"{path}: {'not a TIFF, PNG or JPEG file' if head else 'the file is empty'}")
            file.seek(0)
            try:
                image, orientation = form.read(file, _Limit(max_pixels))
                image = UPRIGHT.get(orientation, np.asarray)(image)
                return np.ascontiguousarray(image, image.dtype.newbyteorder("="))
            except _Refused as refused:
                raise ImageFileError(f"{path}: {refused}") from None
            except MemoryError:
                raise ImageFileError(f"{path}: not enough memory for its pixels") from None
            except Exception as error:  # a damaged file can make a decoder raise anything
                raise ImageFileError(f"{path}: damaged {form.name} file ({_brief(error)})") from error


def save_image(path: PathLike, array: Any) -> None:
    """Write an image file, in the format that the name's suffix says, in the array's own depth.

    The file appears complete or not at all: it is written under another name in the same folder and then renamed.

    Parameters
    ----------
    path : ends in .tif or .tiff (any integers or floats), .png (uint8, uint16) or .jpg or .jpeg (uint8, lossy).
    array : shape (H, W) or (H, W, C). bool is stored as 0 and 255. PNG takes 1 to 4 channels (of 2 and 4 the last is
        alpha), JPEG 1 or 3.

    Raises
    ------
    ImageFileError
        The file cannot be written: no such folder, no permission, disk full.
    TypeError
        The format cannot hold the dtype without losing depth.
    ValueError
        An unknown suffix, an empty array, or a shape that the format cannot hold.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.save_image("ramp.png", np.arange(65536, dtype=np.uint16).reshape(256, 256))
    >>> gpuimg.open_image("ramp.png").dtype
    dtype('uint16')
    """
    path = Path(path)
    form = format_of(path)
    image = np.asarray(array)
    if image.dtype == bool:
        image = image.view(np.uint8) * np.uint8(255)
    check_fits(path, image.shape, image.dtype)
    with _one_line(path), _replacing(path) as file:
        form.write(file, image)


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


def check_fits(path: PathLike, shape: tuple[int, ...], dtype: np.dtype[Any], remedy: str | None = None) -> None:
    """Raise unless the format of a file's name holds images of a shape and dtype; ``remedy`` says what would help."""
    path = Path(path)
    form = format_of(path)
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"{path}: an image to save must have shape (H, W) or (H, W, C), none 0, got {shape}")
    if dtype.name not in ("bool", *form.dtypes):
        held = " and ".join(form.dtypes) if len(form.dtypes) < 3 else "real numbers"
        tiff = "save it as .tif" if dtype.name in TIFF_DTYPES else "convert it first"
        raise TypeError(f"{path}: a {form.name} file holds {held}, not {dtype}; {remedy or tiff}")
    channels = shape[2] if len(shape) == 3 else 1
    if form.channels and channels not in form.channels:
        raise ValueError(f"{path}: a {form.name} file has {_listed(form.channels)} channels, not {channels}")
    if max(shape[:2]) > form.longest_side:
        raise ValueError(f"{path}: a {form.name} image is at most {form.longest_side} pixels wide and high")


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" or {numbers[-1]}"


# Errors and targets ------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """Why a sound file is not read: it would lose something. The caller puts the file's name before it."""


class _Limit:
    """How many pixels an image may have."""

    def __init__(self, max_pixels: int | None) -> None:
        if max_pixels is None:
            from PIL import Image

            max_pixels = Image.MAX_IMAGE_PIXELS
        self.pixels = max_pixels

    def check(self, cols: int, rows: int) -> None:
        if self.pixels is not None and cols * rows > self.pixels:
            raise _Refused(
                f"{cols} x {rows} pixels are over the limit of {self.pixels}; if the file is to be trusted, allow "
                f"max_pixels={cols * rows} (--max-pixels {cols * rows})"
            )


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
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise ImageFileError(f"{path}: not a regular file")
    if not target.parent.is_dir():
        raise ImageFileError(f"{path}: no such folder: {target.parent}")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise ImageFileError(f"{path}: permission denied")
    return target


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a new file that takes the place of `path` at the end, or vanishes upon any error, Ctrl-C included."""
    target = _target(path)
    draft = target.with_name(f".gpuimg-{secrets.token_hex(6)}.part")
    try:
        with draft.open("xb") as file:
            yield file
        if target.exists():
            shutil.copymode(target, draft)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


# TIFF --------------------------------------------------------------------------------------------------------------

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
TIFF_DTYPES = (*INTEGERS, "float16", "float32", "float64")
# Photometric interpretations whose samples are not what they seem: separated inks, luma and chroma, the Lab family.
INDIRECT_COLOURS = {5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32844: "LogL", 32845: "LogLuv"}
WHITE_IS_ZERO, PALETTE = 0, 3
PILLOW_BITS = {"I;16": 16, "I;16B": 16, "I": 32, "F": 32}  # of a sample, by mode; 8 in all others


def _read_tiff(file: BinaryIO, limit: _Limit) -> tuple[Pixels, int]:
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page = _only_page(tiff)
        limit.check(page.imagewidth, page.imagelength)
        limit.check(page.tilewidth or 0, page.tilelength or 0)
        _check_complete(page, file)
        decodable = page.compression in tifffile.TIFF.DECOMPRESSORS and page.predictor in tifffile.TIFF.UNPREDICTORS
        if not decodable or page.photometric in INDIRECT_COLOURS:
            return _read_tiff_with_pillow(file, page), 1
        if page.axes not in ("YX", "YXS", "SYX"):
            raise _Refused(f"its axes are {page.axes}; only flat images are read")
        samples = page.asarray()
        if samples.shape != page.shape:
            raise ValueError("no pixels in it")
        image = _meaning(page, samples)
        if image.dtype != bool and image.dtype.name not in TIFF_DTYPES:
            raise _Refused(f"its pixels are {image.dtype}; real numbers are read")
        orientation = page.tags.get(ORIENTATION_TAG)
        return image, orientation.value if orientation else 1


def _only_page(tiff: Any) -> Any:
    pages = [page for page in tiff.pages if not page.is_reduced and not page.is_mask]
    if not pages:
        raise ValueError("no image in it")
    # ImageJ and tifffile itself may keep a stack under a single page header.
    count = max(len(pages), tiff.series[0].size // max(pages[0].size, 1))
    if count > 1:
        raise _Refused(f"holds {count} pages; split it first, one image a file")
    return pages[0]


def _check_complete(page: Any, file: BinaryIO) -> None:
    ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not ends or not page.size:
        raise ValueError("no pixels in it")
    if max(ends) > os.fstat(file.fileno()).st_size:
        raise ValueError("truncated")


def _meaning(page: Any, samples: Pixels) -> Pixels:
    """Channels last, white high, palette applied."""
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, -1)
    if page.photometric == WHITE_IS_ZERO:
        if samples.dtype.kind not in "bu":
            raise _Refused(f"white is zero in it, which is not defined for {samples.dtype}")
        return ~samples if samples.dtype == bool else ((1 << page.bitspersample) - 1 - samples).astype(samples.dtype)
    if page.photometric == PALETTE:
        return _palette(page.colormap)[samples.astype(np.intp)]
    return samples


def _palette(colours: Pixels) -> Pixels:
    """A palette of shape (3, n) as colours of shape (n, 3): of 8 bits where the 16 stored bits say no more."""
    colours = np.ascontiguousarray(colours.T)
    high = colours >> 8
    low = colours & 255
    return high.astype(np.uint8) if not low.any() or np.array_equal(high, low) else colours


def _read_tiff_with_pillow(file: BinaryIO, page: Any) -> Pixels:
    """Read what tifffile leaves to a codec package, as far as Pillow keeps the depth; the result is upright."""
    from PIL import TiffImagePlugin

    file.seek(0)
    try:
        image = TiffImagePlugin.TiffImageFile(file)
    except (SyntaxError, KeyError):  # no Pillow mode for such samples
        image = None
    bits = max(np.atleast_1d(page.bitspersample))
    if image is not None and bits <= PILLOW_BITS.get(image.mode, 8):
        return _pixels(image)
    if page.photometric in INDIRECT_COLOURS:
        raise _Refused(f"{INDIRECT_COLOURS[page.photometric]} of {bits} bits is not read; convert it to RGB first")
    raise _Refused(
        f"{bits}-bit pixels compressed by {page.compression.name} cannot be read here without loss; "
        "`pip install imagecodecs` would help"
    )


def _write_tiff(file: BinaryIO, image: Pixels) -> None:
    import tifffile

    channels = image.shape[2] if image.ndim == 3 else 1
    colour = channels in (3, 4)
    extra = {2: ["unassalpha"], 4: ["unassalpha"]}.get(channels)
    offset, _ = tifffile.imwrite(
        file,
        shape=image.shape if channels > 1 else image.shape[:2],
        dtype=image.dtype.newbyteorder("="),
        photometric="rgb" if colour else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=extra,
        bigtiff=image.nbytes > 4_000_000_000,
        metadata=None,
        software="gpuimg",
        returnoffset=True,
    )
    # The pixels do not go through ndarray.tofile: it can lose the last bytes on a full disk without an error.
    file.seek(offset)
    for band in _bands(image):
        file.write(np.ascontiguousarray(band, image.dtype.newbyteorder("=")).data.cast("B"))


def _bands(image: Pixels) -> Iterator[Pixels]:
    """The image in slices of rows of some megabytes."""
    rows = max(1, BAND_BYTES // max(1, image.nbytes // image.shape[0]))
    return (image[top : top + rows] for top in range(0, image.shape[0], rows))


# PNG ---------------------------------------------------------------------------------------------------------------

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels
SUBTRACT_LEFT = 1  # the PNG filter that stores each byte less the one a pixel to its left


def _read_png(file: BinaryIO, limit: _Limit) -> tuple[Pixels, int]:
    from PIL.PngImagePlugin import PngImageFile

    header = PngImageFile(file)
    limit.check(*header.size)
    coding = header.tile[0].args if header.tile else None

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


def _write_png(file: BinaryIO, image: Pixels) -> None:
    rows, cols = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    header = struct.pack(">IIBBBBB", cols, rows, image.itemsize * 8, PNG_COLOUR_TYPES[channels], 0, 0, 0)
    file.write(PNG_SIGNATURE)
    _write_chunk(file, b"IHDR", header)
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


def _read_jpeg(file: BinaryIO, limit: _Limit) -> tuple[Pixels, int]:
    from PIL.JpegImagePlugin import JpegImageFile

    image = JpegImageFile(file)  # not PIL.Image.open, which has a limit of its own
    limit.check(*image.size)
    return _pixels(image), _orientation(image)


def _write_jpeg(file: BinaryIO, image: Pixels) -> None:
    from io import BytesIO

    from PIL import Image

    # Pillow hides the system's reason when it fails to write, so it writes to memory.
    packed = BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2:] == (1,) else image).save(
        packed, "JPEG", quality=95, subsampling=0
    )
    file.write(packed.getbuffer())


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


class Format(NamedTuple):
    """A file format: how it is told, read and written, and what it holds (``channels`` empty: any number)."""

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]
    read: Callable[[BinaryIO, _Limit], tuple[Pixels, int]]
    write: Callable[[BinaryIO, Pixels], None]
    dtypes: tuple[str, ...]
    channels: tuple[int, ...] = ()
    longest_side: int = 2**31 - 1


# fmt: off
FORMATS = (
    Format("TIFF", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _read_tiff, _write_tiff, TIFF_DTYPES),
    Format("PNG", (".png",), (PNG_SIGNATURE,), _read_png, _write_png, ("uint8", "uint16"), (1, 2, 3, 4)),
    Format("JPEG", (".jpg", ".jpeg"), (b"\xff\xd8\xff",), _read_jpeg, _write_jpeg, ("uint8",), (1, 3), 65500),
)
# fmt: on
