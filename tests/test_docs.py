"""The examples in docstrings run, and every public function has what a reader needs."""

import doctest
import inspect

import numpy as np
import pytest

import gpuimg

PUBLIC = sorted(set(gpuimg.__all__) - {"FILTERS", "__version__"})
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(gpuimg, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_run(name, tmp_path, monkeypatch):
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
