"""Loops in graphs, and memory of results: what is changed in place, and what is written into ``out``."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from gpuimg import images
from gpuimg.choosing import backend_named, job_of
from gpuimg.errors import BackendFailed
from gpuimg.plans.graph import loop
from gpuimg.plans.nodes import change, fold, host, point, view, window
from gpuimg.run import run
from tests.conftest import noise

EDGE = (images.MODES["constant"].code, 0.0)
BLOB = np.pad(np.full((37, 45), 7, np.uint8), 3)


def eroded(image):
    return window("minimum", image, halo=(1, 1), edge=EDGE, above=1, below=1, left=1, right=1, flip=0)


def is_bright(extremes):
    return int(extremes[1] > 0)


def core(image, limit=100):
    """Erosions until nothing is left, and what was left before."""

    def body(held, _last):
        smaller = eroded(held)
        extremes = fold("minmax", smaller, shape=(2,), dtype=np.dtype("float64"), combine="minmax")
        return smaller, point("invert", point("invert", held, masked=0), masked=0), host(is_bright, extremes)

    return loop(body, image, image, limit=limit)


def expected_core(image):
    last = image
    while True:
        smaller = ndimage.grey_erosion(image, 3, mode="constant")
        last, image = image, smaller
        if not smaller.any():
            return image, last


def test_a_loop_ends_when_its_body_says_so(backend):
    nothing, last = run(core, images.accept(BLOB), backend=backend)
    expected = expected_core(BLOB)
    np.testing.assert_array_equal(nothing, expected[0])
    np.testing.assert_array_equal(last, expected[1])
    assert last.any()


def test_the_callers_image_is_never_changed(backend):
    def body(held):
        changed = change("edge_strong", held, count=held.shape[0], work=1)
        extremes = fold("minmax", changed, shape=(2,), dtype=np.dtype("float64"), combine="minmax")
        return changed, host(lambda found: int(found[1] > 1), extremes)

    image = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    kept = image.copy()
    if backend_named(backend).missing(["edge_strong"]):
        return
    (result,) = run(lambda image: loop(body, image, limit=3), images.accept(image), backend=backend)
    np.testing.assert_array_equal(result, [[0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("brightest", [0, 7])
def test_a_loop_that_may_not_begin(brightest, backend):
    def inverted(image):
        extremes = fold("minmax", image, shape=(2,), dtype=np.dtype("float64"), combine="minmax")
        begins = host(is_bright, extremes)
        (made,) = loop(lambda held: (point("invert", held, masked=0), host(lambda: 0)), image, limit=1, begins=begins)
        return made

    image = np.minimum(BLOB, brightest)
    made = run(inverted, images.accept(image), backend=backend)
    np.testing.assert_array_equal(made, 255 - image if brightest else image)
    assert not np.may_share_memory(made, image)


def test_a_loop_without_an_end_is_an_error():
    with pytest.raises(BackendFailed, match="minimum, invert, invert, minmax did not end within 3 rounds"):
        run(core, images.accept(BLOB), 3, backend="single")


def test_the_cost_rule_counts_the_rounds():
    def twice(image):
        def body(held):
            return point("invert", held, masked=0), host(is_bright, fold_of(held))

        return loop(body, image, limit=9, rounds=5)

    graph = backend_graph(twice)
    assert [step.work for step in job_of(graph, False).steps] == [5, 5]
    assert graph.kernels == ("invert", "minmax")


def fold_of(image):
    return fold("minmax", image, shape=(2,), dtype=np.dtype("float64"), combine="minmax")


def backend_graph(plan):
    from gpuimg.backend.walk import bound_to

    return bound_to(plan, BLOB).graph


@pytest.mark.parametrize(
    "body",
    [
        lambda image: image,
        lambda image: (image, image),
        lambda image: (
            point("threshold", image, dtype=np.dtype("float32"), value=1.0, always=0),
            host(is_bright, fold_of(image)),
        ),
    ],
)
def test_a_body_must_keep_the_state(body):
    with pytest.raises(TypeError, match="the body of a loop"):
        backend_graph(lambda image: loop(body, image, limit=1))


def test_several_results_and_their_out(backend):
    image = noise((40, 31), np.uint8)

    def both(image):
        smaller = eroded(image)
        return smaller, point("invert", smaller, masked=0)

    smaller, inverted = run(both, images.accept(image), backend=backend)
    np.testing.assert_array_equal(smaller, ndimage.grey_erosion(image, 3, mode="constant"))
    np.testing.assert_array_equal(inverted, 255 - smaller)
    outs = np.empty_like(image), np.empty((31, 40), np.uint8).T
    results = run(both, images.accept(image), backend=backend, out=outs)
    assert all(result is out for result, out in zip(results, outs, strict=True))
    np.testing.assert_array_equal(outs[0], smaller)
    np.testing.assert_array_equal(outs[1], inverted)
    outs = image, np.empty_like(image)  # over the image that is read
    run(both, images.accept(image), backend=backend, out=outs)
    np.testing.assert_array_equal(outs[0], smaller)
    np.testing.assert_array_equal(outs[1], inverted)


def test_out_of_several_results_is_checked():
    def both(image):
        return point("invert", image, masked=0), point("invert", image, masked=0)

    image = noise((4, 5), np.uint8)
    check = partial(run, both, images.accept(image))
    with pytest.raises(TypeError, match="out must be a tuple of 2 arrays, got ndarray"):
        check(out=image)
    with pytest.raises(ValueError, match=r"out must have the shape \(4, 5\), got \(3, 5\)"):
        check(out=(np.empty_like(image), np.empty((3, 5), np.uint8)))
    with pytest.raises(ValueError, match="out must be arrays that do not overlap"):
        check(out=(image, image))


def test_a_view_is_written_into_out(backend):
    image = noise((9, 17), np.int16)
    out = np.empty_like(image)

    def plan(image):
        return view(point("invert", view(image, np.dtype("uint16")), masked=0), np.dtype("int16"))

    assert run(plan, images.accept(image), backend=backend, out=out) is out
    np.testing.assert_array_equal(out, ~image)


def test_a_view_waits_for_what_it_is_to_follow(backend):
    def refuse(_extremes):
        raise ValueError("image must be dark")

    def plan(image):
        return view(point("invert", image, masked=0), np.dtype("uint8"), (host(refuse, fold_of(image)),))

    with pytest.raises(ValueError, match="image must be dark"):
        run(plan, images.accept(BLOB), backend=backend)


def test_an_image_that_is_used_again_is_copied_before_it_is_changed(backend):
    if backend_named(backend).missing(["edge_strong"]):
        return

    def plan(image):
        classes = point("invert", image, masked=0)
        return classes, change("edge_strong", classes, count=image.shape[0])

    image = 255 - np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    classes, strong = run(plan, images.accept(image), backend=backend)
    np.testing.assert_array_equal(classes, 255 - image)
    np.testing.assert_array_equal(strong, [[0, 1, 0], [0, 0, 1]])
