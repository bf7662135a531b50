"""run(plan, image, *parameters): kind of array -> graph -> backend -> result."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from functools import partial
from itertools import combinations
from logging import DEBUG
from typing import Any, NamedTuple

import numpy as np
from numpy import empty, ndarray

from gpuimg import dispatch
from gpuimg.backend.base import Backend
from gpuimg.backend.native import is_ready
from gpuimg.backend.walk import Bound, Outs, bound_to
from gpuimg.choosing import is_alone, log, run_on
from gpuimg.images import Source, check_out, contiguous, copied_to, device_of, given_shape, lies_on_device
from gpuimg.kernels import DONE
from gpuimg.memory import copy_pixels, new_array
from gpuimg.plans.alpha import with_alpha
from gpuimg.plans.graph import AnyValue, Graph, Plan, graph_of, negative_zeros
from gpuimg.plans.value import Small, Value
from gpuimg.stopping import local
from gpuimg.typing import Backend as BackendName
from gpuimg.typing import Treatment

_new = tuple.__new__

PLANNING: ContextVar[bool] = ContextVar("gpuimgPLANNING", default=False)


class Planned(Exception):
    """Raised in place of running a filter, with its image and graph."""

    def __init__(self, source: Source, bound: Bound) -> None:
        super().__init__("planned")
        self.source = source
        self.bound = bound


def run(
    plan: Plan,
    source: Source,
    *parameters: Hashable,
    others: tuple[Any, ...] = (),
    tables: tuple[np.ndarray[Any, Any], ...] = (),
    alpha: Treatment = "dropped",
    backend: BackendName | None = None,
    out: Any | None = None,
) -> Any:
    """Run the graph of a plan and return its result, or a tuple of them, in the caller's kind of array.

    Parameters
    ----------
    plan : function of values, one for each image, and parameters; see `gpuimg.plans`
    source : the image, as `gpuimg.images.accept` returned it
    parameters : of the plan
    others : further images, with the same rows and in the same memory
    tables : small arrays, passed to the plan after the images; the graph does not depend on their contents
    alpha : how the filter treats the alpha channel of an image that has one, see `gpuimg.plans.alpha`
    backend : a name, or None for the current one
    out : array for the result, with its shape and dtype, or a tuple of arrays for several results; any memory layout,
        may overlap the image

    Raises
    ------
    BackendUnavailable : a backend requested by name cannot run here
    """
    array, restore, on_device, axes, has_alpha = source
    key = None
    if local.stopper is None and restore is None and axes is None and not (has_alpha or on_device):
        zeros = negative_zeros(parameters) if 0.0 in {*parameters} else ()
        key = plan, array.shape, array.dtype, parameters, zeros
        if others:
            key = (*key, *[(each.shape, each.dtype) for each in others])
        if tables:
            key = (*key, "tables", *[(each.shape, each.dtype) for each in tables])
        quick = _quick.get(key)
        if quick is not None:
            result = _filled_at_once(quick, array, (*others, *tables) if tables else others, backend, out)
            if result is not None:
                return result
    if has_alpha:
        plan = with_alpha(plan, alpha)
    if axes is not None:
        return _run_stack(plan, source, parameters, others, tables, backend, out)
    if others or tables:
        bound = bound_to(plan, array, *others, tables=tables, parameters=parameters)
        graph = bound.graph
    else:  # as `bound_to` and `Bound`, in half the time
        graph = graph_of(plan, ((array.shape, array.dtype),), 0, parameters)
        bound = _new(Bound, (graph, (array,)))
    if PLANNING.get():
        raise Planned(source, bound)
    name = dispatch.requested(backend)
    on = bound.on
    outs = None
    if out is not None:
        outs = _checked_outs(out, source, graph)
        into = tuple([each if _usable_directly(each, bound.arrays) else None for each in outs])
        on = partial(on, outs=into)
    if array.size == 0 and isinstance(graph.results[0], Value):
        made = tuple([new_result(source, each) for each in graph.results if isinstance(each, Value)])
    else:
        made = run_on(name, source, bound, on)
    if key is not None and array.size:
        _prepare(key, name, graph)
    if graph.is_single:
        result = _handed(restore, graph.results[0], made[0])
        return result if outs is None else _moved(result, outs[0])
    results = [_handed(restore, value, result) for value, result in zip(graph.results, made, strict=True)]
    return tuple(results if outs is None else map(_moved, results, outs))


class _Quick(NamedTuple):
    """A short graph with its native calls; see `gpuimg.backend.calls.Quick`."""

    graph: Graph
    fill: Callable[..., Any]
    shape: tuple[int, ...] | None
    dtype: np.dtype[Any] | None
    held: Any


QUICK_KEPT = 256
SMALL_KEY = 1 << 12  # bytes of footprints and weights among the parameters of a graph that is kept
_quick: dict[Any, _Quick | None] = {}  # key: plan, parameters, shapes and dtypes of the images; None: run once


def _prepare(key: tuple[Any, ...], name: str, graph: Graph) -> None:
    """Prepare the native call of a graph that has been run a second time."""
    if graph.quick and graph.quick[0] is None:
        return
    if key not in _quick:
        from gpuimg.backend.calls import is_short

        if not graph.quick and (not is_short(graph) or _key_bytes(key) > SMALL_KEY):
            graph.quick.append(None)
            return
        _evict()
        _quick[key] = None
    elif not graph.quick and (graph.direct or graph.only is None) and is_alone(name, graph) and is_ready():
        from gpuimg.backend.series import native_call

        graph.quick.append(native_call(graph))
    prepared = graph.quick[0] if graph.quick else None  # another thread may set it to None
    if prepared is not None:
        _quick[key] = _Quick(graph, *prepared)


def _key_bytes(key: tuple[Any, ...]) -> int:
    return sum([_key_bytes(each) if isinstance(each, tuple) else len(each) for each in key if hasattr(each, "__len__")])


def _evict() -> None:
    """Make room for a native call; the oldest goes first."""
    while len(_quick) >= QUICK_KEPT:
        with suppress(KeyError, RuntimeError, StopIteration):  # other threads change it too
            del _quick[next(iter(_quick))]


def _filled_at_once(
    quick: _Quick, image: Any, others: tuple[Any, ...], backend: BackendName | None, out: Any
) -> Any | None:
    """Return the result of short calls in this thread, without the overhead of `run`; None if not possible.

    ``others`` are further images and tables.
    """
    graph, fill, shape, dtype, _ = quick
    if backend != "single":
        name = backend if type(backend) is str else dispatch.requested(backend)
        if not is_alone(name, graph):
            return None
    if PLANNING.get() or log.isEnabledFor(DEBUG):
        return None
    if shape is None:
        return _run_series(graph, fill, (image, *others), out)
    if out is None:
        try:
            out = empty(shape, dtype)
        except MemoryError:  # `run` releases memory kept for later results
            return None
    elif type(out) is not ndarray or out.shape != shape or out.dtype != dtype or not out.flags.carray:
        return None
    return out if fill(out, image, *others) == DONE else None


def _run_series(graph: Graph, series: Callable[..., Any], arrays: tuple[Any, ...], out: Any) -> Any | None:
    """Return the result of a series of calls, or a tuple of them; None if not possible."""
    if graph.quick[0] is None:  # it was not possible before
        return None
    outs = None
    if out is not None:
        outs = (out,) if graph.is_single else out
        if not _fits(outs, graph, arrays):
            return None
    try:
        made = series(arrays, outs)
    except MemoryError:
        return None
    if made is None:
        graph.quick[0] = None
        return None
    return made[0] if graph.is_single else made


def _fits(outs: Any, graph: Graph, arrays: tuple[Any, ...]) -> bool:
    """Whether the ``out`` argument is memory for the results of a graph that does not overlap the arrays it reads."""
    if type(outs) is not tuple or len(outs) != len(graph.results):
        return False
    for number, (each, value) in enumerate(zip(outs, graph.results, strict=True)):
        if isinstance(value, Small) or type(each) is not ndarray:
            return False
        if each.shape != value.shape or each.dtype != value.dtype or not each.flags.carray:
            return False
        if not _usable_directly(each, (*arrays, *outs[:number])):
            return False
    return True


def at_once(
    plan: Plan,
    image: Any,
    parameters: tuple[Hashable, ...],
    backend: BackendName | None,
    out: Any | None,
    others: tuple[Any, ...] = (),
) -> Any | None:
    """Return the result of a plan that is one short call; None otherwise, for `run` to do it.

    `run` must have run the plan on images of the same shapes and dtypes with the same parameters, of which none is
    -0.0. For plans of a single filter that checks only shapes and dtypes of images: these have been checked then.
    """
    if type(image) is not ndarray:
        return None
    key: tuple[Any, ...] = plan, image.shape, image.dtype, parameters, ()
    for each in others:
        if type(each) is not ndarray or not ((flags := each.flags).c_contiguous and flags.aligned):
            return None
        key = (*key, (each.shape, each.dtype))
    quick = _quick.get(key)
    flags = image.flags
    if quick is None or local.stopper is not None or not (flags.c_contiguous and flags.aligned):
        return None
    return _filled_at_once(quick, image, others, backend, out)


class _Each(NamedTuple):
    """A run of a graph for each image of a stack."""

    bounds: list[Bound]
    outs: list[Outs]

    def on(self, backend: Backend) -> list[tuple[Any, ...]]:
        return backend.run_each(self.bounds, self.outs)


def _checked_outs(out: Any, source: Source, graph: Graph) -> tuple[Any, ...]:
    """Check the ``out`` argument: one array, or a tuple with one array per result."""
    if source.restore is not None:
        raise TypeError("out works with NumPy and CuPy images only, not with this kind of image")
    outs = (out,) if graph.is_single else out
    if not isinstance(outs, tuple) or len(outs) != len(graph.results):
        raise TypeError(f"out must be a tuple of {len(graph.results)} arrays, got {type(out).__name__}")
    for each, result in zip(outs, graph.results, strict=True):
        if isinstance(result, Small):
            raise TypeError("out must be None: the result is not an image")
        shape = result.shape if source.axes is None else given_shape(source, result.shape)
        check_out(each, shape, result.dtype, source.array)
    if len(outs) > 1:
        hosts = [each for each in outs if isinstance(each, np.ndarray)]
        if any(np.may_share_memory(*both) for both in combinations(hosts, 2)):
            raise ValueError("out must be arrays that do not overlap, got two that overlap")
    return outs


def _run_stack(
    plan: Plan,
    source: Source,
    parameters: tuple[Hashable, ...],
    others: tuple[Any, ...],
    tables: tuple[np.ndarray[Any, Any], ...],
    backend: BackendName | None,
    out: Any | None,
) -> Any:
    """Run the graph for each image of a stack and return the results with the caller's order of axes."""
    images = [_as_list(array, source) for array in (source.array, *others)]
    graph = graph_of(plan, tuple([(each.shape[1:], each.dtype) for each in images]), len(tables), parameters)
    bounds = [Bound(graph, (*each, *tables)) for each in zip(*images, strict=True)]
    if PLANNING.get():
        raise Planned(source, bounds[0] if bounds else Bound(graph, ()))
    name = dispatch.requested(backend)
    targets = [None] * len(graph.results) if out is None else _arranged_outs(out, source, graph)
    read = (*images, *tables)
    memory = [_memory_of(source, value, each, read) for value, each in zip(graph.results, targets, strict=True)]
    made = _filled(name, source, bounds, memory) if source.array.size else memory
    if out is not None:
        for each in zip(made, targets, strict=True):
            _moved(*each)
        return out
    results = [_in_given_order(source, *each) for each in zip(graph.results, made, strict=True)]
    return results[0] if graph.is_single else tuple(results)


def _as_list(array: Any, source: Source) -> Any:
    """Flatten all stack axes into one."""
    stack = source.stack
    return array.reshape(math.prod(stack), *array.shape[len(stack) :])


def _arranged_outs(out: Any, source: Source, graph: Graph) -> list[Any]:
    """Return the caller's memory for the results of a stack, with the kernels' order of axes."""
    assert source.axes is not None
    arrange, stack = source.axes.arranged_out, len(source.stack)
    outs = zip(_checked_outs(out, source, graph), graph.results, strict=True)
    return [arrange(each, stack + len(value.shape)) for each, value in outs if isinstance(value, Value)]


def _memory_of(source: Source, value: AnyValue, target: Any | None, read: tuple[Any, ...]) -> Any | None:
    """Return memory for the results of a stack, ``target`` if it can be used directly; None for numbers."""
    if isinstance(value, Small):
        return None
    return target if target is not None and _usable_directly(target, read) else new_result(source, value)


def _filled(name: str, source: Source, bounds: list[Bound], memory: list[Any | None]) -> list[Any]:
    """Run the graphs of a stack with their results in this memory."""
    count = len(bounds)
    lists = [(None,) * count if array is None else _as_list(array, source) for array in memory]
    made = run_on(name, source, bounds[0], _Each(bounds, list(zip(*lists, strict=True))).on)
    return [
        _numbers(value, [results[place] for results in made], source) if array is None else array
        for place, (value, array) in enumerate(zip(bounds[0].graph.results, memory, strict=True))
    ]


def _numbers(value: AnyValue, each: list[Any], source: Source) -> np.ndarray[Any, Any]:
    """Join the small results of a stack into one array; lists are concatenated, with the image index in front."""
    if isinstance(value, Small) and value.listed:
        indices = np.array(list(np.ndindex(source.stack)), np.int64).reshape(len(each), len(source.stack))
        return np.hstack([np.repeat(indices, list(map(len, each)), axis=0), np.concatenate(each)])
    stacked = np.stack(each)
    return stacked.reshape((*source.stack, *stacked.shape[1:]))[()]  # a scalar for a single image


def _in_given_order(source: Source, value: AnyValue, made: Any) -> Any:
    """Return a stack of results in the caller's order of axes and kind of array."""
    if isinstance(value, Small):
        return made
    result = contiguous(source.axes.restored(made))  # type: ignore[union-attr]
    return result if source.restore is None else source.restore(result)


def _handed(restore: Callable[[Any], Any] | None, value: AnyValue, made: Any) -> Any:
    """Return a result in the image's kind of array."""
    if isinstance(value, Small):
        return made
    if made.dtype != value.dtype:  # kernels know masks as bytes
        made = made.view(value.dtype)
    return made if restore is None else restore(made)


def _moved(result: Any, out: Any) -> Any:
    if result is not out:
        if hasattr(out, "__cuda_array_interface__"):
            is_near = out.data.device_id == result.data.device_id
            near = result if is_near else copied_to(result, out.device)
            with out.device:
                out[...] = near
        else:
            copy_pixels(result, out)
    return out


def _usable_directly(out: Any, read: tuple[Any, ...]) -> bool:
    """Whether the result may be written to ``out`` while these arrays are read."""
    if not out.flags.c_contiguous:
        return False
    if not isinstance(out, np.ndarray):
        return True
    for each in read:  # noqa: SIM110
        if isinstance(each, np.ndarray) and np.may_share_memory(out, each):
            return False
    return True


def new_result(source: Source, result: Value) -> Any:
    """Allocate memory for a result, or for those of a stack."""
    if 0 in source.shape and 0 not in result.shape:
        raise ValueError(f"image must not be empty for a result of shape {result.shape}, got shape {source.shape}")
    shape = (*source.stack, *result.shape)
    if source.on_device:
        with source.array.device:
            return np.empty_like(source.array, dtype=result.dtype, shape=shape)
    return new_array(shape, result.dtype)


def on_streams_of(image: Any, others: Iterable[Any] = ()) -> Callable[[Callable[[], Any]], Any]:
    """Return a function that calls another one in any thread as if it were called here.

    If the image is in GPU memory, the call uses the current streams of the current device and of the devices of the
    image and ``others``, and waits for them.
    """
    if not lies_on_device(image):
        return _call
    import cupy

    here = cupy.cuda.Device()
    streams = {}
    for each in filter(lies_on_device, (image, *others)):
        device = cupy.cuda.Device(device_of(each))
        with device:
            streams[device.id] = device, cupy.cuda.get_current_stream()
        if not isinstance(each, cupy.ndarray):
            device.synchronize()  # another library's stream in this thread is not its stream in the other thread
    streams.pop(here.id, None)
    entered = [*streams.values(), (here, cupy.cuda.get_current_stream())]  # the current device comes last

    def call(function: Callable[[], Any]) -> Any:
        with ExitStack() as stack:
            for device, stream in entered:
                stack.enter_context(device)
                stack.enter_context(stream)
                stack.callback(stream.synchronize)
            return function()

    return call


def _call(function: Callable[[], Any]) -> Any:
    return function()


def planned(function: Callable[..., Any], image: Any, params: dict[str, Any]) -> tuple[Source, Bound]:
    """Return the image and the graph that a filter would run."""
    token = PLANNING.set(True)
    try:
        function(image, **params)
    except Planned as found:
        return found.source, found.bound
    finally:
        PLANNING.reset(token)
    raise TypeError(f"filter must be one of gpuimg's filters, got {function!r}, which ran none")


def planned_results(function: Callable[..., Any], image: Any, params: dict[str, Any]) -> tuple[Value, ...]:
    """Return the values of the images that a filter would return; () if it returns numbers."""
    source, bound = planned(function, image, params)
    images = [value for value in bound.graph.results if isinstance(value, Value)]
    return tuple([Value(given_shape(source, value.shape), value.dtype) for value in images])
