"""What extreme parameters cost: work stops soon however long a row takes, and memory is bounded by image and result."""

import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

import gpuimg
from gpuimg.filters import smooth, transform
from gpuimg.images import FLOAT64, MODES
from gpuimg.keeping import kept
from gpuimg.plans.graph import graph_of
from tests.conftest import noise

SOON = 5.0  # seconds, of work that takes minutes
IMAGE = np.random.default_rng(2).integers(0, 256, (900, 1000), np.uint8)
TURNED = np.array([[1, 0.1, 3], [-0.1, 1, 3], [0, 0, 1]])
HOLES = (np.arange(1499 * 1499).reshape(1499, 1499) % 3 > 0).astype(np.uint8)
LONG = {
    "bilateral": partial(gpuimg.bilateral, np.tile(IMAGE, (4, 4)), sigma_color=90, sigma_spatial=300, window=511),
    "corner_harris": partial(gpuimg.corner_harris, IMAGE, sigma=800),
    "denoise_nl_means": partial(gpuimg.denoise_nl_means, np.tile(IMAGE, (4, 4)), patch_size=127, patch_distance=64),
    "canny": partial(gpuimg.canny, np.tile(IMAGE, (2, 8)), sigma=900),
    "gaussian": partial(gpuimg.gaussian, np.tile(IMAGE, (2, 8)).astype(np.float64), sigma=900),
    "median of bytes": partial(gpuimg.median, IMAGE, size=30001),
    "median of words": partial(gpuimg.median, IMAGE.astype(np.uint16), size=1501),
    "uniform": partial(gpuimg.uniform, IMAGE.astype(np.float32), size=1 << 20),
    "erosion": partial(gpuimg.erosion, np.tile(IMAGE, (4, 4)), footprint=HOLES),
    "warp": partial(gpuimg.warp, IMAGE, matrix=TURNED, mode="wrap", output_shape=(1, 100_000_000)),
}


def compile_for(name, backend):
    shown = {"footprint": HOLES[:9, :9], "matrix": TURNED, "mode": "wrap", "output_shape": (1, 9)}
    small = {key: shown.get(key, 9) for key in LONG[name].keywords}
    LONG[name].func(LONG[name].args[0][:20, :20], backend=backend, **small)


@pytest.mark.parametrize("backend", ["single", "multicore"])
@pytest.mark.parametrize("name", LONG)
def test_a_cancelled_job_ends_within_a_row(name, backend):
    compile_for(name, backend)
    with gpuimg.Pool(running=1) as pool:
        long = LONG[name]
        job = pool.submit(long.func, *long.args, backend=backend, **long.keywords)
        time.sleep(0.3)
        assert job.cancel()
        start = time.monotonic()
    assert job.cancelled()
    assert time.monotonic() - start < SOON


@pytest.mark.skipif(os.name != "posix", reason="Windows sends no signal to one process")
@pytest.mark.parametrize(
    ("name", "backend"),
    [*((name, backend) for name in LONG for backend in ("single", "multicore")), ("corner_harris", "processes")],
)
def test_an_interrupt_ends_a_call_within_a_row(name, backend):
    compile_for(name, backend)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            LONG[name](backend=backend)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - start < 0.3 + SOON
    np.testing.assert_array_equal(gpuimg.invert(IMAGE, backend=backend), 255 - IMAGE)


def test_long_work_has_the_same_results_and_errors_where_signals_are_handled(monkeypatch):
    from gpuimg.backend import chain

    expected = gpuimg.unsharp_mask(IMAGE, 3, backend="multicore"), gpuimg.histogram(IMAGE, backend="single")[0]
    monkeypatch.setattr(chain, "LONG_WORK", 0)
    np.testing.assert_array_equal(gpuimg.unsharp_mask(IMAGE, 3, backend="multicore"), expected[0])
    np.testing.assert_array_equal(gpuimg.histogram(IMAGE, backend="single")[0], expected[1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (8, 5), (1, 9), (7, 2, 3)])
def test_gaussians_far_wider_than_the_image(shape, mode):
    image = np.random.default_rng(3).random(shape)
    sigma = (60, 45.5)
    found = gpuimg.gaussian(image, sigma, mode=mode, cval=0.3, backend="single")
    expected = ndimage.gaussian_filter(image, (*sigma, 0)[: image.ndim], mode=mode, cval=0.3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    bytes_found = gpuimg.gaussian((255 * image).astype(np.uint8), sigma, mode=mode, cval=76, backend="single")
    numbers = (255 * image).astype(np.uint8).astype(float)
    expected = ndimage.gaussian_filter(numbers, (*sigma, 0)[: image.ndim], mode=mode, cval=76)
    assert np.abs(bytes_found - expected).max() <= 1


PAD_MODES = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap", "constant": "constant"}


def windows(image, size, mode, cval):
    """The values under a window around each pixel, in the last two axes."""
    width = [(side // 2, side - side // 2 - 1) for side in size] + [(0, 0)] * (image.ndim - 2)
    constant = {"constant_values": cval} if mode == "constant" else {}
    padded = np.pad(image, width, mode=PAD_MODES[mode], **constant)
    return np.lib.stride_tricks.sliding_window_view(padded, size, (0, 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (8, 5), (1, 9), (7, 2, 3)])
@pytest.mark.parametrize("size", [(61, 45), (3, 161), (151, 1), (11, 7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_windows_far_larger_than_the_image(dtype, size, shape, mode):
    image = (np.random.default_rng(3).random(shape) * 200).astype(dtype)
    under = windows(image, size, mode, 3)
    options = {"mode": mode, "cval": 3, "backend": "single"}
    expected = np.median(under, axis=(-2, -1))
    np.testing.assert_array_equal(gpuimg.median(image, size, **options), expected)
    if image.dtype.kind == "f":
        mean, tolerance = under.mean(axis=(-2, -1), dtype=np.longdouble), 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(gpuimg.uniform(image, size, **options), mean, rtol=tolerance)
    else:
        mean = np.rint(under.sum(axis=(-2, -1)) / np.prod(size))
        np.testing.assert_array_equal(gpuimg.uniform(image, size, **options), mean)
    even = size[0] + 1, size[1]
    under = windows(image, even, mode, 3)
    np.testing.assert_array_equal(gpuimg.minimum(image, even, **options), under.min(axis=(-2, -1)))
    np.testing.assert_array_equal(gpuimg.maximum(image, even, **options), under.max(axis=(-2, -1)))
    footprint = np.random.default_rng(4).random(even) < 0.02
    footprint[0, 0] = True
    np.testing.assert_array_equal(gpuimg.erosion(image, footprint, **options), under[..., footprint].min(axis=-1))
    under = windows(image, (even[0] + 1 - even[0] % 2, even[1]), mode, 3)
    mirrored = np.pad(footprint[::-1, ::-1], [(1 - even[0] % 2, 0), (0, 0)])
    np.testing.assert_array_equal(gpuimg.dilation(image, footprint, **options), under[..., mirrored].max(axis=-1))


def test_nan_counts_in_windows_far_larger_than_the_image():
    image = np.ones((9, 5))
    image[0, 0] = np.nan
    found = gpuimg.median(image, (13, 7), mode="nearest", backend="single")
    expected = np.isnan(windows(image, (13, 7), "nearest", 0)).any(axis=(-2, -1))
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(np.isnan(found), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_means_of_the_largest_window_are_exact(dtype):
    greatest = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 0.1
    image = np.full((3, 5), greatest, dtype)
    np.testing.assert_array_equal(gpuimg.uniform(image, 1 << 20, backend="single"), image)


@pytest.mark.parametrize("backend", ["multicore", "processes"])
def test_bands_under_windows_that_the_image_repeats_in(backend):
    image = np.random.default_rng(6).random((300, 41)).astype(np.float32)
    for filtered in (gpuimg.median, gpuimg.uniform, gpuimg.minimum):
        for size in ((7, 175), (1301, 3), (1301, 175)):
            found, expected = (filtered(image, size, backend=each) for each in (backend, "single"))
            np.testing.assert_array_equal(found, expected)


def test_ordinary_taps_are_not_folded():
    for mode in (border.code for border in MODES.values()):
        assert smooth.folded_taps(2.0, 4.0, FLOAT64, 8, mode) is smooth.gaussian_taps(2.0, 4.0, FLOAT64)


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


SMALL = np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    "call",
    [
        partial(gpuimg.gaussian, SMALL, 131000, backend="single"),
        partial(gpuimg.unsharp_mask, SMALL, 131000, backend="single"),
        partial(gpuimg.corner_harris, SMALL, sigma=131000, backend="single"),
        partial(gpuimg.canny, SMALL, sigma=131000, backend="single"),
        partial(gpuimg.resize, SMALL, (3_000_000, 1), backend="single"),
        partial(gpuimg.resize, SMALL, (1, 3_000_000), order=0, backend="single"),
        partial(gpuimg.resize, SMALL[None], (3_000_000, 1), axes="TYX", backend="single"),
        partial(gpuimg.resize, np.zeros((1, 1 << 21), np.uint8), (1, 12), backend="single"),
        partial(gpuimg.resize, SMALL, (3_000_000, 1), 3, backend="single"),
        partial(gpuimg.resize, SMALL, (3_000_000, 1), "lanczos", backend="single"),
        partial(gpuimg.pyramid_reduce, np.zeros((1, 1 << 21), np.uint8), 1.5, backend="single"),
        partial(gpuimg.pyramid_reduce, np.zeros((1, 1 << 13), np.uint8), sigma=400, backend="single"),
        partial(gpuimg.pyramid_expand, np.zeros((1, 1 << 13), np.uint8), 1.1, sigma=(400, 300), backend="single"),
    ],
)
def test_memory_that_parameters_ask_for(call):
    smooth.gaussian_taps.cache_clear()
    graph_of.cache_clear()
    assert peak(call) < 50 << 20


def test_tiles_are_the_parts_of_the_whole(constants):
    image = np.random.default_rng(5).random((9, 7, 3))
    for order, anti_aliasing, shape in (
        (0, None, (40, 33)),
        (1, None, (41, 30)),
        (1, True, (4, 50)),
        (1, None, (3, 3)),
        (3, None, (4, 19)),
        ("lanczos", None, (20, 3)),
    ):
        whole = gpuimg.resize(image, shape, order, anti_aliasing, backend="single")
        constants(transform, TILE_SIDE=2)
        out = np.empty_like(whole)
        np.testing.assert_array_equal(gpuimg.resize(image, shape, order, anti_aliasing, backend="single"), whole)
        assert gpuimg.resize(image, shape, order, anti_aliasing, backend="single", out=out) is out
        np.testing.assert_array_equal(out, whole)
        constants(transform, TILE_SIDE=1 << 16)


@pytest.mark.parametrize(("axes", "shape"), [("TYX", (2, 9, 7)), ("CYX", (3, 9, 7)), ("YTXC", (9, 2, 7, 3))])
def test_stacks_in_tiles(constants, axes, shape):
    stack = np.random.default_rng(5).random(shape)
    options = {"axes": axes, "backend": "single"}
    whole = gpuimg.resize(stack, (5, 12), **options)
    constants(transform, TILE_SIDE=4)
    np.testing.assert_array_equal(gpuimg.resize(stack, (5, 12), **options), whole)
    out = np.empty_like(whole)
    assert gpuimg.resize(stack, (5, 12), **options, out=out) is out
    np.testing.assert_array_equal(out, whole)


def test_tables_of_smoothing_are_made_in_parts(constants):
    image = np.random.default_rng(5).random((1, 5000))
    whole = gpuimg.resize(image, (1, 7), backend="single")
    constants(transform, TILE_TAPS=6000)
    np.testing.assert_array_equal(gpuimg.resize(image, (1, 7), backend="single"), whole)
    with pytest.raises(ValueError, match="anti_aliasing must be False where a side shrinks by more than 524288"):
        gpuimg.resize(np.zeros((1, 1 << 20), np.uint8), (1, 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_levels_of_pyramids_in_tiles(constants, dtype, mode):
    """Where a part has fewer samples a pixel than others, floats are rounded in another order."""
    image = noise((9, 14, 3), dtype)
    for name in ("pyramid_reduce", "pyramid_expand"):
        for order in (0, 1, "lanczos"):
            given = {"order": order, "mode": mode, "cval": 7, "backend": "single"}
            constants(transform, TILE_SIDE=1 << 16)
            whole = gpuimg.FILTERS[name].function(image, 2.3, **given)
            constants(transform, TILE_SIDE=2)
            out = np.empty_like(whole)
            assert gpuimg.FILTERS[name].function(image, 2.3, **given, out=out) is out
            np.testing.assert_allclose(out, whole, rtol=0, atol=1e-13 if dtype == "float64" else 0)


def test_a_result_in_tiles_may_lie_in_the_image(constants):
    image = np.random.default_rng(5).random((9, 7))
    turned = gpuimg.resize(image, (7, 9), backend="single")
    constants(transform, TILE_SIDE=2)
    out = image.reshape(-1)[:63].reshape(7, 9)
    gpuimg.resize(image, (7, 9), backend="single", out=out)
    np.testing.assert_array_equal(out, turned)


def test_what_is_kept_is_bounded_in_bytes():
    calls = []

    @kept(8, len, most=100)
    def made(size):
        calls.append(size)
        return bytes(size)

    for size in (40, 50, 40, 101, 101, 20, 20, 40):
        assert len(made(size)) == size
    assert calls == [40, 50, 101, 101, 20, 40]


SCARCE = """
import resource, numpy as np, gpuimg
from gpuimg import memory
image = np.ones((6000, 6000), np.uint8)
memory.MOST_KEPT = 1 << 30
blocks = [memory.new_array((100 << 20,), np.dtype(np.uint8)) for _ in range(4)]
gpuimg.invert(image[:16], backend="single")
del blocks
assert memory.kept() >= 400 << 20
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20),) * 2)
{call}
assert memory.kept() < 400 << 20
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit holds on Linux")
@pytest.mark.parametrize(
    "call",
    [
        'assert (gpuimg.invert(image, backend="single") == 254).all()',
        "memory.new_array((1 << 20, 7), np.dtype(np.uint8))\nmemory.release()",
        """def scratch(backend): return np.empty(300 << 20, np.uint8)
from gpuimg.choosing import _timed
assert _timed("single", None, scratch).size""",
    ],
)
def test_what_is_kept_is_given_back_where_memory_is_short(call):
    done = subprocess.run([sys.executable, "-c", SCARCE.format(call=call)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


WIDEST = (1 << 20) - 1
EXTREME = {
    "adjust_gamma": "gamma=1e300, gain=1e300",
    "bilateral": "sigma_color=9, sigma_spatial=300, window=511",
    "black_tophat": "footprint=WIDEST",
    "canny": "sigma=131000",
    "closing": "footprint=ONE",
    "corner_harris": "sigma=131000",
    "denoise_nl_means": "patch_size=127, patch_distance=64",
    "difference_of_gaussians": "low_sigma=50000",
    "dilation": "footprint=ONE",
    "equalize_adapthist": "kernel_size=1 << 40",
    "erosion": "footprint=ONE",
    "gaussian": "sigma=131000",
    "gaussian_laplace": "sigma=8000",
    "maximum": "size=WIDEST",
    "median": "size=WIDEST",
    "minimum": "size=WIDEST",
    "morphological_gradient": "footprint=WIDEST",
    "opening": "footprint=WIDEST",
    "pad": "pad_width=((0, 2000), (0, 5000))",
    "peak_local_max": "min_distance=1 << 40",
    "percentile": "percentile=30, size=WIDEST",
    "pyramid_expand": "upscale=100",
    "pyramid_reduce": "downscale=390000",
    "rescale": "scale=(100000, 0.01)",
    "resize": "output_shape=(3000000, 2)",
    "threshold_local": "block_size=WIDEST, method='mean'",
    "threshold_niblack": "window_size=1023",
    "threshold_sauvola": "window_size=1023",
    "uniform": "size=WIDEST",
    "unsharp_mask": "radius=131000",
    "white_tophat": "footprint=ONE",
    **dict.fromkeys(("threshold_otsu", "threshold_triangle", "threshold_yen"), "nbins=1 << 20"),
}
# Without a parameter that asks for memory, or the result is as large as it asks for ("histogram").
MODEST = [
    "add",
    "apply_hysteresis_threshold",
    "astype",
    "blend",
    "clear_border",
    "clip",
    "convolve",
    "crop",
    "distance_transform_edt",
    "divide",
    "equalize_hist",
    "fill_holes",
    "find_boundaries",
    "flip",
    "gradient",
    "histogram",
    "hsv2rgb",
    "invert",
    "integral_image",
    "lab2rgb",
    "label",
    "label2rgb",
    "laplace",
    "local_maxima",
    "lut",
    "match_histograms",
    "multiply",
    "prewitt",
    "reconstruction",
    "remap",
    "remove_small_holes",
    "remove_small_objects",
    "rescale_intensity",
    "rgb2gray",
    "rgb2hsv",
    "rgb2lab",
    "rgb2ycbcr",
    "rot90",
    "rotate",
    "scharr",
    "skeletonize",
    "sobel",
    "subtract",
    "thin",
    "threshold",
    "threshold_li",
    "threshold_multiotsu",
    "warp",
    "where",
    "watershed",
    "ycbcr2rgb",
]

GREEDY = """
import resource, numpy as np, gpuimg
WIDEST, ONE = {widest}, np.zeros((9001, 9001), bool)
ONE[0, 0] = True
image = np.random.default_rng(1).random((8, 8)).astype(np.{dtype})
gpuimg.{name}(image, {small}, backend="single")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gpuimg.{name}(image, {parameters}, backend="single")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 300 << 10, f"{{grown >> 10}} MiB"
"""


LARGE_FOOTPRINT = """
import resource, numpy as np, gpuimg
image, footprint = np.random.default_rng(1).random((300, 2000)), gpuimg.disk(1000)
gpuimg.{name}(image[:8, :8], gpuimg.disk(3), backend="{backend}")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gpuimg.{name}(image, footprint, backend="{backend}")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 40 << 10, f"{{grown >> 10}} MiB"
"""


WIDE_ROW = """
import resource, numpy as np, gpuimg
from pathlib import Path
image = np.zeros((1, 1 << 21), np.uint8)
gpuimg.gaussian_laplace(image[:, :9], 3, backend="single")
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
limit = (int(status["VmData"].split()[0]) << 10) + (400 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
assert gpuimg.gaussian_laplace(image, 16, backend="single").shape == image.shape
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux counts in KiB")
@pytest.mark.parametrize("backend", ["single", "multicore"])
@pytest.mark.parametrize("name", ["erosion", "closing"])
def test_tables_of_a_large_footprint_are_small(name, backend):
    script = LARGE_FOOTPRINT.format(name=name, backend=backend)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux limits the memory of a process")
def test_a_chain_holds_no_more_rows_than_the_image_has():
    done = subprocess.run([sys.executable, "-c", WIDE_ROW], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_all_filters_are_known_by_what_their_parameters_ask_for():
    assert sorted([*EXTREME, *MODEST]) == sorted(gpuimg.FILTERS)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux counts in KiB")
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize("name", EXTREME)
def test_extreme_parameters_ask_for_little_memory(name, dtype):
    small = {"resize": "(9, 9)", "rescale": "2", "adjust_gamma": "2", "percentile": "30", "bilateral": "9, 1"}
    script = GREEDY.format(name=name, dtype=dtype, parameters=EXTREME[name], small=small.get(name, "3"), widest=WIDEST)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
