"""TIFF files, by tifffile with imagecodecs if installed, otherwise by Pillow."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from gpuimg import stopping
from gpuimg.exif import (
    EXIF_DIRECTORY,
    GPS_DIRECTORY,
    MOST_NUMBERS,
    ORIENTATION_TAG,
    RESOLUTION_TAGS,
    TEXT_TAGS,
    UPRIGHT,
    read_exif,
    upright,
)
from gpuimg.files.codecs import NoCodec, has_codecs
from gpuimg.files.jpeg import check_scans
from gpuimg.files.limits import MOST_PAGES, Limit, Refused, brief, check_page, size_of
from gpuimg.files.meta import BIG_TIFF, OME_AXES, Pixels, Read, Written, sound
from gpuimg.files.pages import REALS, Pages, bands, differing
from gpuimg.files.pieces import read_array
from gpuimg.files.pillow import pixels_of
from gpuimg.files.tiff_guards import (
    DEFLATE,
    IMAGES_IN_TIFF,
    LZMA,
    LZW,
    PACKBITS,
    ZSTD,
    check_pages,
    check_segments,
)
from gpuimg.images import ALPHA_CHANNELS
from gpuimg.machine import processor_count

# Photometric interpretations whose samples are not what they seem: separated inks, luma and chroma, the Lab family.
INDIRECT_COLOURS = {5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32844: "LogL", 32845: "LogLuv"}
WHITE_IS_ZERO, PALETTE = 0, 3
JPEG_IN_TIFF = (6, 7)
# What tifffile decodes: by itself, or by imagecodecs, which is told how much to decode at most. A codec that is not
# listed may be as sound, but nothing here bounds what it makes of a small file.
PLAIN = (1, *DEFLATE, *LZMA, *PACKBITS)
BY_CODECS = (LZW, *ZSTD, *IMAGES_IN_TIFF)
WHOLE_BITS = (1, 8, 16, 32, 64)  # others take imagecodecs
SPREAD = {2: 85, 4: 17}  # grey levels, by bits
XMP_TAG, ICC_TAG = 700, 34675
LEAST_STRIP = 1 << 15  # bytes of a page; less is compressed sooner than it is passed between threads
COMPRESSIONS = {"deflate": "zlib", "lzw": "lzw", "zstd": "zstd"}
PILLOW_BITS = {"I;16": 16, "I;16B": 16, "I": 32, "F": 32}  # of a sample, by mode; 8 in all others


def read_tiff(file: BinaryIO, limit: Limit, chosen: int | None) -> Pages:
    import tifffile

    check_pages(file)
    file.seek(0)
    tiff = tifffile.TiffFile(file)  # it does not close a file that it did not open
    pages = _pages(tiff)
    if chosen is not None:
        check_page(chosen, len(pages))
        pages = pages[chosen : chosen + 1]
    for page, _ in pages:
        stopping.look()
        limit.check(page.imagewidth, page.imagelength)
        limit.check(page.tilewidth or 0, page.tilelength or 0)
    decoded = limit.check_bytes(sum(_decoded_bytes(page) for page, _ in pages))
    described = {number: _header(page) for number, (page, _) in enumerate(pages)}
    others = {number: words for number, words in described.items() if words != described[0]}
    if others:
        raise Refused(differing({0: described[0], **others}))
    rest = _PillowTiff(file)
    decoders = [partial(_read_page, file, limit, page, number, rest) for page, number in pages]
    return Pages(
        decoders, decoded, partial(_metadata, file, tiff, pages[0][0], chosen is None), _has_alpha(pages[0][0])
    )


PREMULTIPLIED, STRAIGHT = 1, 2  # TIFF's numbers of the kinds of alpha


def _has_alpha(page: Any) -> bool:
    is_plain = page.photometric not in INDIRECT_COLOURS and page.samplesperpixel in ALPHA_CHANNELS
    return is_plain and len(page.extrasamples) == 1 and page.extrasamples[0] in (PREMULTIPLIED, STRAIGHT)


STRUCTURED = ("is_imagej", "is_ome", "is_shaped")  # files whose description is a text for programs


def _metadata(file: BinaryIO, tiff: Any, page: Any, is_whole: bool) -> Read:
    """Return the metadata of a file's first page; ``is_whole``: all pages are read."""
    across, down, unit, xmp, icc_profile = [page.tags.valueof(tag) for tag in (*RESOLUTION_TAGS, XMP_TAG, ICC_TAG)]
    is_structured = any(getattr(tiff, kind) for kind in STRUCTURED)
    return sound(
        _exif(file, tiff),
        _tiff_orientation(page),
        resolution=(_ratio(across), _ratio(down), unit),
        icc_profile=icc_profile or b"",
        xmp=xmp or b"",
        description="" if is_structured else page.description,
        **_stack(tiff) if is_structured and is_whole else {},
    )


def _ratio(value: Any) -> float:
    with suppress(TypeError, ValueError, ZeroDivisionError):
        top, bottom = value
        return float(top / bottom)
    return 0.0


def _exif(file: BinaryIO, tiff: Any) -> Any:
    """Return the EXIF that Pillow reads from the first directory, None without any, or the reason for failure."""
    if tiff.is_bigtiff:
        return None
    try:
        return read_exif(file, MOST_NUMBERS)
    except Exception as error:  # a damaged file can make a decoder raise anything
        return brief(error)


def _stack(tiff: Any) -> dict[str, Any]:
    """Return the axes of the pages, if the file describes them."""
    with suppress(Exception):  # the text that says them may be damaged
        series = tiff.series[0]
        axes = series.axes.removesuffix("S").removesuffix("YX")
        extents = tuple(map(int, series.shape[: len(axes)]))
        if axes and set(axes) <= set(OME_AXES) and series.axes[len(axes) :] in ("YX", "YXS"):
            return {"axes": axes, "extents": extents}
    return {}


def _read_page(file: BinaryIO, limit: Limit, page: Any, number: int, rest: _PillowTiff) -> Pixels:
    """Read a page; ``number`` is the index among consecutive images with one header."""
    _check_complete(page, number, file)
    known = page.compression in (*PLAIN, *BY_CODECS) and page.photometric not in INDIRECT_COLOURS
    if not known or (_takes_codecs(page) and not has_codecs()):
        return rest.read(page, known)
    if page.axes not in ("YX", "YXS", "SYX"):
        raise Refused(f"its axes are {page.axes}; only flat images are read")
    if number:
        samples = _uncompressed(file, page, number)
    else:
        check_segments(file, page, limit)
        samples = page.asarray()
    if samples.shape != page.shape or samples.dtype != page.dtype:
        raise ValueError("no pixels in it")
    image = _meaning(page, samples)
    if image.dtype != bool and image.dtype.name not in REALS:
        raise Refused(f"its pixels are {image.dtype}; real numbers are read")
    if _has_alpha(page) and page.extrasamples[0] == PREMULTIPLIED:
        image = _straight(image, _maximum(page, image.dtype))
    return upright(image, _tiff_orientation(page))


def _takes_codecs(page: Any) -> bool:
    import tifffile

    bits = set(np.atleast_1d(page.bitspersample).tolist())
    return (
        page.compression in BY_CODECS
        or not bits <= set(WHOLE_BITS)
        or page.compression not in tifffile.TIFF.DECOMPRESSORS
        or page.predictor not in tifffile.TIFF.UNPREDICTORS
    )


def _tiff_orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION_TAG)
    return int(tag.value) if tag is not None and tag.value in UPRIGHT else 1


def _header(page: Any) -> str:
    """Return the properties of a page from its header."""
    rows, cols = page.imagelength, page.imagewidth
    if _tiff_orientation(page) > 4:
        rows, cols = cols, rows
    shape = (rows, cols) if page.samplesperpixel == 1 else (rows, cols, page.samplesperpixel)
    return f"{shape} {page.dtype}"


def _decoded_bytes(page: Any) -> int:
    """Return the decoded bytes of a page, or of one of its tiles if that is more."""
    itemsize = page.dtype.itemsize if page.dtype is not None else -(-int(np.max(page.bitspersample)) // 8)
    samples = itemsize * page.samplesperpixel
    tile = (page.tilewidth or 0) * (page.tilelength or 0) * max(1, page.tiledepth or 1)
    pixels = page.imagewidth * page.imagelength * max(1, page.imagedepth)
    colours = 3 * _palette(page.colormap).itemsize if page.photometric == PALETTE else 0
    return int(max(tile * samples, pixels * max(samples, colours)))


def _pages(tiff: Any) -> list[tuple[Any, int]]:
    """Return the pages with an image, each with its index among the images with the same header."""
    pages = [page for page in tiff.pages if not page.is_reduced and not page.is_mask]
    if not pages:
        raise ValueError("no image in it")
    # ImageJ and tifffile itself may keep a stack under a single page header.
    if len(pages) == 1 and (tiff.is_imagej or tiff.is_shaped) and pages[0].size:
        count = tiff.series[0].size // pages[0].size
        if count > MOST_PAGES:
            raise Refused(f"has more than {MOST_PAGES} pages")
        return [(pages[0], number) for number in range(max(count, 1))]
    return [(page, 0) for page in pages]


def _check_complete(page: Any, number: int, file: BinaryIO) -> None:
    ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not ends or not page.size:
        raise ValueError("no pixels in it")
    if max(ends) > size_of(file):
        raise ValueError("truncated")


def _uncompressed(file: BinaryIO, page: Any, number: int) -> Pixels:
    """Read one of several consecutive images with one header."""
    if not page.is_contiguous or page.predictor != 1 or page.fillorder != 1:
        raise Refused("holds several compressed pages under one header, which are not read")
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    nbytes = page.size * dtype.itemsize
    file.seek(page.dataoffsets[0] + number * nbytes)
    return read_array(file, dtype, page.size).reshape(page.shape)


def _meaning(page: Any, samples: Pixels) -> Pixels:
    """Interpret the samples of a page: channels last, white is high, palette applied."""
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, -1)
    if page.photometric == WHITE_IS_ZERO:
        if samples.dtype.kind not in "bu":
            raise Refused(f"white is zero in it, which is not defined for {samples.dtype}")
        samples = ~samples if samples.dtype == bool else (2**page.bitspersample - 1 - samples).astype(samples.dtype)
    if page.photometric == PALETTE:
        colours = _palette(page.colormap)
        image = np.empty((*samples.shape, 3), colours.dtype)
        for band, part in zip(bands(samples), bands(image, len(next(bands(samples)))), strict=True):
            part[...] = colours[band.astype(np.intp)]
        return image
    return samples * np.uint8(SPREAD[page.bitspersample]) if page.bitspersample in SPREAD else samples


def _maximum(page: Any, dtype: np.dtype[Any]) -> float:
    """Return the alpha value that is opaque."""
    if dtype.kind == "f":
        return 1.0
    whole = page.bitspersample in SPREAD or dtype.kind == "i"
    return float(np.iinfo(dtype).max if whole else 2**page.bitspersample - 1)


def _straight(image: Pixels, most: float) -> Pixels:
    """Divide the colours by alpha, rounding integers; 0 where alpha is 0."""
    result = np.empty_like(image)
    for band, part in zip(bands(image), bands(result), strict=True):
        colours, alpha = band[..., :-1] * most, band[..., -1:]
        with np.errstate(over="ignore", invalid="ignore"):
            np.divide(colours, alpha, out=colours, where=alpha > 0)
        colours[~(alpha[..., 0] > 0)] = 0
        part[..., :-1] = colours if image.dtype.kind == "f" else np.rint(np.clip(colours, -most, most))
        part[..., -1:] = alpha
    return result


def _palette(colours: Pixels) -> Pixels:
    """Convert a palette of shape (3, n) to colours of shape (n, 3), of 8 bits if the stored 16 bits hold no more."""
    colours = np.ascontiguousarray(colours.T)
    high = colours >> 8
    low = colours & 255
    return high.astype(np.uint8) if not low.any() or np.array_equal(high, low) else colours


class _PillowTiff:
    """Read files for which tifffile needs a codec package, if Pillow preserves the depth; results are upright."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.opened: Any = None

    def read(self, page: Any, known: bool) -> Pixels:
        """Read a page; ``known``: imagecodecs, which is not installed, would read it."""
        if known and page.compression in IMAGES_IN_TIFF:
            raise NoCodec(f"pixels compressed by {_method(page)}")
        if page.compression in JPEG_IN_TIFF:
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
                self.file.seek(start)
                check_scans(self.file, count)
        image = self._at(page.index)
        bits = max(np.atleast_1d(page.bitspersample))
        if image is not None and bits <= PILLOW_BITS.get(image.mode, 8):
            return pixels_of(image)
        if page.photometric in INDIRECT_COLOURS:
            raise Refused(f"{INDIRECT_COLOURS[page.photometric]} of {bits} bits is not read; convert it to RGB first")
        pixels = f"{bits}-bit pixels compressed by {_method(page)}" if page.compression != 1 else f"{bits}-bit pixels"
        if known:
            raise NoCodec(pixels)
        raise Refused(f"its {pixels} are not read without loss; convert it first")

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


def _method(page: Any) -> str:
    return str(getattr(page.compression, "name", page.compression))


def write_tiff(file: BinaryIO, pages: Pixels, how: Written) -> None:
    import tifffile

    metadata = how.metadata
    channels = pages.shape[3] if pages.ndim == 4 else 1
    pages = pages if channels > 1 else pages.reshape(pages.shape[:3])
    native = pages.dtype.newbyteorder("=")
    is_big = pages.nbytes > BIG_TIFF
    exif = read_exif(BytesIO(metadata.exif)) if metadata.exif else None
    extra_tags: list[tuple[int, int, int, Any, bool]] = []
    if metadata.xmp:
        extra_tags.append((XMP_TAG, 1, len(metadata.xmp), metadata.xmp, True))
    if exif is not None:
        extra_tags += _plain_tags(exif)
    options: dict[str, Any] = {
        "photometric": "rgb" if channels in (3, 4) else "minisblack",
        "planarconfig": "contig" if channels > 1 else None,
        "extrasamples": {2: ["unassalpha"], 4: ["unassalpha"]}.get(channels),
        "bigtiff": is_big,
        "metadata": None,
        "software": "gpuimg",
        "iccprofile": metadata.icc_profile or None,
        "resolution": metadata.resolution,
        "resolutionunit": "INCH" if metadata.resolution else None,
        "extratags": extra_tags,
    }
    if metadata.axes:
        pages = pages.reshape(*metadata.extents, *pages.shape[1:])
        said = {"Description": metadata.description} if metadata.description else {}
        axes = metadata.axes + ("YXS" if channels > 1 else "YX")
        options |= {"ome": True, "metadata": {"axes": axes, **said}}
    elif metadata.description:
        options["description"] = metadata.description.encode()
    if how.compression in (None, "none"):
        offset, _ = tifffile.imwrite(file, shape=pages.shape, dtype=native, returnoffset=True, **options)
        _write_pixels(file, pages.reshape(-1, *pages.shape[len(metadata.extents or (1,)) :]), native, offset)
    else:
        options["predictor"] = pages.dtype.kind in "iu" and pages.itemsize < 8  # what tifffile takes
        options["compression"] = COMPRESSIONS[str(how.compression)]
        options["maxworkers"] = _threads() if pages.nbytes >= LEAST_STRIP * len(pages) else 1
        tifffile.imwrite(file, np.ascontiguousarray(pages, native), **options)
    if exif is not None:
        _append_directories(file, exif)


def _threads() -> int:
    """Return the number of threads for compression: as many as this thread's work may use."""
    watch = stopping.watch()
    most = processor_count()
    return most if watch is None or watch.processors is None else min(most, watch.processors)


def _write_pixels(file: BinaryIO, pages: Pixels, native: np.dtype[Any], offset: int) -> None:
    # Not by ndarray.tofile: on a full disk it can lose the last bytes without an error.
    file.seek(offset)
    for page in pages:
        for band in bands(page):
            file.write(np.ascontiguousarray(band, native).data.cast("B"))


def _plain_tags(exif: Any) -> list[tuple[int, int, int, Any, bool]]:
    """Return the tags for the first directory: texts, and placeholders for the offsets of the EXIF directories.

    tifffile rejects the numbers of the latter, so the placeholders have the preceding numbers, which are unused.
    """
    texts = [(tag, exif[tag].encode("latin-1")) for tag in TEXT_TAGS if isinstance(exif.get(tag), str)]
    offsets = [(tag - 1, 4, 1, 0, True) for tag in (EXIF_DIRECTORY, GPS_DIRECTORY) if exif.get_ifd(tag)]
    return [*[(tag, 2, len(text) + 1, text + b"\0", True) for tag, text in texts], *offsets]


def _append_directories(file: BinaryIO, exif: Any) -> None:
    """Append the EXIF directories, which tifffile does not write, and set their offsets in the first directory."""
    import tifffile
    from PIL import TiffImagePlugin

    file.seek(0)
    head = file.read(8)
    file.seek(0)
    tiff = tifffile.TiffFile(file)
    for number in (EXIF_DIRECTORY, GPS_DIRECTORY):
        found = exif.get_ifd(number)
        if found:
            directory = TiffImagePlugin.ImageFileDirectory_v2(head, group=number)
            directory.update(found)
            offset = file.seek(0, os.SEEK_END)
            offset += file.write(bytes(offset % 2))
            file.write(directory.tobytes(offset))
            place = tiff.pages.first.tags[number - 1]
            place.overwrite(offset)
            file.seek(place.offset)
            file.write(struct.pack(f"{tiff.byteorder}H", number))
