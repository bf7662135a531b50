"""Step 6: time on the device relative to a copy, small calls, transfers, whole calls, and other libraries."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
from measuring import seconds_of
from run import Case as Race
from run import cases as races
from run import scaled

import gpuimg
from gpu_steps import device as devices
from gpu_steps.device import Array, Device, current
from gpu_steps.running import Case, Details, Setting, Skip
from gpuimg.advice import unwritten
from gpuimg.demo import photo
from gpuimg.registry import Filter

DTYPES = ("uint8", "float32")
MORE = (
    Race("gaussian", {"sigma": 1.5}),
    Race("gaussian", {"sigma": 5}),
    Race("uniform", {"size": 5}),
    Race("minimum", {"size": 5}),
)
LAUNCHES_SECONDS = 0.004  # to keep the device busy while launches are queued
BUDGET_SECONDS = 0.15  # for the rounds of one measurement
MOST_ROUNDS, FEWEST_ROUNDS = 31, 5
PATTERN_MEGAPIXELS = 4
PEER_MEGAPIXELS = 50
CACHES = 4  # rotating buffers take this many times the L2 cache


def cases(setting: Setting) -> Iterator[Case]:
    rehearse = setting.rehearse
    # A small copy stays in the cache; the largest has the smallest overhead.
    yield Case("copy on the device", partial(copy_speed, rehearse))
    yield Case("pinned copies", partial(pinned_copies, rehearse))
    for name, given in (("threshold", {"value": 100}), ("gaussian", {"sigma": 1.5}), ("histogram", {})):
        yield Case(f"{name} of a resident 64x64 image", partial(small_call, rehearse, name, given))
    for number, megapixels in enumerate(setting.megapixels):
        for dtype in DTYPES:
            for race in measured(dtype, setting.filters):
                what = f"{race} {dtype} {megapixels:g} MP"
                yield Case(what, partial(device_time, rehearse, race, dtype, megapixels))
        if number == min(1, len(setting.megapixels) - 1):
            yield from _against_others(rehearse, megapixels, setting.filters)


def measured(dtype: str, filters: tuple[str, ...] = ()) -> list[Race]:
    """Return the races of ``bench/run.py``, some more, and every other filter.

    Images of one channel come first, as an image is reused by successive measurements.
    """
    known = [*races(dtype), *MORE]
    raced = {race.filter for race in known}
    others = [
        Race(name, dict(entry.examples[0]), entry.color) for name, entry in gpuimg.FILTERS.items() if name not in raced
    ]
    found = [
        race for race in (*known, *others) if not unwritten(race.filter) and (not filters or race.filter in filters)
    ]
    taking = [race for race in found if np.dtype(dtype).kind in gpuimg.FILTERS[race.filter].kinds]
    return sorted(taking, key=lambda race: race.color)


def _against_others(rehearse: bool, megapixels: float, filters: tuple[str, ...]) -> Iterator[Case]:
    for name, given in (("invert", {}), ("gaussian", {"sigma": 1.5}), ("median", {"size": 5}), ("histogram", {})):
        for dtype in DTYPES:
            what = f"{name} {dtype} {megapixels:g} MP from NumPy to NumPy"
            yield Case(what, partial(end_to_end, rehearse, name, given, dtype, megapixels))
    for library, peers in PEERS.items():
        for dtype in DTYPES:
            for race in measured(dtype, filters):
                if race.filter in peers() and not race.color:
                    yield Case(
                        f"{race} {dtype} {megapixels:g} MP beside {library}",
                        partial(against, rehearse, library, race, dtype, megapixels),
                    )


# ---------------------------------------------------------------- images


@lru_cache(maxsize=1)
def image_of(megapixels: float, dtype: str, color: bool = False) -> tuple[Array, Any]:
    """Return a photo-like image, a smaller one repeated and shifted, on the host and on the device.

    Floats have detail in their lower bits too.
    """
    side = photo(min(megapixels, PATTERN_MEGAPIXELS))
    times = max(1, round(megapixels / PATTERN_MEGAPIXELS))
    image = np.concatenate([np.roll(side, 131 * number, axis=1) for number in range(times)])
    if dtype == "float32":
        fine = np.random.default_rng(7).random(image.shape, np.float32)
        image = (image + fine) / np.float32(256)
    if color:
        image = np.stack([image, np.roll(image, 11, axis=1), image // 2 if dtype == "uint8" else image / 2], axis=-1)
    host = np.ascontiguousarray(image, dtype)
    return host, current().put(host)


def prepared(device: Device, race: Race, image: Array) -> tuple[Filter, dict[str, Any]]:
    """Return the filter of a race, and its parameters for an image on the device."""
    entry = gpuimg.FILTERS[race.filter]
    given = {key: value(image) if callable(value) else value for key, value in race.params.items()}
    if race.filter == "resize":
        given["output_shape"] = scaled(image.shape, given.pop("scale"))
    return entry, {key: device.put(value) if entry.is_image(key, value) else value for key, value in given.items()}


def _buffers(device: Device, nbytes: int) -> int:
    """Return how many images exceed the cache together."""
    cache = device.cupy.cuda.runtime.getDeviceProperties(0).get("l2CacheSize", 0)
    return max(1, -(-CACHES * int(cache) // nbytes))


def _nbytes(result: Any) -> int:
    return sum(getattr(part, "nbytes", 0) for part in (result if isinstance(result, tuple) else (result,)))


# ---------------------------------------------------------------- measurements


def copy_speed(rehearse: bool) -> Details:
    """Measure the speed of copying random bytes (reads plus writes), the reference for the filters' speeds."""
    device = devices.device(rehearse)
    found = {}
    for megabytes in (1,) if rehearse else (50, 400, 1600):
        host = np.random.default_rng(1).integers(0, 256, megabytes << 20, np.uint8)
        source = device.put(host)
        target = device.cupy.empty(source.shape, np.uint8)
        rounds = max(1, _buffers(device, 2 * source.nbytes))
        pairs = [(source, target)] + [(source.copy(), target.copy()) for _ in range(min(rounds, 8) - 1)]
        calls = [partial(device.cupy.copyto, b, a) for a, b in pairs]
        seconds = statistics.median(device.times(calls, 11, 0.0 if rehearse else LAUNCHES_SECONDS))
        found[f"{megabytes} MiB"] = 2 * source.nbytes / seconds / 1e9
    return {"gigabytes_per_second": found, "copy": max(found.values())}


def pinned_copies(rehearse: bool) -> Details:
    """Measure copies between pinned memory and the device: each direction alone, and both at once."""
    import cupyx

    device = devices.device(rehearse)
    cuda = device.cupy.cuda
    nbytes = (1 if rehearse else 256) << 20
    sending, receiving = (cupyx.empty_pinned((nbytes,), np.uint8) for _ in range(2))
    sending[:] = np.random.default_rng(1).integers(0, 256, nbytes, np.uint8)
    receiving[:] = 0
    first, second = (device.cupy.empty((nbytes,), np.uint8) for _ in range(2))
    streams = [cuda.Stream(non_blocking=True) for _ in range(2)]
    runtime = cuda.runtime

    def send() -> None:
        runtime.memcpyAsync(first.data.ptr, sending.ctypes.data, nbytes, runtime.memcpyHostToDevice, streams[0].ptr)

    def receive() -> None:
        runtime.memcpyAsync(receiving.ctypes.data, second.data.ptr, nbytes, runtime.memcpyDeviceToHost, streams[1].ptr)

    def both() -> None:
        send()
        receive()

    found = {}
    for name, call, count in (("to the device", send, 1), ("to the host", receive, 1), ("both at once", both, 2)):
        taken = []
        for _ in range(7):
            start = time.perf_counter()
            call()
            for stream in streams:
                stream.synchronize()
            taken.append(time.perf_counter() - start)
        found[name] = count * nbytes / statistics.median(taken[1:]) / 1e9
    return {"gigabytes_per_second": found}


def small_call(rehearse: bool, name: str, given: dict[str, Any]) -> Details:
    """Time calls for a small image on the device: queued one after the other, and with a wait after each."""
    device = devices.device(rehearse)
    image = device.put(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    call = partial(getattr(gpuimg, name), image, backend="cuda", **given)
    repeat = 5 if rehearse else 500

    def waited() -> None:
        call()
        device.cupy.cuda.get_current_stream().synchronize()

    waited()
    queued = []
    for _ in range(9):
        queued.append(seconds_of(call, repeat))
        device.synchronize()
    return {
        "launch_microseconds": 1e6 * statistics.median(queued),
        "call_microseconds": 1e6 * statistics.median(seconds_of(waited, repeat) for _ in range(9)),
    }


def device_time(rehearse: bool, race: Race, dtype: str, megapixels: float) -> Details:
    """Measure the median seconds on the device, and the speed relative to the copy's."""
    device = devices.device(rehearse)
    host, image = image_of(megapixels, dtype, race.color)
    entry, given = prepared(device, race, host)
    result = entry.function(image, backend="cuda", **given)
    nbytes = (
        image.nbytes
        + _nbytes(result)
        + sum(_nbytes(value) for key, value in given.items() if entry.is_image(key, value))
    )
    device.synchronize()
    alone = seconds_of(lambda: (entry.function(image, backend="cuda", **given), device.synchronize()))
    buffers = _buffers(device, nbytes)
    images = [image] + [image.copy() for _ in range(buffers - 1)]
    rounds = max(FEWEST_ROUNDS, min(MOST_ROUNDS, int(BUDGET_SECONDS / max(alone, 1e-5)))) if not rehearse else 1
    calls = _calls(device, entry, images[: max(1, rounds)], result, given)
    taken = device.times(calls, -(-rounds // len(calls)), 0.0 if rehearse else LAUNCHES_SECONDS)
    seconds = statistics.median(taken)
    return {
        "filter": race.filter,
        "params": str(race),
        "dtype": dtype,
        "megapixels": megapixels,
        "seconds_on_device": seconds,
        "quartiles": [float(each) for each in np.percentile(taken, (25, 75))],
        "seconds_of_call": alone,
        "rounds": len(taken),
        "buffers": buffers,
        "bytes": nbytes,
        "gigabytes_per_second": nbytes / seconds / 1e9,
    }


def _calls(
    device: Device, entry: Filter, images: list[Any], result: Any, given: dict[str, Any]
) -> list[Callable[[], Any]]:
    """Return calls with different memory for each image and result."""
    if not isinstance(result, device.cupy.ndarray):
        return [partial(entry.function, image, backend="cuda", **given) for image in images]
    outs = [result] + [device.cupy.empty(result.shape, result.dtype) for _ in images[1:]]
    return [
        partial(entry.function, image, backend="cuda", out=out, **given)
        for image, out in zip(images, outs, strict=True)
    ]


def end_to_end(rehearse: bool, name: str, given: dict[str, Any], dtype: str, megapixels: float) -> Details:
    """Time a call from NumPy to NumPy, compared with multicore."""
    device = devices.device(rehearse)
    image, _ = image_of(megapixels, dtype)
    call = partial(getattr(gpuimg, name), image, **given)
    result = call(backend="cuda")
    device.synchronize()
    call(backend="multicore")
    rounds = range(1 if rehearse else 5)
    cuda, multicore = [], []
    for _ in rounds:
        cuda.append(seconds_of(partial(call, backend="cuda")))
        multicore.append(seconds_of(partial(call, backend="multicore")))
    return {
        "name": name,
        "seconds": statistics.median(cuda),
        "multicore_seconds": statistics.median(multicore),
        "bytes_to_device": image.nbytes,
        "bytes_to_host": _nbytes(result),
    }


# ---------------------------------------------------------------- other libraries


def against(rehearse: bool, library: str, race: Race, dtype: str, megapixels: float) -> Details:
    """Time another library's equivalent filter and ours on the device, in turns."""
    device = devices.device(rehearse)
    host, image = image_of(megapixels, dtype)
    entry, given = prepared(device, race, host)
    theirs = PEERS[library]()[race.filter](device, image, **given)
    mine = partial(entry.function, image, backend="cuda", **given)
    for call in (mine, theirs):
        call()
    device.synchronize()
    slowest = max(seconds_of(lambda call=call: (call(), device.synchronize())) for call in (mine, theirs))
    rounds = 1 if rehearse else max(3, min(MOST_ROUNDS, int(BUDGET_SECONDS / slowest)))
    taken = device.times([mine, theirs], rounds, 0.0 if rehearse else LAUNCHES_SECONDS)
    ours, others = statistics.median(taken[::2]), statistics.median(taken[1::2])
    return {"library": library, "seconds": ours, "their_seconds": others, "times_as_fast": others / ours}


Peer = Callable[..., Callable[[], Any]]


def cupyx_filters() -> dict[str, Peer]:
    """Return calls of CuPy's and cupyx's functions, which take the device, the image and the race's parameters."""

    def of(name: str, **fixed: Any) -> Peer:
        def prepare(device: Device, image: Any, **given: Any) -> Callable[[], Any]:
            ndimage = _ndimage()
            changed = {key: device.put(np.asarray(v)) if isinstance(v, np.ndarray) else v for key, v in given.items()}
            return partial(getattr(ndimage, name), image, **changed, **fixed)

        return prepare

    def square(name: str) -> Peer:
        return lambda device, image, footprint: partial(getattr(_ndimage(), name), image, size=footprint)

    def magnitude(device: Device, image: Any) -> Callable[[], Any]:
        ndimage, plain = _ndimage(), image.astype(np.float32)
        return lambda: device.cupy.hypot(ndimage.sobel(plain, 0), ndimage.sobel(plain, 1))

    return {
        "gaussian": of("gaussian_filter"),
        "uniform": of("uniform_filter"),
        "convolve": of("convolve"),
        "median": of("median_filter"),
        "percentile": of("percentile_filter"),
        "minimum": of("minimum_filter"),
        "maximum": of("maximum_filter"),
        "erosion": of("grey_erosion"),
        "dilation": of("grey_dilation"),
        "opening": square("grey_opening"),
        "white_tophat": square("white_tophat"),
        "sobel": magnitude,
        "laplace": of("laplace", output=np.float32),
        "invert": lambda device, image: lambda: device.cupy.invert(image) if image.dtype.kind == "u" else 1 - image,
        "threshold": lambda device, image, value: lambda: image > value,
        "flip": lambda device, image, axis: lambda: device.cupy.ascontiguousarray(device.cupy.flip(image, axis)),
        "rot90": lambda device, image: lambda: device.cupy.ascontiguousarray(device.cupy.rot90(image)),
    }


def _ndimage() -> Any:
    try:
        from cupyx.scipy import ndimage
    except ImportError as error:
        raise Skip(f"cupyx.scipy.ndimage cannot be imported: {error}") from None
    return ndimage


def torch_filters() -> dict[str, Peer]:
    """Return the same for PyTorch."""

    def tensor_of(image: Any) -> tuple[Any, Any]:
        try:
            import torch
        except ImportError as error:
            raise Skip(f"PyTorch cannot be imported: {error}") from None
        if not torch.cuda.is_available():
            raise Skip("PyTorch finds no CUDA device")
        return torch, torch.from_dlpack(image)

    def pointwise(make: Callable[..., Any]) -> Peer:
        def prepare(device: Device, image: Any, **given: Any) -> Callable[[], Any]:
            torch, tensor = tensor_of(image)
            return partial(make, torch, tensor, **given)

        return prepare

    def gaussian(device: Device, image: Any, sigma: float) -> Callable[[], Any]:
        torch, tensor = tensor_of(image)
        radius = int(4 * sigma + 0.5)
        taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device="cuda") / sigma) ** 2)
        taps = (taps / taps.sum()).float()
        plane = tensor[None, None].float()
        convolve = torch.nn.functional.conv2d

        def call() -> Any:
            padded = torch.nn.functional.pad(plane, (radius,) * 4, mode="reflect")
            return convolve(convolve(padded, taps[None, None, :, None]), taps[None, None, None, :])

        return call

    def uniform(device: Device, image: Any, size: int) -> Callable[[], Any]:
        torch, tensor = tensor_of(image)
        plane = tensor[None, None].float()
        return lambda: torch.nn.functional.avg_pool2d(plane, size, 1, size // 2)

    return {
        "invert": pointwise(lambda torch, tensor: ~tensor if tensor.dtype == torch.uint8 else 1 - tensor),
        "threshold": pointwise(lambda torch, tensor, value: tensor > value),
        "flip": pointwise(lambda torch, tensor, axis: torch.flip(tensor, (axis,))),
        "rot90": pointwise(lambda torch, tensor: torch.rot90(tensor).contiguous()),
        "gaussian": gaussian,
        "uniform": uniform,
    }


PEERS: dict[str, Callable[[], dict[str, Peer]]] = {"cupyx": cupyx_filters, "torch": torch_filters}
