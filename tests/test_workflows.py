"""The worked examples in docs/workflows return what their originals by scikit-image and SciPy return."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gpuimg
from tests.conftest import assert_same

ROOT = Path(__file__).parents[1]
OVERLAY_LEVELS = 1  # the image is rounded to uint8 before the colours are laid over it, there afterwards
SMOOTH_LEVELS = 1  # of a Gaussian on integers
SHARE = 1e-3  # of the pixels, that a threshold one level higher or lower decides


@pytest.fixture(scope="module")
def originals():
    """bench/originals.py"""
    spec = importlib.util.spec_from_file_location("originals", ROOT / "bench" / "originals.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def both(originals, name, *sides, **given):
    """What a script's job returns for a picture with these sides, and what its original does."""
    flow = originals.WORKFLOWS[name]
    script = flow.module()
    picture = script.picture(*sides)
    return flow.job(script)(picture, **given), flow.original(picture, **given)


def test_nuclei(originals, backend):
    with gpuimg.use_backend(backend):
        found, (table, labels, overlay) = both(originals, "nuclei", 120, 260)
    np.testing.assert_array_equal(found.labels, labels)
    assert len(table["label"]) > 5
    assert list(found.table) == list(table)
    for name, column in table.items():
        np.testing.assert_allclose(found.table[name], column, rtol=1e-9, atol=1e-9, err_msg=name)
    assert found.overlay.dtype == overlay.dtype
    assert np.abs(found.overlay.astype(int) - overlay).max() <= OVERLAY_LEVELS
    assert (found.overlay == 255).all(axis=2).any()


def test_nuclei_of_the_least_size_are_kept(originals):
    found, (table, *_) = both(originals, "nuclei", 120, 260)
    size = int(np.sort(table["area"])[2])
    found, (table, *_) = both(originals, "nuclei", 120, 260, min_size=size)
    assert min(table["area"]) == size
    np.testing.assert_array_equal(found.table["label"], table["label"])


def test_time_series(originals, backend, tmp_path):
    with gpuimg.use_backend(backend):
        found, (frames, levels, masks) = both(originals, "time_series", 4, 96, 130)
    assert found.frames.dtype == frames.dtype
    assert np.abs(found.frames.astype(int) - frames).max() <= 2 * SMOOTH_LEVELS
    assert np.abs(found.levels.astype(int) - levels).max() <= 2 * SMOOTH_LEVELS
    assert (found.masks != masks).mean() <= SHARE
    assert 0.01 < found.masks.mean() < 0.5
    gpuimg.save_image(tmp_path / "frames.tif", found.frames, axes="TYX")
    assert_same(gpuimg.open_image(tmp_path / "frames.tif"), found.frames)


SAVED = {
    "nuclei": {"image.png", "labels.tif", "nuclei.csv", "overlay.png"},
    "time_series": {"frames.tif", "masks.tif"},
}


@pytest.mark.parametrize("name", SAVED)
def test_scripts_run(name, tmp_path):
    script = ROOT / "docs" / "workflows" / f"{name}.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == SAVED[name]


def test_pictures_of_the_benchmark(originals):
    for name, flow in originals.WORKFLOWS.items():
        picture, *_ = flow.picture(flow.module(), 1.1)
        pixels = picture.size / (3 if picture.shape[-1] == 3 else 1)
        assert abs(pixels / 1.1e6 - 1) < 0.1, name
