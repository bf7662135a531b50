"""Calls on the CPU that are worked out once and done again for other arrays."""

from __future__ import annotations

import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import gpuimg
from gpuimg import choosing, images, stopping
from gpuimg import run as running
from gpuimg.backend import chain, native
from gpuimg.backend.calls import FLAG, Quick, slots_for
from gpuimg.backend.series import series_of
from gpuimg.backend.single import Single
from gpuimg.backend.walk import Bound
from gpuimg.errors import NoScratch
from gpuimg.filters.exposure import plan_extrema, plan_invert, plan_rescale_intensity
from gpuimg.machine import Figures
from gpuimg.plans.graph import graph_of, made_graph
from gpuimg.plans.nodes import Fold, host, point
from gpuimg.plans.value import Value
from gpuimg.registry import arguments
from tests.conftest import parts, wait_until

SHAPE = (41, 67)
IMAGES = [np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8) for number in range(8)]


@pytest.fixture(params=["single", "multicore", "auto"])
def name(request):
    return request.param


@pytest.fixture
def interruptible():
    """Work that somebody may stop, which short calls are not."""
    with stopping.interrupted_by(stopping.Watch()):
        yield


def test_the_same_call_in_several_threads(name):
    def many(image):
        return [gpuimg.invert(image, backend=name) for _ in range(200)]

    with ThreadPoolExecutor(len(IMAGES)) as threads:
        for image, results in zip(IMAGES, threads.map(many, IMAGES), strict=True):
            for result in results:
                np.testing.assert_array_equal(result, 255 - image)


@pytest.mark.usefixtures("interruptible")
def test_a_call_within_the_same_call(monkeypatch):
    """A signal's handler may filter an image too."""
    real, inner = Single.call, []

    def call(self, *given):
        if not inner:
            inner.append(None)
            inner[0] = gpuimg.invert(IMAGES[1], backend="single")
        return real(self, *given)

    gpuimg.invert(IMAGES[0], backend="single")
    monkeypatch.setattr(Single, "call", call)
    np.testing.assert_array_equal(gpuimg.invert(IMAGES[0], backend="single"), 255 - IMAGES[0])
    np.testing.assert_array_equal(inner[0], 255 - IMAGES[1])


@pytest.mark.usefixtures("interruptible")
def test_a_call_after_one_that_failed(monkeypatch):
    real, failed = Single.call, []

    def call(self, *given):
        if len(failed) < 2:
            failed.append(None)
            raise NoScratch("no memory for the rows")
        return real(self, *given)

    monkeypatch.setattr(Single, "call", call)
    with pytest.raises(NoScratch):
        gpuimg.invert(IMAGES[0], backend="single")
    np.testing.assert_array_equal(gpuimg.invert(IMAGES[0], backend="single"), 255 - IMAGES[0])


@pytest.mark.parametrize("readable", ["image", "other", "both", "neither"])
def test_read_only_images(readable, name):
    image, other = IMAGES[0].copy(), IMAGES[1].copy()
    image.flags.writeable = readable in ("other", "neither")
    other.flags.writeable = readable in ("image", "neither")
    total = np.minimum(image.astype(int) + other, 255)
    for _ in range(3):
        np.testing.assert_array_equal(gpuimg.threshold(image, 90, backend=name), image > 90)
        np.testing.assert_array_equal(gpuimg.add(image, other, backend=name), total)


def test_several_results(name):
    expected = gpuimg.canny(IMAGES[0], backend="single"), gpuimg.sobel(IMAGES[0], backend="single")
    for _ in range(3):
        for image in IMAGES:
            gpuimg.canny(image, backend=name)
        np.testing.assert_array_equal(gpuimg.canny(IMAGES[0], backend=name), expected[0])
        np.testing.assert_array_equal(gpuimg.sobel(IMAGES[0], backend=name), expected[1])


def test_each_call_looks_at_the_flag_of_its_thread():
    gpuimg.invert(IMAGES[0], backend="single")
    node = graph_of(plan_invert, ((SHAPE, IMAGES[0].dtype),), 0, ()).only
    (call,) = node.calls
    watch, results = stopping.Watch(), (np.empty_like(IMAGES[0]),)
    with stopping.watched(watch):
        slots = slots_for(call, IMAGES[0], (), (), results)
    assert slots.words[FLAG] == watch.address
    call.spare.append(slots)
    assert slots_for(call, IMAGES[0], (), (), results) is slots
    assert slots.words[FLAG] == stopping.UNSET
    watch.stop()
    with stopping.watched(watch), pytest.raises(stopping.Stopped):
        gpuimg.invert(IMAGES[0], backend="single")


def test_results_are_memory_of_their_own(name):
    first = gpuimg.invert(IMAGES[0], backend=name)
    second = gpuimg.invert(IMAGES[1], backend=name)
    assert not np.may_share_memory(first, second)
    np.testing.assert_array_equal(first, 255 - IMAGES[0])


@pytest.mark.parametrize("dtype", ["bool", "uint16", "int32", "float32", "float64", "complex64"])
def test_pixels_that_are_moved_as_integers(name, dtype):
    images = [image.astype(dtype) for image in IMAGES]
    out = np.empty_like(images[0])
    for image in images:
        expected = np.flip(image, 1)
        np.testing.assert_array_equal(gpuimg.flip(image, 1, backend=name), expected, strict=True)
        assert gpuimg.flip(image, 1, backend=name, out=out) is out
        np.testing.assert_array_equal(out, expected, strict=True)


def described(dtype):
    return np.dtype(dtype, metadata={"taken": "today"})


def metadata_of(result):
    return [each.dtype.metadata for each in parts(result) if isinstance(each, np.ndarray)]


@pytest.mark.parametrize("name", sorted(gpuimg.FILTERS))
def test_no_metadata_of_a_dtype_gets_into_the_results_for_other_images(name):
    """Dtypes that differ in it alone are equal: the graph for one image serves another."""
    entry = gpuimg.FILTERS[name]
    shape, dtype = (29, 43, 3) if entry.color else (29, 43), entry.dtypes[0]
    noise = np.random.default_rng(3).integers(0, 200, shape)
    image = noise > 100 if dtype.kind == "b" else noise.astype(dtype)
    graph_of.cache_clear()
    for example in entry.examples:
        given = arguments(example, image)
        for each in (image.astype(described(dtype)), image):
            found = metadata_of(entry.function(each, **given, backend="single"))
            assert not any(found)


def test_metadata_of_dtypes_that_are_asked_for():
    graph_of.cache_clear()
    for dtype in (described(np.float32), np.dtype(np.float32)):
        assert metadata_of(gpuimg.astype(IMAGES[0], dtype, backend="single")) == [None]
        assert metadata_of(gpuimg.lut(IMAGES[0], np.arange(256).astype(dtype), backend="single")) == [None]


def test_folds_in_several_threads(name):
    def many(image):
        return [gpuimg.histogram(image, backend=name)[0] for _ in range(50)]

    with ThreadPoolExecutor(len(IMAGES)) as threads:
        for image, results in zip(IMAGES, threads.map(many, IMAGES), strict=True):
            for counts in results:
                np.testing.assert_array_equal(counts[counts > 0], np.unique(image, return_counts=True)[1])


def test_a_graph_that_was_prepared_while_it_was_watched():
    image = IMAGES[0][:23, :29].copy()
    graph = graph_of(plan_invert, ((image.shape, image.dtype),), 0, ())
    watch = stopping.Watch()
    for _ in range(2):
        with stopping.watched(watch):
            np.testing.assert_array_equal(gpuimg.invert(image, backend="single"), 255 - image)
        assert len(graph.direct) == 1
        np.testing.assert_array_equal(gpuimg.invert(image, backend="single"), 255 - image)
    assert watch.where == "single"


def calls_at_once(monkeypatch):
    """The native calls from now on."""
    seen = []
    real = running._filled_at_once

    def noted(*given):
        result = real(*given)
        seen.append(result is not None)
        return result

    monkeypatch.setattr(running, "_filled_at_once", noted)
    return seen


AT_ONCE = {
    "invert": ({}, lambda image: 255 - image),
    "threshold": ({"value": 90}, lambda image: image > 90),
    "flip": ({"axis": -1}, lambda image: image[:, ::-1]),
    "rot90": ({"k": 1}, np.rot90),
    "crop": ({"crop_width": 4}, lambda image: image[4:-4, 4:-4]),
    "pad": ({"pad_width": 5}, lambda image: np.pad(image, 5)),
    "add": ({"other": 1, "dtype": "float32"}, lambda image: image + np.float32(1)),
    "multiply": ({"other": 0.0}, np.zeros_like),
    "subtract": ({"other": IMAGES[1], "dtype": np.int16}, lambda image: image - np.int16(IMAGES[1])),
    "where": ({"a": IMAGES[1], "b": 7}, lambda image: np.where(image, IMAGES[1], np.uint8(7))),
}


@pytest.mark.parametrize("called", sorted(AT_ONCE))
def test_short_calls_at_once(called, monkeypatch):
    params, expected = AT_ONCE[called]
    function = partial(getattr(gpuimg, called), **params, backend="single")
    function(IMAGES[0])
    function(IMAGES[0])
    seen = calls_at_once(monkeypatch)
    for image in IMAGES:
        image = image.copy()
        image.flags.writeable = image[0, 0] > 100
        np.testing.assert_array_equal(function(image), expected(image), strict=True)
    out = np.empty_like(expected(IMAGES[0]), order="C")
    for image in IMAGES:
        assert function(image, out=out) is out
        np.testing.assert_array_equal(out, expected(image), strict=True)
    assert seen == 2 * len(IMAGES) * [True]


CHAINS = {
    "black_tophat": {"footprint": 5},
    "closing": {"footprint": 3},
    "difference_of_gaussians": {"low_sigma": 1},
    "morphological_gradient": {"footprint": 3},
    "opening": {"footprint": np.ones((3, 5), bool)},
    "threshold_local": {"block_size": 5},
    "unsharp_mask": {},
    "white_tophat": {"footprint": 9},
}


def checked_in_threads(function, images, monkeypatch):
    """Compare calls in four threads with calls that can be stopped; return their results, and which were at once."""
    with stopping.interrupted_by(stopping.Watch()):
        expected = [function(image) for image in images]
    function(images[0])
    function(images[0])
    seen = calls_at_once(monkeypatch)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            for result, each in zip(threads.map(function, images), expected, strict=True):
                for one, other in zip(parts(result), parts(each), strict=True):
                    np.testing.assert_array_equal(one, other, strict=True)
    return expected, seen


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("called", sorted(CHAINS))
def test_chains_at_once(called, dtype, monkeypatch):
    function = partial(getattr(gpuimg, called), **CHAINS[called], backend="single")
    images = [image.astype(dtype) for image in IMAGES]
    expected, seen = checked_in_threads(function, images, monkeypatch)
    memory = np.empty(2 * images[0].size, dtype)
    memory[: images[0].size] = images[1].ravel()
    image = memory[: images[0].size].reshape(SHAPE)
    if expected[1].dtype == dtype:  # the result overlaps the image
        out = memory[99 : 99 + image.size].reshape(SHAPE)
        np.testing.assert_array_equal(function(image, out=out), expected[1])
        assert seen.pop() is False
    assert seen == 5 * len(images) * [True]


SERIES = {
    "apply_hysteresis_threshold": {"low": 60, "high": 200},
    "canny": {},
    "equalize_adapthist": {},
    "equalize_hist": {},
    "gradient": {},
    "histogram": {"bins": 7},
    "integral_image": {},
    "local_maxima": {},
    "rescale_intensity": {},
    "threshold_li": {},
    "threshold_multiotsu": {},
    "threshold_otsu": {},
    "threshold_triangle": {},
    "threshold_yen": {},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("called", sorted(SERIES))
def test_series_of_calls(called, dtype, monkeypatch):
    function = partial(getattr(gpuimg, called), **SERIES[called], backend="single")
    images = [(image // (1 + number)).astype(dtype) for number, image in enumerate(IMAGES)]
    _, seen = checked_in_threads(function, images, monkeypatch)
    assert seen == 5 * len(images) * [True]


def overlapping(shape, dtype, rows):
    """An image, and an array of its shape that begins ``rows`` rows behind it in the same memory."""
    memory = np.empty((shape[0] + rows, shape[1]), dtype)
    return memory[: shape[0]], memory[rows:]


@pytest.mark.parametrize("rows", [0, 3, SHAPE[0]])
@pytest.mark.parametrize("called", ["rescale_intensity", "equalize_hist"])
def test_results_of_series_in_given_memory(called, rows, monkeypatch):
    function = partial(getattr(gpuimg, called), backend="single")
    image, out = overlapping(SHAPE, np.uint8, rows)
    expected = [function(each) for each in IMAGES]
    seen = calls_at_once(monkeypatch)
    for given, each in zip(IMAGES, expected, strict=True):
        image[...] = given
        assert function(image, out=out) is out
        np.testing.assert_array_equal(out, each)
    assert seen == [rows == SHAPE[0]] * len(IMAGES)


FILLED = ["apply_hysteresis_threshold", "canny", "equalize_adapthist", "integral_image", "local_maxima"]


@pytest.mark.parametrize("called", FILLED)
def test_results_of_several_native_calls_in_given_memory(called, monkeypatch):
    function = partial(getattr(gpuimg, called), **SERIES[called], backend="single")
    expected = [function(image) for image in IMAGES]
    seen = calls_at_once(monkeypatch)
    for image, each in zip(IMAGES, expected, strict=True):
        out = np.empty_like(each)
        assert function(image, out=out) is out
        np.testing.assert_array_equal(out, each)
    assert seen == [True] * len(IMAGES)


def test_several_results_in_given_memory(monkeypatch):
    function = partial(gpuimg.gradient, backend="single")
    images = [image.astype(np.float32) for image in IMAGES]
    expected = [function(image) for image in images]
    outs = tuple(np.empty_like(each) for each in expected[0])
    seen = calls_at_once(monkeypatch)
    for image, results in zip(images, expected, strict=True):
        assert all(one is out for one, out in zip(function(image, out=outs), outs, strict=True))
        for one, result in zip(outs, results, strict=True):
            np.testing.assert_array_equal(one, result, strict=True)
    assert seen == len(images) * [True]
    for wrong in (outs[0], (outs[0], outs[0]), outs[:1], (outs[0], outs[1][:2]), (outs[0], outs[1].astype(int))):
        with pytest.raises((TypeError, ValueError), match=r"^out must"):
            function(images[0], out=wrong)
    np.testing.assert_array_equal(function(images[3], out=(outs[0], images[3]))[0], expected[3][0])
    assert not any(seen[len(images) :])
    np.testing.assert_array_equal(images[3], expected[3][1])


def test_errors_of_host_functions_between_short_calls():
    for image in IMAGES:
        pixels = image.astype(np.float32)
        low, high = float(pixels.min()), float(pixels.max())
        expected = gpuimg.rescale_intensity(pixels, (low, high), backend="single")
        np.testing.assert_array_equal(gpuimg.rescale_intensity(pixels, backend="single"), expected)
        pixels[7, 5] = np.nan
        with pytest.raises(ValueError, match="image must be finite"):
            gpuimg.rescale_intensity(pixels, backend="single")
    with pytest.raises(TypeError, match="out must be None"):
        gpuimg.threshold_otsu(image, backend="single", out=np.empty(1))


def test_tables_of_other_dtypes_between_short_calls(monkeypatch):
    seen = calls_at_once(monkeypatch)
    for image in IMAGES:
        for dtype in (np.uint8, np.float32, bool, np.int64, np.float64):
            table = np.random.default_rng(image[0, 0]).integers(0, 99, 256).astype(dtype)
            np.testing.assert_array_equal(gpuimg.lut(image, table, backend="single"), table[image], strict=True)
    assert len(seen) >= 5 * (len(IMAGES) - 2)
    assert all(seen)


@pytest.mark.parametrize("make", [lambda _: 3, lambda _: np.float64(3), lambda _: True, lambda _: np.int64(3), float])
def test_numbers_that_native_calls_take(make):
    graph = graph_of_limits(lambda extrema: make(extrema[0]))
    for image in IMAGES:
        for bound in (Bound(graph, (image,)), Bound(graph, (image + (image < 9),))):
            (expected,) = Single().run(bound)
            (result,) = series_of(graph).run(bound.arrays, None)
            np.testing.assert_array_equal(result.view(bool), expected.view(bool), strict=True)


def graph_of_limits(limit):
    """The graph of a comparison with a number that a function makes of the extrema."""
    image = Value(SHAPE, IMAGES[0].dtype)
    value = host(limit, plan_extrema(image))
    return made_graph((image,), point("threshold", image, dtype=np.dtype(bool), value=value, always=0))


def test_series_end_where_a_number_changes_its_type():
    given = [4.5]
    graph = graph_of_limits(lambda _: given[0])
    Single().run(Bound(graph, (IMAGES[0],)))
    series = series_of(graph)
    (result,) = series.run((IMAGES[0],), None)
    np.testing.assert_array_equal(result, IMAGES[0] > 4.5)
    given[0] = 5
    assert series.run((IMAGES[0],), None) is None
    given[0] = np.float32(5)
    assert series.run((IMAGES[0],), None) is None
    assert series_of(graph_of_limits(float)) is None  # it has not run


@pytest.mark.parametrize("change", ["shape", "dtype", "order"])
def test_series_end_where_a_table_changes_its_form(change):
    tables = {
        "shape": np.arange(512, dtype=np.uint8).reshape(2, -1),
        "dtype": np.arange(256, dtype=np.int8).reshape(1, -1),
        "order": np.arange(512, dtype=np.uint8).reshape(1, -1)[:, ::2],
    }
    table = np.arange(256, dtype=np.uint8)[::-1].reshape(1, -1).copy()
    given = [table]
    image = Value(SHAPE, IMAGES[0].dtype)
    looked_up = point("lut", image, table=host(lambda _: given[0], plan_extrema(image)))
    graph = made_graph((image,), looked_up)
    Single().run(Bound(graph, (IMAGES[0],)))
    series = series_of(graph)
    np.testing.assert_array_equal(series.run((IMAGES[1],), None)[0], 255 - IMAGES[1])
    given[0] = tables[change]
    assert series.run((IMAGES[1],), None) is None


def test_a_series_that_failed_is_not_tried_again(monkeypatch):
    graph_of.cache_clear()
    monkeypatch.setattr(running, "_quick", {})
    for _ in range(3):
        gpuimg.equalize_hist(IMAGES[0], backend="single")
    (key,) = running._quick
    tried = []
    monkeypatch.setitem(running._quick, key, running._quick[key]._replace(fill=lambda *given: tried.append(given)))
    for image in IMAGES:
        with stopping.interrupted_by(stopping.Watch()):
            expected = gpuimg.equalize_hist(image, backend="single")
        np.testing.assert_array_equal(gpuimg.equalize_hist(image, backend="single"), expected)
    assert len(tried) == 1


def test_a_series_without_memory_is_tried_again(monkeypatch):
    graph_of.cache_clear()
    monkeypatch.setattr(running, "_quick", {})
    expected = [gpuimg.equalize_hist(image, backend="single") for image in IMAGES]
    (key,) = running._quick
    real, failed = running._quick[key].fill, []

    def fill(*given):
        if not failed:
            failed.append(None)
            raise MemoryError
        return real(*given)

    monkeypatch.setitem(running._quick, key, running._quick[key]._replace(fill=fill))
    seen = calls_at_once(monkeypatch)
    for image, each in zip(IMAGES, expected, strict=True):
        np.testing.assert_array_equal(gpuimg.equalize_hist(image, backend="single"), each)
    assert seen == [False, *[True] * (len(IMAGES) - 1)]


@pytest.mark.parametrize("reads", [0, 1, 2, 3])
def test_a_series_that_fails_in_another_thread(reads, monkeypatch):
    class Failing(list):
        """Calls that are None after some reads."""

        def __getitem__(self, place):
            self.left -= 1
            return super().__getitem__(place) if self.left >= 0 else None

    monkeypatch.setattr(running, "_quick", {"key": None})
    prepared = Failing([Quick(len, None, None)])
    prepared.left = reads
    running._prepare("key", "single", SimpleNamespace(quick=prepared))
    kept = running._quick["key"]
    assert kept is None if reads < 2 else kept.fill is len


OPERANDS = {
    "add": ({"other": IMAGES[3]}, {"other": 7}, {"other": 2.5}),
    "blend": ({"other": IMAGES[3], "alpha": 0.25}, {"other": IMAGES[4], "alpha": 2}),
    "clip": ({"min": 20, "max": 99.5}, {"min": 0, "max": 100}),
    "divide": ({"other": IMAGES[3]}, {"other": 7}),
    "multiply": ({"other": IMAGES[3]}, {"other": -1.5}),
    "subtract": ({"other": IMAGES[3]}, {"other": 7}),
    "threshold": ({"value": IMAGES[3]}, {"value": 99.5}),
    "where": ({"a": IMAGES[3], "b": IMAGES[4]}, {"a": IMAGES[2], "b": IMAGES[0]}),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("called", sorted(OPERANDS))
def test_operands_of_short_calls(called, dtype, monkeypatch):
    function = partial(getattr(gpuimg, called), backend="single")
    for given in OPERANDS[called]:
        operands = {name: each.astype(dtype) if hasattr(each, "dtype") else each for name, each in given.items()}
        images = [image.astype(dtype) for image in IMAGES]
        with stopping.interrupted_by(stopping.Watch()):
            expected = [function(image, **operands) for image in images]
        function(images[0], **operands)
        function(images[0], **operands)
        with monkeypatch.context() as patched:
            seen = calls_at_once(patched)
            for image, each in zip(images, expected, strict=True):
                np.testing.assert_array_equal(function(image, **operands), each, strict=True)
                out = np.empty_like(each)
                assert function(image, **operands, out=out) is out
                np.testing.assert_array_equal(out, each)
            assert seen == 2 * len(images) * [True]


@pytest.mark.parametrize("wrong", [IMAGES[0].astype(np.int8), IMAGES[0][:5], "7", None, 1j])
def test_operands_are_checked_before_short_calls(wrong):
    for _ in range(3):
        gpuimg.add(IMAGES[0], IMAGES[1], backend="single")
        gpuimg.add(IMAGES[0], 7, backend="single")
        with pytest.raises((TypeError, ValueError), match=r"^other must"):
            gpuimg.add(IMAGES[0], wrong, backend="single")


@pytest.mark.parametrize("change", [np.asfortranarray, lambda image: image.view(type("Image", (np.ndarray,), {}))])
def test_operands_of_other_kinds_between_short_calls(change):
    for image in IMAGES:
        expected = np.maximum(image.astype(int) - IMAGES[1], 0)
        for other in (IMAGES[1], change(IMAGES[1]), IMAGES[1]):
            np.testing.assert_array_equal(gpuimg.subtract(image, other, backend="single"), expected)


@pytest.mark.parametrize("called", sorted(gpuimg.FILTERS))
def test_repeated_calls_compute_the_same_as_those_that_can_be_stopped(called):
    entry = gpuimg.FILTERS[called]
    shape = (*SHAPE, 3) if entry.color else SHAPE
    for dtype in {entry.dtypes[0], entry.dtypes[-1]}:
        images = [np.random.default_rng(number).integers(0, 200, shape) for number in range(4)]
        for example in entry.examples:
            for each in images:
                image = each > 100 if dtype.kind == "b" else each.astype(dtype)
                given = arguments(example, image)
                with stopping.interrupted_by(stopping.Watch()):
                    expected = entry.function(image, **given, backend="single")
                found = entry.function(image, **given, backend="single")
                for one, other in zip(parts(found), parts(expected), strict=True):
                    np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("shift", [-9, 0, 9])
def test_a_result_in_the_memory_of_the_image(shift, monkeypatch):
    memory = np.empty(IMAGES[0].size + 20, np.uint8)
    image, out = (memory[first : first + IMAGES[0].size].reshape(SHAPE) for first in (9, 9 + shift))
    seen = calls_at_once(monkeypatch)
    for each in IMAGES:
        image[...] = each
        assert gpuimg.flip(image, 0, backend="single", out=out) is out
        np.testing.assert_array_equal(out, each[::-1])
    assert not any(seen)


def test_a_result_behind_the_image_and_before_it(monkeypatch):
    size = IMAGES[0].size
    memory = np.empty(2 * size, np.uint8)
    gpuimg.flip(IMAGES[0], 0, backend="single")
    seen = calls_at_once(monkeypatch)
    for first in (0, size):
        image, out = (memory[begin : begin + size].reshape(SHAPE) for begin in (first, size - first))
        image[...] = IMAGES[1]
        gpuimg.flip(image, 0, backend="single", out=out)
        np.testing.assert_array_equal(out, IMAGES[1][::-1])
    assert seen[-1]


@pytest.mark.parametrize(
    "out", [np.empty(SHAPE, np.int8), np.empty((67, 41), np.uint8), np.broadcast_to(np.uint8(0), SHAPE), [1, 2]]
)
def test_memory_that_does_not_fit_a_short_call(out):
    gpuimg.invert(IMAGES[0], backend="single")
    gpuimg.invert(IMAGES[0], backend="single")
    with pytest.raises((TypeError, ValueError), match=r"^out must"):
        gpuimg.invert(IMAGES[0], backend="single", out=out)


@pytest.mark.parametrize(
    "make",
    [
        lambda image: np.asfortranarray(image),
        lambda image: image[:, ::-1],
        lambda image: np.repeat(image, 2, axis=1)[:, ::2],
        lambda image: image.view(type("Image", (np.ndarray,), {})),
    ],
)
def test_images_of_other_kinds_between_short_calls(make):
    for image in IMAGES:
        np.testing.assert_array_equal(gpuimg.invert(image, backend="single"), 255 - image)
        np.testing.assert_array_equal(gpuimg.invert(make(image), backend="single"), 255 - make(image))


def test_other_orders_of_bytes_between_short_calls():
    for image in IMAGES:
        wide = image.astype(np.uint16)
        np.testing.assert_array_equal(gpuimg.invert(wide, backend="single"), 65535 - wide)
        np.testing.assert_array_equal(gpuimg.invert(wide.astype(">u2"), backend="single"), 65535 - wide)


def test_arguments_are_checked_before_short_calls():
    gpuimg.invert(IMAGES[0], backend="single")
    gpuimg.invert(IMAGES[0], backend="single")
    for wrong in ({"alpha": 0}, {"backend": "none"}, {"axes": "XYZ"}):
        with pytest.raises((TypeError, ValueError)):
            gpuimg.invert(IMAGES[0], **{"backend": "single", **wrong})
    gpuimg.rot90(IMAGES[0], 1, backend="single")
    gpuimg.rot90(IMAGES[0], 1, backend="single")
    with pytest.raises(TypeError, match="k must be a whole number"):
        gpuimg.rot90(IMAGES[0], True, backend="single")


@pytest.mark.parametrize(
    ("threads", "most", "alone"), [(1e-3, 1 << 20, True), (1e-9, 1 << 20, False), (1e-3, 0, False)]
)
def test_short_work_for_all_cores_is_done_by_one_thread_where_that_is_faster(threads, most, alone, monkeypatch):
    known = Figures(single_call=2e-6, multicore_call=threads, multicore_speedup=2.0)
    monkeypatch.setattr(choosing, "figures", lambda: known)
    monkeypatch.setattr(choosing, "ALONE_UP_TO", most)
    graph = made_graph((image := Value(SHAPE, np.dtype("u1")),), plan_invert(image))
    assert choosing.is_alone("multicore", graph) is alone
    assert choosing.is_alone("single", graph)
    assert not choosing.is_alone("processes", graph)
    known.multicore_call, known.revision = 2e-3 - threads, known.revision + 1
    assert choosing.is_alone("multicore", graph) is (most > 0)


def alone(graph, known, monkeypatch):
    monkeypatch.setattr(choosing, "figures", lambda: known)
    monkeypatch.setattr(choosing, "ALONE_UP_TO", 1 << 22)
    graph.alone.clear()
    return {name: choosing.is_alone(name, graph) for name in ("multicore", "auto")}


def test_a_chain_is_one_call_for_one_thread_and_for_all(monkeypatch):
    """Threads save 40 microseconds of work, and one call of them takes 60 or 20 more than one on one thread."""
    image = np.zeros((512, 512), np.uint8)
    _, bound = running.planned(gpuimg.morphological_gradient, image, {"footprint": 3})
    elements = sum([step.elements * step.work for step in choosing.job_of(bound.graph, False).steps])
    slow = Figures(multicore_call=62e-6, multicore_speedup=2.0, seconds_per_work=80e-6 / elements)
    assert alone(bound.graph, slow, monkeypatch) == {"multicore": True, "auto": True}
    quick = Figures(multicore_call=22e-6, multicore_speedup=2.0, seconds_per_work=80e-6 / elements)
    assert alone(bound.graph, quick, monkeypatch) == {"multicore": False, "auto": False}


@pytest.mark.parametrize("name", ["single", "multicore"])
@pytest.mark.parametrize("called", sorted(CHAINS))
def test_chains_are_prepared_once(called, name, monkeypatch):
    monkeypatch.setattr(choosing, "ALONE_UP_TO", 0)
    monkeypatch.setattr(running, "_quick", {})
    graph_of.cache_clear()
    function = partial(getattr(gpuimg, called), **CHAINS[called])
    with stopping.interrupted_by(stopping.Watch()):
        expected = [function(image, backend="single") for image in IMAGES]
    graph_of.cache_clear()
    first = function(IMAGES[0], backend=name)
    np.testing.assert_array_equal(first, expected[0])

    def again(*_):
        raise AssertionError("prepared again")

    monkeypatch.setattr(chain, "prepare_chain", again)
    monkeypatch.setattr(chain, "stages_of", again)
    for watch in (None, stopping.Watch()):
        with stopping.watched(watch), ThreadPoolExecutor(4) as threads:
            results = list(threads.map(partial(function, backend=name), 3 * IMAGES))
        results[: len(IMAGES)] = [function(image, backend=name) for image in IMAGES]
        for number, result in enumerate(results):
            np.testing.assert_array_equal(result, expected[number % len(IMAGES)], strict=True)
    watch = stopping.Watch()
    watch.stop()
    with stopping.watched(watch), pytest.raises(stopping.Stopped):
        function(IMAGES[0], backend=name)
    np.testing.assert_array_equal(first, expected[0])


def test_long_images_that_were_measured_do_not_take_short_calls_to_threads(monkeypatch):
    """They wait for memory, which the images of short calls do not."""
    _, bound = running.planned(gpuimg.invert, np.zeros((512, 512), np.uint8), {})
    known = Figures(multicore_speedup=2.0, guesses={"cached_speeds": {"invert-BB": 1e-11}})
    known.learn("invert-BB", 0.1, 1e8)
    assert alone(bound.graph, known, monkeypatch) == {"multicore": True, "auto": True}
    _, long = running.planned(gpuimg.invert, np.zeros((1024, 1024), np.uint8), {})
    assert alone(long.graph, known, monkeypatch) == {"multicore": False, "auto": False}


HELD = [("invert", {}), ("opening", {"footprint": 3}), ("gaussian", {}), ("rescale_intensity", {}), ("canny", {})]


@pytest.mark.parametrize("name", ["single", "multicore"])
@pytest.mark.parametrize(("called", "params"), HELD)
def test_the_arrays_of_a_call_are_let_go_of(called, params, name, monkeypatch):
    monkeypatch.setattr(choosing, "ALONE_UP_TO", 0)
    function = partial(getattr(gpuimg, called), **params, backend=name)
    for _ in range(4):
        image = IMAGES[0][:19, :31].copy()
        result = function(image)
        ended = weakref.ref(image), weakref.ref(result)
        del image, result
        assert [each() for each in ended] == [None, None]


def test_a_graph_with_its_prepared_chain_is_let_go_of():
    def plan(image):
        return point("invert", point("invert", image, masked=0), masked=0)

    graph = made_graph((image := Value(SHAPE, np.dtype("u1")),), plan(image))
    for _ in range(2):
        np.testing.assert_array_equal(Single().run(Bound(graph, (IMAGES[0],)))[0], IMAGES[0])
    (group,) = graph.chained
    assert len(group.nodes) == 2
    assert len(graph.direct) == 1
    rows = weakref.ref(graph.direct[0].call.task.bottom)  # held by the call only
    gc.disable()
    try:
        del graph, group, image
        assert rows() is None
    finally:
        gc.enable()


def test_short_calls_do_without_native_code_that_cannot_be_compiled(monkeypatch):
    def broken():
        raise ValueError("no such intrinsic")

    monkeypatch.setattr(native, "_compiled", [])
    monkeypatch.setattr(native, "_failed", False)
    monkeypatch.setattr(native, "compile_call", broken)
    seen = calls_at_once(monkeypatch)
    for number in range(8):
        np.testing.assert_array_equal(gpuimg.flip(IMAGES[number][:23], 0, backend="single"), IMAGES[number][22::-1])
    assert wait_until(lambda: native._failed, 60)  # where other threads run, that is found out in the background
    assert not any(seen)


def test_few_native_calls_are_kept_and_no_large_parameters(monkeypatch):
    monkeypatch.setattr(running, "_quick", {})
    for width in range(5, running.QUICK_KEPT + 40):
        gpuimg.invert(np.zeros((3, width), np.uint8), backend="single")
    assert len(running._quick) == running.QUICK_KEPT
    before = list(running._quick)
    weights = np.random.default_rng(0).random((99, 99))
    for _ in range(3):
        gpuimg.convolve(IMAGES[0], weights / weights.sum(), backend="single")
    assert list(running._quick) == before


@pytest.mark.parametrize("first", [0.0, -0.0])
def test_zeros_of_both_signs_are_two_parameters(first):
    graph_of.cache_clear()
    image = np.array([[1, -2], [4, -8]], np.float32)
    for zero in (first, -first, first, -first, first, -first):
        with np.errstate(divide="ignore"):
            expected = image / np.float32(zero)
        np.testing.assert_array_equal(gpuimg.divide(image, zero, backend="single"), expected)


@pytest.mark.parametrize("first", [0.0, -0.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zeros_of_both_signs_are_two_borders(dtype, first):
    graph_of.cache_clear()
    image = np.ones((5, 7), dtype)
    moved = [[1, 0, 3], [0, 1, 0], [0, 0, 1]]
    for zero in (first, -first, first, -first, first, -first):
        border = {"mode": "constant", "cval": zero, "backend": "single"}
        padded, warped = gpuimg.pad(image, 3, **border), gpuimg.warp(image, moved, order=0, **border)
        expected = np.pad(image, 3, constant_values=zero)
        np.testing.assert_array_equal(padded, expected, strict=True)
        np.testing.assert_array_equal(np.signbit(padded), np.signbit(expected))
        np.testing.assert_array_equal(warped, expected[3:8, 6:], strict=True)
        np.testing.assert_array_equal(np.signbit(warped), np.signbit(expected[3:8, 6:]))


@pytest.mark.parametrize("first", [0.0, -0.0])
def test_zeros_of_both_signs_are_two_ranges(first):
    graph_of.cache_clear()
    image = np.array([[1, 1.5, 2, 0]], np.float32)
    for zero in (first, -first, first, -first, first, -first):
        found = gpuimg.rescale_intensity(image, (1, 2), (zero, -1), backend="single")
        np.testing.assert_array_equal(found, np.array([[zero, -0.5, -1, zero]], np.float32), strict=True)
        np.testing.assert_array_equal(np.signbit(found), [[np.signbit(zero), True, True, np.signbit(zero)]])


def test_borders_of_zeros_as_keys():
    dtype = np.dtype(np.float32)
    plain, signed = (images.border("constant", zero, dtype) for zero in (0.0, -0.0))
    assert plain != signed
    assert signed != plain
    assert signed == pickle.loads(pickle.dumps(signed)) == images.border("constant", -1e-60, dtype)
    assert len({plain, signed, images.border("constant", -0.0, dtype)}) == 2
    mode, zero = signed
    assert mode == plain[0]
    assert np.signbit(zero)
    assert images.border("constant", -0.0, np.dtype(np.uint8)) == plain
    assert (
        len({images.signed(*each) for each in ((0.0, 0.0), (0.0, -0.0), (-0.0, 0.0), (-0.0, -0.0), (-0.0, 0.0))}) == 4
    )


def test_an_interrupt_within_a_watch_and_after_it():
    watch, interrupt = stopping.Watch(), stopping.Watch()
    with stopping.interrupted_by(interrupt):
        assert stopping.flag() == interrupt.address
        with stopping.watched(watch):
            assert stopping.flag() == watch.address
        assert stopping.flag() == interrupt.address
        with stopping.watched(None):
            assert stopping.flag() == interrupt.address
    assert stopping.flag() == stopping.UNSET


def test_folds_with_several_numbers_of_slabs():
    """What a fold's call holds is the same for one thread and for many."""
    image = np.random.default_rng(0).integers(30, 200, (1200, 1001), np.uint8)
    for name in ("single", "multicore", "single"):
        result = gpuimg.rescale_intensity(image, backend=name)
        np.testing.assert_array_equal(result, gpuimg.rescale_intensity(image, (30, 199), backend=name))
    nodes = graph_of(plan_rescale_intensity, ((image.shape, image.dtype),), 0, ("image", "dtype")).nodes
    folds = [node for node in nodes if isinstance(node, Fold)]
    assert [len(node.calls) for node in folds] == [1]


def test_numbers_and_tables_that_vary(name):
    rng = np.random.default_rng(1)
    for _ in range(3):
        table = rng.integers(0, 256, 256, np.uint8)
        np.testing.assert_array_equal(gpuimg.lut(IMAGES[0], table, backend=name), table[IMAGES[0]])
    for image in IMAGES[:3]:
        for scale in (1, 0.5):
            given = (image * scale).astype(np.uint8)
            low, high = int(given.min()), int(given.max())
            expected = gpuimg.rescale_intensity(given, (low, high), backend="single")
            np.testing.assert_array_equal(gpuimg.rescale_intensity(given, backend=name), expected)


@pytest.mark.parametrize("numbers", [(3, 4.5), (4.5, 3), (np.float64(2), 3.0), (np.int64(7), 9)])
def test_numbers_that_change_their_type(numbers):
    """A host function may return an integer once and a float the next time: the kernel takes either."""
    given = iter(numbers)
    image = Value(SHAPE, IMAGES[0].dtype)
    value = host(lambda _: next(given), image)
    graph = made_graph((image,), point("threshold", image, dtype=np.dtype(bool), value=value, always=0))
    for number in numbers:
        (result,) = Single().run(Bound(graph, (IMAGES[0],)))
        np.testing.assert_array_equal(result.view(bool), IMAGES[0] > number)
