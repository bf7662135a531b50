"""Caches of function results, bounded in number and in bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound="Callable[..., Any]")
MOST_BYTES = 16 << 20  # of each cache


class _TooLarge(Exception):
    """A result that is too large to keep."""

    def __init__(self, result: Any) -> None:
        super().__init__("too large to keep")
        self.result = result


def kept(count: int, nbytes: Callable[[Any], int], most: int = MOST_BYTES) -> Callable[[Function], Function]:
    """Cache a function's results, as `functools.lru_cache` does, up to ``most`` bytes.

    Parameters
    ----------
    count : maximum number of results kept
    nbytes : function that returns the bytes of a result
    most : maximum bytes of all results; a larger result is not kept, and the cache is cleared when it would exceed this

    Returns
    -------
    a decorator; the decorated function has ``cache_clear``
    """

    def decorate(function: Function) -> Function:
        total = 0

        @lru_cache(maxsize=count)
        def made(*arguments: Any) -> Any:
            nonlocal total
            result = function(*arguments)
            size = nbytes(result)
            if size > most:
                raise _TooLarge(result)
            if total + size > most:
                clear()
            total += size
            return result

        def clear() -> None:
            nonlocal total
            made.cache_clear()
            total = 0

        @wraps(function)
        def found(*arguments: Any) -> Any:
            try:
                return made(*arguments)
            except _TooLarge as large:
                return large.result

        found.cache_clear = clear  # type: ignore[attr-defined]
        return cast("Function", found)

    return decorate
