"""The scripts in docs/workflows return what their originals in bench/originals.py return, and run by themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter

import gpuimg
from bench import originals
from tests.conftest import assert_same

ROOT = Path(__file__).parents[1]
OVERLAY_LEVELS = 1  # the image is rounded to uint8 before the colours are laid over it, there afterwards
SMOOTH_LEVELS = 1  # of a Gaussian on integers
INK_APART = 2e-3  # share of the pixels: grey values are rounded, and are interpolated and thresholded from there
STARS_APART = 0.01  # share of the stars: those at the threshold, whose noise depends on which pixels stand out
FLUX_APART, BACKGROUND_APART = 0.01, 0.02  # relative; of 100 to 140
MEAN_APART, MOST_APART = 1, 15  # levels of bytes: Pillow does not mirror edges, and its Gaussian is made of boxes
FILES_APART = 3  # in the mean: Pillow's files have colours of half the resolution
SHARE = 1e-3  # of the pixels, that a threshold one level higher or lower decides


def both(name, *sides, **given):
    """What a script's job returns for a picture with these sides, and what its original does."""
    flow = originals.WORKFLOWS[name]
    script = flow.module()
    picture = script.picture(*sides)
    return flow.job(script)(picture, **given), flow.original(picture, **given)


def test_nuclei(backend):
    with gpuimg.use_backend(backend):
        found, (table, labels, overlay) = both("nuclei", 120, 260)
    np.testing.assert_array_equal(found.labels, labels)
    assert len(table["label"]) > 5
    assert list(found.table) == list(table)
    for name, column in table.items():
        np.testing.assert_allclose(found.table[name], column, rtol=1e-9, atol=1e-9, err_msg=name)
    assert found.overlay.dtype == overlay.dtype
    assert np.abs(found.overlay.astype(int) - overlay).max() <= OVERLAY_LEVELS
    assert (found.overlay == 255).all(axis=2).any()


def test_nuclei_of_the_least_size_are_kept():
    found, (table, *_) = both("nuclei", 120, 260)
    size = int(np.sort(table["area"])[2])
    found, (table, *_) = both("nuclei", 120, 260, min_size=size)
    assert min(table["area"]) == size
    np.testing.assert_array_equal(found.table["label"], table["label"])


def test_time_series(backend, tmp_path):
    with gpuimg.use_backend(backend):
        found, (frames, levels, masks) = both("time_series", 4, 96, 130)
    assert found.frames.dtype == frames.dtype
    assert np.abs(found.frames.astype(int) - frames).max() <= 2 * SMOOTH_LEVELS
    assert np.abs(found.levels.astype(int) - levels).max() <= 2 * SMOOTH_LEVELS
    assert (found.masks != masks).mean() <= SHARE
    assert 0.01 < found.masks.mean() < 0.5
    gpuimg.save_image(tmp_path / "frames.tif", found.frames, axes="TYX")
    assert_same(gpuimg.open_image(tmp_path / "frames.tif"), found.frames)


def test_page():
    image = originals.script("page").picture(1000, 750)
    found = originals.script("page").page(image)
    paper, angle = originals.page(image)
    assert found.angle == angle == 1.5
    assert np.mean(found.paper != paper) < INK_APART
    assert 0.05 < 1 - paper.mean() < 0.2


@pytest.mark.parametrize("skew", [-2.25, 0, 2])
def test_pages_are_straightened(skew):
    workflow = originals.script("page")
    assert workflow.page(workflow.picture(600, 500, 1, skew)).angle == skew


def test_sky():
    image = originals.script("sky").picture(474, 632)
    found = originals.script("sky").sky(image)
    rows, cols, flux, background = originals.sky(image)
    there = dict(zip(zip(found.rows, found.cols, strict=True), found.flux, strict=True))
    expected = dict(zip(zip(rows, cols, strict=True), flux, strict=True))
    both = there.keys() & expected.keys()
    assert len(both) > 50
    assert len(there.keys() ^ expected.keys()) <= STARS_APART * len(expected)
    np.testing.assert_allclose([there[at] for at in both], [expected[at] for at in both], rtol=FLUX_APART)
    assert_same(np.isnan(found.background), np.isnan(background))
    np.testing.assert_allclose(found.background, background, atol=BACKGROUND_APART, rtol=0)


def test_a_sky_without_holes_has_the_same_stars():
    workflow = originals.script("sky")
    image = workflow.picture(300, 400, 5)
    found = workflow.sky(np.nan_to_num(image, nan=110))
    holes = workflow.sky(image)
    seen = set(zip(holes.rows, holes.cols, strict=True))
    assert len(seen & set(zip(found.rows, found.cols, strict=True))) > 0.9 * len(seen)


def turned_with_profile(path, image):
    """A JPEG file whose pixels lie on their side, with a profile and the name of a camera."""
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(image).save(path, quality=95, exif=exif, icc_profile=profile)
    return profile


def test_thumbnails(tmp_path):
    workflow = originals.script("thumbnails")
    workflow.draw_into(tmp_path / "pictures", 2, 420, 610)
    profile = turned_with_profile(tmp_path / "pictures" / "turned.jpg", workflow.picture(300, 480, 9))
    found = workflow.thumbnails(tmp_path / "pictures", tmp_path / "found", (200, 160))
    expected = originals.thumbnails(tmp_path / "pictures", tmp_path / "expected", (200, 160))
    assert [path.name for path in found] == [path.name for path in expected]
    for ours, theirs in zip(found, expected, strict=True):
        a, b = (np.asarray(Image.open(path)).astype(int) for path in (ours, theirs))
        if ours.stem == "turned":  # Pillow fits the box before it turns
            assert a.shape == (160, 100, 3)
            continue
        assert a.shape == b.shape
        assert np.abs(a - b).mean() < FILES_APART
    with Image.open(found[-1]) as turned:
        assert turned.info["icc_profile"] == profile
        assert turned.getexif()[0x0110] == "camera"
        assert turned.getexif().get(0x0112, 1) == 1


def test_pixels_of_thumbnails():
    workflow = originals.script("thumbnails")
    image = workflow.picture(420, 610)
    plain = Image.fromarray(image)
    plain.thumbnail((200, 160), Image.Resampling.LANCZOS)
    expected = np.asarray(plain.filter(ImageFilter.UnsharpMask(1, 80, 0))).astype(int)
    apart = np.abs(workflow.thumbnail(image, (200, 160)) - expected)
    assert apart.mean() < MEAN_APART
    assert apart.max() < MOST_APART


def test_thumbnails_of_other_kinds(tmp_path):
    """16 bits, alpha, grey, and images that are small already."""
    workflow = originals.script("thumbnails")
    folder = tmp_path / "pictures"
    folder.mkdir()
    grey = np.full((90, 300), 0x8080, np.uint16)
    gpuimg.save_image(folder / "grey.png", grey)
    gpuimg.save_image(folder / "alpha.png", np.full((400, 300, 4), 200, np.uint8))
    gpuimg.save_image(folder / "small.png", np.full((20, 30, 3), 77, np.uint8))
    made = workflow.thumbnails(folder, tmp_path / "made", (100, 100))
    shapes = {path.stem: gpuimg.open_image(path).shape for path in made}
    assert shapes == {"alpha": (100, 75, 3), "grey": (30, 100), "small": (20, 30, 3)}
    assert_same(gpuimg.open_image(tmp_path / "made" / "grey.jpg"), np.full((30, 100), 128, np.uint8))


SAVED = {
    "nuclei": ("nuclei, of ", {"image.png", "labels.tif", "nuclei.csv", "overlay.png"}),
    "page": ("turned by 1.5 degrees", {"page.png", "scan.png"}),
    "sky": ("stars, the brightest of", {"background.tif", "sky.tif", "stars.csv"}),
    "thumbnails": ("picture-0.jpg: 256 x 171, 'picture 0'", {"pictures", "thumbnails"}),
    "time_series": ("40 frames, thresholds from", {"frames.tif", "masks.tif"}),
}


@pytest.mark.parametrize("name", SAVED)
def test_scripts_run(name, tmp_path):
    says, files = SAVED[name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, originals.SCRIPTS / f"{name}.py", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == files


@pytest.mark.parametrize("name", originals.WORKFLOWS)
def test_pictures_of_the_benchmark(name):
    flow = originals.WORKFLOWS[name]
    assert {path.name for path in originals.SCRIPTS.iterdir() if path.suffix == ".py"} == {
        each.script for each in originals.WORKFLOWS.values()
    }
    picture, *_ = flow.picture(flow.module(), 1.1)
    if name == "thumbnails":
        pixels = sum(gpuimg.open_image(path)[..., 0].size for path in picture.iterdir())
        shutil.rmtree(picture.parent)
    else:
        pixels = picture.size / (3 if picture.shape[-1] == 3 else 1)
    assert abs(pixels / 1.1e6 - 1) < 0.1
