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
    dtype : dtype of the elements
    node : the node that computes it; None for an input of the graph
    index : its index among the node's results
    others : the node's further results, if this is the first
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    node: AnyNode | None = None
    index: int = 0
    others: tuple[Value, ...] = ()

    @property
    def results(self) -> tuple[Value, ...]:
        """All results of the node whose first result this is."""
        return (self, *self.others)

    @property
    def channels(self) -> int:
        return self.shape[2] if len(self.shape) == 3 else 1


@dataclass(frozen=True, eq=False, slots=True)
class Small:
    """A number or a small array on the host: the result of a fold or host function, or a table given with the image.

    Attributes
    ----------
    node : the node that computes it; None for an input of the graph
    index : its index among the node's results
    listed : whether its rows are coordinates in the image, of which there may be any number
    """

    node: Node | Host | View | None = None
    index: int = 0
    listed: bool = False
