"""Filters of images with an alpha channel, made of their plans for images without one.

The last of two or four channels is alpha: straight, not premultiplied. A filter treats it in one of four ways:

- "channel": as it treats every other channel.
- "kept": the colours are filtered, alpha stays. Where the result has another dtype or shape, alpha is dropped.
- "weighed": colours are averaged with alpha as their weight: multiplied by it, filtered, divided by the filtered alpha.
  Alpha is filtered like a channel. Where the result's alpha is 0, and where everything that a pixel is made of is
  opaque, the colours are those of the filter without weights.
- "dropped": the colours are filtered, and the result has no alpha.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache, partial

import numpy as np

from gpuimg import images
from gpuimg.images import FLOAT32, FLOAT64, UINT8
from gpuimg.plans.graph import AnyValue, Plan, all_nodes
from gpuimg.plans.nodes import AnyNode, Fold, View, Window, moved, point, view
from gpuimg.plans.value import Value
from gpuimg.typing import Treatment

CONSTANT = images.MODES["constant"].code
MOVING = ("pick", "flip", "transpose", "warp_nearest", "remap_nearest")  # kernels that compute nothing


@cache
def with_alpha(plan: Plan, treatment: Treatment) -> Plan:
    """The plan for images with an alpha channel of a filter whose plan for others this is."""
    return plan if treatment == "channel" else partial(TREATMENTS[treatment], plan)


def plan_kept(plan: Plan, image: Value, *rest: Hashable) -> AnyValue | tuple[AnyValue, ...]:
    made = plan(image, *rest)
    if isinstance(made, Value) and _is_like(made, image) and not any(map(_mixes_channels, all_nodes(made))):
        return _with_alpha_of(image, made)
    plain = channels(image, 0, image.channels - 1)
    made = plan(plain, *rest)
    return append(made, image) if isinstance(made, Value) and _is_like(made, plain) else made


def _is_like(made: Value, image: Value) -> bool:
    return (made.shape, made.dtype) == (image.shape, image.dtype)


def _mixes_channels(node: AnyNode) -> bool:
    """Whether what becomes of a channel depends on the others; histograms are of each channel, as tables are."""
    return isinstance(node, Fold) and node.kernel != "histogram"


def _with_alpha_of(image: Value, colors: Value) -> Value:
    """The colours of one image and the alpha of another."""
    plain = np.dtype(f"u{image.dtype.itemsize}")
    return view(point("colors", view(colors, plain), work=0.5, other=view(image, plain)), image.dtype)


def plan_dropped(plan: Plan, image: Value, *rest: Hashable) -> AnyValue | tuple[AnyValue, ...]:
    return plan(channels(image, 0, image.channels - 1), *rest)


def plan_weighed(plan: Plan, image: Value, *rest: Hashable) -> AnyValue | tuple[AnyValue, ...]:
    plain = plan(image, *rest)
    assert isinstance(plain, Value)
    nodes = all_nodes(plain)
    if all(isinstance(node, View) or getattr(node, "kernel", "") in MOVING for node in nodes):
        return plain
    if any(isinstance(node, Window) and node.edge[0] == CONSTANT and node.edge[1] != 0 for node in nodes):
        raise ValueError("cval must be 0 for images with an alpha channel")
    most = 1.0 if image.dtype.kind == "f" else float(images.limits(image.dtype)[1])
    # A constant colour stays exactly: float32 does for bytes, float64 for the rest. In float64 sums of integers are
    # exact, which those of `uniform` must be: their order depends on the backend.
    is_short = image.dtype == UINT8 and not any(getattr(node, "kernel", "") == "uniform" for node in nodes)
    real = FLOAT32 if is_short else FLOAT64
    product = point("premultiply", image, shape=_with_channels(image, image.channels + 1), dtype=real, most=most)
    filtered = plan(product, *rest)
    assert isinstance(filtered, Value)
    return point("unpremultiply", filtered, shape=plain.shape, dtype=image.dtype, work=2.0, other=plain)


TREATMENTS = {"kept": plan_kept, "weighed": plan_weighed, "dropped": plan_dropped}


def channels(image: Value, first: int, count: int) -> Value:
    """Some neighbouring channels; one of them is an image (H, W)."""
    shape = _with_channels(image, count)
    return moved(image, partial(point, "channels", shape=shape, work=0.5, first=first, count=count))


def append(image: Value, other: Value) -> Value:
    """The channels of an image and behind them the last channel of another."""
    plain = np.dtype(f"u{image.dtype.itemsize}")
    joined = point(
        "append",
        view(image, plain),
        shape=_with_channels(image, image.channels + 1),
        work=0.5,
        other=view(other, plain),
        other_step=other.channels,
    )
    return view(joined, image.dtype)


def _with_channels(image: Value, count: int) -> tuple[int, ...]:
    return image.shape[:2] if count == 1 else (*image.shape[:2], count)
