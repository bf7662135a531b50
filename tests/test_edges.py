"""Directions of gradients, and the arctangent that they come from."""

import math
import shutil

import numba
import numpy as np
import pytest

import gpuimg
from gpuimg import kernels
from gpuimg.backend.compiled import DONE, prepare
from gpuimg.images import DTYPES, MODES
from tests.conftest import assert_same, noise
from tests.cuda_emulator.emulator import EmulatedGpu

FACTOR = 0.25 / math.sqrt(2)
ULPS = 3  # of any angle; measured: 1.8 for float32, 2.6 for float64
FLOATS = [np.float32, np.float64]


@pytest.fixture(scope="module")
def arctan2():
    """The kernels' own, for whole arrays."""
    of_numbers = kernels.load("angles").arctan2

    @numba.njit(error_model="numpy")
    def fill(y, x, out):
        for place in range(out.size):
            out[place] = of_numbers(y[place], x[place])

    def of_arrays(y, x):
        out = np.empty_like(y)
        fill(y, x, out)
        return out

    return of_arrays


def assert_within(actual, y, x, ulps):
    """Within this many units in the last place of the angle in long double."""
    exact = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
    units = np.spacing(np.abs(exact.astype(actual.dtype)))
    np.testing.assert_array_less(np.abs(actual.astype(np.longdouble) - exact) / units, ulps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_arctan2_is_accurate(arctan2, dtype):
    rng = np.random.default_rng(1)
    count = 400_000
    angles = rng.uniform(-np.pi, np.pi, count)
    lengths = 10 ** rng.uniform(-9, 9, count)
    steepness = 10 ** (rng.uniform(-7, 7, count) * rng.integers(0, 2, count))
    y, x = (lengths * np.sin(angles) * steepness).astype(dtype), (lengths * np.cos(angles)).astype(dtype)
    assert_within(arctan2(y, x), y, x, ULPS)


@pytest.mark.parametrize("dtype", FLOATS)
def test_arctan2_of_whole_numbers_is_accurate(arctan2, dtype):
    y, x = (each.ravel().astype(dtype) for each in np.mgrid[-300:301, -300:301])
    there = (y != 0) | (x != 0)
    assert_within(arctan2(y, x)[there], y[there], x[there], ULPS)
    np.testing.assert_array_equal(arctan2(y, x)[~there], 0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_arctan2_of_special_numbers_is_numpys(arctan2, dtype):
    info = np.finfo(dtype)
    ends = [0.0, 1.0, np.inf, info.tiny, info.smallest_subnormal, info.max]
    special = np.array([*ends, *np.negative(ends), np.nan], dtype)
    y, x = (each.ravel() for each in np.meshgrid(special, special))
    found, expected = arctan2(y, x), np.arctan2(y, x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    there = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[there]), np.signbit(expected[there]))
    np.testing.assert_array_max_ulp(found[there], expected[there], 1)


def compiled(image, dtype, step, mode, cval=0.0):
    """The kernel's magnitude and direction on the CPU, in two bands; rows outside of a band stay as they were."""
    rows = len(image)
    magnitude, direction = np.full(image.shape, -1, dtype), np.full(image.shape, -9, dtype)
    for top, bottom in ((rows // 2, rows), (0, rows // 2)):
        np.testing.assert_array_equal(direction[top:bottom], -9)
        code, packed = prepare("gradient", image, magnitude, (direction, step, mode, cval, 2, 1, FACTOR))
        assert code.call(packed.address, top, bottom) == DONE
    return magnitude, direction


def emulated(image, dtype, step, mode, cval=0.0):
    """The same on the emulated device."""
    gpu = EmulatedGpu(order=5)
    magnitude, direction = gpu.empty(image.shape, dtype), gpu.empty(image.shape, dtype)
    arguments = (direction, step, mode, cval, 2, 1, FACTOR)
    gpu.launch("gradient", gpu.put(image), magnitude, 0, len(image), *arguments)
    return gpu.get(magnitude), gpu.get(direction)


@pytest.mark.skipif(shutil.which("g++") is None, reason="the emulator needs g++")
@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_both_kernels_give_the_same_bits(dtype, step):
    real = np.float64 if dtype == np.float64 else np.float32
    for shape in ((1, 1), (5, 43), (70, 150)):
        image = noise((shape[0], shape[1] * step), dtype, shape[0])
        if dtype.kind == "f":
            image.flat[:: 7 * step] = -0.0
            image.flat[:: 31 * step] = np.inf
            image.flat[:: 37 * step] = np.nan
        for mode in MODES.values():
            expected = compiled(image, real, step, mode.code, 3.0)
            for mine, theirs in zip(expected, emulated(image, real, step, mode.code, 3.0), strict=True):
                assert_same(mine, theirs, f"{shape} {mode}")
                numbers = ~np.isnan(mine)
                np.testing.assert_array_equal(np.signbit(mine[numbers]), np.signbit(theirs[numbers]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_magnitude_is_sobels_and_the_direction_that_of_its_parts(dtype, mode):
    real = np.float64 if dtype == np.float64 else np.float32
    image = noise((33, 61), dtype)
    edge = {"mode": mode, "cval": 3, "backend": "single"}
    magnitude, direction = gpuimg.gradient(image, **edge)
    assert_same(magnitude, gpuimg.sobel(image, **edge))
    down, along = (gpuimg.sobel(image, axis=axis, **edge) for axis in (0, 1))
    np.testing.assert_array_max_ulp(direction, np.arctan2(down.astype(np.float64), along).astype(real), 4)


def test_directions_of_ramps():
    """0 is to the right and pi / 2 downwards."""
    rows, cols = np.mgrid[:9, :9]
    inner = (slice(1, -1), slice(1, -1))
    for degrees, ramp in {0: cols, 45: cols + rows, 90: rows, 135: rows - cols, 180: -cols, -90: -rows}.items():
        _, direction = gpuimg.gradient(ramp.astype(np.int16))
        np.testing.assert_array_equal(direction[inner], np.float32(np.deg2rad(degrees)))


def test_a_flat_image_has_the_direction_0(backend):
    for value in (-0.0, 0.0, 5.0):
        magnitude, direction = gpuimg.gradient(np.full((7, 9), value, np.float32), backend=backend)
        np.testing.assert_array_equal(magnitude, 0)
        np.testing.assert_array_equal(direction, 0)


TINY_AND_HUGE = [("float32", 1e-25), ("float32", 1e-38), ("float32", 1e19), ("float32", 1e37)]
TINY_AND_HUGE += [("float64", 1e-170), ("float64", 1e-300), ("float64", 1e160), ("float64", 1e306)]
SCALES = pytest.mark.parametrize(("dtype", "scale"), TINY_AND_HUGE, ids=str)


def powered(scale):
    """The power of two at most a scale: multiplying by it rounds nothing."""
    return 2.0 ** np.floor(np.log2(scale))


@SCALES
@pytest.mark.parametrize("name", ["sobel", "scharr", "prewitt"])
def test_magnitudes_of_tiny_and_huge_steps(name, dtype, scale, backend):
    image, factor = noise((21, 37), dtype) / 4, powered(scale)
    found = gpuimg.FILTERS[name].function(image * dtype_of(dtype, factor), backend=backend).astype(np.float64) / factor
    np.testing.assert_allclose(found, gpuimg.FILTERS[name].function(image, backend="single"), rtol=1e-5, atol=1e-6)


@SCALES
def test_gradients_of_tiny_and_huge_steps(dtype, scale, backend):
    image, factor = noise((21, 37), dtype) / 4, powered(scale)
    found, direction = gpuimg.gradient(image * dtype_of(dtype, factor), backend=backend)
    magnitude, expected = gpuimg.gradient(image, backend="single")
    np.testing.assert_allclose(found.astype(np.float64) / factor, magnitude, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(direction, expected, rtol=1e-4, atol=1e-4)


@SCALES
def test_edges_of_tiny_and_huge_steps(dtype, scale, backend):
    image, factor = (np.indices((40, 50)).sum(0) % 30 > 14).astype(dtype), powered(scale)
    image[:, 20:23] = 0.5
    expected = gpuimg.canny(image, 1, 0.5, 1, mode="nearest", backend="single")
    assert expected.any()
    scaled = image * dtype_of(dtype, factor)
    assert_same(gpuimg.canny(scaled, 1, 0.5 * factor, factor, mode="nearest", backend=backend), expected)


def dtype_of(dtype, number):
    return np.dtype(dtype).type(number)
