"""Sampling anywhere: exact turns, coordinates that are no places, weights of zero, overshooting sums, stacks."""

import numpy as np
import pytest
from skimage import transform

import gpuimg
from gpuimg.images import KNOWN, MODES
from tests.conftest import assert_same, noise
from tests.oracles import ORACLES

IDENTITY = np.eye(3)
SHAPES = ((1, 1), (19, 33), (33, 19, 3), (21, 21), (6, 300, 2), (9, 8, 4))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("k", range(-3, 5))
def test_right_angles_are_exact(dtype, k, backend):
    for shape in SHAPES:
        image = noise(shape, dtype)
        for order in (0, 1, 3):
            turned = gpuimg.rotate(image, 90 * k, True, order=order, backend=backend)
            assert_same(turned, np.ascontiguousarray(np.rot90(image, k)), f"{shape} {order}")
            if k % 2 == 0 or shape[0] == shape[1]:
                assert_same(gpuimg.rotate(image, 90 * k, order=order, backend=backend), turned)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_right_angles_by_a_matrix(order, backend):
    """What `rotate` takes the short way for, sample by sample; also about a point of one's own."""
    image = noise((300, 300), np.float32)
    quarter = [[0, -1, 299], [1, 0, 0], [0, 0, 1]]
    given = {"order": order, "backend": backend}
    assert_same(gpuimg.warp(image, quarter, **given), np.ascontiguousarray(np.rot90(image)))
    assert_same(gpuimg.rotate(image, 90, center=(149.5, 149.5), **given), gpuimg.rotate(image, 90, **given))


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("angle", [0, 2, 33, 90, 180.5, 271, 340])
def test_a_matrix_is_its_coordinates(angle, order, backend):
    """Also in images of several runs and tiles, which an affine matrix cuts at the edges."""
    a, b = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    image = noise((70, 1300, 3), np.uint8)
    rows, cols = np.indices((75, 1200)).astype(np.float64)
    for x, y in ((-20.25, 3.0), (1250.5, 60.0), (600.0, -500.0)):
        at = {"rows": b * cols + (a * rows + y), "cols": a * cols + (-b * rows + x)}
        for mode in ("constant", "mirror"):
            given = {"order": order, "mode": mode, "backend": backend}
            found = gpuimg.warp(image, [[a, -b, x], [b, a, y], [0, 0, 1]], rows.shape, **given)
            assert_same(found, gpuimg.remap(image, **at, **given), f"{x} {y} {mode}")


@pytest.mark.parametrize("dtype", KNOWN, ids=str)
def test_nearest_neighbours_are_moved(dtype, backend):
    image = noise((19, 33, 3), dtype)
    matrix = [[0.8, 0.3, -4], [-0.2, 1.1, 3], [0, 0, 1]]
    rows, cols = np.indices((20, 150)) * np.array([1.3, 0.3]).reshape(2, 1, 1) - 3.2
    for mode in MODES:
        for name, given in (("warp", {"matrix": matrix}), ("remap", {"rows": rows, "cols": cols})):
            given = {**given, "order": 0, "mode": mode, "cval": 1}
            found = gpuimg.FILTERS[name].function(image, backend=backend, **given)
            edge = {} if mode == "constant" else {"cval": 0}
            assert_same(found, ORACLES[name](image, **{**given, **edge}), f"{name} {mode}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_coordinates_that_are_nowhere(dtype, mode, backend):
    """NaN is the constant; what lies far away is what the border mode says, and never outside of the memory."""
    image = noise((9, 11), dtype)
    far = np.array([[np.nan, np.inf, -np.inf, 1e300, -1e300, 2.0**63, -(2.0**31), 1e19, 0]])
    zero = np.zeros_like(far)
    cval = 7 if mode == "constant" else 0
    for order in (0, 1, 3):
        for rows, cols, corner in ((far, zero, image[-1, 0]), (zero, far, image[0, -1])):
            found = gpuimg.remap(image, rows, cols, order, mode, 7, backend=backend)[0]
            assert found[0] == cval
            assert found[-1] == image[0, 0]
            if mode == "constant":
                assert (found[:-1] == 7).all()
            if mode == "nearest":
                assert_same(found[[1, 3, 5, 7]], np.full(4, corner, dtype))
                assert (found[[2, 4, 6]] == image[0, 0]).all()


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), [[1, 0, 0], [0, 1, 0], [0.1, 0, -1]], np.full((3, 3), 1e300)])
def test_denominators_of_zero(matrix, order, backend):
    image = noise((9, 200), np.uint8)
    for mode in MODES:
        given = {"order": order, "mode": mode, "cval": 3}
        assert_same(
            gpuimg.warp(image, matrix, **given, backend=backend), gpuimg.warp(image, matrix, **given, backend="single")
        )
    if not np.any(matrix):
        assert (gpuimg.warp(image, matrix, order=order, cval=3, backend=backend) == 3).all()


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_neighbour_without_weight_is_not_touched(dtype, bad, order, backend):
    for shape in ((40, 200), (40, 200, 2), (40, 200, 3), (40, 200, 4)):
        image = noise(shape, dtype)
        image[20, 100] = bad
        given = {"order": order, "backend": backend}
        assert_same(gpuimg.warp(image, IDENTITY, **given), image)
        half = gpuimg.warp(image, [[1, 0, 0.5], [0, 1, 0], [0, 0, 1]], **given)
        touched = np.zeros(shape[:2], bool)
        touched[20, 99:101] = True
        touched[20, 98:102] |= order == 3
        assert_same(~np.isfinite(half).reshape(*shape[:2], -1)[..., 0], touched)


TILTED = [[1, 0.02, 0.3], [-0.02, 0.9, 0.5], [0, 0, 1]]
FEW = [(height, width, *channels) for height in range(1, 6) for width in (1, 3, 5, 40) for channels in ((), (3,), (4,))]


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_few_rows_and_columns(mode, order, backend):
    """Images with less pixels than a sample is made of, and what lies in front of them in memory, which is not read."""
    for shape in FEW if backend == "single" else FEW[::7]:
        memory = np.full((shape[0] + 4, *shape[1:]), np.nan)
        image = memory[2:-2]
        image[...] = noise(shape, np.float64)
        rows, cols = np.indices((9, 44)) * 0.7 - 2.2
        for name, given in (("warp", {"matrix": TILTED}), ("remap", {"rows": rows, "cols": cols})):
            given = {**given, "order": order, "mode": mode, "cval": 3 * (mode == "constant")}
            found = gpuimg.FILTERS[name].function(image, backend=backend, **given)
            expected = ORACLES[name](image, **given)
            limit = 1e-12 * np.abs(image).max()
            np.testing.assert_allclose(found, expected, rtol=0, atol=limit, err_msg=f"{name} {shape}")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_constants_stay_by_cubic_convolution(dtype, backend):
    kind = np.dtype(dtype)
    for value in (np.iinfo(kind).max, np.iinfo(kind).min) if kind.kind in "ui" else (0.1, np.finfo(kind).max):
        image = np.full((40, 90), value, kind)
        found = gpuimg.rotate(image, 33, order=3, mode="mirror", backend=backend)
        assert_same(found, image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_cubic_convolution_overshoots_and_integers_saturate(dtype, backend):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    for channels in ((), (2,), (3,), (4,)):
        image = np.full((50, 120, *channels), low, dtype)
        image[:, 60:] = high
        moved = [[1, 0, 0.5], [0, 1, 0.25], [0, 0, 1]]
        found = gpuimg.warp(image, moved, order=3, mode="nearest", backend=backend)
        step = gpuimg.warp(image.astype(np.float64), moved, order=3, mode="nearest", backend=backend)
        assert step.min() < low - 0.06 * (high - low)
        assert step.max() > high + 0.06 * (high - low)
        assert_same(found, np.clip(np.rint(step), low, high).astype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_cubic_convolution_is_that_of_resize(dtype, backend):
    image = noise((30, 41, 3), dtype)
    resized = gpuimg.resize(image, (60, 123), order=3, anti_aliasing=False, backend=backend)
    matrix = [[1 / 3, 0, -1 / 3], [0, 1 / 2, -1 / 4], [0, 0, 1]]
    found = gpuimg.warp(image, matrix, (60, 123), order=3, mode="mirror", backend=backend)
    limit = 1 if dtype == "uint8" else 1e-12 * np.abs(image).max()
    np.testing.assert_allclose(found.astype(np.float64), resized, rtol=0, atol=limit)


@pytest.mark.parametrize("order", [1, 3])
def test_warping_has_no_bias(order):
    image = noise((300, 400), np.uint8)
    for angle in (3, 41, 100):
        found = gpuimg.rotate(image, angle, order=order, mode="mirror", backend="single").astype(int)
        difference = found - ORACLES["rotate"](image, angle, order=order, mode="mirror")
        assert np.abs(difference).max() <= 1
        assert abs(difference.mean()) < 0.001


@pytest.mark.parametrize(
    "given",
    [{"angle": 33}, {"angle": -71, "resize": True}, {"angle": 12, "center": (3, 30)}, {"angle": 62, "order": 3}],
)
def test_rotation_is_scikit_images(given):
    image = noise((60, 80), np.float64)
    theirs = transform.rotate(image, mode="constant", preserve_range=True, clip=False, **given)
    ours = gpuimg.rotate(image, backend="single", **given)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * np.abs(image).max())


@pytest.mark.parametrize("order", [1, 3])
def test_a_transform_of_scikit_image_is_a_matrix(order):
    image = noise((30, 40), np.float64)
    tilted = transform.ProjectiveTransform([[1, 0.1, 2], [0.05, 0.95, -1], [0.002, -0.001, 1]])
    theirs = transform.warp(image, tilted, order=order, preserve_range=True, clip=False)
    ours = gpuimg.warp(image, tilted, order=order, backend="single")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * np.abs(image).max())


@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "uint8"])
def test_coordinates_of_every_kind(kind, backend):
    image = noise((9, 11), np.uint8)
    rows, cols = np.indices((9, 11)).astype(kind)
    assert_same(gpuimg.remap(image, rows, cols, backend=backend), image)
    assert_same(gpuimg.remap(image, rows.astype("float32"), cols, backend=backend), image)


def test_coordinates_shared_by_a_stack(backend):
    stack = noise((2, 3, 9, 8, 3), np.uint8)
    rows, cols = np.indices((5, 6)) * 1.3
    found = gpuimg.remap(stack, rows, cols, axes="TZYXC", backend=backend)
    assert found.shape == (2, 3, 5, 6, 3)
    assert_same(found[1, 2], gpuimg.remap(stack[1, 2], rows, cols, backend="single"))
