"""Values: images and small arrays without their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gpuimg.plans.nodes import AnyNode, Host, Node, View


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """An image without pixels; two values are the same only if they are one object.

    Attributes
    ----------
    shape : (H, W) or (H, W, C)
    dtype : of the elements
    node : that makes it; None for an input of the graph
    index : its place among the node's results
    others : the node's further results, where this is the first
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    node: AnyNode | None = None
    index: int = 0
    others: tuple[Value, ...] = ()

    @property
    def results(self) -> tuple[Value, ...]:
        """All results of a node whose first this is."""
        return (self, *self.others)

    @property
    def channels(self) -> int:
        return self.shape[2] if len(self.shape) == 3 else 1


@dataclass(frozen=True, eq=False, slots=True)
class Small:
    """A number or a small array on the host: what a fold or a host function returns, or a table given with the image.

    Attributes
    ----------
    node : that makes it; None for an input of the graph
    index : its place among the node's results
    listed : whether its rows are a list, as long as an image's pixels make it, of places in the image
    """

    node: Node | Host | View | None = None
    index: int = 0
    listed: bool = False
