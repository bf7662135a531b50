"""Chains of sweeps run some rows at a time on the CPU: the pixels are those of one pass after the other, and no image
lies between the passes."""

import itertools

import numpy as np
import pytest

import gpuimg
from gpuimg import run as running
from gpuimg import stopping
from gpuimg.backend import chain
from gpuimg.backend.compiled import DONE
from gpuimg.backend.single import Single
from gpuimg.backend.walk import bound_to
from gpuimg.images import FLOAT32, MODES, accept
from gpuimg.plans.graph import graph_of
from gpuimg.plans.nodes import change, fold, point, resample, window
from gpuimg.run import run
from tests.conftest import noise

CHAINS = {
    "opening": {"footprint": (3, 7)},
    "white_tophat": {"footprint": 9},
    "morphological_gradient": {"footprint": 4},
    "unsharp_mask": {"radius": 3, "amount": 2},
    "difference_of_gaussians": {"low_sigma": 1.5},
}


@pytest.fixture(params=[1, 3, 40, 1000], ids=lambda rows: f"{rows} rows")
def few_rows(request, monkeypatch):
    """So many rows at a time."""
    real = chain.prepare

    def prepare(kernel, src, dst, args):
        return real(kernel, src, dst, (args[0], min(args[0], request.param)) if kernel == "chain" else args)

    monkeypatch.setattr(chain, "prepare", prepare)
    monkeypatch.setattr(running, "_quick", {})
    graph_of.cache_clear()  # chains are prepared once
    yield
    graph_of.cache_clear()


def one_by_one(call):
    """A call with every pass's result an image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Single, "chains", False)
        return call()


@pytest.mark.parametrize(
    ("name", "mode"), [*itertools.product(CHAINS, MODES), ("opening", "ignore"), ("white_tophat", "ignore")]
)
def test_the_pixels_are_the_same(few_rows, name, mode):
    function = gpuimg.FILTERS[name].function
    for dtype in ("uint8", "int16", "float32"):
        for shape in ((1, 1), (61, 45), (2, 90), (33, 20, 3)):
            image = noise(shape, dtype)

            def call(image=image):
                return function(image, mode=mode, cval=3, backend="single", **CHAINS[name])

            np.testing.assert_array_equal(call(), one_by_one(call), err_msg=f"{shape} {dtype}")


@pytest.mark.parametrize("name", CHAINS)
def test_nothing_but_the_result_is_made(name, monkeypatch):
    made = []
    monkeypatch.setattr(Single, "empty", lambda self, shape, dtype: made.append(shape) or np.empty(shape, dtype))
    image = noise((300, 200), np.uint8)
    gpuimg.FILTERS[name].function(image, backend="single", **CHAINS[name])
    assert made == [image.shape]


def test_a_result_goes_straight_to_out():
    image = noise((50, 60), np.uint8)
    out = np.empty_like(image)
    assert gpuimg.opening(image, 5, out=out, backend="multicore") is out
    np.testing.assert_array_equal(out, gpuimg.opening(image, 5, backend="single"))


def least(image, reach, mode="reflect"):
    sides = dict.fromkeys(("above", "below", "left", "right"), reach)
    return window("minimum", image, halo=(reach, reach), edge=(MODES[mode].code, 0.0), flip=0, **sides)


def minus(image, other):
    return point("difference", image, other=other, turned=0)


def test_an_image_made_on_the_way_may_need_another_one_itself():
    image = noise((40, 30), "float32")

    def plan(value):
        return minus(value, minus(least(value, 1), least(value, 2)))

    graph = bound_to(plan, image).graph
    assert graph.kernels == ("minimum", "minimum", "difference", "difference")
    assert [len(group.nodes) for group in graph.chained] == [4]
    expected = image - (gpuimg.minimum(image, 3) - gpuimg.minimum(image, 5))
    for backend in ("single", "multicore", "processes"):
        np.testing.assert_array_equal(run(plan, accept(image), backend=backend), expected, err_msg=backend)


def groups(plan, shape=(20, 30)):
    """The kernels of each group of a plan."""
    graph = bound_to(plan, noise(shape, "uint8")).graph
    return ["+".join(node.kernel for node in group.nodes) for group in graph.chained]


def invert(image):
    return point("invert", image, masked=0)


def test_a_stopped_chain_leaves_off_between_two_kernels():
    image = noise((1, 3000), "uint8")
    result = np.zeros_like(image)
    bound = bound_to(lambda value: invert(least(value, 1)), image)
    (group,) = bound.graph.chained
    values = dict(zip(bound.graph.inputs, bound.arrays, strict=True))
    watch = stopping.Watch()
    with stopping.watched(watch):
        code, packed = chain.prepare_chain(chain.stages_of(group.nodes, values.__getitem__, [result]), result)
    watch.stop()
    assert code.call(packed.address, 0, 1) == DONE
    assert not result.any()


def shrink(image):
    one = np.zeros((3, 1))
    return resample(
        "resample", image, shape=(3, 3), overshoot=0.0, reach=1, i0=one, w0=one, q0=one, i1=one, w1=one, q1=one
    )


def links(image):
    return change("edge_links", image, count=1, height=64, reach=1)


def extrema(image):
    return fold("minmax", image, shape=(2,), dtype=FLOAT32, combine="minmax")


def scaled_by(image, extrema):
    return point("power", image, exponent=extrema, factor=1.0)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (invert, ["invert"]),
        (lambda image: least(invert(image), 1), ["invert+minimum"]),
        # Beyond the first or last row "wrap" finds the rows at the other end, which are not there.
        (lambda image: least(invert(image), 1, "wrap"), ["invert", "minimum"]),
        (lambda image: invert(least(image, 1, "wrap")), ["minimum+invert"]),  # the first one has the whole image
        (lambda image: least(least(image, 1, "wrap"), 2), ["minimum+minimum"]),
        (lambda image: minus(image, least(image, 1)), ["minimum+difference"]),
        (lambda image: minus(image, least(least(image, 1), 2, "wrap")), ["minimum", "minimum+difference"]),
        (lambda image: minus(image, image), ["difference"]),
        (lambda image: invert(shrink(invert(image))), ["invert", "resample", "invert"]),
        (lambda image: invert(links(invert(image))), ["invert", "edge_links", "invert"]),
        (lambda image: extrema(invert(image)), ["invert", "minmax"]),
        (lambda image: scaled_by(invert(image), extrema(image)), ["minmax", "invert+power"]),
        # What two groups read is an image.
        (lambda image: scaled_by(mark := invert(image), extrema(mark)), ["invert", "minmax", "power"]),
        (lambda image: minus(mark := invert(image), least(mark, 2)), ["invert+minimum+difference"]),
    ],
)
def test_which_nodes_run_together(plan, expected):
    assert groups(plan) == expected


def test_a_value_that_is_read_again_is_kept():
    """What a node changes in place is copied where something else reads it later, and so is the caller's image."""
    image = noise((50, 60), "uint8")
    untouched = image.copy()

    def plan(value):
        inverted = invert(value)
        marked = change("edge_strong", inverted, count=inverted.shape[0])
        return minus(inverted, marked)

    def of_the_image(value):
        return change("edge_strong", value, count=value.shape[0])

    strong = image & 1
    inverted = 255 - image
    for backend in ("single", "multicore", "processes"):
        found = run(plan, accept(image), backend=backend)
        np.testing.assert_array_equal(found, inverted - (inverted & 1), err_msg=backend)
        np.testing.assert_array_equal(run(of_the_image, accept(image), backend=backend), strong, err_msg=backend)
        np.testing.assert_array_equal(image, untouched)


def test_a_kernels_parameters_are_matched_by_name():
    with pytest.raises(TypeError, match=r"the kernel 'median' takes the parameters .*n0, n1, rank, got .*size"):
        groups(lambda image: window("median", image, halo=(1, 1), edge=(0, 0.0), n0=3, size=3))


def test_values_that_are_read_twice_again_and_again():
    """Each value once, however many ways lead to it."""

    def plan(image):
        for _ in range(60):
            image = minus(invert(image), image)
        return image

    image = noise((9, 11), "uint8")
    assert len(bound_to(plan, image).graph.nodes) == 120
    expected = image
    for _ in range(60):
        inverted = 255 - expected
        expected = np.where(inverted > expected, inverted - expected, 0).astype(np.uint8)
    for backend in ("single", "processes"):
        np.testing.assert_array_equal(run(plan, accept(image), backend=backend), expected, err_msg=backend)
