"""The demo: its picture, its routes written without gpuimg, and what it finds."""

import asyncio
import subprocess
import sys
import time
from array import array

import numpy as np
import pytest
from click.testing import CliRunner

import gpuimg
from gpuimg import cli, demo, demo_lag, demo_routes
from gpuimg.advice import BackendStatus

ROUTES = [
    "plain Python",
    "plain Python, threads",
    "plain Python, processes",
    "NumPy slices",
    "gpuimg single",
    "gpuimg multicore",
    "gpuimg processes",
    "gpuimg cuda",
]
SHAPES = [(1, 1), (3, 2), (1, 40), (40, 1), (33, 47)]


def busy(shape):
    """Flat parts, steps and noise."""
    image = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    image[: shape[0] // 3] = 100
    image[:, : shape[1] // 4] //= 9
    return image


def rows_of(image):
    return [bytes(row) for row in image]


def test_the_picture_is_the_same_at_each_call():
    image = demo.photo(0.3)
    assert image.dtype == np.uint8
    assert abs(image.size - 300_000) < 1000
    np.testing.assert_array_equal(image, demo.photo(0.3))
    assert 0.005 < np.mean(image == 0) < 0.05
    assert 0.005 < np.mean(image == 255) < 0.05
    assert image.std() > 20


@pytest.mark.parametrize("megapixels", [1e-4, 0.01, 0.5])
def test_the_picture_has_the_size_asked_for(megapixels):
    rows, cols = demo.photo(megapixels).shape
    assert rows * cols == pytest.approx(megapixels * 1e6, rel=0.1)


def test_the_network_finds_medians():
    values = np.random.default_rng(0).integers(0, 256, (25, 500))
    slices = list(values)
    for first, second, keep_low, keep_high in demo_routes.median_network(25):
        low, high = np.minimum(slices[first], slices[second]), np.maximum(slices[first], slices[second])
        slices[first] = low if keep_low else None
        slices[second] = high if keep_high else None
    np.testing.assert_array_equal(slices[12], np.median(values, axis=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_plain_python_and_numpy_agree(shape):
    image, weights = busy(shape), demo.gaussian_weights()
    edges, level, mask = demo_routes.plain(rows_of(image), weights)
    outcome = demo_routes.sliced(image, weights)
    assert level == outcome.level
    np.testing.assert_array_equal(np.array(edges, np.float32), outcome.edges)
    np.testing.assert_array_equal(np.array([list(row) for row in mask], bool), outcome.mask)


@pytest.mark.parametrize("parts", [2, 3, 50])
def test_bands_make_no_difference(parts):
    image, weights = busy((33, 47)), demo.gaussian_weights()
    whole = demo_routes.plain(rows_of(image), weights)
    assert demo_routes.plain(rows_of(image), weights, map, parts) == whole


def test_both_agree_with_scipy_and_scikit_image():
    ndimage = pytest.importorskip("scipy.ndimage")
    filters = pytest.importorskip("skimage.filters")
    image, weights = busy((60, 50)), demo.gaussian_weights()
    assert sum(weights.taps) in (65535, 65536)
    smooth = ndimage.gaussian_filter(ndimage.median_filter(image, 5).astype(float), 1.5)
    outcome = demo_routes.sliced(image, weights)
    np.testing.assert_allclose(outcome.edges, filters.sobel(smooth), atol=1.5)
    assert outcome.level == pytest.approx(filters.threshold_otsu(outcome.edges), rel=1e-6)
    np.testing.assert_array_equal(outcome.mask, outcome.edges > np.float32(outcome.level))


def test_bins_are_those_of_numpy():
    for low, high in ((0.0, 1.0), (0.3, 217.77), (1e-3, 1e4)):
        ends = array("f", [low, high])
        bounds = demo_routes.plain_bins(*ends)
        np.testing.assert_array_equal(bounds, np.histogram_bin_edges(np.array(ends, np.float32), 256))


@pytest.mark.parametrize("shape", SHAPES)
def test_gpuimg_makes_the_same_pixels(shape):
    image = busy(shape)
    found, expected = demo.by_gpuimg(image, "single"), demo_routes.sliced(image, demo.gaussian_weights())
    np.testing.assert_array_equal(found.edges, expected.edges)
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert found.level == expected.level


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The demo's timings, steps, folder and picture, for a picture a little larger than the crop."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "pictures"
    patch = pytest.MonkeyPatch()
    patch.setattr(demo, "CROP", 90)
    image = demo.photo(0.02)
    begun = []
    result = demo.demo(image, folder, begun.append)
    patch.undo()
    return result, begun, folder, image


def test_every_route_is_timed_and_makes_the_same_pixels(found):
    timings = found[0].timings
    assert [timing.route for timing in timings] == ROUTES
    for timing in timings:
        if timing.seconds is None:
            assert timing.route.startswith("gpuimg")
            assert timing.note
        else:
            assert timing.seconds > 0
            assert timing.same, timing


def test_plain_python_is_scaled_up(found):
    assert [timing.scaled for timing in found[0].timings] == [True] * 3 + [False] * 5
    assert found[0].crop == (90, 90)


def test_steps_are_as_many_as_promised(found):
    assert len(found[1]) == demo.steps()


def test_pictures_are_saved(found):
    _, _, folder, image = found
    np.testing.assert_array_equal(gpuimg.open_image(folder / "before.png"), image)
    after = gpuimg.open_image(folder / "after.png")
    np.testing.assert_array_equal(after, demo.by_gpuimg(image, "single").mask * np.uint8(255))
    assert gpuimg.open_image(folder / "detail.png").shape == (90, 270)
    assert sorted(path.name for path in folder.iterdir()) == ["after.png", "before.png", "detail.png"]


def test_other_pixels_are_told():
    expected = demo_routes.sliced(busy((20, 30)), demo.gaussian_weights())
    edges = expected.edges.copy()
    edges[3, 4] += 1
    timing = demo._compared(demo.Timing("x", 1.0), expected._replace(edges=edges), expected)
    assert timing.same is False
    assert timing.note == "1 pixels differ"


def test_a_backend_that_cannot_run_says_why():
    image = busy((20, 30))
    expected = demo_routes.sliced(image, demo.gaussian_weights())
    status = BackendStatus("cuda", False, "no GPU", "")
    timing = demo._backend_timing(status, image, image, expected, 0.0)
    assert (timing.route, timing.seconds, timing.note) == ("gpuimg cuda", None, "no GPU")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[0, 200]], np.uint8), [[0, 200]]),
        (np.array([[False, True]]), [[0, 255]]),
        (np.array([[256, 65535]], np.uint16), [[1, 255]]),
        (np.array([[[7, 255]]], np.uint8), [[7]]),
    ],
)
def test_pictures_become_grey_of_8_bits(image, expected):
    np.testing.assert_array_equal(demo.grey_8bit(image), expected)
    assert demo.grey_8bit(image).dtype == np.uint8


def test_a_colour_picture_becomes_grey():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
    np.testing.assert_array_equal(demo.grey_8bit(image), gpuimg.rgb2gray(image))


def test_a_float_picture_is_refused(tmp_path):
    gpuimg.save_image(tmp_path / "a.tif", np.zeros((4, 4), np.float32))
    result = CliRunner().invoke(cli.cli, ["demo", "--image", str(tmp_path / "a.tif"), "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'a.tif'}: image must have 8 or 16 bits for the demo, got float32\n"


def test_wrong_usage(tmp_path):
    for args in (["--megapixels", "0"], ["--megapixels", "1", "--image", "a.png"]):
        assert CliRunner().invoke(cli.cli, ["demo", "--out", str(tmp_path), *args]).exit_code == 2


def test_max_pixels(tmp_path):
    gpuimg.save_image(tmp_path / "a.png", np.zeros((40, 50), np.uint8))
    args = ["demo", "--image", str(tmp_path / "a.png"), "--out", str(tmp_path), "--max-pixels", "1999"]
    result = CliRunner().invoke(cli.cli, args)
    assert result.exit_code == 1
    assert "50 x 40 pixels are over the limit of 1999" in result.stderr


def test_pictures_that_cannot_be_saved_are_told_first(tmp_path):
    (tmp_path / "file").touch()
    result = CliRunner().invoke(cli.cli, ["demo", "--megapixels", "0.01", "--out", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'file'}: file exists\n"


def test_the_command_with_a_picture_of_ones_own(tmp_path):
    gpuimg.save_image(tmp_path / "own.png", np.dstack([demo.photo(0.01)] * 3))
    command = [sys.executable, "-m", "gpuimg", "demo", "--image", "own.png", "--out", "."]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert result.stderr == ""
    for route in ROUTES:
        assert f"\n{route}" in result.stdout
    assert "NO" not in result.stdout.split()
    assert "Saved before.png, after.png, detail.png" in result.stdout


def test_how_free_a_loop_stays(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo_lag, "LOADS", 2)
    monkeypatch.setattr(demo_lag, "PLAIN_PIXELS", 3000)
    result = CliRunner().invoke(cli.cli, ["demo", "--async", "--megapixels", "0.02"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("0.02 megapixels")
    for way in ("blocking calls in the loop", "plain Python loops", "to_thread", "worker processes", "gpuimg jobs"):
        assert sum(way in line for line in lines) == 1
    assert list(tmp_path.iterdir()) == []


def test_lags_are_measured():
    async def block():
        time.sleep(0.05)

    async def sleep():
        await asyncio.sleep(0.05)

    blocked, seconds = asyncio.run(demo_lag.lags(block))
    free, _ = asyncio.run(demo_lag.lags(sleep))
    assert seconds >= 0.05
    assert max(blocked) >= 40  # milliseconds: the task could not wake up before the call was done
    assert len(free) >= 2


def test_the_blur_in_plain_python():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    weights = np.array([[0, 2, 0], [1, 2, 1], [0, 2, 0]])
    expected = [(image[0:3, x : x + 3] * weights).sum() // 8 for x in range(2)]
    assert demo_lag.plain_blur(image) == [expected]
