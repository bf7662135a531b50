"""Axes: stacks, channels first, many channels; what is not said is not guessed."""

import inspect

import numpy as np
import pytest

import gpuimg
from gpuimg.backend import multicore
from gpuimg.errors import BackendFailed
from tests.conftest import PLANES, assert_same, noise
from tests.test_filters import FILTERS, image_for, params

STACKS = {"TYX": (5, 13, 17), "TYXC": (3, 9, 11, 3), "TCYX": (2, 3, 9, 11), "CYX": (3, 12, 14), "YXC": (8, 9, 6)}
STACKS |= {"YX": (12, 13), "NTZYX": (2, 1, 2, 7, 8), "XYT": (9, 8, 3), "YXCN": (6, 7, 3, 2)}


def images_of(array, axes):
    """The images of an array as (H, W) or (H, W, C), and the extents of the stack."""
    order = [letter for letter in axes if letter in "TZN"] + [letter for letter in "YXC" if letter in axes]
    moved = array.transpose([axes.index(letter) for letter in order])
    stack = moved.shape[: len(order) - sum(letter in "YXC" for letter in axes)]
    return moved.reshape(-1, *moved.shape[len(stack) :]), stack


def in_order(results, stack, axes):
    """Results of the images as an array with its axes in the caller's order."""
    joined = np.stack(results).reshape(*stack, *results[0].shape)
    own = [letter for letter in axes if letter in "TZN"] + list("YXC")[: joined.ndim - len(stack)]
    given = [letter for letter in axes if letter in own] + [letter for letter in own if letter not in axes]
    return joined.transpose([own.index(letter) for letter in given])


@pytest.mark.parametrize("axes", STACKS)
@pytest.mark.parametrize("name", FILTERS)
def test_each_image_of_a_stack_on_its_own(name, axes, backend):
    entry = FILTERS[name]
    shape = STACKS[axes]
    if entry.color and (shape[axes.index("C")] if "C" in axes else 1) not in (3, 4):
        return
    if name in PLANES and "C" in axes:
        return
    dtype = np.dtype(np.uint8 if "u" in entry.kinds else np.float32)
    array = image_for("invert", shape, dtype) if dtype.kind == "u" else np.abs(noise(shape, dtype))
    images, stack = images_of(array, axes)
    plain = np.ascontiguousarray(images)
    given = [params(name, image)[0] for image in plain]
    beside = {
        key: in_order([one[key] for one in given], stack, axes)
        for key in given[0]
        if key in entry.images and (name != "match_histograms" or axes == "CYX")  # one reference for all images
    }
    own = "YXC"[: plain.ndim - 1]
    each = [
        entry.function(image, backend="single", **{**one, "axes": own}) for image, one in zip(plain, given, strict=True)
    ]
    result = entry.function(array, backend=backend, **{**given[0], **beside, "axes": axes})
    results, expected = (result, list(zip(*each, strict=True))) if isinstance(result, tuple) else ((result,), [each])
    for one, wanted in zip(results, expected, strict=True):
        if name == "peak_local_max":
            rows = [
                [*index, *place] for index, places in zip(np.ndindex(*stack), wanted, strict=True) for place in places
            ]
            wanted = np.array(rows)
            if "CY" in axes:  # channels that lie apart are images of their own
                wanted = np.insert(wanted[:, :-1], len(stack), wanted[:, -1], axis=1)
                one, wanted = (each[np.lexsort(each.T)] for each in (one, wanted))
                one = np.ascontiguousarray(one)
        elif np.ndim(wanted[0]) < 2:
            wanted = np.stack(wanted).reshape((*stack, *np.shape(wanted[0])))
        else:
            wanted = in_order(wanted, stack, axes)
        if name in ("uniform", "adjust_gamma") and backend == "cuda" and dtype.kind == "f":
            np.testing.assert_allclose(one, wanted, rtol=1e-5)
        else:
            np.testing.assert_array_equal(one, wanted, err_msg=f"{name} {axes}")
        assert one.flags.c_contiguous


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_takes_axes(name):
    parameter = inspect.signature(FILTERS[name].function).parameters["axes"]
    assert parameter.kind is parameter.KEYWORD_ONLY
    assert parameter.default is None


@pytest.mark.parametrize("axes", ["TYX", "CYX", "XYT"])
def test_out_has_the_axes_of_the_image(axes, backend):
    stack = noise((4, 15, 6), np.uint8)
    expected = gpuimg.median(stack, 3, axes=axes, backend="single")
    for out in (np.empty_like(stack), np.empty((6, 15, 4), np.uint8).T, np.empty((4, 15, 12), np.uint8)[..., ::2]):
        assert gpuimg.median(stack, 3, axes=axes, backend=backend, out=out) is out
        assert_same(out, expected)
    over = stack.copy()
    gpuimg.median(over, 3, axes=axes, backend=backend, out=over)
    assert_same(over, expected)
    with pytest.raises(ValueError, match=r"out must have the shape \(4, 15, 6\), got \(4, 6, 15\)"):
        gpuimg.median(stack, 3, axes=axes, out=np.empty((4, 6, 15), np.uint8))


def test_results_of_other_axes():
    colour = noise((2, 3, 8, 9), np.uint8)
    gray = gpuimg.rgb2gray(colour, axes="TCYX")
    assert_same(gray, np.stack([gpuimg.rgb2gray(np.moveaxis(image, 0, -1)) for image in colour]))
    out = np.empty((2, 8, 9), np.uint8)
    assert gpuimg.rgb2gray(colour, axes="TCYX", out=out) is out
    assert_same(out, gray)
    assert gpuimg.rot90(colour, axes="TCYX").shape == (2, 3, 9, 8)
    assert gpuimg.resize(colour, (4, 5), axes="TCYX").shape == (2, 3, 4, 5)
    levels = gpuimg.threshold_otsu(colour, axes="TCYX")
    assert_same(levels, np.array([gpuimg.threshold_otsu(np.moveaxis(image, 0, -1)) for image in colour]))
    counts, edges = gpuimg.histogram(colour, 8, axes="TCYX")
    assert counts.shape == (2, 8)
    assert edges.shape == (2, 9)
    assert_same(counts[1], np.histogram(colour[1], 8)[0].astype(np.int64))


@pytest.mark.parametrize(
    ("shape", "spellings"),
    [
        (
            (40, 64, 65),
            ('axes="TYX" for 40 images of a stack', '"CYX" for 40 channels first', '"YXC" for 65 channels last'),
        ),
        ((3, 64, 65), ('"TYX" for 3 images', '"CYX" for 3 channels', '"YXC" for 65 channels')),
        ((5, 4, 6, 3), ('"TYXC"', '"TCYX"', '"TZYX"')),
        ((2, 5, 4, 6, 3), ('"TZYXC"', '"TZCYX"', '"NTZYX"')),
    ],
)
def test_an_array_that_may_be_several_things_is_refused(shape, spellings):
    for name in ("invert", "median", "label", "histogram", "rot90", "equalize_hist"):
        with pytest.raises(ValueError, match="image must have the shape") as caught:
            FILTERS[name].function(np.zeros(shape, np.uint8), **params(name, np.zeros((2, 2), np.uint8))[0])
        assert all(spelling in str(caught.value) for spelling in spellings)
        assert str(shape) in str(caught.value)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("TY", "axes must have Y and X"),
        ("YXS", "axes must be different letters out of Y, X, C and T, Z, N, got 'YXS'"),
        ("TTYX", "axes must be different letters"),
        ("yx", "axes must be different letters"),
        (3, "axes must be different letters"),
        ("YX", r"a letter for each axis of image, whose shape is \(3, 4, 5\), got 'YX'"),
        ("TZYX", "a letter for each axis"),
    ],
)
def test_axes_that_say_nothing(axes, message):
    with pytest.raises(ValueError, match=message):
        gpuimg.invert(np.zeros((3, 4, 5), np.uint8), axes=axes)


def test_channels_are_asked_for_where_they_are():
    with pytest.raises(ValueError, match=r"must have the shape \(H, W, 3\) or \(H, W, 4\), got \(4, 5\)"):
        gpuimg.rgb2gray(np.zeros((3, 4, 5), np.uint8), axes="TYX")


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (3, 4, 0)])
def test_empty_stacks_stay_empty(shape, backend):
    assert gpuimg.median(np.zeros(shape, np.uint8), 3, axes="TYX", backend=backend).shape == shape
    counts, edges = gpuimg.histogram(np.zeros(shape, np.uint8), 4, axes="TYX", backend=backend)
    assert_same(counts, np.zeros((shape[0], 4), np.int64))
    assert edges.shape == (shape[0], 5)
    with pytest.raises(ValueError, match="image must not be empty"):
        gpuimg.threshold_otsu(np.zeros(shape, np.uint8), axes="TYX", backend=backend)


def test_an_error_in_one_image_is_raised():
    stack = noise((9, 20, 30), np.float32)
    stack[4, 3, 3] = np.nan
    with pytest.raises(ValueError, match="image must be finite"):
        gpuimg.threshold_otsu(stack, axes="TYX", backend="multicore")


@pytest.mark.parametrize("backend", ["single", "multicore"])
@pytest.mark.parametrize(
    ("name", "given", "dtype"),
    [
        ("median", {"size": 5}, np.uint16),
        ("gaussian", {"sigma": 1.5}, np.uint8),
        ("flip", {"axis": 0}, np.float32),
        ("sobel", {}, np.float32),
        ("threshold", {"value": 90}, np.uint8),
        ("where", {"a": noise((8, 40, 30), np.uint8, 1), "b": noise((8, 40, 30), np.uint8, 2)}, bool),
    ],
)
def test_a_stack_is_filled_in_one_call(name, given, dtype, backend, monkeypatch):
    called = []
    used = {"single": multicore.Single, "multicore": multicore.Multicore}[backend]
    real = used.call
    monkeypatch.setattr(used, "call", lambda self, task, packed: called.append(task.rows) or real(self, task, packed))
    monkeypatch.setattr(multicore, "thread_count", lambda: 3)  # bands begin and end inside of images
    stack = noise((8, 40, 30), np.uint8) > 99 if dtype is bool else noise((8, 40, 30), dtype)
    function = FILTERS[name].function
    result = function(stack, axes="TYX", backend=backend, **given)
    assert called == [8 * 40]
    for place, image in enumerate(stack):
        one = {key: each[place] if isinstance(each, np.ndarray) else each for key, each in given.items()}
        assert_same(result[place], function(image, backend="single", **one))


def test_images_with_several_steps_are_shared_out_among_threads(monkeypatch):
    ran = []
    real = multicore.call_each
    monkeypatch.setattr(multicore, "call_each", lambda *given: ran.append(len(given[1])) or real(*given))
    monkeypatch.setattr(multicore, "thread_count", lambda: 3)
    stack = noise((8, 40, 30), np.uint8)
    expected = np.stack([gpuimg.equalize_hist(image, backend="single") for image in stack])
    assert_same(gpuimg.equalize_hist(stack, axes="TYX", backend="multicore"), expected)
    assert ran == [6]


def test_a_failing_thread_does_not_hang_the_rest(monkeypatch):
    def fail(_self, *_given):
        raise BackendFailed("no memory")

    monkeypatch.setattr(multicore.Single, "run", fail)
    with pytest.raises(BackendFailed, match="no memory"):
        gpuimg.equalize_hist(noise((8, 40, 30), np.uint8), axes="TYX", backend="multicore")


def test_plan_and_explain_show_the_stack():
    described = gpuimg.plan("median", (40, 64, 65), "uint16", axes="TYX", backend="single")
    assert str(described).startswith("median of 40 images of 64x65 uint16 on single")
    table = str(gpuimg.explain("median", np.zeros((40, 64, 65), np.uint16), axes="TYX"))
    assert table.splitlines()[1] == "median of 40x64x65 uint16"


BROADCAST = [
    ((7, 9), None, (9,)),
    ((7, 9), None, (7, 1)),
    ((7, 9, 3), None, (3,)),
    ((7, 9, 3), None, (7, 9, 1)),
    ((0, 9), None, (1, 9)),
    ((4, 7, 9), "TYX", (7, 9)),
    ((4, 7, 9), "TYX", (4, 1, 1)),
    ((4, 7, 9), "TYX", (9,)),
    ((7, 9, 4), "YXT", (7, 9)),
    ((7, 9, 4), "YXT", (9,)),
    ((7, 9, 4), "YXT", (1, 1, 4)),
    ((2, 4, 7, 9), "TZYX", (2, 1, 7, 9)),
    ((2, 4, 7, 9), "TZYX", (4, 7, 9)),
    ((4, 7, 9, 3), "TYXC", (7, 9, 3)),
    ((4, 7, 9, 3), "TYXC", (3,)),
    ((4, 3, 7, 9), "TCYX", (3, 1, 1)),
    ((4, 3, 7, 9), "TCYX", (7, 9)),
]
OPERANDS = {"add": "other", "subtract": "other", "multiply": "other", "divide": "other", "blend": "other"}
OPERANDS |= {"threshold": "value", "where": "a"}


@pytest.mark.parametrize("name", OPERANDS)
@pytest.mark.parametrize(("shape", "axes", "small"), BROADCAST)
def test_operands_broadcast(name, shape, axes, small, backend):
    function, image, other = FILTERS[name].function, noise(shape, np.uint8), noise(small, np.uint8)
    given = {"blend": {"alpha": 0.25}, "where": {"b": 7}}.get(name, {})
    own = [letter for letter in axes or "" if letter in "YX" or (letter == "C" and axes.index("C") > axes.index("X"))]
    if axes is not None and len(small) <= len(own):
        kept = own[len(own) - len(small) :]
        other = other[tuple([slice(None) if letter in kept else None for letter in axes])]
    wide = np.broadcast_to(other, shape).copy()
    expected = function(image, **{**given, OPERANDS[name]: wide}, axes=axes, backend="single")
    found = function(image, **{**given, OPERANDS[name]: noise(small, np.uint8)}, axes=axes, backend=backend)
    assert_same(found, expected)


@pytest.mark.parametrize("name", OPERANDS)
def test_operands_that_do_not_broadcast(name):
    function, image = FILTERS[name].function, noise((4, 7, 9), np.uint8)
    given = {"blend": {"alpha": 0.25}, "where": {"b": 7}}.get(name, {})
    for small in ((7, 8), (3, 7, 9), (2, 4, 7, 9)):
        with pytest.raises(ValueError, match=rf"shape \(4, 7, 9\), or one that broadcasts to it, got \({small[0]}, "):
            function(image, **{**given, OPERANDS[name]: noise(small, np.uint8)}, axes="TYX")


def test_a_repeated_frame_is_not_copied():
    frames, dark = np.zeros((8, 64, 64), np.uint8), np.ones((64, 64), np.uint8)
    source = gpuimg.images.accept(frames, axes="TYX")
    wide = gpuimg.images.accept_broadcast("other", dark, source)
    assert wide.shape == frames.shape
    assert np.shares_memory(wide, dark)


MANY_CHANNELS = {
    "convolve": {"weights": np.full((3, 1), 1 / 3)},
    "dilation": {"footprint": np.ones((9, 1), bool)},
    "erosion": {"footprint": np.array([[1], [0], [1]], bool)},
    "gaussian": {"sigma": (9, 0)},
    "integral_image": {},
    "laplace": {},
    "maximum": {"size": (101, 1)},
    "median": {"size": (3, 1)},
    "minimum": {"size": (101, 1)},
    "percentile": {"percentile": 30, "size": (5, 1)},
    "sobel": {},
    "threshold_niblack": {"window_size": (9, 1)},
    "uniform": {"size": (101, 1)},
    "unsharp_mask": {"radius": (5, 0)},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("name", sorted(MANY_CHANNELS))
def test_more_channels_than_a_piece_of_a_row_has_elements(name, dtype):
    image = np.random.default_rng(2).integers(0, 200, (60, 2, 6001)).astype(dtype)
    if name == "erosion":
        image = image > 100
    function = FILTERS[name].function
    result = function(image, **MANY_CHANNELS[name], axes="YXC", backend="single")
    for channel in (0, 1023, 6000):
        plain = np.ascontiguousarray(image[..., channel])
        np.testing.assert_array_equal(result[..., channel], function(plain, **MANY_CHANNELS[name], backend="single"))
