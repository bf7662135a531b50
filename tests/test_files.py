"""Image files: depth kept or refused, damage told in one line, and nothing half-written."""

import lzma
import os
import re
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from gpuimg import files, resize
from gpuimg.errors import ImageFileError
from gpuimg.files import check_target, drafts, open_image, save_image

SHAPES = [(5, 7), (5, 7, 2), (5, 7, 3), (5, 7, 4), (301, 203, 3), (1, 1)]
TIFF_DTYPES = ["uint8", "uint16", "int16", "int32", "int64", "float32", "float64"]
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def sample(shape, dtype="uint8"):
    rng = np.random.default_rng(7)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1000, shape).astype(dtype)
    low = max(np.iinfo(dtype).min, -(2**40))
    return rng.integers(low, min(np.iinfo(dtype).max, 2**40), shape, endpoint=True).astype(dtype)


def assert_same_image(found, expected):
    assert found.dtype == expected.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, expected)


def only(folder):
    return sorted(path.name for path in folder.iterdir())


# An encoder of PNG by the book, independent of the one under test: every filter type, interlaced or not.


def paeth(left, up, corner):
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def filtered(rows, step, filters):
    """Scan lines as PNG stores them: a filter's number, then each byte minus the guess that the filter makes."""
    above = bytes(len(rows[0]))
    for number, row in enumerate(rows):
        kind = filters[number % len(filters)]
        yield kind
        for at, value in enumerate(row):
            left, up = row[at - step] if at >= step else 0, above[at]
            corner = above[at - step] if at >= step else 0
            yield (value - (0, left, up, (left + up) // 2, paeth(left, up, corner))[kind]) & 255
        above = row


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(image, filters=(0, 1, 2, 3, 4), interlaced=False, extra=b""):
    channels = image.shape[2] if image.ndim == 3 else 1
    step = channels * image.itemsize
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [image[top::down, left::right] for top, left, down, right in passes]
    big = image.dtype.newbyteorder(">")
    lines = b"".join(
        bytes(filtered([row.astype(big).tobytes() for row in part], step, filters)) for part in parts if part.size
    )
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    size = struct.pack(">II", image.shape[1], image.shape[0])
    header = size + bytes([8 * image.itemsize, kind, 0, 0, interlaced])
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TIFF_DTYPES)
def test_tiff_keeps_every_depth(tmp_path, shape, dtype):
    image = sample(shape, dtype)
    save_image(tmp_path / "a.tif", image)
    assert_same_image(open_image(tmp_path / "a.tif"), image)
    assert_same_image(tifffile.imread(tmp_path / "a.tif"), image)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_keeps_8_and_16_bits(tmp_path, shape, dtype):
    image = sample(shape, dtype)
    save_image(tmp_path / "a.png", image)
    assert_same_image(open_image(tmp_path / "a.png"), image)
    with Image.open(tmp_path / "a.png") as seen:
        assert seen.size == (shape[1], shape[0])
        if dtype == "uint8":
            np.testing.assert_array_equal(np.asarray(seen), image)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_of_all_filter_types_is_read(tmp_path, dtype, channels, interlaced):
    image = sample((23, 19, channels), dtype).squeeze()
    image[5:15, 3:9] = image[5, 3]
    (tmp_path / "a.png").write_bytes(png(image, interlaced=interlaced))
    assert_same_image(open_image(tmp_path / "a.png"), image)


def test_jpeg_is_written_well_and_read(tmp_path):
    ramp = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    for image in (ramp, np.dstack([ramp, ramp[::-1], 255 - ramp])):
        save_image(tmp_path / "a.JPG", image)
        found = open_image(tmp_path / "a.JPG")
        assert found.dtype == np.uint8
        np.testing.assert_allclose(found.astype(int), image, atol=4)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_bool_is_saved_as_0_and_255(tmp_path, suffix):
    mask = np.zeros((16, 16), bool)
    mask[:, 8:] = True
    save_image(tmp_path / f"a{suffix}", mask)
    assert_same_image(open_image(tmp_path / f"a{suffix}"), mask * np.uint8(255))


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::2], np.s_[:, ::-1, :]])
def test_views_and_swapped_bytes_are_saved(tmp_path, view):
    image = sample((9, 12, 3), "uint16")[view]
    for suffix in (".png", ".tif"):
        save_image(tmp_path / f"a{suffix}", image.astype(">u2")[...])
        assert_same_image(open_image(tmp_path / f"a{suffix}"), image)


def test_one_channel_is_saved_as_grey(tmp_path):
    image = sample((6, 5, 1))
    for suffix in (".png", ".tif", ".jpg"):
        save_image(tmp_path / f"a{suffix}", image)
        assert open_image(tmp_path / f"a{suffix}").shape == (6, 5)


@pytest.mark.parametrize(
    ("name", "image", "error", "words"),
    [
        (
            "a.png",
            np.zeros((2, 2), np.float32),
            TypeError,
            "PNG file holds uint8 and uint16, not float32; save it as .tif",
        ),
        ("a.jpg", np.zeros((2, 2), np.uint16), TypeError, "JPEG file holds uint8, not uint16; save it as .tif"),
        ("a.tif", np.zeros((2, 2), complex), TypeError, "TIFF file holds real numbers, not complex128"),
        ("a.jpg", np.zeros((2, 2, 4), np.uint8), ValueError, "1 or 3 channels, not 4"),
        ("a.png", np.zeros((2, 2, 5), np.uint8), ValueError, "1, 2, 3 or 4 channels, not 5"),
        ("a.png", np.zeros((0, 2), np.uint8), ValueError, r"got \(0, 2\)"),
        ("a.png", np.zeros(3, np.uint8), ValueError, r"got \(3,\)"),
        ("a.jpg", np.zeros((1, 70000), np.uint8), ValueError, "at most 65500 pixels wide"),
        ("a.xyz", np.zeros((2, 2), np.uint8), ValueError, "must end in one of .*got '.xyz'"),
        ("a", np.zeros((2, 2), np.uint8), ValueError, "must end in one of .*got 'none'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, name, image, error, words):
    with pytest.raises(error, match=words):
        save_image(tmp_path / name, image)
    assert only(tmp_path) == []


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}, {"bigtiff": True}]
)
def test_tiff_of_other_writers(tmp_path, order, options):
    image = sample((40, 30, 3), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", image, byteorder=order, photometric="rgb", **options)
    assert_same_image(open_image(tmp_path / "a.tif"), image)


def test_planes_of_a_tiff_become_channels(tmp_path):
    image = sample((9, 8, 3), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(image, 2, 0), photometric="rgb", planarconfig="separate")
    assert_same_image(open_image(tmp_path / "a.tif"), image)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_premultiplied_alpha_of_a_tiff_becomes_straight(tmp_path, dtype, channels, planar):
    most = 1 if dtype == "float32" else np.iinfo(dtype).max
    straight = np.abs(sample((40, 30, channels), dtype))
    straight[:8, :, -1], straight[8:16, :, -1] = 0, most
    alpha = straight[..., -1:].astype(np.float64)
    product = straight[..., :-1] * alpha / most
    stored = np.concatenate((product if most == 1 else np.rint(product), alpha), axis=2).astype(dtype)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored if planar == "contig" else np.moveaxis(stored, 2, 0),
        photometric="rgb" if channels == 4 else "minisblack",
        planarconfig=planar,
        extrasamples=["assocalpha"],
    )
    found = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(found[..., -1:], alpha)
    assert not found[found[..., -1] == 0].any()
    np.testing.assert_array_equal(found[8:16], straight[8:16])
    alpha[alpha == 0] = np.nan
    error = np.abs(found[..., :-1].astype(np.float64) - straight[..., :-1])
    allowed = 1e-6 * straight[..., :-1] + 0 * alpha if most == 1 else 0.5 * most / alpha + 0.5
    assert not (error > allowed).any(where=~np.isnan(allowed))
    save_image(tmp_path / "b.tif", found)
    assert_same_image(open_image(tmp_path / "b.tif"), found)


def test_white_is_zero_is_turned(tmp_path):
    image = sample((9, 8))
    tifffile.imwrite(tmp_path / "a.tif", 255 - image, photometric="miniswhite")
    assert_same_image(open_image(tmp_path / "a.tif"), image)


def test_palette_of_a_tiff_is_applied(tmp_path):
    colours = sample((3, 256)).astype(np.uint16)
    image = sample((9, 8))
    for scale, dtype in ((257, np.uint8), (256, np.uint8), (200, np.uint16)):
        tifffile.imwrite(tmp_path / "a.tif", image, photometric="palette", colormap=colours * np.uint16(scale))
        expected = colours.T[image] if dtype == np.uint8 else colours.T[image] * np.uint16(scale)
        assert_same_image(open_image(tmp_path / "a.tif"), expected.astype(dtype))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA", "L"])
def test_kinds_that_pillow_writes(tmp_path, mode, suffix):
    picture = Image.fromarray(sample((9, 8, 3))).convert(mode)
    picture.save(tmp_path / f"a{suffix}")
    expected = np.asarray(picture.convert("RGB") if mode == "P" else picture)
    assert_same_image(open_image(tmp_path / f"a{suffix}"), expected)


def test_palette_with_transparency_becomes_rgba(tmp_path):
    picture = Image.fromarray(sample((9, 8, 3))).convert("P")
    picture.save(tmp_path / "a.png", transparency=bytes(range(256)))
    found = open_image(tmp_path / "a.png")
    assert found.shape == (9, 8, 4)
    np.testing.assert_array_equal(found[..., 3], np.asarray(picture))


def test_cmyk_becomes_rgb(tmp_path):
    picture = Image.new("CMYK", (16, 16), (0, 255, 0, 0))
    for name in ("a.jpg", "a.tif"):
        picture.save(tmp_path / name)
        np.testing.assert_allclose(open_image(tmp_path / name)[8, 8].astype(int), (255, 0, 255), atol=3)


def test_deep_cmyk_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", sample((9, 8, 4), "uint16"), photometric="separated")
    with pytest.raises(ImageFileError, match="CMYK of 16 bits is not read; convert it"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_orientation_is_applied(tmp_path, orientation, suffix):
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16] = 255
    upright[:16, 16:32] = 128
    path = tmp_path / f"a{suffix}"
    # How the camera held the sensor: the inverse of what turns the picture upright.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright.T, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    if suffix == ".tif":
        tifffile.imwrite(path, stored, extratags=[(274, 3, 1, orientation, False)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=100)
    np.testing.assert_allclose(open_image(path).astype(int), upright, atol=3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 9, 8), "NYX"), ((5, 9, 8, 3), "TYXC"), ((2, 9, 8, 2), "ZYXC"), ((4, 1, 1), "TYX")]
)
def test_a_stack_is_saved_as_pages(tmp_path, shape, axes, dtype):
    stack = sample(shape, dtype)
    save_image(tmp_path / "a.tif", stack, axes=axes)
    assert_same_image(open_image(tmp_path / "a.tif"), stack)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == len(stack)
    for page, image in enumerate(stack):
        assert_same_image(open_image(tmp_path / "a.tif", page=page), image)


def test_axes_of_a_stack_are_put_in_order_and_flattened(tmp_path):
    array = sample((2, 3, 4, 9, 8))
    save_image(tmp_path / "a.tif", array, axes="TCZYX")
    expected = array.transpose(0, 2, 3, 4, 1).reshape(8, 9, 8, 3)
    assert_same_image(open_image(tmp_path / "a.tif"), expected)


def test_a_stack_of_masks_is_saved_as_0_and_255(tmp_path):
    masks = sample((3, 9, 8)) > 100
    save_image(tmp_path / "a.tif", masks, axes="NYX")
    assert_same_image(open_image(tmp_path / "a.tif"), masks * np.uint8(255))


def test_stacks_that_cannot_be_saved(tmp_path):
    stack = sample((3, 9, 8))
    with pytest.raises(ValueError, match='name its axes: axes="TYX"'):
        save_image(tmp_path / "a.tif", stack)
    with pytest.raises(ValueError, match="axes must have a letter for each axis"):
        save_image(tmp_path / "a.tif", stack, axes="YX")
    for suffix in (".png", ".jpg"):
        with pytest.raises(ValueError, match=r"not a stack; a \.tif file holds one as pages"):
            save_image(tmp_path / f"a{suffix}", stack, axes="NYX")
    assert only(tmp_path) == []


def test_stacks_of_other_writers(tmp_path):
    stack = sample((4, 9, 8), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", compression="zlib", byteorder=">")
    tifffile.imwrite(tmp_path / "b.tif", stack, imagej=True)
    pages = [Image.fromarray(page) for page in stack]
    pages[0].save(tmp_path / "c.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    for name in ("a.tif", "b.tif", "c.tif"):
        assert_same_image(open_image(tmp_path / name), stack)
        assert_same_image(open_image(tmp_path / name, page=3), stack[3])


def test_a_page_that_is_not_there(tmp_path):
    save_image(tmp_path / "a.tif", sample((3, 9, 8)), axes="NYX")
    save_image(tmp_path / "a.png", sample((9, 8)))
    for page in (-1, 3):
        with pytest.raises(ImageFileError, match=f"has 3 pages, so page must be from 0 to 2, got {page}"):
            open_image(tmp_path / "a.tif", page=page)
    with pytest.raises(ImageFileError, match="has 1 page"):
        open_image(tmp_path / "a.png", page=1)


def test_pages_that_differ_are_named(tmp_path):
    images = [sample((9, 8)), sample((9, 8)), sample((5, 8)), sample((9, 8), "uint16")]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for image in images:
            tiff.write(image)
    with pytest.raises(ImageFileError, match=r"page 0 is \(9, 8\) uint8, page 2 is \(5, 8\) uint8, page 3 is .*uint16"):
        open_image(tmp_path / "a.tif")
    for page, image in enumerate(images):
        assert_same_image(open_image(tmp_path / "a.tif", page=page), image)


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        ((100, 150), (100, 150)),
        ((101, 1), (200, 300)),
        ((1, 1), (50, 75)),
        ((400, 600), (400, 600)),
        ((900, 9), (400, 600)),
    ],
)
def test_a_jpeg_is_decoded_at_a_part_of_its_size(at_least, shape, tmp_path):
    rows, cols = np.mgrid[:400, :600]
    image = (128 + 100 * np.sin(rows / 60) * np.cos(cols / 80)).astype(np.uint8)
    save_image(tmp_path / "image.jpg", image, quality=95)
    found = open_image(tmp_path / "image.jpg", at_least=at_least)
    assert found.shape == shape
    assert np.abs(found.astype(int) - resize(image, shape)).max() < 6
    turned = Image.Exif()
    turned[0x0112], turned[0x0110] = 6, "camera"
    Image.fromarray(image).save(tmp_path / "turned.jpg", quality=95, exif=turned)
    found, metadata = open_image(tmp_path / "turned.jpg", at_least=at_least[::-1], metadata=True)
    assert found.shape == shape[::-1]
    assert b"camera" in metadata.exif
    save_image(tmp_path / "image.png", image)
    assert open_image(tmp_path / "image.png", at_least=at_least).shape == (400, 600)


def test_wrong_sizes_to_decode_at(tmp_path):
    save_image(tmp_path / "image.jpg", np.zeros((9, 9), np.uint8))
    for wrong, error in (((0, 5), ValueError), ((1, 2, 3), ValueError), ("big", TypeError), ((1.5, 2), TypeError)):
        with pytest.raises(error, match="at_least must"):
            open_image(tmp_path / "image.jpg", at_least=wrong)


def test_each_page_is_turned_upright(tmp_path):
    upright = sample((2, 9, 8))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(upright[0], metadata=None)
        tiff.write(upright[1].T, extratags=[(274, 3, 1, 5, False)], metadata=None)
    assert_same_image(open_image(tmp_path / "a.tif"), upright)


def directories(order, big, count, last):
    """A TIFF file of empty directories; the last one points to ``last``."""
    pointer, number = ("Q", "Q") if big else ("I", "H")
    start = 16 if big else 8
    size = struct.calcsize("<" + number) + struct.calcsize("<" + pointer)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "I", start)
    places = [start + size * number for number in range(1, count)] + [last]
    nothing = struct.pack(order + number, 0)
    return head + b"".join(nothing + struct.pack(order + pointer, place) for place in places)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_directories_that_loop_or_never_end(tmp_path, order, big):
    start = 16 if big else 8
    for count, last, words in ((1, start, "form a loop"), (3, start, "form a loop"), (300_000, 0, "more than 10000")):
        (tmp_path / "a.tif").write_bytes(directories(order, big, count, last))
        begun = time.perf_counter()
        with pytest.raises(ImageFileError, match=words):
            open_image(tmp_path / "a.tif")
        assert time.perf_counter() - begun < 2


def test_bytes_over_the_limit_are_refused(tmp_path):
    save_image(tmp_path / "a.tif", sample((3, 20, 30, 2), "uint16"), axes="NYXC")
    save_image(tmp_path / "a.png", sample((20, 30, 3), "uint16"))
    save_image(tmp_path / "a.jpg", sample((20, 30, 3)))
    for suffix, nbytes in ((".tif", 7200), (".png", 3600), (".jpg", 1800)):
        assert open_image(tmp_path / f"a{suffix}", max_bytes=nbytes).nbytes == nbytes
        with pytest.raises(ImageFileError, match=rf"{nbytes} bytes .* over the limit of 99; .*--max-bytes {nbytes}"):
            open_image(tmp_path / f"a{suffix}", max_bytes=99)
    assert open_image(tmp_path / "a.tif", page=1, max_bytes=2400).shape == (20, 30, 2)


@pytest.mark.parametrize(("compression", "encode"), [(8, zlib.compress), (34925, lzma.compress)])
def test_a_strip_longer_than_its_header_says(tmp_path, compression, encode):
    packed = encode(bytes(300_000_000 if compression == 34925 else 64_000_000))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tags = tiff.pages[0].tags
        end = (tmp_path / "a.tif").stat().st_size
        tags["Compression"].overwrite(compression)
        tags["StripOffsets"].overwrite(end)
        tags["StripByteCounts"].overwrite(len(packed), dtype="I")
    with (tmp_path / "a.tif").open("r+b") as file:
        file.seek(end)
        file.write(packed)
    tracemalloc.start()
    with pytest.raises(ImageFileError, match="decodes to more than its header says"):
        open_image(tmp_path / "a.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32_000_000


def test_a_thumbnail_is_no_second_page(tmp_path):
    image = sample((9, 8))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(image)
        tiff.write(image[::2, ::2], subfiletype=1)
    assert_same_image(open_image(tmp_path / "a.tif"), image)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("deep", [False, True])
def test_pixels_over_the_limit_are_refused_before_decoding(tmp_path, suffix, deep, monkeypatch):
    path = tmp_path / f"a{suffix}"
    save_image(path, sample((20, 30, 3), "uint16" if deep and suffix != ".jpg" else "uint8"))
    assert open_image(path, max_pixels=600).shape == (20, 30, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert open_image(path, max_pixels=600).shape == (20, 30, 3)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda self: pytest.fail("decoded"))
    for limit in (599, None):
        with pytest.raises(ImageFileError, match=r"30 x 20 pixels are over the limit of .*--max-pixels 600"):
            open_image(path, max_pixels=limit)


def test_a_header_that_lies_about_its_size(tmp_path):
    image = sample((8, 8), "uint16")
    data = bytearray(png(image))
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageFileError, match="60000 x 60000 pixels are over the limit"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_truncated_file_is_one_line(tmp_path, suffix, dtype):
    path = tmp_path / f"a{suffix}"
    save_image(path, sample((40, 30, 3), "uint8" if suffix == ".jpg" else dtype))
    whole = path.read_bytes()
    for length in (0, 1, 8, 9, 20, 33, 60, 200, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageFileError, match=rf"a\{suffix}: ") as caught:
            open_image(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_anywhere_gives_an_image_or_one_line(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_image(path, sample((12, 9, 3)))
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(400):
        damaged = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 300), 3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert open_image(path, max_pixels=10_000_000).ndim in (2, 3)
        except ImageFileError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def test_files_that_are_no_images(tmp_path):
    cases = {
        "none.png": "no such file",
        "text.png": "not a TIFF, PNG, JPEG, NPY, WebP",
        "empty.tif": "the file is empty",
        "folder": "not a regular file",
    }
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder").mkdir()
    for name, words in cases.items():
        with pytest.raises(ImageFileError, match=f"{name}: {words}"):
            open_image(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match="not a regular file"):
        open_image(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match="not a regular file"):
        save_image(tmp_path / "a.png", sample((2, 2)))
    assert stat.S_ISFIFO((tmp_path / "a.png").stat().st_mode)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_no_permission(tmp_path):
    save_image(tmp_path / "a.png", sample((2, 2)))
    (tmp_path / "a.png").chmod(0o000)
    with pytest.raises(ImageFileError, match="permission denied"):
        open_image(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match="permission denied"):
        save_image(tmp_path / "a.png", sample((2, 2)))


def test_denied_access_is_one_line(tmp_path, monkeypatch):
    save_image(tmp_path / "a.png", sample((2, 2)))

    def deny(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(ImageFileError, match=r"a\.png: permission denied"):
        open_image(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match=r"a\.png: permission denied"):
        save_image(tmp_path / "a.png", sample((2, 2)))


def test_check_target(tmp_path):
    check_target(tmp_path / "a.png")
    assert only(tmp_path) == []
    with pytest.raises(ImageFileError, match="no such folder"):
        check_target(tmp_path / "none" / "a.png")
    with pytest.raises(ValueError, match="must end in one of"):
        check_target(tmp_path / "a.xyz")


FULL_DISK = """
import resource, sys, numpy as np, gpuimg.files
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
try:
    gpuimg.files.save_image(sys.argv[1], noise)
except gpuimg.errors.ImageFileError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set")
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    old = sample((4, 4))
    save_image(path, old)
    before = path.read_bytes()
    result = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True)
    assert result.stdout == f"{path}: file too large\n"
    assert path.read_bytes() == before
    assert only(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_an_interrupt_leaves_the_old_file(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    save_image(path, sample((4, 4)))
    before = path.read_bytes()

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_image(path, sample((40, 40)))
    assert path.read_bytes() == before
    assert only(tmp_path) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and file modes")
def test_links_and_modes_are_kept(tmp_path):
    (tmp_path / "real").mkdir()
    path = tmp_path / "real" / "a.png"
    save_image(path, sample((4, 4)))
    path.chmod(0o640)
    (tmp_path / "link.png").symlink_to(path)
    save_image(tmp_path / "link.png", sample((6, 5)))
    assert (tmp_path / "link.png").is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert open_image(path).shape == (6, 5)


@pytest.mark.skipif(sys.platform == "win32", reason="needs file modes")
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_draft_has_its_mode_from_the_start(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    save_image(path, sample((4, 4)))
    path.chmod(0o600)
    seen = []
    replace = Path.replace
    encode = drafts._create

    def created(draft, target):
        file = encode(draft, target)
        seen.append(stat.S_IMODE(draft.stat().st_mode))
        return file

    def replaced(draft, target):
        seen.append(stat.S_IMODE(draft.stat().st_mode))
        return replace(draft, target)

    monkeypatch.setattr(drafts, "_create", created)
    monkeypatch.setattr(Path, "replace", replaced)
    save_image(path, sample((5, 5)))
    assert [*seen, stat.S_IMODE(path.stat().st_mode)] == [0o600] * 3


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_kept(tmp_path):
    save_image(tmp_path / "a.png", sample((4, 4)))
    os.chown(tmp_path / "a.png", 1234, 2345)
    save_image(tmp_path / "a.png", sample((5, 5)))
    found = (tmp_path / "a.png").stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_loop_of_links_is_one_line(tmp_path):
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    with pytest.raises(ImageFileError, match=r"a\.png: symbolic links form a loop"):
        save_image(tmp_path / "a.png", sample((2, 2)))
    with pytest.raises(ImageFileError, match=r"a\.png: "):
        open_image(tmp_path / "a.png")
    assert only(tmp_path) == ["a.png", "b.png"]


def test_old_drafts_are_removed(tmp_path):
    old, new, foreign = (f".gpuimg-{12 * '0'}.part", f".gpuimg-{12 * '1'}.part", ".gpuimg-notes.part")
    for name in (old, new, foreign):
        (tmp_path / name).touch()
    for name in (old, foreign):
        os.utime(tmp_path / name, (time.time() - 90_000,) * 2)
    save_image(tmp_path / "a.png", sample((2, 2)))
    assert only(tmp_path) == sorted([new, foreign, "a.png"])


# NPY, profiles and resolution ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", ">u2", "int64", "float16", "float32", ">f8"])
def test_npy_holds_any_dtype(tmp_path, dtype):
    image = (np.arange(30).reshape(5, 6) % 7).astype(dtype)
    np.save(tmp_path / "theirs.npy", np.asfortranarray(image))
    save_image(tmp_path / "ours.npy", image)
    for read in (open_image(tmp_path / "theirs.npy"), np.load(tmp_path / "ours.npy")):
        np.testing.assert_array_equal(read, image)
        assert read.dtype == image.dtype.newbyteorder("=")


def test_npy_holds_stacks(tmp_path):
    stack = np.random.default_rng(0).random((3, 5, 6, 2), np.float32)
    save_image(tmp_path / "stack.npy", stack, axes="TYXC")
    np.testing.assert_array_equal(np.load(tmp_path / "stack.npy"), stack)
    np.testing.assert_array_equal(open_image(tmp_path / "stack.npy"), stack)


def npy(header, data=b"", version=b"\x01\x00"):
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


HEADER = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(HEADER % ("|O", (2, 2)), bytes(32)), "its elements are object"),
        (npy(HEADER % ("<c8", (2, 2)), bytes(32)), "its elements are complex64"),
        (npy(HEADER % ("|u1", (4,)), bytes(4)), "its shape is (4,)"),
        (npy(HEADER % ("|u1", (0, 4))), "none 0"),
        (npy(HEADER % ("|u1", (2, 2)), bytes(3)), "truncated"),
        (npy(HEADER % ("|u1", (2, 2)), bytes(5)), "more data than its header says"),
        (npy(HEADER % ("|u1", (10**6, 10**6)), bytes(5)), "over the limit"),
        (npy(HEADER % ("<f8", (3, 10**4, 10**4, 9)), bytes(5)), "over the limit"),
        (npy(HEADER % ("|u1", (-2, -2)), bytes(4)), "damaged"),
        (npy("__import__('os').abort()", bytes(4)), "damaged"),
        (npy(HEADER % ("|u1", (2, 2)), bytes(4), b"\x09\x00"), "version (9, 0)"),
        (b"\x93NUMPY", "damaged"),
    ],
)
def test_npy_that_is_not_read(tmp_path, content, words):
    path = tmp_path / "wrong.npy"
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=re.escape(words)):
        open_image(path, max_bytes=10**9)


def profile(space):
    return bytes(16) + space + bytes(180)


@pytest.mark.parametrize("number", [1, 6])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF"])
def test_profile_and_resolution_are_kept(source, target, number):
    exif = Image.Exif()
    exif[274] = number
    made = BytesIO()
    Image.new("RGB", (5, 4)).save(made, source, icc_profile=profile(b"RGB "), dpi=(300, 200), exif=exif)
    made.seek(0)
    read = files.ImageFile(made, "made")
    assert read.nbytes == 60
    written = BytesIO()
    form = next(form for form in files.FORMATS if form.name == target)
    files.write_image(written, form, read.decode(), how=files.Written(read.metadata))
    again = Image.open(written)
    assert again.info["icc_profile"] == profile(b"RGB ")
    assert tuple(map(float, again.info["dpi"])) == pytest.approx((300, 200) if number == 1 else (200, 300), rel=1e-4)


def test_a_profile_of_other_colours_is_left_out():
    for space, pixels in ((b"CMYK", np.zeros((3, 3, 3), np.uint8)), (b"RGB ", np.zeros((3, 3), np.uint8))):
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        for form in files.FORMATS:
            if form.write is None or "uint8" not in form.dtypes or (form.channels and channels not in form.channels):
                continue
            written = BytesIO()
            files.write_image(written, form, pixels, how=files.Written(files.ImageMetadata(profile(space))))
            assert space not in written.getvalue()
            written.seek(0)
            assert files.ImageFile(written, "written").metadata.icc_profile == b""
