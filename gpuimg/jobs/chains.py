"""Chains of filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from inspect import signature
from typing import Any, TypeAlias

import numpy as np

from gpuimg.errors import one_line
from gpuimg.files import axes_of_pages
from gpuimg.filters import all_filters, filter_named
from gpuimg.jobs.texts import write_step
from gpuimg.plans.value import Value
from gpuimg.registry import Filter
from gpuimg.run import planned_results

Step: TypeAlias = "str | Callable[..., Any] | tuple[str | Callable[..., Any], Mapping[str, Any]]"


class Chain:
    """Filters that run one after the other, each on the result of the previous one; see `chain`."""

    __slots__ = ("steps",)

    def __init__(self, steps: tuple[tuple[Filter, dict[str, Any]], ...]) -> None:
        self.steps = steps

    def __call__(self, image: Any, /, *, axes: str | None = None, alpha: bool | None = None, **common: Any) -> Any:
        """Run all filters; ``common`` is passed to each of them, for example ``backend="single"``.

        ``alpha`` tells whether the image has an alpha channel; it is passed to filters as long as the channel exists.
        """
        for entry, params in self.steps:
            result = entry.function(image, **known_arguments(entry, params, alpha=alpha, axes=axes), **common)
            alpha, image = alpha and has_alpha_still(image, result, axes), result
        return image

    def of_pages(self, pages: Any, /, *, alpha: bool | None = None, **common: Any) -> tuple[Any, str]:
        """Run all filters over a stack of images, (N, H, W) or (N, H, W, C); return the results and their axes."""
        for entry, params in self.steps:
            axes = axes_of_pages(np.ndim(pages))
            result = entry.function(pages, **known_arguments(entry, params, alpha=alpha, axes=axes), **common)
            alpha, pages = alpha and has_alpha_still(pages, result, axes), result
        return pages, axes_of_pages(np.ndim(pages))

    def texts(self) -> list[str]:
        """Return the steps as normalised strings for `gpuimg.jobs.texts.read_step`."""
        return [write_step(entry.name, params) for entry, params in self.steps]

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"gpuimg.chain({', '.join([repr((entry.name, params)) for entry, params in self.steps])})"


def planned_steps(
    chain: Chain, image: Any, *, is_stack: bool, has_alpha: bool
) -> Iterator[tuple[Filter, tuple[Value, ...]]]:
    """Yield each filter of a chain with the shapes and dtypes of its results, without computing them.

    Raises
    ------
    TypeError, ValueError : a step's arguments are wrong, or it does not accept the previous result; names the step
    """
    value = Value(image.shape, image.dtype)
    for number, (entry, params) in enumerate(chain.steps):
        # Zeros that are never written to take no memory.
        before = np.zeros(value.shape, value.dtype) if number else image
        axes = axes_of_pages(before.ndim) if is_stack else None
        given = known_arguments(entry, params, alpha=has_alpha or None, axes=axes)
        try:
            made = planned_results(entry.function, before, given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{entry.name}: {one_line(error)}") from error
        yield entry, made
        if len(made) != 1:
            return
        (value,) = made
        has_alpha = has_alpha and has_alpha_still(before, value, axes)


def conversion(dtype: np.dtype[Any]) -> str:
    """Return a suggestion to convert the result of a chain to a dtype that the format holds."""
    if dtype.name in ("uint16", "int16", "float32", "float64"):
        added = "add -f astype:dtype=uint8,scale=True"
        if dtype.kind == "f":
            added += " for values from 0 to 1, or without scale for values from 0 to 255"
        return f"{added}; a .tif file holds {dtype}"
    if dtype.name == "int32":
        return f"add -f astype:dtype=uint16, or uint8 for values up to 255; a .tif file holds {dtype}"
    return f"save it as .tif, which holds {dtype}"


def known_arguments(
    entry: Filter, params: Mapping[str, Any], *, alpha: bool | None = None, axes: str | None = None
) -> dict[str, Any]:
    """Return a filter's arguments: the parameters of a step, and those derived from the image."""
    known: dict[str, Any] = {"axes": axes} if axes else {}
    if alpha is not None and entry.alpha != "channel":
        known["alpha"] = alpha
    return {**known, **params}


def has_alpha_still(image: Any, result: Any, axes: str | None = None) -> bool:
    """Return whether the result of a filter keeps the image's alpha channel: it has as many channels."""
    return _channels(result, axes) == _channels(image, axes)


def _channels(image: Any, axes: str | None) -> int:
    if hasattr(image, "getbands"):
        return len(image.getbands())
    shape, letters = getattr(image, "shape", ()), axes or "YXC"
    return int(shape[letters.index("C")]) if "C" in letters and len(shape) == len(letters) else 1


def chain(*steps: Step) -> Chain:
    """Combine several filters into one function.

    Parameters
    ----------
    *steps : each a filter, a filter's name, or a pair of one of them and a dict of its parameters

    Returns
    -------
    Chain : called with an image, it returns the result of the last filter; `submit` and `stream` take it like a filter.
        Parameters of the call, such as ``backend``, are passed to all filters.

    Raises
    ------
    ValueError : there is no step, or no filter of that name
    TypeError : a step is of another kind, or a filter has no such parameter

    Examples
    --------
    >>> import gpuimg
    >>> from gpuimg.demo import photo
    >>> edges = gpuimg.chain(("gaussian", {"sigma": 2}), "sobel")
    >>> edges(photo(0.01)).dtype
    dtype('float32')
    """
    if not steps:
        raise ValueError("a chain must have at least one filter")
    return Chain(tuple(map(_step, steps)))


def _step(step: Step) -> tuple[Filter, dict[str, Any]]:
    filter, params = step if isinstance(step, tuple) and len(step) == 2 else (step, {})
    if not isinstance(params, Mapping):
        raise TypeError(f"a step must be a filter or a pair of one and a dict of its parameters, got {step!r}")
    entry = filter_of(filter)
    if entry is None:
        raise TypeError(f"a step must be one of gpuimg's filters, got {filter!r}")
    known = _parameters(entry.function)
    unknown = [name for name in params if name not in known]
    if unknown:
        raise TypeError(f"{entry.name} has no parameter {unknown[0]!r}; it has {', '.join(known)}")
    return entry, dict(params)


@cache
def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(signature(function).parameters)[1:]


def filter_of(given: Any) -> Filter | None:
    """Return the filter for a name or a function; None for other functions."""
    if isinstance(given, str):
        return filter_named(given)
    found = all_filters().get(getattr(given, "__name__", ""))
    return found if found is not None and found.function is given else None
