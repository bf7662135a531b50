"""Plans for images with an alpha channel, derived from the plans for images without one.

The last of two or four channels is alpha: straight, not premultiplied. A filter treats it in one of four ways:

- "channel": like any other channel.
- "kept": the colours are filtered, alpha is unchanged. If the result has another dtype or shape, alpha is dropped.
- "weighed": colours are averaged with alpha as their weight: multiplied by it, filtered, divided by the filtered alpha.
  Alpha is filtered like a channel. Where the result's alpha is 0, and where all input pixels of a result are opaque,
  the colours are those of the filter without weights; for an opaque image only that filter runs.
- "dropped": the colours are filtered, and the result has no alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cache, partial, reduce
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.images import FLOAT32, FLOAT64, UINT8
from gpuimg.kernels import parameters
from gpuimg.plans.graph import AnyValue, Plan, all_nodes, loop
from gpuimg.plans.nodes import AnyNode, Argument, Fold, Node, Resample, View, Window, fold, host, moved, point, view
from gpuimg.plans.value import Small, Value
from gpuimg.typing import Treatment

CONSTANT = images.MODES["constant"].code
COUNTS = np.dtype(np.int64)
# A constant colour must not change: float32 suffices for bytes, float64 for other dtypes. Alpha may differ from the
# maximum by less than this through rounding; taking slightly larger differences for opaque changes no colour visibly.
OPAQUE_WITHIN = {FLOAT32: 2.0**-16, FLOAT64: 2.0**-32}
MIXING = ("bilateral", "nl_means")  # kernels that filter all channels together
MOVING = ("pick", "flip", "transpose", "warp_nearest", "remap_nearest")  # kernels that compute nothing


@cache
def with_alpha(plan: Plan, treatment: Treatment) -> Plan:
    """Return the plan for images with an alpha channel, given a filter's plan for other images."""
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
    """Return whether the result of a channel depends on other channels; histograms and tables are per channel."""
    return getattr(node, "kernel", "") in MIXING or (isinstance(node, Fold) and node.kernel != "histogram")


def _with_alpha_of(image: Value, colors: Value) -> Value:
    """Combine the colours of one image with the alpha of another."""
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
    if any(_border_of(node) not in (None, 0) for node in nodes):
        raise ValueError("cval must be 0 for images with an alpha channel")
    most = 1.0 if image.dtype.kind == "f" else float(images.limits(image.dtype)[1])
    real = FLOAT32 if image.dtype == UINT8 and not any(map(_sums_beyond_float32, nodes)) else FLOAT64
    # Integers whose filtered alpha is the maximum have only opaque inputs. Floats may exceed it, as may sums with
    # negative weights, and constant borders have no alpha: in these cases an additional channel is filtered.
    is_told_by_alpha = image.dtype.kind != "f" and all(map(_is_mean_of_pixels, nodes))
    wide = _with_channels(image, image.channels + (not is_told_by_alpha))
    limit = most * (1 - OPAQUE_WITHIN[real])
    # From bytes to floats, the kernel "resample" multiplies by alpha.
    is_done = is_told_by_alpha and real == FLOAT32 and _is_resampled(image, plain)
    inputs = tuple([given for given in rest if isinstance(given, Value | Small)])

    def weighed(plain: Value, image: Value, *others: Value | Small) -> tuple[Value, Small]:
        product = image if is_done else point("premultiply", image, shape=wide, dtype=real, most=most)
        inner = dict(zip(inputs, others, strict=True))
        filtered = plan(product, *[inner.get(given, given) for given in rest])  # type: ignore[call-overload]
        assert isinstance(filtered, Value)
        divided = _in_type(filtered, real)
        made = point("unpremultiply", divided, shape=plain.shape, dtype=plain.dtype, other=plain, limit=limit)
        return made, host(_once)

    flag = fold("translucent", image, shape=(1,), dtype=COUNTS, work=0.3, most=most)
    constants = (image, *inputs)
    (result,) = loop(weighed, plain, constants=constants, limit=1, rounds=1.0, begins=host(_is_any, flag))
    return result


def _sums_beyond_float32(node: AnyNode) -> bool:
    """Return whether sums of products of bytes, whose order depends on the backend, may be inexact in float32."""
    if not isinstance(node, Window) or node.kernel != "uniform":
        return False
    area = (2 * node.reach[0] + 1) * (2 * node.reach[1] + 1)
    return area * 255 * 255 > 1 << 24


def _in_type(filtered: Value, dtype: np.dtype[Any]) -> Value:
    """Change the dtype of the result of a filter's last node."""
    if filtered.dtype == dtype:
        return filtered
    node = filtered.node
    assert isinstance(node, Node)
    spec = filtered.shape, dtype
    return Value(*spec, replace(node, dtype=dtype, results=(spec,)))


def _border_of(node: AnyNode) -> Argument | None:
    """Return the constant beyond the borders of a node's image, as a number or its bits; None without one."""
    if isinstance(node, Window) and node.edge[0] == CONSTANT:
        return node.edge[1]
    if isinstance(node, Resample) and node.kernel == "pad":
        given = dict(zip(parameters(node.kernel), node.arguments, strict=True))
        return given["fill_value"] if given["mode"] == CONSTANT else None
    return None


def _is_mean_of_pixels(node: AnyNode) -> bool:
    """Return whether samples beyond the borders repeat pixels of the image, and no weight is negative."""
    if isinstance(node, Window):
        return _border_of(node) is None
    if not isinstance(node, Resample) or node.kernel != "resample":
        return False
    return dict(zip(parameters(node.kernel), node.arguments, strict=True))["overshoot"] == 0


def _is_resampled(image: Value, made: Value) -> bool:
    return isinstance(made.node, Resample) and made.node.kernel == "resample" and made.node.image is image


def _is_any(counts: Any) -> int:
    return int(counts[0])


def _once() -> int:
    return 0


TREATMENTS = {"kept": plan_kept, "weighed": plan_weighed, "dropped": plan_dropped}


def channels(image: Value, first: int, count: int) -> Value:
    """Extract consecutive channels; a single channel is an image (H, W)."""
    shape = _with_channels(image, count)
    return moved(image, partial(point, "channels", shape=shape, work=0.5, first=first, count=count))


def colors_of(other: Value, image: Value) -> Value:
    """Extract the channels of a second image that the first one has, which may have lost its alpha."""
    return channels(other, 0, image.channels) if image.channels < other.channels else other


def each_channel(image: Value, plan: Callable[[Value], Value]) -> Value:
    """Apply a plan to each channel of an image."""
    return reduce(append, [plan(channels(image, place, 1)) for place in range(image.channels)])


def append(image: Value, other: Value) -> Value:
    """Append the last channel of another image to the channels of an image."""
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
