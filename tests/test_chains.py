"""Chains of sweeps run some rows at a time on the CPU: the pixels are those of one pass after the other, and no image
lies between the passes."""

import numpy as np
import pytest

import gpuimg
from gpuimg.backend import chain
from gpuimg.backend.base import CpuBackend
from gpuimg.backend.single import Single
from gpuimg.images import FLOAT32, MODES, accept
from gpuimg.passes import ORIGINAL, Beside, Reduction, Sweep, all_of
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


def one_by_one(call):
    """A call with every pass's result an image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Single, "run_chain", CpuBackend.run_chain)
        patch.setattr(Single, "run_group", CpuBackend.run_group)
        return call()


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("mode", MODES)
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


def test_an_image_made_beside_may_have_one_beside_itself():
    image = noise((40, 30), "float32")
    least, far = (Sweep("minimum", (reach,) * 4 + (0,), halo=(reach, reach), border=(0, 0.0)) for reach in (1, 2))
    inner = Sweep("difference", (Beside(passes=(far,)), 0))
    outer = Sweep("difference", (Beside(passes=(least, inner)), 0))
    assert [task.kernel for task in all_of([outer])] == ["minimum", "minimum", "difference", "difference"]
    expected = image - (gpuimg.minimum(image, 3) - gpuimg.minimum(image, 5))
    for backend in ("single", "multicore", "processes"):
        np.testing.assert_array_equal(run(accept(image), [outer], backend=backend), expected, err_msg=backend)


def test_what_is_no_chain():
    point, window = Sweep("invert", (0,)), Sweep("median", (3, 3), halo=(1, 1), border=(0, 0.0))
    wrapping = window._replace(border=(MODES["wrap"].code, 0.0))
    resize, parts = Sweep("resample", halo=None, shape=(3, 3)), Sweep("label", parts=4)
    reduce = Reduction("minmax", (2,), FLOAT32)
    assert chain.is_chain([point, window])
    assert chain.is_chain([wrapping, point])  # the first one has the whole image
    assert chain.is_chain([point._replace(args=(Beside(passes=(window,)),))])
    for passes in ([point], [reduce], [point, wrapping], [point, resize], [point, parts], [point, reduce]):
        assert not chain.is_chain(passes), passes
    assert not chain.is_chain([Sweep("difference", (ORIGINAL, 0))])
    assert not chain.is_chain([point._replace(args=(Beside(passes=(window, wrapping)),))])
    assert not chain.is_chain([point, window._replace(in_place=True)])
