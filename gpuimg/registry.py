"""The registry of filters, read by the tests, the benchmark, the command line and the docs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from gpuimg.images import BOOL, DTYPES, KNOWN
from gpuimg.typing import Treatment

Function = TypeVar("Function", bound=Callable[..., Any])


class Filter(NamedTuple):
    """A registered filter.

    Attributes
    ----------
    function : the plain function
    family : the module in `gpuimg.filters` that defines it
    examples : keyword arguments to call it with; a function is called with the image to make the value
    color : whether it takes only images of three channels
    grey : whether it rejects images of several channels unless ``axes`` names them
    kinds : kinds of dtypes that it takes, by NumPy's letters: b is bool; u, i and f are those of `gpuimg.images.DTYPES`
    images : the parameters that are images (or arrays of an image's shape)
    operands : the parameters that are images or numbers
    also : further dtypes that it takes
    alpha : how it treats an alpha channel: "channel" as any channel, "kept", "weighed" or "dropped"; see
        `gpuimg.plans.alpha`. For all but the first, the function has a parameter ``alpha``
    """

    name: str
    function: Callable[..., Any]
    family: str
    examples: tuple[Mapping[str, Any], ...]
    color: bool = False
    grey: bool = False
    kinds: str = "uif"
    images: tuple[str, ...] = ()
    also: frozenset[np.dtype[Any]] = frozenset()
    alpha: Treatment = "dropped"
    operands: tuple[str, ...] = ()

    def is_image(self, name: str, value: Any) -> bool:
        """Return whether the argument for a parameter is an image."""
        return (name in self.images and value is not None) or (name in self.operands and np.ndim(value) > 0)

    @property
    def dtypes(self) -> tuple[np.dtype[Any], ...]:
        """All dtypes that it takes, for some values of its other arguments."""
        usual = [dtype for dtype in (BOOL, *DTYPES) if dtype.kind in self.kinds]
        return tuple([dtype for dtype in KNOWN if dtype in usual or dtype in self.also])


FILTERS: dict[str, Filter] = {}


def arguments(example: Mapping[str, Any], image: Any) -> dict[str, Any]:
    """Return an example's keyword arguments for one image."""
    return {name: value(image) if callable(value) else value for name, value in example.items()}


def register(
    *examples: Mapping[str, Any],
    color: bool = False,
    grey: bool = False,
    kinds: str = "uif",
    images: tuple[str, ...] = (),
    also: frozenset[np.dtype[Any]] = frozenset(),
    alpha: Treatment = "dropped",
    operands: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Add a function to `FILTERS`, with the attributes of `Filter`, and return it unchanged."""

    def enter(function: Function) -> Function:
        name, family = function.__name__, function.__module__.rpartition(".")[2]
        FILTERS[name] = Filter(
            name, function, family, examples or ({},), color, grey, kinds, images, also, alpha, operands
        )
        return function

    return enter
