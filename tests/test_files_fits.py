"""FITS files: pixels as astropy writes them, stacks, limits, damage, no astropy."""

import subprocess
import sys
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from click.testing import CliRunner

import gpuimg
from gpuimg.cli import cli
from gpuimg.errors import ImageFileDamaged, ImageFileError
from gpuimg.files.fits import FITS_DTYPES

fits = pytest.importorskip("astropy.io.fits", reason="needs astropy")


def values(shape, dtype):
    rng = np.random.default_rng(5)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(0, 1e3, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def bytes_of(*units):
    written = BytesIO()
    fits.HDUList(list(units)).writeto(written)
    return written.getvalue()


@pytest.mark.parametrize("dtype", FITS_DTYPES)
@pytest.mark.parametrize("shape", [(30, 41), (3, 20, 17)])
def test_what_was_saved_comes_back(tmp_path, shape, dtype):
    image = values(shape, dtype)
    before = image.copy()
    gpuimg.save_image(tmp_path / "a.fits", image, axes="TYX"[3 - len(shape) :])
    assert (image == before).all()
    np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "a.fits"), image, strict=True)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "a.fits"), image)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_files_of_astropy_are_read(dtype):
    image = values((12, 9), dtype)
    np.testing.assert_array_equal(gpuimg.open_image(BytesIO(bytes_of(fits.PrimaryHDU(image)))), image, strict=True)


def test_scaled_integers_become_floats_and_blanks_nan():
    unit = fits.PrimaryHDU(np.arange(12, dtype=np.int16).reshape(3, 4))
    unit.header.update(BSCALE=0.5, BZERO=3, BLANK=5)
    expected = np.arange(12).reshape(3, 4) * 0.5 + 3
    expected[1, 1] = np.nan
    found = gpuimg.open_image(BytesIO(bytes_of(unit)))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_the_first_image_is_read_wherever_it_is():
    image = values((40, 30), "int32")
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.ones(5))])
    for unit in (fits.ImageHDU(image), fits.CompImageHDU(image, compression_type="RICE_1")):
        data = bytes_of(fits.PrimaryHDU(), table, unit, fits.ImageHDU(image[:5]))
        np.testing.assert_array_equal(gpuimg.open_image(BytesIO(data)), image)


def test_planes_are_pages():
    stack = values((4, 12, 9), "float32")
    data = bytes_of(fits.PrimaryHDU(stack))
    np.testing.assert_array_equal(gpuimg.open_image(BytesIO(data), page=2), stack[2])
    with pytest.raises(ImageFileError, match="has 4 pages, so page must be from 0 to 3, got 4"):
        gpuimg.open_image(BytesIO(data), page=4)


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ([fits.PrimaryHDU()], "has no image of two or more axes"),
        ([fits.PrimaryHDU(np.zeros(5))], "has no image of two or more axes"),
        (
            [fits.PrimaryHDU(np.zeros((2, 2, 3, 4)))],
            r"its shape is \(2, 2, 3, 4\); two axes are read, or three",
        ),
    ],
)
def test_what_is_no_image_is_refused(units, words):
    with pytest.raises(ImageFileError, match=words):
        gpuimg.open_image(BytesIO(bytes_of(*units)))


@pytest.mark.filterwarnings("ignore::UserWarning")  # astropy's, of the file that lies
def test_limits_hold_before_pixels_are_decoded():
    data = bytes_of(fits.PrimaryHDU(np.zeros((3, 100, 50), np.uint16)))
    with pytest.raises(ImageFileError, match="50 x 100 pixels are over the limit of 4999"):
        gpuimg.open_image(BytesIO(data), max_pixels=4999)
    with pytest.raises(ImageFileError, match="bytes of decoded pixels are over the limit of 1000"):
        gpuimg.open_image(BytesIO(data), max_bytes=1000)
    lying = data.replace(b"NAXIS1  =                   50", b"NAXIS1  =           5000000000")
    assert lying != data
    with pytest.raises(ImageFileError, match="over the limit"):
        gpuimg.open_image(BytesIO(lying))


@pytest.mark.filterwarnings("ignore::UserWarning")  # astropy's
def test_damage_anywhere_gives_an_image_or_our_error():
    rng = np.random.default_rng(2)
    image = values((20, 15), "int16")
    for unit in (fits.PrimaryHDU(image), fits.CompImageHDU(image)):
        whole = bytes_of(fits.PrimaryHDU(), unit) if isinstance(unit, fits.CompImageHDU) else bytes_of(unit)
        for number in range(150):
            data = bytearray(whole[: rng.integers(len(whole))] if number % 3 == 0 else whole)
            for _ in range(3):
                data[rng.integers(len(data))] ^= 1 << rng.integers(8) if data else 0
            with suppress(ImageFileError):
                assert gpuimg.open_image(BytesIO(bytes(data)), max_bytes=1 << 20).ndim >= 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_truncated_file_is_damaged():
    data = bytes_of(fits.PrimaryHDU(values((200, 150), "float32")))
    with pytest.raises(ImageFileDamaged, match="truncated"):
        gpuimg.open_image(BytesIO(data[:-5000]))


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros((4, 5, 3), np.uint8), ValueError, "a FITS file has 1 channels?, not 3"),
        (np.zeros((4, 5), np.float16), TypeError, "not float16; save it as .tif"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(tmp_path, image, error, words):
    with pytest.raises(error, match=words):
        gpuimg.save_image(tmp_path / "a.fits", image)
    assert not list(tmp_path.iterdir())


def test_the_command_line_takes_them(tmp_path):
    image = values((20, 15), "float32")
    gpuimg.save_image(tmp_path / "sky.fits", image)
    words = ["run", str(tmp_path / "sky.fits"), "-f", "median:3", "-o", str(tmp_path / "out.fits")]
    assert CliRunner().invoke(cli, words).exit_code == 0
    np.testing.assert_array_equal(gpuimg.open_image(tmp_path / "out.fits"), gpuimg.median(image, 3))


WITHOUT = """
import sys
sys.modules["astropy"] = None
import numpy as np, gpuimg
for act in (lambda: gpuimg.open_image(sys.argv[1]), lambda: gpuimg.save_image(sys.argv[2], np.zeros((3, 3)))):
    try:
        act()
    except gpuimg.errors.CodecMissing as error:
        print(error)
"""


def test_without_astropy_the_command_is_named(tmp_path):
    gpuimg.save_image(tmp_path / "a.fits", np.zeros((3, 3), np.uint8))
    command = [sys.executable, "-c", WITHOUT, tmp_path / "a.fits", tmp_path / "b.fits"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    words = "FITS files need a codec that is not installed: pip install astropy"
    assert lines == [f"{tmp_path / name}: {words}" for name in ("a.fits", "b.fits")]
