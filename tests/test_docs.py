"""The examples in docstrings run, and every public function has what a reader needs."""

import doctest
import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pytest

import gpuimg

PUBLIC = sorted(set(gpuimg.__all__) - {"FILTERS", "__version__"})
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(gpuimg, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.usefixtures("figures_file")  # what `explain` says depends on how long calls took before
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.delenv("GPUIMG_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    function = inspect.unwrap(getattr(gpuimg, name))
    finder = doctest.DocTestFinder(recurse=False)
    (found,) = finder.find(function, name, globs={"np": np, "gpuimg": gpuimg})
    if name != "calibrate":  # it takes half a minute
        assert found.examples, f"{name} has no example"
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found)
    assert result.failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_name_every_parameter(name):
    function = inspect.unwrap(getattr(gpuimg, name))
    document = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters:
        assert parameter in document, f"{name} does not explain {parameter}"


@pytest.mark.parametrize("name", gpuimg.FILTERS)
def test_filters_say_what_they_give(name):
    document = inspect.getdoc(gpuimg.FILTERS[name].function)
    for part in ("Parameters\n", "Returns\n", "Examples\n"):
        assert part in document, f"{name} has no section {part.strip()}"


@pytest.fixture
def gallery():
    path = Path(__file__).parents[1] / "docs" / "gallery.py"
    spec = importlib.util.spec_from_file_location("gallery", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_filters_is_made_from_their_documentation(gallery):
    assert gallery.TARGET.read_text() == gallery.whole(), "run docs/gallery.py"


def test_every_filter_of_images_is_shown(gallery):
    shown = {path.stem for path in gallery.PICTURES.iterdir()}
    drawn = {name for name, entry in gpuimg.FILTERS.items() if gallery.pair(entry)[1] is not None}
    assert shown == drawn, "run docs/gallery.py"
