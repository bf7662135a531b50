"""The one list of filters. Tests, the benchmark, the command line and the docs all read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Filter(NamedTuple):
    """A registered filter.

    Attributes
    ----------
    function : the plain function
    family : the module in `gpuimg.filters` that it stands in
    examples : keyword arguments to call it with; a value that is a function is made by it, out of the image
    color : whether it takes images of three channels only
    kinds : of dtypes that it takes, by NumPy's letters: b, u, i and f
    images : the parameters that are images (or arrays of an image's shape) themselves
    """

    name: str
    function: Callable[..., Any]
    family: str
    examples: tuple[Mapping[str, Any], ...]
    color: bool = False
    kinds: str = "uif"
    images: tuple[str, ...] = ()


FILTERS: dict[str, Filter] = {}


def arguments(example: Mapping[str, Any], image: Any) -> dict[str, Any]:
    """An example's keyword arguments for one image."""
    return {name: value(image) if callable(value) else value for name, value in example.items()}


def register(
    *examples: Mapping[str, Any], color: bool = False, kinds: str = "uif", images: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """Enter a function into `FILTERS`, with what `Filter` says of it, and return it untouched."""

    def enter(function: Function) -> Function:
        name, family = function.__name__, function.__module__.rpartition(".")[2]
        FILTERS[name] = Filter(name, function, family, examples or ({},), color, kinds, images)
        return function

    return enter
