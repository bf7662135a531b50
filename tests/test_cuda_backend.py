"""The CUDA backend on an emulated device: where arrays lie, what happens when memory runs out, what is refused."""

import multiprocessing
import os
import re
import shutil
import sys
import threading
import time
import warnings
from concurrent.futures import CancelledError
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import gpuimg
from gpuimg import choosing, kernels, machine, run, stopping
from gpuimg.backend import cuda, device, prepared
from gpuimg.backend.cuda import Cuda, _rows_needed
from gpuimg.backend.device import DeviceFailed, OutOfDeviceMemory
from gpuimg.backend.walk import bound_to
from gpuimg.errors import BackendUnavailable, FallbackWarning
from gpuimg.images import MODES, border
from gpuimg.plans.nodes import point, window
from tests.conftest import result_of
from tests.cuda_emulator.emulator import DeviceArray, EmulatedGpu, EmulationError, emulated

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulator needs g++")

U8, BOOL = np.dtype("uint8"), np.dtype(bool)
IMAGE = np.random.default_rng(5).integers(0, 256, (61, 47, 3), np.uint8)


def invert(image):
    return point("invert", image, masked=0)


def mark(image):
    return point("threshold", image, dtype=BOOL, value=100, always=0)


def inverted_mark(image):
    return mark(invert(image))


def gray(image):
    weights = {"q0": 13926, "q1": 46885, "q2": 4725, "w0": 0.2125, "w1": 0.7154, "w2": 0.0721}
    return point("rgb2gray", image, shape=image.shape[:2], **weights)


def gray_mark(image):
    return mark(gray(invert(image)))


def minimum(image, size, mode="reflect"):
    before, after = size // 2, (size - 1) // 2
    reach = {"above": before, "below": after, "left": before, "right": after}
    return window("minimum", image, halo=(size // 2,) * 2, edge=border(mode, 7, U8), flip=0, **reach)


def needs(stem):
    return pytest.mark.skipif(not device.exists(stem), reason=f"{stem} has not been written for CUDA")


# ---------------------------------------------------------------- kernels chosen by size
NL_MEANS = [
    ("near_nl_means<unsigned char, float, int, 1, 6>", "uint8", 1, 7, 12),
    ("near_nl_means<unsigned char, float, int, 3, 6>", "uint8", 3, 6, 12),
    ("near_nl_means<unsigned short, float, int, 1, 6>", "uint16", 1, 7, 12),
    ("near_nl_means<unsigned short, float, int, 3, 6>", "uint16", 3, 7, 12),
    ("near_nl_means<short, float, int, 1, 6>", "int16", 1, 7, 12),
    ("near_nl_means<short, float, int, 3, 6>", "int16", 3, 7, 12),
    ("near_nl_means<float, float, int, 1, 6>", "float32", 1, 7, 12),
    *[("near_nl_means<unsigned char, float, int, 1, 0>", "uint8", 1, side, 12) for side in (3, 5, 11, 13, 19, 23)],
    *[("near_nl_means<unsigned char, float, int, 3, 0>", "uint8", 3, side, 12) for side in (5, 15)],
    ("near_nl_means<unsigned short, float, int, 1, 0>", "uint16", 1, 5, 12),
    ("near_nl_means<unsigned short, float, int, 3, 0>", "uint16", 3, 9, 12),
    ("near_nl_means<short, float, int, 1, 0>", "int16", 1, 9, 12),
    ("near_nl_means<short, float, int, 3, 0>", "int16", 3, 5, 12),
    ("near_nl_means<float, float, int, 1, 0>", "float32", 1, 5, 12),
    ("near_nl_means<float, float, int, 3, 0>", "float32", 3, 5, 12),
    ("near_nl_means<unsigned short, float, long long, 1, 0>", "uint16", 1, 7, 1e6),
    ("near_nl_means<unsigned short, float, long long, 3, 0>", "uint16", 3, 5, 1e6),
    ("near_nl_means<short, float, long long, 1, 0>", "int16", 1, 5, 1e6),
    ("near_nl_means<short, float, long long, 3, 0>", "int16", 3, 7, 1e6),
    ("near_nl_means<float, float, long long, 1, 0>", "float32", 1, 13, 12),
    ("near_nl_means<float, float, long long, 3, 0>", "float32", 3, 7, 12),
    ("near_nl_means<double, double, long long, 1, 0>", "float64", 1, 7, 12),
    ("nl_means<double, double, long long, 3>", "float64", 3, 7, 12),
    ("nl_means<unsigned char, float, int, 1>", "uint8", 1, 25, 12),
    ("nl_means<unsigned char, float, int, 0>", "uint8", 2, 7, 12),
]


@pytest.mark.parametrize(("kernel", "dtype", "channels", "patch_size", "h"), NL_MEANS)
@needs("nl_means")
def test_nl_means_of_several_tiles(kernel, dtype, channels, patch_size, h):
    rows, cols = (67, 121) if channels == 1 else (37, 61)
    rng = np.random.default_rng(patch_size)
    values = 50 + 40 * (np.arange(cols) // 20 % 2) + rng.normal(0, 10, (channels, rows, cols))
    image = np.moveaxis(values, 0, -1).astype(dtype).reshape(rows, cols, *[channels] * (channels > 1))
    given = {"patch_size": patch_size, "patch_distance": 2, "h": h}
    with emulated() as gpu:
        found = gpuimg.denoise_nl_means(image, **given, backend="cuda")
        assert gpu.launches == [kernel]
    np.testing.assert_array_equal(found, gpuimg.denoise_nl_means(image, **given, backend="single"))
    assert (found != image).mean() > 0.5


def test_nl_means_of_far_pixels():
    image = IMAGE[:9, :30, 0]
    with emulated() as gpu:
        found = gpuimg.denoise_nl_means(image, patch_distance=18, h=60, backend="cuda")
        assert gpu.launches == ["near_nl_means<unsigned char, float, int, 1, 0>"]
    np.testing.assert_array_equal(found, gpuimg.denoise_nl_means(image, patch_distance=18, h=60, backend="single"))


NIBLACK = [
    ("near_niblack<unsigned char, float, unsigned int>", "uint8", 1, 15),
    ("near_niblack<unsigned char, float, unsigned int>", "uint8", 3, (7, 15)),
    ("near_niblack<unsigned short, float, double>", "uint16", 4, (5, 9)),
    ("near_niblack<short, float, double>", "int16", 1, (1, 5)),
    ("near_niblack<float, float, double>", "float32", 1, 15),
    ("near_niblack<float, float, double>", "float32", 3, (3, 1)),
    ("near_niblack<double, double, double>", "float64", 1, (15, 7)),
    ("niblack<unsigned char, float>", "uint8", 1, (5, 121)),
    ("niblack<float, float>", "float32", 1, (51, 5)),
]


@pytest.mark.parametrize("mode", ["mirror", "constant"])
@pytest.mark.parametrize(("kernel", "dtype", "channels", "size"), NIBLACK)
@needs("niblack")
def test_niblack_of_several_tiles(kernel, dtype, channels, size, mode):
    rng = np.random.default_rng(channels)
    image = rng.normal(100, 30, (83, 141, channels)[: 2 + (channels > 1)]).astype(dtype)
    given = {"mode": mode, "cval": 9}
    with emulated() as gpu:
        found = gpuimg.threshold_niblack(image, size, **given, backend="cuda")
        assert gpu.launches[-1] == kernel
        brighter = gpuimg.threshold_sauvola(image, size, r=64, **given, backend="cuda")
    np.testing.assert_array_equal(found, gpuimg.threshold_niblack(image, size, **given, backend="single"))
    np.testing.assert_array_equal(brighter, gpuimg.threshold_sauvola(image, size, r=64, **given, backend="single"))


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 57), ("uint8", 64), ("float32", 29), ("uint16", 32)])
@needs("gaussian")
def test_gaussian_of_so_many_channels_that_a_tile_holds_few_pixels(dtype, channels):
    image = np.random.default_rng(1).integers(0, 256, (9, 10, channels)).astype(dtype)
    with emulated():
        found = gpuimg.gaussian(image, 1, axes="YXC", backend="cuda")
    np.testing.assert_array_equal(found, gpuimg.gaussian(image, 1, axes="YXC", backend="single"))


@needs("flip")
def test_what_changes_nothing_is_a_copy():
    image = IMAGE[..., 0]
    with emulated() as gpu:
        np.testing.assert_array_equal(gpuimg.rotate(image, 360, backend="cuda"), image)
        np.testing.assert_array_equal(gpuimg.gaussian(np.float32(image), 0, backend="cuda"), np.float32(image))
        assert gpu.launches[0] == "flip_rows<unsigned char, unsigned char>"


# ---------------------------------------------------------------- bands
BANDS = {
    "threshold": {"value": 100},
    "gaussian": {"sigma": 1.5},
    "gradient": {},
    "unsharp_mask": {"radius": 1},
    "minimum": {"size": 5, "mode": "wrap"},
    "morphological_gradient": {"footprint": 3},
    "denoise_nl_means": {"patch_size": 3, "patch_distance": 1, "h": 30},
    "threshold_niblack": {"window_size": 3},
    "rgb2gray": {},
    "equalize_hist": {},
}


@pytest.mark.parametrize("name", BANDS)
def test_bands_give_the_same_pixels(monkeypatch, name):
    monkeypatch.setattr(cuda, "BANDED_FROM", 1)
    monkeypatch.setattr(cuda, "BAND_COST", 80)
    monkeypatch.setattr(cuda, "BAND_HALOS", 1)
    function = getattr(gpuimg, name)
    expected = function(IMAGE, **BANDS[name], backend="single")
    with emulated() as gpu:
        for _ in range(3):
            np.testing.assert_equal(function(IMAGE, **BANDS[name], backend="cuda"), expected)
        outs = tuple(map(np.zeros_like, expected)) if isinstance(expected, tuple) else np.zeros_like(expected)
        assert function(IMAGE, **BANDS[name], backend="cuda", out=outs) is outs or isinstance(expected, tuple)
        np.testing.assert_equal(outs, expected)
        assert (len(gpu.launches) > 20) is (name not in ("minimum", "equalize_hist"))


def test_one_job_at_a_time_uses_the_device(monkeypatch):
    inside, most, began, go = 0, 0, threading.Event(), threading.Event()
    whole = cuda.run_whole

    def counting(gpu, bound, outs):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        began.set()
        assert go.wait(30)
        try:
            return whole(gpu, bound, outs)
        finally:
            inside -= 1

    monkeypatch.setattr(cuda, "run_whole", counting)
    with emulated(), gpuimg.Pool(running=3) as pool:
        jobs = [pool.submit("invert", IMAGE, backend="cuda") for _ in range(3)]
        assert began.wait(30)
        time.sleep(0.05)
        go.set()
        for job in jobs:
            np.testing.assert_array_equal(job.result(30), 255 - IMAGE)
    assert most == 1


def test_a_job_that_waits_for_the_device_can_be_cancelled(monkeypatch):
    began, go = threading.Event(), threading.Event()
    whole = cuda.run_whole

    def held(gpu, bound, outs):
        began.set()
        assert go.wait(30)
        return whole(gpu, bound, outs)

    monkeypatch.setattr(cuda, "run_whole", held)
    with emulated(), gpuimg.Pool(running=2) as pool:
        first = pool.submit("invert", IMAGE, backend="cuda")
        assert began.wait(30)
        second = pool.submit("invert", IMAGE, backend="cuda")
        while not second.running():
            time.sleep(0.001)
        second.cancel()
        with pytest.raises(CancelledError):
            second.result(30)
        go.set()
        np.testing.assert_array_equal(first.result(30), 255 - IMAGE)


def test_tables_that_stay_on_the_device_are_let_go_when_memory_is_short():
    with emulated() as gpu:
        gpuimg.gaussian(IMAGE, 1, backend="cuda")
        kept = gpu.used
        assert kept > 0
        launches, copies = len(gpu.launches), len(gpu._constants)
        gpuimg.gaussian(IMAGE, 1, backend="cuda")
        assert (gpu.used, len(gpu._constants)) == (kept, copies)
        assert len(gpu.launches) == 2 * launches
        gpu.trim()
        assert gpu.used == 0
        np.testing.assert_array_equal(
            gpuimg.gaussian(IMAGE, 1, backend="cuda"), gpuimg.gaussian(IMAGE, 1, backend="single")
        )


def test_what_is_prepared_may_be_let_go_while_it_runs():
    """Another thread is short of memory: tables stay until the kernels that read them have ended."""
    waited = []

    class Short(EmulatedGpu):
        def load(self, stem, name):
            start = super().load(stem, name)

            def launch(*args):
                self.trim()
                start(*args)

            return launch

        def synchronize(self):
            waited.append(len(self.launches))

    gpu = Short()
    backend = Cuda(gpu)
    image = gpu.put(np.ascontiguousarray(IMAGE[..., 0]))
    expected = gpuimg.gaussian(IMAGE[..., 0], 12.5, backend="single")
    backend.unusable()
    bound = gpuimg.run.planned(gpuimg.gaussian, IMAGE[..., 0], {"sigma": 12.5})[1]
    for _ in range(3):
        waited.clear()
        result = result_of(backend, bound._replace(arrays=(image,)), None)
        np.testing.assert_array_equal(gpu.get(result), expected)
        assert waited[-1] == len(gpu.launches)
        assert gpu.prepared == {}


def test_so_many_launches_are_kept(monkeypatch):
    monkeypatch.setattr(prepared, "PREPARED_KEPT", 3)
    gpu = EmulatedGpu()
    backend = Cuda(gpu)
    backend.unusable()
    for cols in (*range(5, 12), 5):
        image = np.ascontiguousarray(IMAGE[:, :cols])
        np.testing.assert_array_equal(result_of(backend, bound_to(invert, image), None), 255 - image)
        assert 0 < len(gpu.prepared) <= 3


@pytest.mark.parametrize("distance", [1, 3])
@needs("peak_places")
def test_launches_by_what_is_found_are_not_prepared(distance):
    with emulated() as gpu:
        for image in (IMAGE[..., 0], 255 - IMAGE[..., 0], np.zeros_like(IMAGE[..., 0])):
            expected = gpuimg.peak_local_max(image, distance, backend="single")
            np.testing.assert_array_equal(gpuimg.peak_local_max(image, distance, backend="cuda"), expected)
        assert "range_starts<long long>" in gpu.launches


def test_launch_code_says_that_it_reads_back():
    for stem in kernels.names("cpu"):
        path = kernels.find(f"{stem}{kernels.LAUNCH}.py")
        assert device.reads_back(stem) is (path is not None and "gpu.get(" in path.read_text(encoding="utf-8")), stem


def test_notes_of_rows_and_scratch_memory():
    gpu = EmulatedGpu()
    notes = prepared.Notes(gpu, 2)
    image = prepared.StandIn(0, (9, 7), np.uint16)
    held = notes.empty((4, 7), np.uint16)
    assert (held.number, notes.scratch) == (2, [((4, 7), np.dtype(np.uint16))])
    rows = notes.rows(held, 3, 9)
    del held
    other = notes.empty((4, 7), np.uint16)
    assert other.number == 3
    assert (rows.number, rows.shape, rows.offset) == (2, (9, 7), -3 * 14)
    notes.zero(image[2:20])
    assert notes.steps == [prepared.Zero(0, 28, 7 * 14)]
    notes.kernel("invert", "invert<unsigned short, unsigned short>")((1, 1), (256, 1), (image, rows, 3, 7, 0))
    launch = notes.steps[1]
    assert launch.values == [0, 9, 7, 0, 9, 7, 3, 7, 0]
    assert launch.addresses == ((0, 0, 0), (3, 2, -42))
    assert (launch.grid, launch.block) == ((1, 1, 1), (256, 1, 1))
    with pytest.raises(TypeError, match="argument 0 of invert<short, short> must be"):
        notes.kernel("invert", "invert<short, short>")((1, 1), (256, 1), (image, rows, 3, 7, 0))


def test_prepared_launches_find_the_rows_of_arrays(monkeypatch):
    def launch(gpu, src, dst, top, bottom, *args):
        instance = device.instance_for("invert", "unsigned char", "unsigned char")
        spare = gpu.empty(src.shape, np.uint8)
        gpu.fill_rows("invert", instance, src[5:], spare[3:], 0, 4, *args)
        gpu.fill_rows("invert", instance, spare[4:], dst[2:], 0, 3, *args)
        gpu.fill_rows("invert", instance, src, dst, 0, 2, *args)
        gpu.zero(dst[5:])

    with emulated() as gpu:
        image = np.ascontiguousarray(IMAGE[:9, :, 0])
        gpuimg.invert(image, backend="cuda")
        gpu.prepared.clear()
        gpu.launches.clear()
        monkeypatch.setattr(device, "own_launch", lambda stem: launch if stem == "invert" else None)
        monkeypatch.setattr(device, "check_names", lambda stem: None)
        found = [gpuimg.invert(each, backend="cuda") for each in (image, image[::-1])]
        assert len(gpu.launches) == 6
    for result, given in zip(found, (image, image[::-1]), strict=True):
        np.testing.assert_array_equal(result[:2], 255 - given[:2])
        np.testing.assert_array_equal(result[2:5], given[6:9])
        np.testing.assert_array_equal(result[5:], 0)


def test_scratch_memory_is_used_again():
    notes = prepared.Notes(EmulatedGpu(), 2)
    first, second = notes.empty((4, 7), np.uint16), notes.empty((9, 8), np.float64)
    part = second[3:]
    del first, second
    assert notes.empty((3, 7), np.uint16).number == 2  # and let go at once
    assert notes.empty((5, 4), np.uint8).number == 4  # too small for that
    assert notes.empty((8, 9), np.float64).number == 5
    del part
    assert {notes.empty((9, 8), np.float64).number for _ in range(3)} <= {3, 5}
    assert len(notes.scratch) == 4


@needs("niblack")
def test_sums_of_ever_larger_windows_take_turns_in_scratch_memory():
    image = np.float32(IMAGE[..., 0])
    with emulated() as gpu:
        found = gpuimg.threshold_niblack(image, (51, 5), backend="cuda")
        assert gpu.launches[-1] == "niblack<float, float>"
        assert max(len(each.scratch) for each in gpu.prepared.values()) == 8  # of 16
    np.testing.assert_array_equal(found, gpuimg.threshold_niblack(image, (51, 5), backend="single"))


def test_bands_that_do_not_fit_are_halved(monkeypatch):
    monkeypatch.setattr(cuda, "BANDED_FROM", 1)
    with emulated(limit=4000) as gpu:
        np.testing.assert_array_equal(gpuimg.invert(IMAGE, backend="cuda"), 255 - IMAGE)
        assert gpu.peak <= 4000


def test_an_error_in_a_band_is_raised(monkeypatch):
    monkeypatch.setattr(cuda, "BANDED_FROM", 1)
    monkeypatch.setattr(cuda, "BAND_COST", 80)

    def fail(self, host):
        raise RuntimeError("the bus is gone")

    with emulated():
        monkeypatch.setattr(EmulatedGpu, "put", fail)
        with pytest.raises(RuntimeError, match="the bus is gone"):
            gpuimg.invert(IMAGE, backend="cuda")


# ---------------------------------------------------------------- arrays


def test_numpy_in_numpy_out():
    gpu = EmulatedGpu()
    result = result_of(Cuda(gpu), bound_to(inverted_mark, IMAGE), None)
    assert type(result) is np.ndarray
    assert result.dtype == BOOL
    np.testing.assert_array_equal(result, 255 - IMAGE > 100)
    del result
    assert gpu.used == 0


def test_the_result_is_written_into_out():
    out = np.empty(IMAGE.shape, bool)
    assert result_of(Cuda(EmulatedGpu()), bound_to(inverted_mark, IMAGE), out) is out
    np.testing.assert_array_equal(out, 255 - IMAGE > 100)


def test_device_arrays_stay_on_the_device():
    gpu = EmulatedGpu()
    image = gpu.put(IMAGE)
    result = result_of(Cuda(gpu), bound_to(invert, image), None)
    assert isinstance(result, DeviceArray)
    np.testing.assert_array_equal(gpu.get(result), 255 - IMAGE)
    np.testing.assert_array_equal(gpu.get(image), IMAGE)


def test_out_on_the_device_may_overlap_the_image():
    gpu = EmulatedGpu()
    image = gpu.put(IMAGE)
    assert result_of(Cuda(gpu), bound_to(invert, image), image) is image
    np.testing.assert_array_equal(gpu.get(image), 255 - IMAGE)
    both = gpu.put(np.concatenate((IMAGE, IMAGE)))
    result_of(Cuda(gpu), bound_to(invert, both[: len(IMAGE)]), both[10 : 10 + len(IMAGE)])
    np.testing.assert_array_equal(gpu.get(both)[10 : 10 + len(IMAGE)], 255 - IMAGE)


def test_a_chain_crosses_to_the_device_once():
    gpu = EmulatedGpu()
    moved = []
    put, get = gpu.put, gpu.get
    gpu.put = lambda host: moved.append(host.shape) or put(host)
    gpu.get = lambda array, out=None: moved.append(array.shape) or get(array, out)
    Cuda(gpu).unusable()
    moved.clear()
    backend = Cuda(gpu)
    backend.unusable()
    moved.clear()
    result_of(backend, bound_to(gray_mark, IMAGE), None)
    assert moved == [IMAGE.shape, IMAGE.shape[:2]]


def test_filters_with_reductions_equal_those_on_one_thread():
    floats = (IMAGE / 7).astype(np.float32)
    for image in (IMAGE, floats):
        with emulated():
            found = [
                gpuimg.threshold_otsu(image, backend="cuda"),
                *gpuimg.histogram(image, backend="cuda"),
                gpuimg.equalize_hist(image, backend="cuda"),
                gpuimg.equalize_adapthist(image, backend="cuda"),
            ]
        expected = [
            gpuimg.threshold_otsu(image, backend="single"),
            *gpuimg.histogram(image, backend="single"),
            gpuimg.equalize_hist(image, backend="single"),
            gpuimg.equalize_adapthist(image, backend="single"),
        ]
        for left, right in zip(found, expected, strict=True):
            np.testing.assert_array_equal(left, right)


# ---------------------------------------------------------------- memory that runs out


class Forgetful(EmulatedGpu):
    """Runs out of memory until its pool is freed."""

    full = True

    def empty(self, shape, dtype):
        if self.full:
            raise self.out_of_memory("the pool is full")
        return super().empty(shape, dtype)

    def trim(self):
        self.full = False


def test_memory_is_freed_before_anything_else_is_tried():
    gpu = Forgetful()
    backend = Cuda(gpu)
    gpu.full = False
    backend.unusable()
    gpu.full = True
    gpu.launches.clear()
    np.testing.assert_array_equal(result_of(backend, bound_to(invert, IMAGE), None), 255 - IMAGE)
    assert len(gpu.launches) == 1


@pytest.mark.parametrize("limit", [12000, 9000, 2500, 900])
def test_tiles_give_the_same_pixels(limit):
    gpu = EmulatedGpu(limit=limit)
    backend = Cuda(gpu)
    backend._tried = True  # the probe needs more memory than the minimum limit
    result = result_of(backend, bound_to(gray_mark, IMAGE), None)
    np.testing.assert_array_equal(result, result_of(Cuda(EmulatedGpu()), bound_to(gray_mark, IMAGE), None))
    assert gpu.peak <= limit
    assert len(gpu.launches) > 3


@needs("minimum")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fill", [0, 0xFF])
@pytest.mark.parametrize("limit", [20000, 9000, 4500, 2500])
def test_tiles_read_their_halo(limit, fill, mode):

    def passes(image):
        return minimum(minimum(invert(minimum(image, 3, mode)), 9, mode), 1, mode)

    plane = np.ascontiguousarray(IMAGE[..., 0])
    expected = result_of(Cuda(EmulatedGpu()), bound_to(passes, plane), None)
    gpu = EmulatedGpu(limit=limit, fill=fill)
    backend = Cuda(gpu)
    backend._tried = True
    if mode == "wrap" and limit < plane.nbytes:
        # A tile at one end needs the rows of the other, and thus the whole image.
        with pytest.raises(OutOfDeviceMemory):
            result_of(backend, bound_to(passes, plane), None)
        return
    np.testing.assert_array_equal(result_of(backend, bound_to(passes, plane), None), expected)
    assert gpu.peak <= limit


def minus(image, other):
    return point("difference", image, other=other, turned=0)


def less_least(image, other):
    least = point("difference", minimum(image, 3), other=image, turned=1)
    return minus(minimum(least, 5), other)


def read_widely_first(image, other):
    return minus(minus(minimum(image, 9), invert(image)), other)


def read_widely_last(image, other):
    return minus(minus(invert(image), minimum(image, 9)), other)


@needs("difference")
@pytest.mark.parametrize("fill", [0, 0xFF])  # of rows that are not there
@pytest.mark.parametrize("limit", [11000, 9000])
@pytest.mark.parametrize("passes", [less_least, read_widely_first, read_widely_last])
def test_tiles_read_other_images(passes, limit, fill):
    plane = np.ascontiguousarray(IMAGE[..., 0])
    other = np.ascontiguousarray(IMAGE[..., 1] // 4)
    expected = result_of(Cuda(EmulatedGpu()), bound_to(passes, plane, other), None)
    np.testing.assert_array_equal(
        expected, result_of(gpuimg.choosing.backend_named("single"), bound_to(passes, plane, other), None)
    )
    gpu = EmulatedGpu(limit=limit, fill=fill)
    backend = Cuda(gpu)
    backend._tried = True
    np.testing.assert_array_equal(result_of(backend, bound_to(passes, plane, other), None), expected)
    assert gpu.peak <= limit
    assert len(gpu.launches) > 3


@needs("difference")
def test_other_images_on_the_device_stay_there():
    gpu = EmulatedGpu()
    result = result_of(Cuda(gpu), bound_to(minus, gpu.put(255 - IMAGE), gpu.put(IMAGE)), None)
    expected = np.maximum(255 - 2 * IMAGE.astype(int), 0)
    np.testing.assert_array_equal(gpu.get(result), expected)


@pytest.mark.parametrize("limit", [9000, 2500])
def test_reductions_in_tiles(limit):
    image = (IMAGE / 7).astype(np.float32)
    limit += 8 * 2 * 256  # for the counts and the edges
    with emulated(limit=limit) as gpu:
        found = gpuimg.threshold_otsu(image, backend="cuda")
        assert gpu.peak <= limit
        assert len(gpu.launches) > 2
    assert found == gpuimg.threshold_otsu(image, backend="single")


def test_tiles_of_an_image_on_the_device():
    gpu = EmulatedGpu(limit=3 * IMAGE.nbytes)
    image, out = gpu.put(IMAGE), gpu.empty(IMAGE.shape[:2], BOOL)
    backend = Cuda(gpu)
    backend._tried = True
    gpu.limit = gpu.used + 1000
    result = result_of(backend, bound_to(gray_mark, image), out)
    assert result is out
    np.testing.assert_array_equal(gpu.get(out), result_of(Cuda(EmulatedGpu()), bound_to(gray_mark, IMAGE), None))


def test_what_fits_nowhere_is_an_error_by_name_and_a_fallback_else():
    with emulated() as gpu:
        gpu.limit = 50
        with pytest.raises(OutOfDeviceMemory, match=re.escape("invert of an image of shape (61, 47, 3) needs more")):
            gpuimg.invert(IMAGE, backend="cuda")


def test_auto_goes_to_multicore_when_memory_runs_out(monkeypatch):
    with emulated() as gpu:
        gpu.limit = 50
        real = choosing.candidates

        def candidates(*args):
            return sorted(real(*args), key=lambda estimate: estimate.backend != "cuda")

        monkeypatch.setattr(choosing, "candidates", candidates)
        with pytest.warns(FallbackWarning, match="needs more than the GPU's free memory"):
            result = gpuimg.invert(IMAGE, backend="auto")
    np.testing.assert_array_equal(result, 255 - IMAGE)


@pytest.mark.parametrize("name", ["gaussian", "median", "gradient", "minimum", "denoise_nl_means", "threshold_sauvola"])
def test_long_launches_are_made_in_pieces_where_they_may_be_stopped(monkeypatch, name):
    monkeypatch.setattr(cuda, "WATCHED_WORK", 5000)
    call = partial(getattr(gpuimg, name), IMAGE[..., 0], backend="cuda")
    expected = getattr(gpuimg, name)(IMAGE[..., 0], backend="single")
    waits = []
    with emulated() as gpu:
        watch = stopping.Watch()
        monkeypatch.setattr(gpu, "synchronize", lambda: waits.append(watch.progress))
        with stopping.watched(watch):
            found = call()
        assert len(waits) >= 2
        assert waits == sorted(waits)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
        count = len(waits)
        monkeypatch.setattr(gpu, "synchronize", lambda: watch.stop())
        with stopping.watched(watch), pytest.raises(stopping.Stopped):
            call()
        call()
        assert len(waits) == count


def test_auto_goes_to_multicore_when_the_device_does_something_unexpected(monkeypatch):
    class Strange(Exception):
        pass

    with emulated() as gpu:
        real = choosing.candidates

        def candidates(*args):
            return sorted(real(*args), key=lambda estimate: estimate.backend != "cuda")

        def fail(stem, name):
            raise Strange("nobody has seen this before")

        monkeypatch.setattr(run, "_quick", {})
        monkeypatch.setattr(choosing, "candidates", candidates)
        monkeypatch.setattr(gpu, "load", fail)
        with pytest.warns(FallbackWarning, match="Strange.*nobody has seen this before") as caught:
            result = gpuimg.invert(IMAGE, backend="auto")
        assert caught[0].filename == __file__
        with pytest.raises(Strange):
            gpuimg.invert(IMAGE, backend="cuda")
    np.testing.assert_array_equal(result, 255 - IMAGE)


def test_rows_needed():
    def rows(plan, top, bottom):
        graph = bound_to(plan, np.zeros((61, 20), np.uint8)).graph
        return _rows_needed(graph.nodes, top, bottom, 61)[graph.inputs[0]]

    assert rows(lambda image: minimum(image, 9), 10, 20) == (6, 24)
    assert rows(lambda image: minimum(image, 9), 0, 20) == (0, 24)
    assert rows(lambda image: minimum(image, 9), 50, 61) == (46, 61)
    assert rows(lambda image: minimum(image, 9, "wrap"), 10, 20) == (6, 24)
    assert rows(lambda image: minimum(image, 9, "wrap"), 50, 61) == (0, 61)
    assert rows(lambda image: minimum(minimum(image, 9), 3), 10, 20) == (5, 25)
    assert rows(lambda image: minus(minimum(image, 9), image), 10, 20) == (6, 24)
    graph = bound_to(lambda image: minus(minimum(image, 9), invert(image)), np.zeros((61, 20), np.uint8)).graph
    *readers, last = graph.nodes
    for nodes in (readers, readers[::-1]):  # of which one reads more rows of the image than the other
        assert _rows_needed((*nodes, last), 10, 20, 61)[graph.inputs[0]] == (6, 24)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (None, "this machine has no NVIDIA driver"),
        (11040, "the NVIDIA driver is older than CUDA 12: update it"),
        (12090, "pip install 'cupy-cuda12x[ctk]' brings CuPy and NVRTC"),
        (13020, "pip install 'cupy-cuda13x[ctk]' brings CuPy and NVRTC"),
        (15000, "pip install 'cupy-cuda13x[ctk]' brings CuPy and NVRTC"),
    ],
)
def test_without_cupy_the_reason_names_the_remedy(monkeypatch, version, remedy):
    """Which works from a source checkout too, and is none where there is no driver."""

    def get_version(found):
        found._obj.value = version
        return 0

    driver = None if version is None else SimpleNamespace(cuDriverGetVersion=get_version)
    monkeypatch.setattr(machine, "_cuda_driver", lambda: driver)
    monkeypatch.setitem(sys.modules, "cupy", None)
    backend = Cuda()
    assert backend.unusable().endswith(f": {remedy}")
    with pytest.raises(DeviceFailed, match="CuPy cannot be imported"):
        result_of(backend, bound_to(invert, IMAGE), None)


def test_a_device_that_adds_wrongly_is_not_used():
    class Broken(EmulatedGpu):
        def get(self, array, out=None):
            return super().get(array, out) + np.uint64(1)

    assert "gave the sum 12497501 instead of 12497500" in Cuda(Broken()).unusable()


def test_a_device_that_fails_is_not_used():
    class Broken(EmulatedGpu):
        def load(self, stem, name):
            raise DeviceFailed("no kernel image is available")

    with emulated():
        assert "no kernel image is available" in Cuda(Broken()).unusable()


def test_an_error_of_the_device_is_reported():
    gpu = EmulatedGpu()
    gpu.errors = (EmulationError,)
    backend = Cuda(gpu)
    backend.unusable()

    def load(stem, name):
        raise EmulationError("an illegal memory access was encountered")

    gpu.load = load
    with pytest.raises(DeviceFailed, match="the GPU reported: an illegal memory access"):
        result_of(backend, bound_to(invert, IMAGE), None)


def test_a_kernel_that_is_not_written_is_named(tmp_path, monkeypatch):
    backend = Cuda(EmulatedGpu())
    assert backend.missing(["invert"]) is None
    assert backend.missing(["invert", "sharpen"]) == "not written for CUDA yet: sharpen"
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "sharpen.py").write_text("def fill(src, dst, top, bottom): pass\n")
    monkeypatch.setattr(kernels, "_root", tmp_path)
    with emulated() as gpu:
        with pytest.raises(BackendUnavailable, match="not written for CUDA yet: sharpen"):
            run.run(lambda image: point("sharpen", image), gpuimg.images.accept(IMAGE), backend="cuda")
        assert gpu.launches == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_does_not_use_the_device():
    backend = Cuda(EmulatedGpu())
    assert backend.unusable() is None
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test process has threads
        child = context.Process(target=lambda: queue.put(backend.unusable()))
        child.start()
    assert "does not work in a forked process" in queue.get()
    child.join()


# ---------------------------------------------------------------- sources and launches


def test_headers_are_put_in_once_and_the_modes_are_known():
    text = device.source("rgb2gray")
    assert "#include" not in text
    assert text.count("struct Number<unsigned char>") == 1
    for name, mode in MODES.items():
        assert f"#define MODE_{name.upper()} {mode.code}\n" in text


def test_every_kernel_names_its_launch_and_instances():
    for stem in kernels.names("cuda"):
        assert device.instances(stem), stem
        assert device.own_launch(stem) or device.launch_of(stem), stem
        for name in device.instances(stem):
            assert device.parameters(stem, name)


def test_parameters_have_the_names_of_the_cpu_kernels():
    compared = [stem for stem in kernels.names("cuda") if kernels.find(f"{stem}.py")]
    assert len(compared) > 20
    for stem in compared:
        device.check_names(stem)


def test_a_parameter_of_another_name_is_an_error(tmp_path, monkeypatch):
    for folder in ("cpu", "cuda"):
        (tmp_path / folder).mkdir()
    (tmp_path / "cpu" / "differing.py").write_text("def fill(src, dst, top, bottom, table, amount): pass\n")
    (tmp_path / "cuda" / "differing.cu").write_text(
        "template <typename T, typename U> __global__ void differing(const T* src, long long rows, long long cols,"
        " U* dst, long long dst_rows, long long dst_cols, long long top, long long bottom, const double* table,"
        " long long tables, long long entries, double weight) {}\n"
    )
    monkeypatch.setattr(kernels, "_root", tmp_path)
    message = "differing.cu has the parameters table, weight; the CPU's kernel has table, amount"
    with pytest.raises(DeviceFailed, match=re.escape(message)):
        EmulatedGpu().launch("differing", None, None, 0, 1)


def test_instances_are_made_of_one_table():
    assert device._filled("sobel<I, A>") == [
        "sobel<unsigned char, float>",
        "sobel<unsigned short, float>",
        "sobel<short, float>",
    ]
    assert device._filled("rows<F, A>") == ["rows<float, float>", "rows<double, double>"]
    assert device.instance_for("threshold", "double", "unsigned char") == "threshold<double, unsigned char, double>"
    with pytest.raises(DeviceFailed, match="has no instance threshold<double, short>"):
        device.instance_for("threshold", "double", "short")


def test_more_rows_than_a_grid_may_have(monkeypatch):
    monkeypatch.setattr(device, "MAX_GRID", 2)
    how = device.Launch("tile", (32, 8), (4, 1))
    assert how.rows == 16
    gpu = EmulatedGpu()
    parts = gpu.empty((7, 512), np.int64)
    plane = np.ascontiguousarray(IMAGE[..., 0])
    gpu.launch("histogram", gpu.put(plane), parts, 0, 7, 2, 0)
    assert len(gpu.launches) == 4
    assert gpu.get(parts).sum() == plane.size


def test_measured_figures():
    measured = Cuda(EmulatedGpu()).measure()
    assert set(measured) == {"pcie_bandwidth", "gpu_bandwidth", "gpu_call", "gpu_launch"}
    assert min(measured.values()) > 0


# ---------------------------------------------------------------- the emulator finds faults


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("dst[cols * rows] = 1;", "wrote outside of an array"),
        ("dst[-1] = 1;", "wrote outside of an array"),
        ("if (threadIdx.x < 5) __syncthreads();\nelse __syncthreads();", "divergent __syncthreads"),
        ("if (threadIdx.x < 5) { __syncwarp(); } else { __syncthreads(); __syncwarp(); }", "deadlock"),
    ],
)
def test_faults_are_found(tmp_path, monkeypatch, fault, message):
    faulty = (
        "// launch: flat, pixels 1\n// instances: faulty<unsigned char, unsigned char>\n"
        "template <typename T, typename U> __global__ void faulty(const T* src, long long rows, long long cols, U* dst,"
        f" long long r, long long c, long long top, long long bottom) {{\n{fault}\n}}\n"
    )
    stem = f"faulty{sum(map(ord, fault))}"  # sources are kept by name
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / f"{stem}.cu").write_text(faulty.replace("faulty", stem))
    monkeypatch.setattr(kernels, "_root", tmp_path)
    gpu = EmulatedGpu()
    image = gpu.put(np.zeros((2, 3), np.uint8))
    with pytest.raises(EmulationError, match=message):
        gpu.launch(stem, image, gpu.empty((2, 3), np.uint8), 0, 2)


@pytest.mark.parametrize(("channels", "kernel"), [(1, "near_edge_maxima"), (3, "near_edge_maxima"), (9, "edge_maxima")])
@needs("edge_maxima")
def test_edges_of_pixels_of_few_and_of_many_elements(channels, kernel):
    image = np.random.default_rng(channels).integers(0, 256, (41, 37, channels), np.uint8)
    expected = gpuimg.canny(image, 0.7, 30, 90, axes="YXC", backend="single")
    with emulated() as gpu:
        found = gpuimg.canny(image, 0.7, 30, 90, axes="YXC", backend="cuda")
        assert f"{kernel}<float, unsigned char>" in gpu.launches
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("window", "dtype", "kernel"),
    [
        (13, "uint8", "byte_bilateral<unsigned char, float>"),
        (15, "uint8", "near_bilateral<unsigned char, float, 1>"),
        (13, "float32", "near_bilateral<float, float, 1>"),
    ],
)
@needs("bilateral")
def test_bilateral_weights_from_tables_and_by_pixel(window, dtype, kernel):
    """More places than are staged at a time, and values that have no weight for others."""
    image = np.random.default_rng(window).integers(0, 256, (75, 50)).astype(dtype)
    image[:20] = image[:20] // 16 + 100
    if dtype == "float32":
        image[30, 20:25] = np.inf, -np.inf, np.nan, 0, np.inf
    with emulated() as gpu:
        found = gpuimg.bilateral(image, 12, 40, window=window, backend="cuda")
        assert gpu.launches[-1] == kernel
    np.testing.assert_array_equal(found, gpuimg.bilateral(image, 12, 40, window=window, backend="single"))


@pytest.mark.parametrize("cols", [7, 128, 131, 264, 300])
@needs("integral")
def test_sums_of_rows_that_end_within_a_block_or_a_part(cols):
    rng = np.random.default_rng(cols)
    for image in (rng.integers(0, 256, (70, cols), np.uint8), rng.normal(0, 1, (70, cols)).astype(np.float32)):
        with emulated() as gpu:
            found = gpuimg.integral_image(image, backend="cuda")
            assert any(name.startswith("sweep<") for name in gpu.launches)
        np.testing.assert_array_equal(found, gpuimg.integral_image(image, backend="single"))


@pytest.mark.parametrize(
    ("sigma", "dtype", "kernels"),
    [
        (1, "uint8", ["near_response<unsigned char, 4>"]),
        ((0, 1.5), "int16", ["near_response<short, 8>"]),
        (2, "float32", ["near_response<float, 8>"]),
        (2.5, "uint16", ["products<unsigned short, float>", *["near<float, 12>"] * 3, "respond<float, float>"]),
    ],
)
@needs("harris")
def test_corners_of_a_tile_and_of_scratch_images(sigma, dtype, kernels):
    """Blocks inside, beside each edge, and in images of fewer rows and columns than a window has."""
    rng = np.random.default_rng(8)
    for shape in ((1, 1), (5, 3), (70, 300), (61, 1100), (35, 180, 3)):
        image = rng.integers(0, 256, shape).astype(dtype)
        if dtype == "float32":
            image.flat[image.size // 2] = np.nan
        for mode in MODES:
            expected = gpuimg.corner_harris(image, sigma=sigma, mode=mode, cval=9, backend="single")
            for options in ({}, {"order": 7, "offset": 3, "fill": 0}):
                with emulated(**options) as gpu:
                    found = gpuimg.corner_harris(image, sigma=sigma, mode=mode, cval=9, backend="cuda")
                    if min(shape[:2]) > 20:  # windows are no larger than an image needs them
                        assert gpu.launches == kernels
                np.testing.assert_array_equal(found, expected, err_msg=f"{shape} {mode} {options}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@needs("bincount")
def test_levels_of_floats_are_counted_by_their_places(dtype):
    rng = np.random.default_rng(6)
    image = rng.normal(0.4, 0.1, (130, 210)).astype(dtype)
    image[:40] = image[0, 0]
    for scaled in (image, image * image.dtype.type(1e-3) + 1, np.round(image, 2)):  # few levels, too
        with emulated(order=7, offset=1) as gpu:
            found = gpuimg.threshold_li(scaled, backend="cuda")
            assert any(name.startswith("bincount_many<") for name in gpu.launches)
        assert found == gpuimg.threshold_li(scaled, backend="single")
