"""Image files of many kinds: pixels as other libraries write them, damage told apart from a missing codec, limits."""

import subprocess
import sys
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

from gpuimg.errors import CodecMissing, ImageFileDamaged, ImageFileError
from gpuimg.files import FORMATS, ImageFile, check_target, open_image, save_image
from gpuimg.service.bodies import Body
from gpuimg.service.limits import Limits
from gpuimg.service.problems import Problem
from gpuimg.service.work import Request, Room

imagecodecs = pytest.importorskip("imagecodecs", reason="needs imagecodecs")

SHAPE = 40, 30


def noise(bits=8, channels=1, dtype=None):
    shape = SHAPE if channels == 1 else (*SHAPE, channels)
    values = np.random.default_rng(7).integers(0, 2**bits, shape)
    return values.astype(dtype or (np.uint8 if bits <= 8 else np.uint16))


def floats(channels=3):
    return np.random.default_rng(7).normal(0, 9, (*SHAPE, channels)).astype(np.float32)


def tiff(image, stored=None, **options):
    written = BytesIO()
    options.setdefault("photometric", "rgb" if image.ndim == 3 and image.shape[2] == 3 else "minisblack")
    tifffile.imwrite(written, image if stored is None else stored, metadata=None, **options)
    return written.getvalue(), image


def pillow(image, form, expected=None, **options):
    written = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(written, form, **options)
    return written.getvalue(), np.asarray(image) if expected is None else expected


def as_pillow_reads(image, form, **options):
    """A kind that loses something: the pixels are those that Pillow finds in it."""
    data, _ = pillow(image, form, **options)
    return data, np.asarray(Image.open(BytesIO(data)))


def pnm(header, image):
    return header.encode() + np.ascontiguousarray(image, image.dtype.newbyteorder(">")).tobytes(), image


def twelve_bits_big_endian(image):
    """A row of bytes for each row of samples; then the header says what they are."""
    bits = np.unpackbits(image.astype(">u2")[..., np.newaxis].view(np.uint8), axis=2)[..., 4:]
    written = BytesIO()
    tifffile.imwrite(written, np.packbits(bits.reshape(len(image), -1), axis=1), metadata=None, byteorder=">")
    data = bytearray(written.getvalue())
    with tifffile.TiffFile(BytesIO(data)) as file:
        for name, value in (("ImageWidth", image.shape[1]), ("BitsPerSample", 12)):
            tag = file.pages[0].tags[name]
            data[tag.valueoffset : tag.valueoffset + tag.valuebytecount] = value.to_bytes(tag.valuebytecount, "big")
    return bytes(data), image


def mixed(image):
    cyan, magenta, yellow, black = np.moveaxis(image, -1, 0)
    return np.asarray(Image.fromarray(np.dstack([cyan, magenta, yellow, black]), "CMYK").convert("RGB"))


def tiff_kinds():
    for bits in (10, 12, 14):
        for channels in (1, 3):
            yield f"TIFF {bits} bits {channels} channels", tiff(noise(bits, channels), bitspersample=bits)
    for bits, factor in ((2, 85), (4, 17)):
        image = noise(bits)
        yield f"TIFF {bits} bits", tiff(image * np.uint8(factor), image, bitspersample=bits)
    for compression in ("lzw", "zlib", "zstd"):
        for predictor, image in ((1, noise(8)), (2, noise(16, 3)), (2, noise(8, 3)), (3, floats())):
            name = f"TIFF {compression} predictor {predictor} {image.dtype}"
            yield name, tiff(image, compression=compression, predictor=predictor)
    for compression in ("lerc", "jpeg2000"):
        for image in (noise(8), noise(16), noise(8, 3), noise(16, 3)):
            yield f"TIFF {compression} {image.dtype} {image.shape}", tiff(image, compression=compression)
    yield "TIFF lerc float32", tiff(floats(), compression="lerc")
    yield "TIFF webp", tiff(noise(8, 3), compression="webp", compressionargs={"lossless": True})
    yield "TIFF jpeg", as_pillow_reads(noise(8, 3), "TIFF", compression="jpeg")
    yield "TIFF tiles", tiff(noise(16, 3), compression="lzw", tile=(16, 16), predictor=2)
    yield "TIFF big", tiff(noise(12), bitspersample=12, bigtiff=True)
    yield "TIFF 12 bits big-endian", twelve_bits_big_endian(noise(12))
    stack = np.stack([noise(16), noise(16)[::-1]])
    yield "TIFF pages", tiff(stack, compression="zstd", photometric="minisblack")
    ink = noise(8, 4)
    yield "TIFF CMYK", tiff(mixed(ink), ink, photometric="separated", compression="lzw")


def other_kinds():
    grey, colour, alpha, deep = noise(8), noise(8, 3), noise(8, 4), noise(16)
    yield "WebP", pillow(colour, "WEBP", lossless=True)
    yield "WebP alpha", pillow(alpha, "WEBP", lossless=True, exact=True)
    yield "WebP lossy", as_pillow_reads(colour, "WEBP")
    yield "BMP", pillow(colour, "BMP")
    yield "BMP grey", pillow(grey, "BMP")
    yield "BMP mask", pillow(grey > 100, "BMP")
    palette = Image.fromarray(colour).quantize(16)
    yield "BMP palette", pillow(palette, "BMP", np.asarray(palette.convert("RGB")))
    yield "GIF", pillow(palette, "GIF", np.asarray(palette.convert("RGB")))
    frames = [Image.fromarray(255 - grey)]
    yield "GIF frames", pillow(Image.fromarray(grey), "GIF", np.dstack([grey] * 3), save_all=True, append_images=frames)
    yield "AVIF", as_pillow_reads(colour, "AVIF")
    yield "AVIF alpha", as_pillow_reads(alpha, "AVIF")
    for bits in (10, 12):
        data = imagecodecs.avif_encode(noise(bits, 3), level=100, bitspersample=bits)
        yield f"AVIF {bits} bits", (data, imagecodecs.avif_decode(data))
    for image in (grey, colour, alpha):
        yield f"JPEG 2000 {image.shape}", pillow(image, "JPEG2000")
    for image, bits in ((deep, 16), (noise(12), 12), (noise(16, 3), 16), (noise(10, 4), 10)):
        data = imagecodecs.jpeg2k_encode(image, level=0, bitspersample=bits)
        yield f"JPEG 2000 {bits} bits {image.shape}", (data, image)
    yield "JPEG 2000 bare", (imagecodecs.jpeg2k_encode(deep, level=0, codecformat="j2k"), deep)
    size = f"{SHAPE[1]} {SHAPE[0]}"
    yield "PGM", pnm(f"P5\n# a comment\n{size}\n255\n", grey)
    yield "PGM 12 bits", pnm(f"P5 {size} 4095\n", noise(12))
    yield "PPM 16 bits", pnm(f"P6\n{size}\n65535\n", noise(16, 3))
    yield "PBM", pillow(grey > 100, "PPM")
    yield "PAM", pnm("P7\nWIDTH 30\nHEIGHT 40\nDEPTH 4\nMAXVAL 65535\nTUPLTYPE RGB_ALPHA\nENDHDR\n", noise(16, 4))
    yield "PPM text", (f"P3 {size} 65535\n{' '.join(map(str, noise(16, 3).flat))}\n".encode(), noise(16, 3))
    yield "PBM text", (f"P1 {size}\n".encode() + (48 + (grey <= 100)).astype(np.uint8).tobytes(), grey > 100)
    for channels, kind in ((1, "Pf"), (3, "PF")):
        image = floats(channels).squeeze()
        yield f"PFM {channels}", (f"{kind}\n{size}\n-1.0\n".encode() + image[::-1].tobytes(), image)


@cache
def kinds():
    return {**dict(tiff_kinds()), **dict(other_kinds())}


every_kind = pytest.mark.parametrize("kind", kinds())


@every_kind
def test_pixels_are_those_that_were_written(tmp_path, kind):
    data, expected = kinds()[kind]
    (tmp_path / "a").write_bytes(data)
    found = open_image(tmp_path / "a")
    assert (found.dtype, found.dtype.isnative) == (expected.dtype.newbyteorder("="), True)
    np.testing.assert_array_equal(found, expected, strict=True)


def opened(data, **limits):
    return ImageFile(BytesIO(data), "a", **limits)


@every_kind
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_truncated_file_is_damaged(kind):
    data, _ = kinds()[kind]
    end = len(data) // 3 if kind == "GIF frames" else len(data)  # of the frames the first is read
    for length in (*np.linspace(30, end - 30, 20).astype(int), end * 99 // 100):
        with pytest.raises(ImageFileDamaged, match="damaged"):
            opened(data[:length]).decode()


@every_kind
def test_limits_hold_before_pixels_are_decoded(kind):
    data, expected = kinds()[kind]
    with pytest.raises(ImageFileError, match="30 x 40 pixels are over the limit of 1199"):
        opened(data, max_pixels=1199)
    with pytest.raises(ImageFileError, match="bytes of decoded pixels are over the limit"):
        opened(data, max_bytes=expected.nbytes - 1)
    assert opened(data, max_pixels=1200, max_bytes=4 * SHAPE[0] * SHAPE[1] * 8).decode().nbytes == expected.nbytes


@every_kind
@pytest.mark.filterwarnings("ignore")
def test_flipped_bits_give_an_image_or_an_error(kind):
    data, _ = kinds()[kind]
    rng = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(data)
        # Half of them in the header, where most is at stake.
        at = int(rng.integers(len(data) if rng.random() < 0.5 else min(len(data), 200)))
        damaged[at] ^= 1 << int(rng.integers(8))
        try:
            found = opened(bytes(damaged), max_pixels=10_000_000, max_bytes=100_000_000).decode()
        except ImageFileError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert found.dtype.kind in "buif"


@pytest.mark.parametrize("compression", ["zstd", "lzw", "lerc", "webp", "jpeg2000"])
def test_a_strip_that_decodes_to_more_than_its_header_says(compression):
    bomb = np.zeros((4000, 4000, 3), np.uint8)
    data = bytearray(tiff(bomb, compression=compression, rowsperstrip=4000)[0])
    with tifffile.TiffFile(BytesIO(data)) as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tag = file.pages[0].tags[name]
            data[tag.valueoffset : tag.valueoffset + tag.valuebytecount] = (16).to_bytes(tag.valuebytecount, "little")
    try:
        assert opened(bytes(data)).decode().shape == (16, 16, 3)  # no more was decoded than asked for
    except ImageFileDamaged as error:
        assert "decodes to more" in str(error) or compression in ("zstd", "lzw")  # noqa: PT017


NEED_CODECS = [
    *(
        "TIFF 10 bits 1 channels",
        "TIFF 12 bits 3 channels",
        "TIFF lzw predictor 2 uint16",
        "TIFF zlib predictor 3 float32",
    ),
    *("TIFF lerc float32", "TIFF webp", "TIFF jpeg2000 uint16 (40, 30)", "TIFF zstd predictor 3 float32"),
    *("AVIF 10 bits", "AVIF 12 bits", "JPEG 2000 16 bits (40, 30, 3)", "JPEG 2000 12 bits (40, 30)"),
]
WITHOUT = """
import sys
sys.modules["imagecodecs"] = None
from gpuimg.files import open_image
for path in sys.argv[1:]:
    try:
        print(open_image(path).shape)
    except Exception as error:
        print(type(error).__name__, error)
"""


def read_without_codecs(folder, names):
    for number, kind in enumerate(names):
        (folder / str(number)).write_bytes(kinds()[kind][0])
    paths = [str(folder / str(number)) for number in range(len(names))]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *paths], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_missing_codec_is_named_with_the_command(tmp_path):
    for kind, line in zip(NEED_CODECS, read_without_codecs(tmp_path, NEED_CODECS), strict=True):
        assert line.startswith("CodecMissing "), (kind, line)
        assert line.endswith("need a codec that is not installed: pip install imagecodecs"), kind


def test_common_kinds_are_read_without_codecs(tmp_path):
    names = [kind for kind in kinds() if kind in ("TIFF 12 bits 1 channels", "TIFF 4 bits", "TIFF jpeg", "TIFF CMYK")]
    names += ["TIFF lzw predictor 1 uint8", "TIFF zstd predictor 1 uint8", "TIFF zlib predictor 2 uint16"]
    names += [kind for kind, _ in other_kinds() if "bits" not in kind or kind.startswith("P")]
    names.remove("JPEG 2000 bare")
    for kind, line in zip(names, read_without_codecs(tmp_path, names), strict=True):
        assert line == str(kinds()[kind][1].shape), (kind, line)


def test_the_two_errors_are_of_one_family():
    assert issubclass(CodecMissing, ImageFileError)
    assert issubclass(ImageFileDamaged, ImageFileError)
    assert not issubclass(CodecMissing, ImageFileDamaged)


@pytest.mark.parametrize(
    "header",
    [
        *(b"P5 \n", b"P5 30 40", b"P5 30 40 70000\n", b"P5 0 40 255\n", b"P5 x 40 255\n", b"P6 " + b"#\r" * 5000),
        *(b"P7\n" + b"#" * 5000 + b"\n\n" * 5000, b"P7\nWIDTH 3\nENDHDR\n", b"PF 30 40 nan\n", b"P2 3 1 255\n1 2 x"),
        *(b"P2 3 1 255\n1 2", b"P2 3 1 9\n1 2 3000000000000000000000", b"P1 3 1\n1 1"),
    ],
)
def test_pnm_headers_that_are_damaged(header):
    with pytest.raises(ImageFileDamaged):
        opened(header).decode()


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels"),
    [(".webp", "uint8", 3), (".webp", "uint8", 4), (".bmp", "uint8", 1), (".bmp", "uint8", 3)]
    + [(".jp2", "uint8", channels) for channels in (1, 2, 3, 4)]
    + [(suffix, dtype, channels) for suffix in (".pgm", ".ppm") for dtype in ("uint8", "uint16") for channels in (1, 3)]
    + [(".pfm", "float32", 1), (".pfm", "float32", 3)],
)
def test_formats_without_loss_give_back_what_was_saved(tmp_path, suffix, dtype, channels):
    image = floats(channels).squeeze() if dtype == "float32" else noise(16 if dtype == "uint16" else 8, channels)
    save_image(tmp_path / f"a{suffix}", image[:, ::-1])
    np.testing.assert_array_equal(open_image(tmp_path / f"a{suffix}"), image[:, ::-1], strict=True)


def test_avif_is_written_well(tmp_path):
    ramp = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    image = np.dstack([ramp, ramp[::-1], 255 - ramp])
    save_image(tmp_path / "a.avif", image)
    np.testing.assert_allclose(open_image(tmp_path / "a.avif").astype(int), image, atol=8)


@pytest.mark.parametrize(
    ("name", "image", "error", "words"),
    [
        ("a.webp", noise(16, 3), TypeError, r"a\.webp: a WebP file holds uint8, not uint16; save it as \.tif$"),
        ("a.webp", noise(8), ValueError, r"a WebP file has 3 or 4 channels, not 1$"),
        ("a.webp", np.zeros((1, 16384, 3), np.uint8), ValueError, "at most 16383 pixels wide and high$"),
        ("a.avif", floats(), TypeError, "AVIF file holds uint8, not float32"),
        ("a.bmp", noise(8, 4), ValueError, "a BMP file has 1 or 3 channels, not 4"),
        ("a.jp2", noise(16), TypeError, "a JPEG 2000 file holds uint8, not uint16"),
        ("a.ppm", floats(), TypeError, "a PNM file holds uint8 and uint16, not float32"),
        ("a.pfm", noise(8), TypeError, "a PFM file holds float32, not uint8"),
        ("a.gif", noise(8), ValueError, r"GIF files are read, not written; save it as \.png or \.tif$"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(tmp_path, name, image, error, words):
    with pytest.raises(error, match=words):
        save_image(tmp_path / name, image)
    assert not list(tmp_path.iterdir())


def test_a_target_that_is_read_only_is_refused_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="GIF files are read, not written"):
        check_target(tmp_path / "a.gif")


def test_profile_and_orientation_of_the_other_formats(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    profile = bytes(16) + b"RGB " + bytes(180)
    for form in ("WEBP", "AVIF"):
        data, _ = pillow(noise(8, 3), form, exif=exif, icc_profile=profile)
        found = opened(data)
        assert found.decode().shape == (30, 40, 3)
        assert found.metadata.icc_profile == profile


@pytest.mark.parametrize("form", [form.name for form in FORMATS[4:] if not form.extra])
def test_the_service_refuses_other_formats(form):
    data = next(data for kind, (data, _) in kinds().items() if opened(data).format.name == form)
    with pytest.raises(Problem, match="not a TIFF, PNG, JPEG or NPY file") as caught:
        Request(Body(data), None, [None], "", Limits(), Room(1 << 30))
    assert caught.value.status == 415
