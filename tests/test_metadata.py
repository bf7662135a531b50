"""Metadata of image files: kept as far as a format holds them, bounded where a file is hostile; open files."""

import dataclasses
import struct
import time
import tracemalloc
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image, ImageCms

import gpuimg
from gpuimg import ImageMetadata, MetadataWarning
from gpuimg.cli import cli
from gpuimg.errors import ImageFileError

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="Z\xc3\xbcrich"/></x:xmpmeta>'
)
UPRIGHT_XMP = XMP.replace(b'"6"', b'"1"')
RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (24, 32, 3), np.uint8)
LOSSLESS = [".tif", ".png", ".webp"]
ALL = [*LOSSLESS, ".jpg", ".avif"]
MAKE, TIME, ARTIST, ORIENTATION, EXPOSURE, LATITUDE = 271, 306, 315, 274, 33434, 2


def exif_of(orientation=1, artist="Zoë"):
    exif = Image.Exif()
    exif[MAKE] = "Brand"
    exif[ARTIST] = artist.encode()
    exif[TIME] = "2026:01:02 03:04:05"
    exif[ORIENTATION] = orientation
    exif.get_ifd(34665).update({EXPOSURE: 0.25, 40962: 1, 40963: 1})
    exif.get_ifd(34853).update({1: "N", LATITUDE: (47.0, 22.0, 30.0)})
    return exif


def full():
    block = exif_of().tobytes().removeprefix(b"Exif\0\0")
    return ImageMetadata(SRGB, (300.0, 150.0), block, UPRIGHT_XMP, "a bridge, Zürich")


def assert_full_exif(exif, artist="Zoë"):
    assert exif[MAKE] == "Brand"
    assert exif[ARTIST].encode("latin-1").decode() == artist
    assert exif[TIME] == "2026:01:02 03:04:05"
    assert float(exif.get_ifd(34665)[EXPOSURE]) == 0.25
    assert tuple(map(float, exif.get_ifd(34853)[LATITUDE])) == (47, 22, 30)
    assert exif.get(ORIENTATION, 1) == 1


# Each format -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ALL)
def test_another_library_finds_all_that_was_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gpuimg.save_image(path, COLOUR, metadata=full())
    with Image.open(path) as found:
        found.load()
        if suffix in LOSSLESS:
            np.testing.assert_array_equal(np.asarray(found), COLOUR)
        assert found.info["icc_profile"] == SRGB
        assert found.info["xmp"] == UPRIGHT_XMP
        exif = found.getexif()
        assert_full_exif(exif)
        if suffix != ".tif":
            assert exif.get_ifd(34665)[40962] == 32
        dpi = found.info.get("dpi") or (exif[282], exif[283])
        assert tuple(map(float, dpi)) == pytest.approx((300, 150), rel=1e-3)


@pytest.mark.parametrize("source", ALL)
@pytest.mark.parametrize("target", ALL)
def test_metadata_go_from_format_to_format(tmp_path, source, target):
    gpuimg.save_image(tmp_path / f"a{source}", COLOUR, metadata=full())
    image, first = gpuimg.open_image(tmp_path / f"a{source}", metadata=True)
    gpuimg.save_image(tmp_path / f"b{target}", image, metadata=first)
    again, found = gpuimg.open_image(tmp_path / f"b{target}", metadata=True)
    assert again.shape == COLOUR.shape
    assert (found.icc_profile, found.xmp) == (SRGB, UPRIGHT_XMP)
    assert found.resolution == pytest.approx((300, 150), rel=1e-3)
    assert found.description == "a bridge, Zürich"
    exif = Image.Exif()
    exif.load(found.exif)
    assert_full_exif(exif)


def test_tags_of_a_tiff_file(tmp_path):
    path = tmp_path / "a.tif"
    gpuimg.save_image(path, COLOUR.astype(np.float32), metadata=full())
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        np.testing.assert_array_equal(tiff.asarray(), COLOUR.astype(np.float32))
        assert tags[34675].value == SRGB
        assert tags["XResolution"].value[0] / tags["XResolution"].value[1] == pytest.approx(300)
        assert tags["ResolutionUnit"].value == 2
        assert tags["Make"].value == "Brand"
        assert tags["ImageDescription"].value == "a bridge, Zürich"
        assert tags["ExifTag"].value["ExposureTime"] in (0.25, (1, 4))  # by its version


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {}])
def test_axes_of_pages_are_kept(tmp_path, options):
    pages = RNG.integers(0, 9, (3, 2, 20, 24), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pages, metadata={"axes": "TZYX"}, **options)
    gpuimg.map_files([tmp_path / "a.tif"], "invert", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        assert tiff.is_ome
        assert (tiff.series[0].axes, tiff.series[0].shape) == ("TZYX", pages.shape)
        np.testing.assert_array_equal(tiff.asarray(), 65535 - pages)
    _, found = gpuimg.open_image(tmp_path / "out" / "a.tif", metadata=True)
    assert (found.axes, found.extents) == ("TZ", (3, 2))


def test_what_a_format_does_not_hold_is_one_line(tmp_path):
    cases = {"a.npy": "ICC profile, resolution, EXIF, XMP, description", "a.bmp": "ICC profile, EXIF, XMP, description"}
    for name, words in cases.items():
        with pytest.warns(MetadataWarning, match=f"cannot hold {words}; left out") as caught:
            gpuimg.save_image(tmp_path / name, COLOUR, metadata=full())
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert "\n" not in str(caught[0].message)
    with pytest.warns(MetadataWarning, match=r"ICC profile \(of other colours\)"):
        gpuimg.save_image(tmp_path / "grey.png", COLOUR[..., 0], metadata=full())
    with Image.open(tmp_path / "grey.png") as found:
        assert "icc_profile" not in found.info
        assert_full_exif(found.getexif())


def test_metadata_are_immutable_and_checked():
    found = full()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.xmp = b""
    with pytest.raises(TypeError, match="exif must be bytes, got str"):
        ImageMetadata(exif="none")
    with pytest.raises(ValueError, match="resolution must be two positive numbers"):
        ImageMetadata(resolution=(0, 1))
    with pytest.raises(ValueError, match="a number for each of the axes"):
        ImageMetadata(axes="TZ", extents=(2,))
    with pytest.raises(TypeError, match="metadata must be an ImageMetadata, got dict"):
        gpuimg.save_image(BytesIO(), COLOUR, format="PNG", metadata={})


# Orientation -------------------------------------------------------------------------------------------------------


def as_upright(image, orientation):
    """The definition of EXIF: where the 0th row and the 0th column of the stored pixels are seen."""
    rows, cols = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    if rows in ("left", "right"):
        image, rows, cols = image.swapaxes(0, 1), cols, rows
    image = image[::-1] if rows == "bottom" else image
    return image[:, ::-1] if cols == "right" else image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_what_is_written_stands_upright(form, orientation):
    made = BytesIO()
    smooth = np.tile(np.arange(40, dtype=np.uint8)[:, None, None] * 5, (1, 24, 3))
    smooth[:, 12:] //= 2
    options = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    Image.fromarray(smooth).save(made, form, exif=exif_of(orientation, "Zoe").tobytes(), dpi=(300, 150), **options)
    made.seek(0)
    image, metadata = gpuimg.open_image(made, metadata=True)
    written = BytesIO()
    gpuimg.save_image(written, image, format="PNG", metadata=metadata)
    with Image.open(written) as found:
        assert_full_exif(found.getexif(), "Zoe")
        np.testing.assert_allclose(np.asarray(found).astype(int), as_upright(smooth, orientation), atol=6)
        if form != "WEBP":
            dpi = (300, 150) if orientation < 5 else (150, 300)
            assert tuple(map(float, found.info["dpi"])) == pytest.approx(dpi, rel=1e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_pil_images_are_filtered_upright(form, orientation):
    made = BytesIO()
    Image.fromarray(COLOUR).save(made, form, exif=exif_of(orientation), dpi=(300, 150), icc_profile=SRGB)
    image = Image.open(made)
    result = gpuimg.invert(image)
    np.testing.assert_array_equal(np.asarray(result), 255 - as_upright(COLOUR, orientation))
    assert result.info["icc_profile"] == SRGB
    assert result.getexif().get(ORIENTATION, 1) == 1
    if form == "PNG":
        assert_full_exif(result.getexif())
        assert tuple(map(float, result.info["dpi"])) == pytest.approx(
            (300, 150) if orientation < 5 else (150, 300), 1e-3
        )
    again = gpuimg.invert(result)
    np.testing.assert_array_equal(np.asarray(again), as_upright(COLOUR, orientation))


def test_what_pil_results_do_not_keep():
    image = Image.fromarray(COLOUR)
    image.info = {"icc_profile": SRGB, "transparency": (1, 2, 3), "exif": b"Exif\0\0damaged", "comment": "none"}
    assert gpuimg.invert(image).info == {"icc_profile": SRGB}
    assert gpuimg.rgb2gray(image).info == {}
    turned = Image.fromarray(COLOUR)
    turned.getexif()[ORIENTATION] = 6
    assert gpuimg.invert(turned).size == (24, 32)


# Hostile files -----------------------------------------------------------------------------------------------------


def tiff_block(tags, link=0, size=0):
    """A directory at offset 8, in a block of so many bytes."""
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    block = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", link)
    return block + bytes(max(0, size - len(block)))


HOSTILE = {
    "empty": b"II*\0",
    "no tiff": b"nonsense" * 9,
    "cut": exif_of().tobytes()[6:60],
    "points at itself": tiff_block([(34665, 4, 1, 8), (274, 3, 1, 6)], link=8),
    "sub-directories in a circle": tiff_block([(34665, 4, 1, 8), (34853, 4, 1, 8), (40965, 4, 1, 8)]),
    "beyond the end": tiff_block([(271, 2, 1 << 30, 1 << 31)]),
    "shared bytes": tiff_block([(tag, 7, 60000, 8) for tag in range(5000)], size=64000),
    "shared by a sub-directory": tiff_block([(34665, 4, 1, 26)], size=14)
    + tiff_block([(tag, 7, 50000, 8) for tag in range(4000)], size=60000)[8:],
    "numbers": tiff_block([(tag, 3, 30000, 8) for tag in range(4000)], size=60010),
    "huge": tiff_block([(271, 2, 9 << 20, 30)], size=10 << 20),
    "orientation of no number": tiff_block([(274, 2, 4, 0x61616161)]),
}


def with_exif(form, block):
    made = BytesIO()
    Image.fromarray(COLOUR).save(made, form, **({"lossless": True} if form == "WEBP" else {}))
    data = made.getvalue()
    if form == "JPEG":
        parts = [block[at : at + 65000] for at in range(0, len(block), 65000)]  # Pillow puts them together again
        inserted = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts)
        return data[:2] + inserted + data[2:]
    made = BytesIO()
    Image.fromarray(COLOUR).save(made, form, exif=block, **({"lossless": True} if form == "WEBP" else {}))
    return made.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.filterwarnings("ignore")
def test_hostile_exif_does_not_prevent_reading(form, kind):
    data = with_exif(form, HOSTILE[kind])
    tracemalloc.start()
    try:
        start = time.perf_counter()
        image, found = gpuimg.open_image(BytesIO(data), metadata=True)
        seconds = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sorted(image.shape) == sorted(COLOUR.shape)
    assert len(found.exif) < 1 << 20
    assert peak < (100 << 20)
    assert seconds < 20
    gpuimg.save_image(BytesIO(), image, format="JPEG", metadata=found)


def test_damaged_exif_is_one_line():
    with pytest.warns(MetadataWarning, match=r"not read: EXIF \(.*\); left out") as caught:
        _, found = gpuimg.open_image(BytesIO(with_exif("JPEG", HOSTILE["shared bytes"])), metadata=True)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found == ImageMetadata()


def test_large_blocks_are_left_out(tmp_path):
    large = ImageMetadata(xmp=bytes(9 << 20), exif=HOSTILE["huge"])
    for suffix in (".tif", ".png", ".jpg", ".webp"):
        with pytest.warns(MetadataWarning, match=r"EXIF \(.*XMP \(more than"):
            gpuimg.save_image(tmp_path / f"a{suffix}", COLOUR, metadata=large)
        assert (tmp_path / f"a{suffix}").stat().st_size < 1 << 20
    tifffile.imwrite(tmp_path / "b.tif", COLOUR, extratags=[(700, 1, 9 << 20, bytes(9 << 20), True)])
    with pytest.warns(MetadataWarning, match=r"not read: XMP \(more than 8 MiB\)"):
        _, found = gpuimg.open_image(tmp_path / "b.tif", metadata=True)
    assert found.xmp == b""


@pytest.mark.parametrize("size", [60_000, 2 << 20])
def test_blocks_that_a_format_bounds_give_a_file_that_can_be_read(tmp_path, size):
    """JPEG holds EXIF and XMP up to 64 KB; a reader of PNG takes texts and profiles up to a megabyte."""
    profile = bytes(16) + b"RGB " + RNG.bytes(size)
    for suffix in ALL:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetadataWarning)
            metadata = ImageMetadata(profile, xmp=b"<x/>" + bytes(size), description="d" * size)
            gpuimg.save_image(tmp_path / f"a{suffix}", COLOUR, metadata=metadata)
            image, _ = gpuimg.open_image(tmp_path / f"a{suffix}", metadata=True)
        assert image.shape == COLOUR.shape


# Quality and compression -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_quality(tmp_path, suffix):
    sizes = []
    for quality in (10, 50, 95):
        gpuimg.save_image(tmp_path / f"a{suffix}", COLOUR, quality=quality)
        sizes.append((tmp_path / f"a{suffix}").stat().st_size)
    assert sizes[0] < sizes[1] < sizes[2]


SAMPLED = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}


@pytest.mark.parametrize("subsampling", [None, *SAMPLED])
def test_subsampling_of_jpeg(tmp_path, subsampling):
    gpuimg.save_image(tmp_path / "a.jpg", COLOUR, subsampling=subsampling)
    with Image.open(tmp_path / "a.jpg") as found:
        across, down = SAMPLED[subsampling or "4:4:4"]
        assert found.layer[0][1:3] == (across, down)  # of brightness, as a multiple of those of the colours
        assert [layer[1:3] for layer in found.layer[1:]] == [(1, 1), (1, 1)]
    gpuimg.save_image(tmp_path / "grey.jpg", COLOUR[..., 0], subsampling=subsampling)
    assert gpuimg.open_image(tmp_path / "grey.jpg").shape == COLOUR.shape[:2]


def test_subsampling_of_avif(tmp_path):
    sizes = []
    for subsampling in SAMPLED:
        gpuimg.save_image(tmp_path / "a.avif", COLOUR, subsampling=subsampling)
        assert gpuimg.open_image(tmp_path / "a.avif").shape == COLOUR.shape
        sizes.append((tmp_path / "a.avif").stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3), (40, 50, 4), (3, 40, 50)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float16", "float32"])
@pytest.mark.parametrize("compression", ["none", "deflate", "lzw", "zstd"])
def test_compressed_tiff(tmp_path, compression, dtype, shape):
    image = np.broadcast_to(np.arange(shape[-1]), shape).astype(dtype)
    axes = "NYX" if shape[0] == 3 else None
    gpuimg.save_image(tmp_path / "a.tif", image, axes=axes, compression=compression, metadata=full_of(shape))
    np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "a.tif"), image)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        np.testing.assert_array_equal(np.squeeze(tiff.asarray()), image)
        names = {"none": 1, "deflate": 8, "lzw": 5, "zstd": 50000}
        assert tiff.pages[0].compression == names[compression]
        assert tiff.pages[0].tags["ExifTag"].value["ExposureTime"] in (0.25, (1, 4))  # by its version
        assert len(tiff.pages) == (3 if axes else 1)


@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd"])
def test_tiff_is_compressed_by_as_many_threads_as_the_work_may_use(tmp_path, monkeypatch, compression):
    image = np.random.default_rng(1).integers(0, 9, (1500, 700), np.uint16)  # some strips of 256 KiB
    asked = []

    def imwrite(*args, **options):
        asked.append(options["maxworkers"])
        return written(*args, **options)

    written = tifffile.imwrite
    monkeypatch.setattr(tifffile, "imwrite", imwrite)
    files = []
    for processors, page in ((3, image), (1, image), (3, image[:100, :100])):
        monkeypatch.setattr("gpuimg.files.tiff.processor_count", lambda known=processors: known)
        gpuimg.save_image(tmp_path / "a.tif", page, compression=compression)
        np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "a.tif"), page)
        files.append((tmp_path / "a.tif").read_bytes())
    assert asked == [3, 1, 1]
    assert files[0] == files[1]
    monkeypatch.setattr("gpuimg.files.tiff.processor_count", lambda: 3)
    with gpuimg.Pool(processors=2) as pool:
        job = pool.submit(lambda image: gpuimg.save_image(tmp_path / "a.tif", image, compression=compression), image)
        job.result()
    assert asked[3:] == [2]


def full_of(shape):
    return dataclasses.replace(full(), icc_profile=SRGB if shape[-1] in (3, 4) else b"")


def test_png_levels(tmp_path):
    smooth = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    sizes = []
    for level in range(10):
        gpuimg.save_image(tmp_path / "a.png", smooth, compression=level)
        with Image.open(tmp_path / "a.png") as found:
            np.testing.assert_array_equal(np.asarray(found), smooth)
        sizes.append((tmp_path / "a.png").stat().st_size)
    assert sizes[0] > 40000 > sizes[9]


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("a.png", {"quality": 80}, ValueError, "a PNG file has no quality, which .jpg, .webp and .avif files have"),
        ("a.jpg", {"compression": "lzw"}, ValueError, "a JPEG file has no choice of compression"),
        ("a.png", {"compression": "lzw"}, ValueError, "of a PNG file must be one of 0, 1, 2"),
        ("a.png", {"compression": True}, ValueError, "of a PNG file must be one of 0, 1, 2"),
        ("a.tif", {"compression": 3}, ValueError, "must be one of none, deflate, lzw, zstd, got 3"),
        ("a.jpg", {"quality": 101}, ValueError, "quality must be at most 100, got 101"),
        ("a.png", {"subsampling": "4:2:0"}, ValueError, "has no subsampling, which .jpg and .avif files have"),
        ("a.jpg", {"subsampling": "4:1:1"}, ValueError, "must be one of 4:4:4, 4:2:2, 4:2:0, got '4:1:1'"),
        ("a.jpg", {"subsampling": 2}, ValueError, "must be one of 4:4:4, 4:2:2, 4:2:0, got 2"),
        ("a.jpg", {"quality": 9.5}, TypeError, "quality must be a whole number"),
    ],
)
def test_options_that_a_format_does_not_have(tmp_path, name, options, error, words):
    with pytest.raises(error, match=words):
        gpuimg.save_image(tmp_path / name, COLOUR, **options)
    assert not list(tmp_path.iterdir())


# Open files and paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["TIFF", "PNG", "NPY", "WebP", "JPEG 2000", "BMP", "PNM"])
def test_open_files(tmp_path, form):
    packed = BytesIO(b"before")
    packed.seek(6)
    gpuimg.save_image(packed, COLOUR, format=form, metadata=None)
    packed.seek(6)
    np.testing.assert_array_equal(gpuimg.open_image(packed), COLOUR)
    (tmp_path / "a").write_bytes(packed.getvalue()[6:])
    with (tmp_path / "a").open("rb") as file:
        np.testing.assert_array_equal(gpuimg.open_image(file), COLOUR)
        assert not file.closed


def test_kinds_of_path(tmp_path):
    for path in (str(tmp_path / "a.png"), bytes(tmp_path / "b.png"), tmp_path / "c.png"):
        gpuimg.save_image(path, COLOUR)
        np.testing.assert_array_equal(gpuimg.open_image(path), COLOUR)
    gpuimg.save_image(tmp_path / "d.bin", COLOUR, format="png")
    assert (tmp_path / "d.bin").read_bytes()[1:4] == b"PNG"


def test_open_files_that_do_not_do(tmp_path):
    with pytest.raises(ValueError, match="format must be given for an open file"):
        gpuimg.save_image(BytesIO(), COLOUR)
    with pytest.raises(ValueError, match="format must be one of TIFF, PNG"):
        gpuimg.save_image(BytesIO(), COLOUR, format="XYZ")
    with pytest.raises(TypeError, match="a PNG file holds uint8 and uint16, not float32"):
        gpuimg.save_image(BytesIO(), COLOUR.astype(np.float32), format="PNG")
    (tmp_path / "a.txt").write_text("none")
    with (tmp_path / "a.txt").open() as file, pytest.raises(TypeError, match="must be open for reading bytes"):
        gpuimg.open_image(file)
    with pytest.raises(ImageFileError, match="the file: not a TIFF"):
        gpuimg.open_image(BytesIO(b"none"))


# Command line and batches ------------------------------------------------------------------------------------------


def command(*arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = CliRunner().invoke(cli, list(map(str, arguments)))
    return done, [str(each.message) for each in caught if each.category is MetadataWarning]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(COLOUR).save(path, icc_profile=SRGB, dpi=(300, 150), exif=exif_of(6))
    return path


def test_run_keeps_metadata_or_strips_them(tmp_path, photo):
    done, said = command("run", photo, "-o", tmp_path / "out.png", "-f", "gaussian:sigma=2")
    assert (done.exit_code, said) == (0, [])
    with Image.open(tmp_path / "out.png") as found:
        assert found.info["icc_profile"] == SRGB
        assert tuple(map(float, found.info["dpi"])) == pytest.approx((150, 300), rel=1e-3)
        assert_full_exif(found.getexif())
        assert found.size == (24, 32)
    done, said = command("run", photo, "-o", tmp_path / "bare.png", "-f", "gaussian:sigma=2", "--strip")
    assert (done.exit_code, said) == (0, [])
    with Image.open(tmp_path / "bare.png") as found:
        found.load()
        assert not {"icc_profile", "dpi", "exif"} & set(found.info)
    done, [line] = command("run", photo, "-o", tmp_path / "out.npy", "-f", "invert")
    assert done.exit_code == 0
    assert line.endswith("out.npy: the NPY file cannot hold ICC profile, resolution, EXIF; left out")


def test_batches_keep_metadata(tmp_path, photo):
    for keeping, profile in ((True, SRGB), (False, None)):
        [done] = gpuimg.map_files([photo], "invert", tmp_path / f"out{keeping}", metadata=keeping, quality=60)
        assert done.error == ""
        with Image.open(done.target) as found:
            assert found.info.get("icc_profile") == profile


def test_options_of_the_command_line(tmp_path, photo):
    for number, options in enumerate([("--quality", "5"), ("--quality", "95")]):
        done, _ = command("run", photo, "-o", tmp_path / f"{number}.jpg", "-f", "invert", "--strip", *options)
        assert done.exit_code == 0
    assert (tmp_path / "0.jpg").stat().st_size < (tmp_path / "1.jpg").stat().st_size
    half = ("--strip", "--quality", "95", "--subsampling", "4:2:0")
    done, _ = command("run", photo, "-o", tmp_path / "half.jpg", "-f", "invert", *half)
    assert done.exit_code == 0
    assert (tmp_path / "half.jpg").stat().st_size < (tmp_path / "1.jpg").stat().st_size
    done, _ = command("run", photo, "-o", tmp_path / "b.jpg", "-f", "invert", "--subsampling", "4:1:1")
    assert done.exit_code == 2
    assert "must be one of 4:4:4, 4:2:2, 4:2:0, got '4:1:1'" in done.stderr
    done, _ = command("run", photo, "-o", tmp_path / "a.tif", "-f", "invert", "--compression", "deflate")
    assert done.exit_code == 0
    done, _ = command("run", photo, "-o", tmp_path / "b.png", "-f", "invert", "--compression", "9")
    assert done.exit_code == 0
    done, _ = command("run", photo, "-o", tmp_path / "c.png", "-f", "invert", "--quality", "80")
    assert done.exit_code == 2
    assert "a PNG file has no quality" in done.stderr


MISFITS = [
    (".jpg", "sobel", "a JPEG file holds uint8, not float32; add -f astype:dtype=uint8,scale=True"),
    (".webp", "sobel", "a WebP file holds uint8, not float32; add -f astype:dtype=uint8,scale=True"),
    (".avif", "sobel", "a AVIF file holds uint8, not float32; add -f astype:dtype=uint8,scale=True"),
    (".jp2", "sobel", "a JPEG 2000 file holds uint8, not float32; add -f astype:dtype=uint8,scale=True"),
    (".bmp", "sobel", "a BMP file holds uint8, not float32; add -f astype:dtype=uint8,scale=True"),
    (".ppm", "sobel", "a PNM file holds uint8 and uint16, not float32; add -f astype:dtype=uint8,scale=True"),
    (".pfm", "invert", "a PFM file holds float32, not uint8"),
    (".webp", "rgb2gray", "a WebP file has 3 or 4 channels, not 1"),
    (".avif", "rgb2gray", "a AVIF file has 3 or 4 channels, not 1"),
]


@pytest.mark.parametrize(("suffix", "filter", "words"), MISFITS)
def test_what_cannot_be_saved_is_refused_before_the_work(tmp_path, monkeypatch, suffix, filter, words):
    from gpuimg import choosing

    def never(*_, **__):
        raise AssertionError("computed")

    source = tmp_path / "a.tif"
    gpuimg.save_image(source, COLOUR)
    renamed = tmp_path / "in" / f"a{suffix}"  # told by its content, so the target's name alone decides
    renamed.parent.mkdir()
    renamed.write_bytes(source.read_bytes())
    monkeypatch.setattr(choosing.dispatch, "choose", never, raising=False)
    for name in ("single", "multicore"):
        monkeypatch.setattr(type(choosing.backend_named(name)), "run", never)
    done, _ = command("run", source, "-o", tmp_path / f"out{suffix}", "-f", filter)
    assert done.exit_code == 1
    assert words in done.stderr
    [made] = gpuimg.map_files([renamed], filter, tmp_path / "out")
    assert words in made.error
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".jp2", ".bmp", ".ppm"])
def test_a_stack_is_refused_before_the_work(tmp_path, suffix):
    source = tmp_path / f"a{suffix}"
    gpuimg.save_image(tmp_path / "a.tif", np.stack([COLOUR, COLOUR]), axes="NYXC")
    Path(tmp_path / "a.tif").replace(source)
    done, _ = command("run", source, "-o", tmp_path / f"out{suffix}", "-f", "invert")
    assert done.exit_code == 1
    assert "holds one image, not a stack; a .tif file holds one as pages" in done.stderr
    [made] = gpuimg.map_files([source], "invert", tmp_path / "out")
    assert "holds one image, not a stack" in made.error
