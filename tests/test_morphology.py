"""Openings at borders. Morphological reconstruction: images whose paths wind, seams between slabs, what NaN does, and
errors."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import morphology as morphology_of_skimage

import gpuimg
from gpuimg.filters import morphology
from gpuimg.images import DTYPES
from gpuimg.kernels.morphology.footprint import TABLE_BYTES
from tests.conftest import assert_same, noise
from tests.oracles import NUMPY_MODES, ORACLES

CPU = ("single", "multicore", "processes")
HEIGHTS = (1, 2, 31, 32, 33, 63, 64, 65, 127, 130, 513, 600)


def spiral(size):
    """A path of ones that winds inwards, its turns two pixels apart."""
    image = np.zeros((size, size), np.uint8)
    row, col, down, along = 0, -1, 0, 1
    length, turns = size, 0
    while length > 0:
        for _ in range(length):
            row, col = row + down, col + along
            image[row, col] = 1
        down, along = along, -down
        turns += 1
        length -= 2 * (turns % 2 == 1 and turns > 1) or (turns == 1)
    return image


def comb(shape):
    """A path of ones that goes down and up, a column apart."""
    image = np.zeros(shape, np.uint8)
    image[:, ::2] = 1
    image[-1, 1::4] = 1
    image[0, 3::4] = 1
    return image


def blobs(shape, seed=0, sigma=2.0):
    rough = np.random.default_rng(seed).standard_normal(shape)
    return np.uint8(np.clip(128 + 400 * ndimage.gaussian_filter(rough, sigma), 0, 255))


def dotted(mask, seed=1, share=0.01):
    """A seed: the mask at a few pixels, its minimum in all others."""
    return np.where(np.random.default_rng(seed).random(mask.shape) < share, mask, mask.min())


PATTERNS = {
    "spiral": spiral(97),
    "comb": comb((150, 61)),
    "comb across": np.ascontiguousarray(comb((61, 150)).T),
    "checkerboard": np.indices((90, 77)).sum(0).astype(np.uint8) % 2,
    "ramp": np.add.outer(np.arange(140), np.arange(90)).astype(np.uint8),
    "blobs": blobs((200, 140)),
}


NEITHER_SYMMETRIC_NOR_CENTRED = [
    np.array([[1, 0, 0]]),
    np.array([[0, 0, 0, 1]]),
    np.array([[1, 1], [0, 0], [0, 0], [1, 0]]),
    np.pad(np.tri(4, 6), ((0, 9), (0, 40))),
]


@pytest.mark.parametrize("name", ["opening", "closing", "white_tophat", "black_tophat"])
def test_nothing_beyond_the_border_counts(name, backend):
    function = gpuimg.FILTERS[name].function
    for dtype in (bool, *DTYPES, np.int32):
        for shape in ((1, 1), (1, 3), (40, 2), (2, 200), (23, 37), (6, 9, 3)):
            image = noise(shape, dtype)
            for under in NEITHER_SYMMETRIC_NOR_CENTRED:
                message = f"{shape} {dtype} {under.shape}"
                found = function(image, under, backend=backend)
                assert_same(found, ORACLES[name](image, under), message)
                if name in ("opening", "closing"):
                    assert (found <= image if name == "opening" else found >= image).all(), message
                    assert_same(function(found, under, backend=backend), found, message)
                else:
                    assert (found >= 0).all(), message


def test_the_border_of_scipy_is_a_mode_away(backend):
    image = np.array([[0, 9, 0]], np.uint8)
    under = np.array([[1, 0, 0]])
    assert_same(gpuimg.opening(image, under, backend=backend), image)
    expected = ndimage.grey_opening(image, footprint=under)
    assert_same(gpuimg.opening(image, under, mode="reflect", backend=backend), expected)
    assert expected.tolist() == [[0, 9, 9]]


def test_the_footprints_of_scikit_image_are_a_row_or_a_mirror_away(backend):
    """Even ones have another centre in its erosion; its dilation mirrors none; those by default are crosses."""
    image = noise((19, 23), np.uint8)
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    for name in ("erosion", "dilation", "opening", "closing", "white_tophat", "black_tophat"):
        function, theirs = gpuimg.FILTERS[name].function, getattr(morphology_of_skimage, name)
        assert_same(function(image, cross, mode="ignore", backend=backend), theirs(image, mode="ignore"), name)
    for under in (np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]]), np.array([[1, 0], [1, 1]]), np.tri(3, 4, dtype=int)):
        message = f"{under.shape}"
        odd = np.pad(under, [(1 - size % 2, 0) for size in under.shape])
        mirrored = under[::-1, ::-1]
        eroded, dilated = morphology_of_skimage.erosion(image, under), morphology_of_skimage.dilation(image, under)
        assert_same(gpuimg.erosion(image, odd, backend=backend), eroded, message)
        assert_same(gpuimg.dilation(image, mirrored, backend=backend), dilated, message)
        closed = morphology_of_skimage.closing(image, under, mode="ignore")
        assert_same(gpuimg.closing(image, mirrored, backend=backend), closed, message)
        opened = morphology_of_skimage.opening(image, under, mode="ignore")
        assert_same(gpuimg.opening(image, under, backend=backend)[4:-4, 4:-4], opened[4:-4, 4:-4], message)


@pytest.mark.parametrize("mode", ["ignore", "reflect"])
def test_where_a_footprint_covers_nothing(mode, backend):
    """An erosion is the maximum there and a dilation the minimum."""
    for dtype, least, greatest in ((np.uint8, 0, 255), (np.int16, -32768, 32767), (np.float32, -np.inf, np.inf)):
        image, under = np.full((2, 3), 7, dtype), np.array([[1, 0, 0]])
        eroded = gpuimg.erosion(image, under, mode=mode, backend=backend)
        dilated = gpuimg.dilation(image, under, mode=mode, backend=backend)
        assert_same(eroded[:, 0], np.full(2, greatest if mode == "ignore" else 7, dtype))
        assert_same(dilated[:, -1], np.full(2, least if mode == "ignore" else 7, dtype))
        assert (eroded[:, 1:] == 7).all()
        assert (dilated[:, :-1] == 7).all()


def runs_of_all_lengths(height, breadth):
    """A footprint with rows of ones and others without any, also the first and the last one."""
    under = np.zeros((height, breadth), bool)
    under[1, 1:-1] = True
    for row in (*range(8, height - 2, 7), 40, 41):
        under[row, breadth // 3 : breadth // 3 + row] = True
        under[row, row * breadth // height] = True
    return under


def extreme_of_each(image, under, choose, mode):
    """The minimum or maximum under a footprint, one after the other of its ones."""
    beyond = [(size // 2, size - size // 2 - 1) for size in under.shape] + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, beyond, NUMPY_MODES[mode], **({"constant_values": 5} if mode == "constant" else {}))
    result = None
    for row, col in np.argwhere(under):
        there = padded[row : row + image.shape[0], col : col + image.shape[1]]
        result = there.copy() if result is None else choose(result, there, out=result)
    return result


@pytest.mark.parametrize("shape", [(80, 1600), (70, 600, 3)])
@pytest.mark.parametrize(
    ("dtype", "mode"),
    [
        (np.uint8, "reflect"),
        (np.int16, "mirror"),
        (np.int32, "constant"),
        (np.float32, "nearest"),
        (np.float64, "wrap"),
    ],
)
def test_a_footprint_whose_tables_are_made_in_parts(dtype, mode, shape):
    step, under = shape[2] if len(shape) > 2 else 1, runs_of_all_lengths(62, shape[1] // 3 + 1)
    height, breadth = under.shape
    levels = (breadth - 2).bit_length()
    assert height * levels * 2 * breadth * step * np.dtype(dtype).itemsize > TABLE_BYTES
    rng = np.random.default_rng(7)
    image = rng.integers(0, 9, shape).astype(dtype)
    if image.dtype.kind == "f":
        image *= rng.choice([-1, 1], shape)
        image[rng.random(shape) < 1e-4] = np.nan
    eroded = extreme_of_each(image, under, np.minimum, mode)
    dilated = extreme_of_each(image[::-1, ::-1], under, np.maximum, mode)[::-1, ::-1]
    assert (eroded != dilated).any()
    for function, expected in ((gpuimg.erosion, eroded), (gpuimg.dilation, dilated)):
        found = function(image, under, mode=mode, cval=5, backend="single")
        assert_same(found, expected, function.__name__)
        for backend in ("multicore", "processes"):
            assert function(image, under, mode=mode, cval=5, backend=backend).tobytes() == found.tobytes()


@pytest.mark.parametrize("shape", [(9, 2), (9, 5, 3), (20, 70), (20, 150, 3), (5, 500)])
@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_a_footprint_of_few_ones_beyond_the_ends_of_rows(mode, shape):
    under = np.zeros((4, 5), bool)
    under[[0, 1, 1, 2, 3], [4, 0, 2, 3, 0]] = True
    rng = np.random.default_rng(8)
    for dtype in (np.uint8, np.float32):
        image = rng.integers(0, 99, shape).astype(dtype)
        if dtype == np.float32:
            image[:, -1] = np.nan
        for function, choose in ((gpuimg.erosion, np.minimum), (gpuimg.dilation, np.maximum)):
            turned = slice(None) if choose is np.minimum else slice(None, None, -1)
            expected = extreme_of_each(image[turned, turned], under, choose, mode)[turned, turned]
            assert_same(function(image, under, mode=mode, cval=5, backend="single"), expected, function.__name__)


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern, connectivity, backend):
    mask = PATTERNS[pattern]
    corner = np.zeros_like(mask)
    corner[0, 0] = mask[0, 0]
    for seed in (corner, dotted(mask)):
        found = gpuimg.reconstruction(seed, mask, connectivity=connectivity, backend=backend)
        assert_same(found, ORACLES["reconstruction"](seed, mask, connectivity=connectivity))
        found = gpuimg.reconstruction(255 - seed, 255 - mask, "erosion", connectivity, backend=backend)
        assert_same(found, ORACLES["reconstruction"](255 - seed, 255 - mask, "erosion", connectivity))


def test_winding_paths_of_every_value(backend):
    """Each pixel of a path is lower than the one before it, so that no two are of one level."""
    path = np.argwhere(comb((75, 21)))
    mask = np.zeros((75, 21), np.uint16)
    mask[tuple(path.T)] = 5000 - 2 * path[:, 1] - path[:, 0] % 7
    seed = dotted(mask)
    found = gpuimg.reconstruction(seed, mask, connectivity=1, backend=backend)
    assert_same(found, ORACLES["reconstruction"](seed, mask, connectivity=1))


@pytest.mark.parametrize("height", HEIGHTS)
def test_heights_around_seams(height):
    mask = blobs((height, 50), height)
    seed = dotted(mask)
    expected = ORACLES["reconstruction"](seed, mask)
    for name in CPU:
        assert_same(gpuimg.reconstruction(seed, mask, backend=name), expected, name)
    for flat in (mask, spiral(height), comb((height, 33))):
        holes = flat < 128 if flat is mask else flat == 0
        assert_same(gpuimg.fill_holes(holes, backend="single"), ORACLES["fill_holes"](holes))


@pytest.mark.parametrize(("rows", "group"), [(1, 2), (3, 2), (5, 3), (38, 2), (39, 2), (77, 8), (1000, 8)])
def test_results_do_not_depend_on_the_slabs(rows, group, constants):
    constants(morphology, SLAB_ROWS=rows, GROUP=group)
    for mask in (blobs((77, 39)), spiral(61), comb((70, 41)), noise((40, 19, 3), np.uint8)):
        seed = dotted(mask)
        for connectivity in (1, 2):
            found = gpuimg.reconstruction(seed, mask, connectivity=connectivity, backend="multicore")
            assert_same(found, ORACLES["reconstruction"](seed, mask, connectivity=connectivity))


@pytest.mark.parametrize("cols", [1, 2, 62, 63, 64, 65, 66, 67, 127, 128, 130, 131, 193])
def test_rows_of_every_length(cols):
    for dtype in ("uint8", "float32"):
        mask = blobs((20, cols), cols, 1).astype(dtype)
        seed = dotted(mask, share=0.05)
        for connectivity in (1, 2):
            found = gpuimg.reconstruction(seed, mask, connectivity=connectivity, backend="single")
            assert_same(found, ORACLES["reconstruction"](seed, mask, connectivity=connectivity))


@pytest.mark.parametrize("dtype", [*DTYPES, np.dtype(bool)], ids=str)
@pytest.mark.parametrize("shape", [(70, 45), (40, 70, 3), (9, 70, 2)], ids=str)
def test_dtypes_and_channels(dtype, shape, backend):
    mask = noise(shape, dtype)
    seed = np.where(np.random.default_rng(3).random(shape) < 0.1, mask, mask.min())
    for connectivity in (1, 2):
        found = gpuimg.reconstruction(seed, mask, connectivity=connectivity, backend=backend)
        assert_same(found, ORACLES["reconstruction"](seed, mask, connectivity=connectivity))
        above = np.where(seed == mask, mask, mask.max())
        found = gpuimg.reconstruction(above, mask, "erosion", connectivity, backend=backend)
        assert_same(found, ORACLES["reconstruction"](above, mask, "erosion", connectivity))
        assert_same(gpuimg.fill_holes(mask, connectivity, backend=backend), ORACLES["fill_holes"](mask, connectivity))


def test_stacks():
    masks = np.stack([blobs((150, 40), seed) for seed in range(3)])
    seeds = dotted(masks)
    found = gpuimg.reconstruction(seeds, masks, axes="NYX")
    for each, seed, mask in zip(found, seeds, masks, strict=True):
        assert_same(each, ORACLES["reconstruction"](seed, mask))


def test_many_channels():
    mask = noise((20, 9, 70), np.uint8)
    seed = dotted(mask, share=0.1)
    assert_same(gpuimg.reconstruction(seed, mask, axes="YXC"), ORACLES["reconstruction"](seed, mask))


@pytest.mark.parametrize("method", ["dilation", "erosion"])
def test_nan_stays_and_passes_nothing_on(method, backend):
    sign = np.float32(1 if method == "dilation" else -1)
    mask = np.full((9, 80), 5, np.float32)
    mask[2] = 3
    mask[:, 40] = np.nan  # a wall
    seed = np.zeros_like(mask)
    seed[4, 3] = 4
    seed[6, 70] = np.nan
    expected = np.minimum(mask, 4)
    expected[:2] = 3  # beyond the row of that value
    expected[:, 40] = np.nan
    expected[:, 41:] = 0
    expected[6, 70] = np.nan
    found = gpuimg.reconstruction(sign * seed, sign * mask, method, backend=backend)
    assert_same(found, sign * expected)


def test_zeros_have_no_sign(backend):
    mask = np.array([[0.0, -0.0, 1.0, -0.0]] * 70)
    seed = np.array([[-0.0, -0.0, 0.0, -1.0]] * 70)
    for method, first, second in (("dilation", seed, mask), ("erosion", mask, seed)):
        found = gpuimg.reconstruction(first, second, method, backend=backend)
        assert_same(found, np.zeros_like(mask) if method == "dilation" else found)
        assert not np.signbit(found[found == 0]).any()


def test_reconstruction_is_idempotent_and_bounded():
    mask = blobs((150, 100))
    seed = np.maximum(mask, 40) - np.uint8(40)
    found = gpuimg.reconstruction(seed, mask)
    assert (found >= seed).all()
    assert (found <= mask).all()
    assert_same(gpuimg.reconstruction(found, mask), found)
    filled = gpuimg.fill_holes(mask)
    assert (filled >= mask).all()
    assert_same(gpuimg.fill_holes(filled), filled)


def test_seeds_beyond_the_mask_are_errors(backend):
    seed, mask = np.zeros((70, 9), np.int16), np.zeros((70, 9), np.int16)
    seed[[3, 66, 69], 4] = 1
    out = np.full_like(seed, 7)
    with pytest.raises(
        ValueError, match="seed must be at most mask for the method 'dilation', got 3 values that are not"
    ):
        gpuimg.reconstruction(seed, mask, backend=backend, out=out)
    with pytest.raises(ValueError, match="seed must be at least mask for the method 'erosion', got 3 values"):
        gpuimg.reconstruction(mask, seed, "erosion", backend=backend)


def test_masks_that_do_not_go_with_the_seed():
    seed = np.zeros((5, 6), np.uint8)
    with pytest.raises(ValueError, match=r"mask must have the seed's shape \(5, 6\), got \(6, 5\)"):
        gpuimg.reconstruction(seed, seed.T)
    with pytest.raises(TypeError, match="mask must have the seed's dtype uint8, got int16"):
        gpuimg.reconstruction(seed, seed.astype(np.int16))
    with pytest.raises(TypeError, match="mask must have the seed's dtype bool, got uint8"):
        gpuimg.reconstruction(seed > 0, seed)


def test_holes_of_masks_are_scipys(backend):
    for seed in range(3):
        mask = blobs((140, 90), seed) > 128
        for connectivity in (1, 2):
            expected = ORACLES["fill_holes"](mask, connectivity)
            assert_same(gpuimg.fill_holes(mask, connectivity, backend=backend), expected)
            filled = gpuimg.fill_holes(mask.astype(np.uint8), connectivity, backend=backend)
            assert_same(filled, expected.astype(np.uint8))
