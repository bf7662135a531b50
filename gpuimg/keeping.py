"""Caches of what functions return, bounded by its bytes as well as its number."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound="Callable[..., Any]")
MOST_BYTES = 16 << 20  # of each cache


class _TooLarge(Exception):
    """What a function returned that is not kept."""

    def __init__(self, result: Any) -> None:
        super().__init__("too large to keep")
        self.result = result


def kept(count: int, nbytes: Callable[[Any], int], most: int = MOST_BYTES) -> Callable[[Function], Function]:
    """Keep what a function returns, as `functools.lru_cache` does, up to ``most`` bytes.

    Parameters
    ----------
    count : how many results are kept
    nbytes : the bytes of a result
    most : the bytes of all; what exceeds them by itself is not kept, and all is let go of when more would be

    Returns
    -------
    a decorator; the function gets ``cache_clear``
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
