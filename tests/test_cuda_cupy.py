"""The launch code for CuPy, with CuPy's calls emulated: compiling, keeping machine code, staged copies, errors."""

import gc
import multiprocessing
import shutil
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import gpuimg
from gpuimg import choosing, images, kernels, memory, stopping
from gpuimg.backend import cuda, cupygpu, device, stages
from gpuimg.backend.cuda import Cuda
from gpuimg.backend.device import DeviceFailed
from gpuimg.backend.walk import bound_to
from gpuimg.plans.nodes import point
from tests.conftest import parts, result_of
from tests.cuda_emulator import fakecupy, mutate
from tests.cuda_emulator.emulator import EmulatedGpu

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulator needs g++")

PACKAGE = str(Path(gpuimg.__file__).parent)


def invert(image):
    return point("invert", image, masked=0)


def three_times(image):
    return invert(invert(invert(image)))


def flip(image):
    return point("flip", image, vertical=0, horizontal=1)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder for machine code, apart from the emulator's own."""
    monkeypatch.setattr(cupygpu, "cache_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def gpu(monkeypatch, folder):
    emulated = EmulatedGpu()
    fakecupy.install(monkeypatch, emulated)
    return emulated


@pytest.fixture
def resident(gpu, monkeypatch):
    """CuPy, for images that lie on the device, with backend "cuda" there."""
    import cupy

    backend = Cuda()
    assert backend.unusable() is None
    real = choosing.backend_named
    monkeypatch.setattr(choosing, "backend_named", lambda name: backend if name == "cuda" else real(name))
    return cupy


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(2).integers(0, 256, shape).astype(dtype)


def test_small_and_large_images_from_numpy(gpu, monkeypatch):
    monkeypatch.setattr(cupygpu, "STAGED_FROM", 1000)
    monkeypatch.setattr(stages, "STAGE_BYTES", 777)
    backend = Cuda()
    assert backend.unusable() is None
    for shape in ((3, 5), (31, 33), (50, 777), (40, 100, 3)):
        image = noise(shape)
        out = np.empty_like(image)
        assert result_of(backend, bound_to(three_times, image), out) is out
        np.testing.assert_array_equal(out, 255 - image)
        np.testing.assert_array_equal(result_of(backend, bound_to(invert, noise(shape, np.float64)), None), 1.0 - image)
        assert fakecupy.late.copies == []


@pytest.fixture
def bands(gpu, monkeypatch):
    """Backend "cuda" with small bands, and the log of what was put into which stream."""
    monkeypatch.setattr(cupygpu, "STAGED_FROM", 1)
    monkeypatch.setattr(stages, "STAGE_BYTES", 3000)
    monkeypatch.setattr(stages, "SHARED_FROM", 500)
    monkeypatch.setattr(stages, "ROW_BYTES", 64)
    monkeypatch.setattr(cuda, "BANDED_FROM", 1000)
    monkeypatch.setattr(cuda, "BAND_COST", 320)
    monkeypatch.setattr(cuda, "BAND_HALOS", 1)
    backend = Cuda()
    assert backend.unusable() is None
    real = choosing.backend_named
    monkeypatch.setattr(choosing, "backend_named", lambda name: backend if name == "cuda" else real(name))
    fakecupy.late.log.clear()
    return fakecupy.late.log


def test_copies_each_way_and_kernels_overlap(bands):
    image = noise((200, 100))
    np.testing.assert_array_equal(gpuimg.invert(image, backend="cuda"), 255 - image)
    sends, launches, receives = ([e[1] for e in bands if e[0] == kind] for kind in ("send", "launch", "receive"))
    assert len(sends) == len(launches) == len(receives) == 8
    (down,), (compute,), (up,) = set(sends), set(launches), set(receives)
    assert len({down, compute, up, 0}) == 4
    # Kernels wait for what was sent and for memory of results that are on the host, and results for their kernels.
    waits = {(event[1], event[2]) for event in bands if event[0] == "wait"}
    assert waits == {(compute, down), (up, compute), (down, compute), (compute, up)}
    # Before the first result is waited for, others have been sent, worked on and begun to come back.
    order = [event[0] for event in bands if event[:2] in {("send", down), ("launch", compute), ("synchronize", up)}]
    assert order[: order.index("synchronize")] == ["send", "launch"] * (stages.STAGES + 1)


def test_memory_is_not_let_go_before_it_was_read(bands):
    """A band's array may be written over when kernels have read it: the stream of the copies waits for the band."""
    image = noise((300, 100))
    gpuimg.threshold(image, 100, backend="cuda")
    down = next(event[1] for event in bands if event[0] == "send")
    steps = [event[0] for event in bands if event[:2] in {("send", down), ("wait", down)}]
    assert steps[:3] == ["send"] * 3
    assert steps[3:] == ["wait", "send"] * ((len(steps) - 3) // 2)


@pytest.mark.parametrize("name", ["gaussian", "gradient", "blend", "rgb2gray", "convert"])
def test_bands_of_several_images_and_results(bands, name):
    image, other = noise((150, 60, 3)), noise((150, 60, 3))[::-1]
    call = {
        "gaussian": lambda **on: gpuimg.gaussian(image, 1, **on),
        "gradient": lambda **on: gpuimg.gradient(image, **on),
        "blend": lambda **on: gpuimg.blend(image, other, 0.25, **on),
        "rgb2gray": lambda **on: gpuimg.rgb2gray(image, **on),
        "convert": lambda **on: gpuimg.astype(image, "float64", **on),
    }[name]
    for _ in range(2):
        np.testing.assert_equal(call(backend="cuda"), call(backend="single"))
    assert sum(event[0] == "receive" for event in bands) > 8
    assert fakecupy.late.copies == []


def test_an_error_in_a_band_leaves_nothing_under_way(bands, monkeypatch):
    image = noise((200, 100))
    start = fakecupy.Module.launch.__func__
    left = iter(range(3))

    def launch(cls, *args):
        if next(left, None) is None:
            raise fakecupy.DriverFailure("an illegal address")
        start(cls, *args)

    monkeypatch.setattr(fakecupy.Module, "launch", classmethod(launch))
    driver = sys.modules["cupy"].cuda.driver
    monkeypatch.setattr(driver, "launchKernel", fakecupy.Module.launch)
    with pytest.raises(DeviceFailed, match="an illegal address"):
        gpuimg.invert(image, backend="cuda")
    assert fakecupy.late.copies == []


@pytest.fixture
def blocks(bands, monkeypatch):
    """Results of any size in blocks that are kept and may be page-locked."""

    def forget():
        gc.collect()
        memory.release()
        memory._wishes.clear()

    forget()
    monkeypatch.setattr(memory, "SMALLEST", 1)
    yield
    forget()
    assert fakecupy.late.registered == {}


def ways(log, kind):
    """By which memory bytes went."""
    return {event[2] for event in log if event[0] == kind}


def warmed(image):
    """The result of a call for whose size memory is page-locked by now."""
    for _ in range(memory.LOCKED_FROM):
        result = gpuimg.invert(image, backend="cuda")
    fakecupy.late.log.clear()
    return result


def test_results_that_come_again_land_in_page_locked_memory(blocks, bands):
    image = noise((200, 100))
    for number in range(5):
        bands.clear()
        np.testing.assert_array_equal(gpuimg.invert(image, backend="cuda"), 255 - image)
        assert ways(bands, "send") == {"pinned"}
        assert ways(bands, "receive") == {"registered" if number >= memory.LOCKED_FROM - 1 else "pinned"}
    assert not any(event[0] == "register" for event in bands)
    # Nothing is waited for on the way back before all has been begun but stages for what is sent.
    up = next(event[1] for event in bands if event[0] == "receive")
    order = [event[0] for event in bands if event[:2] in {("receive", up), ("synchronize", up)}]
    assert order == ["receive"] * 8 + ["synchronize"]


def test_results_that_are_passed_on_go_without_a_stage(blocks, bands):
    image = noise((200, 100))
    result = warmed(image)
    again = gpuimg.invert(result, backend="cuda")
    assert ways(bands, "send") == ways(bands, "receive") == {"registered"}
    order = [event[0] for event in bands if event[0] in ("send", "launch", "receive", "synchronize")]
    assert order == ["send", "launch", "receive"] * 8 + ["synchronize"]
    np.testing.assert_array_equal(again, image)
    bands.clear()
    part = gpuimg.invert(result[17:180], backend="cuda")
    np.testing.assert_array_equal(part, image[17:180])
    assert ways(bands, "send") == {"registered"}
    bands.clear()
    np.testing.assert_array_equal(gpuimg.invert(result[:, ::-1], backend="cuda"), image[:, ::-1])
    # It is a copy that is sent, in memory of the same size.
    assert ways(bands, "send") == {"registered"}


def test_a_stack_of_results_is_page_locked_as_one(blocks, bands):
    image = noise((3, 200, 100))
    for _ in range(2):
        bands.clear()
        np.testing.assert_array_equal(gpuimg.gaussian(image, 0, axes="TYX", backend="cuda"), image)
    assert sum(event[0] == "receive" for event in bands) >= 3 * 8
    assert ways(bands, "receive") == {"registered"}


def test_whole_images_land_there_too(blocks, bands, monkeypatch):
    monkeypatch.setattr(cuda, "BANDED_FROM", 1 << 30)
    result = warmed(image := noise((200, 100)))
    np.testing.assert_array_equal(gpuimg.invert(result, backend="cuda"), image)
    assert ways(bands, "send") == ways(bands, "receive") == {"registered"}


@pytest.mark.parametrize("most", [0, (2 << 20) - 1])
def test_page_locked_memory_is_bounded(blocks, bands, monkeypatch, most):
    monkeypatch.setattr(memory, "MOST_LOCKED", most)
    image = noise((200, 100))
    np.testing.assert_array_equal(warmed(image), 255 - image)
    gpuimg.invert(image, backend="cuda")
    assert ways(bands, "receive") == {"pinned"}
    assert memory.locked() == 0


def test_memory_that_cannot_be_page_locked(blocks, bands, monkeypatch):
    import cupy

    def refuse(*args):
        raise fakecupy.RuntimeFailure("cudaErrorHostMemoryAlreadyRegistered")

    monkeypatch.setattr(cupy.cuda.runtime, "hostRegister", refuse)
    image = noise((200, 100))
    np.testing.assert_array_equal(warmed(image), 255 - image)
    np.testing.assert_array_equal(gpuimg.invert(image, backend="cuda"), 255 - image)
    assert ways(bands, "receive") == {"pinned"}


@pytest.mark.parametrize("left", [0, 1, 5])
@pytest.mark.parametrize("error", [MemoryError, fakecupy.RuntimeFailure])
def test_without_pinned_memory_the_driver_copies(bands, monkeypatch, left, error):
    import cupyx

    granted = iter(range(left))
    real = cupyx.empty_pinned

    def allocate(*args):
        if next(granted, None) is None:
            raise error("cudaErrorMemoryAllocation")
        return real(*args)

    monkeypatch.setattr(cupyx, "empty_pinned", allocate)
    image = noise((200, 100))
    np.testing.assert_array_equal(gpuimg.invert(image, backend="cuda"), 255 - image)
    assert ways(bands, "send") == {"pinned" if left else "pageable"}
    assert ways(bands, "receive") == {"pinned" if left > stages.STAGES else "pageable"} or left == 1
    assert fakecupy.late.copies == []


def test_trimming_gives_page_locked_memory_back(blocks, bands):
    image = noise((200, 100))
    held = warmed(image)
    gpuimg.invert(image, backend="cuda")
    assert memory.locked() == 4 << 20
    choosing.backend_named("cuda").gpu.trim()
    assert memory.locked() == 2 << 20
    np.testing.assert_array_equal(held, 255 - image)
    del held
    memory.release()
    assert memory.locked() == 0
    assert sum(event[0] == "unregister" for event in bands) == 2


@pytest.mark.parametrize("end", ["error", "stop"])
def test_page_locked_memory_is_idle_when_it_is_let_go(blocks, bands, monkeypatch, end):
    image = noise((200, 100))
    source = warmed(image)
    start = fakecupy.Module.launch.__func__
    left = iter(range(3))
    watch = stopping.Watch()

    def launch(cls, *args):
        if next(left, None) is None:
            if end == "error":
                raise fakecupy.DriverFailure("an illegal address")
            watch.stop()
        start(cls, *args)

    monkeypatch.setattr(sys.modules["cupy"].cuda.driver, "launchKernel", partial(launch, fakecupy.Module))
    with pytest.raises(DeviceFailed if end == "error" else stopping.Stopped), stopping.watched(watch):
        gpuimg.invert(source, backend="cuda")
    assert ways(bands, "receive") == {"registered"}
    assert fakecupy.late.copies == []


def test_results_over_the_image_they_are_made_of(blocks, bands):
    image = noise((201, 100))
    whole = warmed(image)
    np.copyto(whole, image)
    gpuimg.gaussian(whole[1:], 1, backend="cuda", out=whole[:-1])
    np.testing.assert_array_equal(whole[:-1], gpuimg.gaussian(image[1:], 1, backend="single"))
    np.copyto(whole, image)
    gpuimg.invert(whole, backend="cuda", out=whole)
    np.testing.assert_array_equal(whole, 255 - image)


def test_threads_share_page_locked_memory(blocks, bands):
    image = noise((200, 100))
    shared = warmed(image)
    wrong = []

    def work(value):
        for _ in range(8):
            mine = gpuimg.add(shared, value, backend="cuda")
            mine = gpuimg.invert(mine, backend="cuda")
            if not np.array_equal(mine, 255 - np.minimum(255 - image.astype(int) + value, 255)):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in (1, 20, 90)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert fakecupy.late.copies == []


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_memory_is_locked_anew(blocks, bands):
    image = noise((200, 100))
    result = warmed(image)
    gpuimg.invert(image, backend="cuda")
    child = multiprocessing.get_context("fork").Process(
        target=np.testing.assert_array_equal, args=(result, 255 - image)
    )
    child.start()
    child.join(60)
    assert child.exitcode == 0
    bands.clear()
    # The device knows the pages of before, which need not be the process's own any more.
    np.testing.assert_array_equal(gpuimg.invert(result, backend="cuda"), image)
    assert ways(bands, "send") == {"pinned"}
    assert ways(bands, "receive") == {"registered"}
    del result
    assert memory.locked() == 2 << 20


@pytest.mark.parametrize("staged_from", [1, 1 << 20])
def test_masks_are_written_into_masks(gpu, monkeypatch, staged_from):
    import cupy

    monkeypatch.setattr(cupygpu, "STAGED_FROM", staged_from)
    mask = noise((31, 33)) > 100
    backend = Cuda()
    out = np.zeros_like(mask)
    assert result_of(backend, bound_to(flip, mask.view(np.uint8)), out) is out
    np.testing.assert_array_equal(out, mask[:, ::-1])
    resident = cupy.asarray(mask)
    result_of(backend, bound_to(flip, resident.view(np.uint8)), resident)
    np.testing.assert_array_equal(resident.get(), mask[:, ::-1])
    assert resident.dtype == bool


class Tensor:
    """An array of another library in the device's memory, made on a stream of that library's, the current one."""

    def __init__(self, array):
        self.array = array
        self.made = fakecupy.Event()
        self.made.record()
        self.waiting = []

    def __dlpack_device__(self):
        return (2, self.array.data.device_id)

    def __dlpack__(self, *, stream):
        self.waiting.append(stream)
        fakecupy.Stream.known[stream - 1].wait_event(self.made)
        return self.array

    __cuda_array_interface__ = {"version": 2}  # noqa: RUF012 - it names no stream, so nothing would wait

    def __array_namespace__(self):
        return types.SimpleNamespace(from_dlpack=Tensor)


def test_the_current_stream_waits_for_other_libraries(gpu):
    import cupy

    tensor = Tensor(cupy.asarray(noise((20, 30))))
    with cupy.cuda.Stream(non_blocking=True) as stream:
        assert stream.ptr != 0
        source = images.accept(tensor)
        result = source.restore(result_of(Cuda(), bound_to(invert, source.array), None))
    stream.synchronize()
    assert source.on_device
    assert tensor.waiting == [stream.ptr]
    assert isinstance(result, Tensor)
    np.testing.assert_array_equal(result.array.get(), 255 - tensor.array.get())


def test_without_its_compiler_the_reason_names_the_remedy(gpu, monkeypatch):
    import cupy

    def missing(*args):
        raise RuntimeError("CuPy failed to load libnvrtc.so.13: OSError: cannot open shared object file")

    monkeypatch.setattr(cuda, "cuda_version", lambda: 13)
    monkeypatch.setattr(cupy.cuda.nvrtc, "createProgram", missing)
    reason = Cuda().unusable()
    assert "CuPy failed to load libnvrtc.so.13" in reason
    assert "pip install 'cupy-cuda13x[ctk]'" in reason


def test_jobs_run_in_the_stream_of_whoever_submits_them(bands):
    import cupy

    image = noise((20, 30))
    with cupy.cuda.Stream(non_blocking=True) as stream, gpuimg.Pool(running=2) as pool:
        resident, tensor = cupy.asarray(image), Tensor(cupy.asarray(image))
        found = pool.submit("invert", resident).result(30)
        converted = pool.submit("invert", tensor).result(30)
    stream.synchronize()
    assert isinstance(found, cupy.ndarray)
    np.testing.assert_array_equal(found.get(), 255 - image)
    np.testing.assert_array_equal(converted.array.get(), 255 - image)
    assert {event[1] for event in bands if event[0] == "launch"} == {stream.ptr}


@pytest.mark.parametrize("current", [0, 1])
@pytest.mark.parametrize("kind", ["cupy", "tensor"])
@pytest.mark.parametrize("places", [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1), (0, 0, 1), (1, 0, 1)])
def test_jobs_run_in_the_streams_of_all_devices(resident, places, kind, current):
    """Image, operand and result may lie on other devices than the current one, each made in that device's stream."""
    image, other = noise((20, 30)), noise((20, 30))[::-1].copy()
    streams = []
    for place in (0, 1):
        with resident.cuda.Device(place):
            streams.append(resident.cuda.Stream(non_blocking=True))

    def late(place, array):
        """An image that is still to be made."""
        with resident.cuda.Device(place):
            made = gpuimg.invert(resident.asarray(255 - array), backend="cuda")
            return made if kind == "cupy" else Tensor(made)

    def plain(made):
        made = made if kind == "cupy" else made.array
        return made.data.device_id, made.view(np.ndarray)  # a job's result needs no waiting for

    blended = gpuimg.blend(image, other, 0.25, backend="single")
    with streams[0], streams[1], gpuimg.Pool(running=2) as pool, resident.cuda.Device(current):
        there, factor, out = map(late, places, (image, other, image))
        found = [pool.submit("blend", there, other=factor, alpha=0.25).result(30)]
        found.append(pool.submit(gpuimg.chain(("blend", {"other": factor, "alpha": 0.25})), there).result(30))
        if kind == "cupy":
            assert pool.submit("blend", there, other=factor, alpha=0.25, out=out).result(30) is out
            assert plain(out)[0] == places[2]
            np.testing.assert_array_equal(plain(out)[1], blended)
    for made in found:
        assert plain(made)[0] == places[0]
        np.testing.assert_array_equal(plain(made)[1], blended)


def test_cupy_in_cupy_out(gpu):
    import cupy

    image = noise((20, 30))
    result = result_of(Cuda(), bound_to(invert, cupy.asarray(image)), None)
    assert isinstance(result, cupy.ndarray)
    np.testing.assert_array_equal(result.get(), 255 - image)


def test_machine_code_is_kept_and_damage_is_noticed(gpu, folder, monkeypatch):
    compiled = []
    real = cupygpu.CupyGpu._compile
    monkeypatch.setattr(
        cupygpu.CupyGpu, "_compile", lambda self, stem, *rest: compiled.append(stem) or real(self, stem, *rest)
    )
    image = noise((9, 9))
    result_of(Cuda(), bound_to(invert, image), None)
    result_of(Cuda(), bound_to(invert, image), None)
    assert sorted(compiled) == ["invert", "probe"]
    for path in (folder / "cuda").glob("invert-*.cubin"):
        path.write_bytes(path.read_bytes()[:-3])
    np.testing.assert_array_equal(result_of(Cuda(), bound_to(invert, image), None), 255 - image)
    assert sorted(compiled) == ["invert", "invert", "probe"]


def test_it_works_where_no_folder_is_writable(gpu, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cupygpu, "cache_folder", lambda: tmp_path / "file" / "inside")
    image = noise((9, 9))
    np.testing.assert_array_equal(result_of(Cuda(), bound_to(invert, image), None), 255 - image)


def test_a_kernel_that_does_not_compile_is_an_error_with_the_log(gpu, tmp_path, monkeypatch):
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / "broken.cu").write_text(
        "// launch: flat, pixels 1\n// instances: broken<T, T>\n#error\n"
        "template <typename T, typename U> __global__ void broken(const T* src, long long rows) {}\n"
    )
    backend = Cuda()
    assert backend.unusable() is None
    monkeypatch.setattr(kernels, "_root", tmp_path)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "broken.py").write_text("def fill(src, dst, top, bottom): pass\n")
    with pytest.raises(DeviceFailed, match=r"broken\.cu does not compile for sm_90: an error was found"):
        result_of(backend, bound_to(partial(point, "broken"), noise((3, 3))), None)
    device.source.cache_clear()


def test_a_newer_device_gets_the_newest_code_that_is_known(gpu, monkeypatch):
    chosen = cupygpu.CupyGpu()
    assert chosen._target() == "sm_90"
    monkeypatch.setattr(fakecupy.Device, "compute_capability", "130")
    assert chosen._target() == "compute_120"


def test_a_lost_device_is_an_error_of_ours(gpu):
    backend = Cuda()
    assert backend.unusable() is None

    def lost(*args):
        raise fakecupy.RuntimeFailure("cudaErrorDeviceUnavailable")

    backend.gpu._cupy.cuda.runtime.memcpyAsync = lost
    backend.gpu._cupy.asarray = lost
    with pytest.raises(DeviceFailed, match="the GPU reported: cudaErrorDeviceUnavailable"):
        result_of(backend, bound_to(invert, noise((9, 9))), None)


def test_no_device_is_a_reason(gpu, monkeypatch):
    import cupy

    def none():
        raise fakecupy.RuntimeFailure("cudaErrorNoDevice: no CUDA-capable device is detected")

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", none)
    assert "no CUDA-capable device is detected" in Cuda().unusable()


def test_the_device_describes_itself(gpu):
    assert Cuda().detail() == "Emulated, 8 GiB, sm_90"
    assert set(Cuda().measure()) == {"pcie_bandwidth", "gpu_bandwidth", "gpu_call", "gpu_launch"}


MOST_CALLS = {"threshold": 26, "gaussian": 32}  # of Python functions, of which a small call takes most of its time


@pytest.mark.parametrize("name", MOST_CALLS)
def test_a_call_for_an_image_on_the_device_is_little_work_in_python(resident, name):
    image = resident.asarray(noise((64, 64)))
    called = []

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            called.append(frame.f_code.co_name)

    for _ in range(2):
        called.clear()
        outer = sys.getprofile()
        sys.setprofile(note)
        try:
            getattr(gpuimg, name)(image, 1.5, backend="cuda")
        finally:
            sys.setprofile(outer)
    assert 0 < len(called) <= MOST_CALLS[name], called


def test_prepared_launches_go_to_the_stream_and_the_arrays_of_the_call(resident):
    first, second = noise((37, 53)), noise((37, 53))[::-1].copy()
    for a, b in ((first, first), (first, second), (second, first)):
        fakecupy.late.log.clear()
        with resident.cuda.Stream(non_blocking=True) as stream:
            there = resident.asarray(a)
            found = gpuimg.blend(there, there if a is b else resident.asarray(b), 0.25, backend="cuda")
            smooth = gpuimg.gaussian(there, 12.5, backend="cuda")  # by way of a scratch image
        stream.synchronize()
        np.testing.assert_array_equal(found.get(), gpuimg.blend(a, b, 0.25, backend="single"))
        np.testing.assert_array_equal(smooth.get(), gpuimg.gaussian(a, 12.5, backend="single"))
        assert {event[1] for event in fakecupy.late.log if event[0] == "launch"} == {stream.ptr}


def stream_of(resident):
    return resident.cuda.Stream(non_blocking=True)


def test_everything_of_a_call_goes_to_the_current_stream(resident):
    """Kernels, zeros for those that add up, tables, scratch memory and copies: nothing waits for another stream."""
    image = noise((37, 53))
    image[::3] //= 128
    calls = {
        "label": {},
        "histogram": {},
        "equalize_hist": {},
        "gaussian": {"sigma": 12.5},
        "canny": {},
        "median": {"size": 9},
        "integral_image": {},
        "distance_transform_edt": {},
        "threshold_otsu": {},
        "morphological_gradient": {"footprint": 5},
    }
    for name, given in calls.items():
        function = getattr(gpuimg, name)
        expected = function(image, **given, backend="single")
        for _ in range(2):
            with stream_of(resident) as stream:
                found = function(resident.asarray(image), **given, backend="cuda")
            stream.synchronize()
            for one, other in zip(parts(found), parts(expected), strict=True):
                np.testing.assert_array_equal(one.get() if isinstance(one, resident.ndarray) else one, other, name)


def test_tables_have_arrived_when_another_stream_reads_them(resident):
    image = noise((37, 53))
    with stream_of(resident) as first:
        before = gpuimg.gaussian(resident.asarray(image), 2.5, backend="cuda")
    with stream_of(resident) as second:
        found = gpuimg.gaussian(resident.asarray(image), 2.5, backend="cuda")
    for stream, result in ((second, found), (first, before)):
        stream.synchronize()
        np.testing.assert_array_equal(result.get(), gpuimg.gaussian(image, 2.5, backend="single"))


def test_tables_are_let_go_when_no_stream_reads_them_any_more(resident):
    image, gpu = noise((37, 53)), choosing.backend_named("cuda").gpu
    with stream_of(resident) as first:
        gpuimg.gaussian(resident.asarray(image), 2.5, backend="cuda")
    with stream_of(resident) as second:
        found = gpuimg.gaussian(resident.asarray(image), 2.5, backend="cuda")
    gpu.let_constants_go()
    with first:
        resident.empty((64,), np.float32)  # where the tables were
    second.synchronize()
    np.testing.assert_array_equal(found.get(), gpuimg.gaussian(image, 2.5, backend="single"))


def test_launches_are_prepared_for_each_device(resident):
    image, gpu = noise((20, 30)), choosing.backend_named("cuda").gpu
    expected = gpuimg.gaussian(image, 2.5, backend="single")
    there, pending = {}, {}
    for place in (0, 1):
        with resident.cuda.Device(place):
            there[place] = resident.asarray(image)
    for place in (0, 1, 0):
        with resident.cuda.Device(place):
            gpuimg.gaussian(there[place], 2.5, backend="cuda")
            resident.cuda.Device().synchronize()
            with stream_of(resident) as stream:  # another one than that of the tables
                pending[place] = stream, gpuimg.gaussian(there[place], 2.5, backend="cuda")
    assert {known for known, _ in gpu.prepared} == {0, 1}
    # All of them are waited for before what their kernels read is let go.
    gpu.let_constants_go()
    for place, (stream, result) in pending.items():
        with resident.cuda.Device(place):
            resident.empty((64,), np.float32)  # where the tables were
            stream.synchronize()
            np.testing.assert_array_equal(result.get(), expected)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("current", [0, 1])
def test_results_are_made_where_the_image_lies(resident, current, place):
    image, other = noise((20, 30)), noise((20, 30))[::-1].copy()
    with resident.cuda.Device(place):
        there, factor, out = (resident.asarray(each) for each in (image, other, np.zeros_like(image)))
        wide = resident.asarray(np.zeros((20, 60), np.uint8))
    with resident.cuda.Device(current):
        found = gpuimg.blend(there, factor, 0.25, backend="cuda")
        assert gpuimg.median(there, 5, backend="cuda", out=out) is out
        gpuimg.invert(there, backend="cuda", out=wide[:, ::2])  # by way of a contiguous result
        gpuimg.invert(there, backend="cuda", out=there)
        across = gpuimg.invert(there[:, ::-1], backend="cuda")
        stack = gpuimg.invert(there.reshape(2, 10, 30), axes="TYX", backend="cuda")
        turned = gpuimg.invert(there, axes="XY", backend="cuda")
    assert {each.device.id for each in (found, out, there, across, stack, turned)} == {place}
    with resident.cuda.Device(place):
        np.testing.assert_array_equal(found.get(), gpuimg.blend(image, other, 0.25, backend="single"))
        np.testing.assert_array_equal(out.get(), gpuimg.median(image, 5, backend="single"))
        np.testing.assert_array_equal(there.get(), 255 - image)
        np.testing.assert_array_equal(wide.get()[:, ::2], 255 - image)
        np.testing.assert_array_equal(across.get(), image[:, ::-1])
        np.testing.assert_array_equal(resident.ascontiguousarray(turned).get(), image)
        np.testing.assert_array_equal(stack.get(), image.reshape(2, 10, 30))


@pytest.mark.parametrize("current", [0, 1])
def test_images_and_results_on_several_devices(resident, current):
    """The work is done where the first image lies; what lies elsewhere is copied, in the order of all streams."""
    image, other = noise((20, 30)), noise((20, 30))[::-1].copy()
    with resident.cuda.Device(0):
        there = resident.asarray(image)
    with resident.cuda.Device(1):
        factor = gpuimg.invert(resident.asarray(other), backend="cuda")  # still to be made
        out, wide = (resident.asarray(np.zeros(shape, np.uint8)) for shape in ((20, 30), (20, 60)))
        stack = resident.asarray(np.zeros((2, 10, 30), np.uint8))
    blended = gpuimg.blend(image, 255 - other, 0.25, backend="single")
    with resident.cuda.Device(current):
        assert gpuimg.blend(there, factor, 0.25, backend="cuda", out=out) is out
        with resident.cuda.Device(1):
            np.testing.assert_array_equal(out.get(), blended)
        found = gpuimg.blend(there, factor, 0.25, backend="cuda")
        gpuimg.invert(there, backend="cuda", out=wide[:, ::2])  # by way of a contiguous result
        gpuimg.invert(there.reshape(2, 10, 30), axes="TYX", backend="cuda", out=stack)
    assert [each.device.id for each in (found, out)] == [0, 1]
    with resident.cuda.Device(0):
        np.testing.assert_array_equal(found.get(), blended)
    with resident.cuda.Device(1):
        np.testing.assert_array_equal(wide.get()[:, ::2], 255 - image)
        np.testing.assert_array_equal(wide.get()[:, 1::2], 0)
        np.testing.assert_array_equal(stack.get(), (255 - image).reshape(2, 10, 30))


def test_small_results_land_in_pinned_memory_of_their_thread(gpu, monkeypatch):
    monkeypatch.setattr(cupygpu, "LANDING_BYTES", 600)
    backend = Cuda()
    for shape in ((20, 30), (20, 31), (5, 8, 3)):
        image = noise(shape)
        with ThreadPoolExecutor(4) as threads:
            for result in threads.map(lambda _, image=image: result_of(backend, bound_to(invert, image), None), "abcd"):
                np.testing.assert_array_equal(result, 255 - image)


@pytest.mark.parametrize("error", [MemoryError, fakecupy.RuntimeFailure])
def test_without_pinned_memory_small_results_come_back_all_the_same(gpu, monkeypatch, error):
    import cupyx

    def refuse(*args):
        raise error("cudaErrorMemoryAllocation")

    monkeypatch.setattr(cupyx, "empty_pinned", refuse)
    backend = Cuda()
    assert backend.unusable() is None
    image = noise((20, 30))
    fakecupy.late.log.clear()
    np.testing.assert_array_equal(result_of(backend, bound_to(invert, image), None), 255 - image)
    assert ways(fakecupy.late.log, "receive") == {"pageable"}


@pytest.mark.parametrize("fault", mutate.FAULTS, ids=lambda fault: fault.what)
def test_planted_faults_fit_the_sources(fault):
    assert fault.right in mutate.source_of(fault, mutate.ROOT).read_text()


DIRECT = {
    "invert": lambda image, other: gpuimg.invert(image),
    "a mask": lambda image, other: gpuimg.threshold(image, 100),
    "scratch memory": lambda image, other: gpuimg.gaussian(image, (2.5, 0.7)),
    "two images": gpuimg.subtract,
    "an image twice": lambda image, other: gpuimg.subtract(other, other),
}


@pytest.mark.parametrize("name", list(DIRECT))
def test_a_call_of_one_node_is_launched_directly(resident, monkeypatch, name):
    call, images = DIRECT[name], [noise((41, 67)), 255 - noise((41, 67)), np.ascontiguousarray(noise((67, 41)).T)]
    there = [resident.asarray(image) for image in images]
    call(there[0], there[1])
    monkeypatch.setattr(cuda, "run_into", None)  # for all other graphs
    for first, second in ((0, 1), (1, 2), (2, 0), (1, 1)):
        expected = call(images[first], images[second])
        found = call(there[first], there[second])
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(resident.asnumpy(found), expected)


def test_images_of_other_devices_are_not_launched_directly(resident):
    image, other = noise((41, 67)), 255 - noise((41, 67))
    first, second = resident.asarray(image), resident.asarray(other)
    gpuimg.subtract(first, second)
    with resident.cuda.Device(1):
        far = resident.asarray(other)
        np.testing.assert_array_equal(resident.asnumpy(gpuimg.invert(far)), 255 - other)
        np.testing.assert_array_equal(resident.asnumpy(gpuimg.invert(far)), 255 - other)
    for each in (gpuimg.invert(far), gpuimg.invert(far)):
        assert each.device.id == 1
        with each.device:
            np.testing.assert_array_equal(resident.asnumpy(each), 255 - other)
    expected = gpuimg.subtract(image, other)
    for _ in range(2):
        np.testing.assert_array_equal(resident.asnumpy(gpuimg.subtract(first, far)), expected)


def test_a_direct_call_for_which_memory_does_not_suffice(resident, gpu):
    image = noise((300, 200))
    there = resident.asarray(image)
    expected = gpuimg.gaussian(image, 2.5)
    np.testing.assert_array_equal(resident.asnumpy(gpuimg.gaussian(there, 2.5)), expected)
    gc.collect()
    gpu.limit = gpu.used + image.nbytes + 1000  # for the result alone
    np.testing.assert_array_equal(resident.asnumpy(gpuimg.gaussian(there, 2.5)), expected)
