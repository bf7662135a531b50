"""The one list of filters. Tests, the benchmark, the command line and the docs all read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Filter(NamedTuple):
    """A registered filter: the plain function, its family and the examples that tests and benchmarks call it with."""

    name: str
    function: Callable[..., Any]
    family: str
    examples: tuple[Mapping[str, Any], ...]


FILTERS: dict[str, Filter] = {}


def register(*examples: Mapping[str, Any]) -> Callable[[Function], Function]:
    """Enter a function into `FILTERS`, with keyword arguments to try it with, and return it untouched."""

    def enter(function: Function) -> Function:
        name = function.__name__
        FILTERS[name] = Filter(name, function, function.__module__.rpartition(".")[2], examples or ({},))
        return function

    return enter
